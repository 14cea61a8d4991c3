"""Events and verdicts: values, which a driver may keep and compare."""

import pytest

from pysmtpd.core import Accept, CheckRecipient, CheckSender, Close, Log, Refuse


def test_events_cannot_be_changed():
    for event, field in (
        (CheckSender("a"), "address"),
        (Log("warn", "x"), "text"),
        (Close("quit"), "reason"),
        (Refuse("no"), "code"),
    ):
        with pytest.raises(AttributeError):
            setattr(event, field, "other")


def test_questions_are_told_apart_by_type():
    assert type(CheckSender("a@b")) is not type(CheckRecipient("a@b"))


def test_verdicts_say_what_they_are():
    assert repr(Accept()) == "Accept()"
    assert repr(Refuse("later", 451)) == "Refuse(text='later', code=451)"
    assert Refuse() == Refuse("", None)
