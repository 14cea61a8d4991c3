"""The servers for Python in one shape for the tests: ``Server``, and ``aio.Server`` in an event loop in a thread of its own."""

import asyncio
import threading

import uvloop
from smtp_client import DEADLINE

import pysmtpd
from pysmtpd import aio


class Threaded:
    """A ``pysmtpd.Server``."""

    def __init__(self, *arguments, **options):
        self.server = pysmtpd.Server(*arguments, **options)

    def start(self, *arguments):
        return self.server.start(*arguments)

    def stop(self):
        self.server.stop()

    def close(self):
        self.server.close()

    def end(self):
        self.server.close()


class InLoop:
    """A ``pysmtpd.aio.Server``, and its event loop."""

    new_loop = staticmethod(asyncio.SelectorEventLoop)

    def __init__(self, *arguments, **options):
        self.server = aio.Server(*arguments, **options)
        self.loop = self.new_loop()
        self.errors = []
        self.loop.set_exception_handler(lambda _loop, context: self.errors.append(context))
        self.thread = threading.Thread(target=self.loop.run_forever, name="loop")
        self.thread.start()

    def do(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(DEADLINE)

    def start(self, *arguments):
        return self.do(self.server.start(*arguments))

    def stop(self):
        async def stop():
            self.server.stop()

        self.do(stop())

    def close(self):
        self.do(self.server.close())

    def end(self):
        self.close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(DEADLINE)
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        assert self.errors == []


class InUvloop(InLoop):
    """The same in an event loop of uvloop's."""

    new_loop = staticmethod(uvloop.new_event_loop)


class LoopThatCannotWait(asyncio.SelectorEventLoop):
    """As that of Windows by default: it waits for transports, and for no descriptor of others."""

    def add_reader(self, *_):
        raise NotImplementedError

    remove_reader = add_reader


class InProactor(InLoop):
    """The same in an event loop as Windows has it."""

    new_loop = staticmethod(LoopThatCannotWait)


KINDS = {"selector": Threaded, "asyncio": InLoop, "uvloop": InUvloop}
