"""What becomes of a message: stored, printed, counted, in this order, and undone where the store says no."""

from contextlib import nullcontext
from datetime import UTC, datetime

import pytest

from pysmtpd.callbacks import Refused
from pysmtpd.catcher import ENOUGH, OUTPUT_LOST, Catcher
from pysmtpd.message import Message

MESSAGE = Message("a@b", ("c@d",), b"x\r\n", ("127.0.0.1", 1), "client", "ID", datetime.now(UTC))


class Recorder:
    """A store and a printer in one, which writes down what is done with it."""

    def __init__(self):
        self.done = []
        self.fails = None
        self.error = BrokenPipeError()

    def add(self, message, trace):
        self.done.append("stored")
        if self.fails == "store":
            raise OSError("full")

    def render(self, message):
        return message.content

    def write(self, octets):
        assert octets == MESSAGE.content
        self.done.append("printed")
        if self.fails == "printer":
            raise self.error

    def end(self, reason):
        self.done.append(reason)


@pytest.fixture
def recorder():
    return Recorder()


def catcher(recorder, wanted=None):
    return Catcher(recorder, recorder, wanted, nullcontext(), recorder.end)


def test_a_message_is_stored_then_printed(recorder):
    catcher(recorder).add(MESSAGE, "")
    assert recorder.done == ["stored", "printed"]


def test_the_last_one_that_is_wanted_ends_it(recorder):
    catching = catcher(recorder, 2)
    catching.add(MESSAGE, "")
    assert ENOUGH not in recorder.done
    catching.add(MESSAGE, "")
    assert recorder.done == ["stored", "printed"] * 2 + [ENOUGH]
    with pytest.raises(Refused, match="closing") as refused:
        catching.add(MESSAGE, "")
    assert refused.value.code == 421
    assert recorder.done.count("stored") == 2


def test_what_the_store_does_not_take_is_not_printed_and_does_not_count(recorder):
    catching = catcher(recorder, 1)
    recorder.fails = "store"
    with pytest.raises(OSError, match="full"):
        catching.add(MESSAGE, "")
    recorder.fails = None
    catching.add(MESSAGE, "")
    assert recorder.done == ["stored", "stored", "printed", ENOUGH]


@pytest.mark.parametrize("error", [BrokenPipeError(), ValueError("I/O operation on closed file")])
def test_a_message_that_cannot_be_printed_is_taken_all_the_same_and_is_the_last(recorder, error):
    catching = catcher(recorder)
    recorder.error = error
    recorder.fails = "printer"
    catching.add(MESSAGE, "")
    catching.add(MESSAGE, "")
    assert recorder.done == ["stored", "printed", OUTPUT_LOST, "stored"]


def test_neither_store_nor_printer(recorder):
    Catcher(None, None, 1, nullcontext(), recorder.end).add(MESSAGE, "")
    assert recorder.done == [ENOUGH]
