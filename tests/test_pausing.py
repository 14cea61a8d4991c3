"""A call that stops to ask."""

import threading

import pytest

from pysmtpd.pausing import PausableCall, running


def test_it_asks_and_goes_on_with_the_answer():
    answers = []
    call = PausableCall(lambda: answers.extend([running().ask("one"), running().ask("two")]))
    assert call.go_on() == "one"
    assert answers == []
    assert call.go_on(1) == "two"
    assert call.go_on(2) is None
    assert answers == [1, 2]


def test_what_it_raises_is_raised_where_it_is_waited_for():
    def fail():
        running().ask("one")
        raise KeyError("two")

    call = PausableCall(fail)
    call.go_on()
    with pytest.raises(KeyError, match="two"):
        call.go_on()


def test_its_thread_ends_with_it_and_does_not_keep_the_program():
    def threads():
        return [thread.daemon for thread in threading.enumerate() if thread.name == "pysmtpd handshake"]

    call = PausableCall(lambda: running().ask("one"))
    call.go_on()
    assert threads() == [True]
    call.go_on()
    assert threads() == []


def test_elsewhere_none_is_running():
    assert running() is None
