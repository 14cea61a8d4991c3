"""Serves with one of the drivers for Python, and evaluates what the test says on stdin, line by line."""

import sys
import threading

import raising
from python_server import InLoop, Threaded

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


def restart(*_):
    subject.server.stop()
    return subject.server.start("127.0.0.1", 0)  # of aio.Server, it is awaited


def reconfigure(*_):
    subject.server.configure({"banner": "changed", "size_limit": 1000, "validate_recipient": None})


CALLBACKS = {
    "": None,
    "look": look,
    "stop": stop,
    "restart": restart,
    "reconfigure": reconfigure,
    "wait_until_told": wait_until_told,
    **{f"raising:{name}": function for name, function in vars(raising).items()},
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
