"""Serves with one of the drivers for Python, and evaluates what the test says on stdin, line by line."""

import sys
import threading

from python_server import InLoop, Threaded

import pysmtpd

waiting = threading.Event()
go = threading.Event()


class Kept:
    """The count and the last message."""

    def __init__(self):
        self.delivered = 0
        self.last = []

    def add(self, message):
        self.delivered += 1
        self.last = message.content.decode("latin-1").split("\r\n")[:-1]


kept = Kept()


def raising(error):
    def callback(*_):
        raise error

    return callback


def wait_until_told(*_):
    waiting.set()
    go.wait()


def look(message):
    """Read what can be read of a message, broken or not."""
    for part in message.walk():
        str(part["Subject"])
        part.get_content_type()
        part.get_payload()


def stop(*_):
    threading.Thread(target=subject.server.stop).start() if kind is Threaded else subject.server.stop()


CALLBACKS = {
    "": None,
    "look": look,
    "raise": raising(RuntimeError("no such luck")),
    "raise_code": raising(pysmtpd.Refused(451, "come back")),
    "raise_lines": raising(ValueError("one\r\n250 two\nthree")),
    "raise_accents": raising(ValueError("não 日本 \x1b[31m")),
    "raise_exit": raising(SystemExit(3)),
    "raise_interrupt": raising(KeyboardInterrupt()),
    "raise_generator_exit": raising(GeneratorExit()),
    "raise_recursion": raising(RecursionError("too deep")),
    "raise_memory": raising(MemoryError()),
    "stop": stop,
    "wait_until_told": wait_until_told,
}


def configure(**options):
    subject.server.configure(options)


def live():
    return len(subject.server._service.live)


kind = {"Server": Threaded, "aio.Server": InLoop}[sys.argv[1]]
subject = kind()
subject.server.inbox.add = kept.add
subject.server.options.config.observe = None  # transcripts would be taken for a leak
port = subject.start().getsockname()[1]
for line in sys.stdin:
    print(ascii(eval(line)), flush=True)  # noqa: S307 # the test's own words
subject.end()
