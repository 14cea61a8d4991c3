"""Waiting for messages."""

import smtplib
import threading

import pytest

import pysmtpd


@pytest.fixture
def server():
    with pysmtpd.Server() as made:
        yield made


def send(server, to="b@example.org", subject="hello", sender="a@example.org"):
    with smtplib.SMTP(*server.addr) as client:
        client.sendmail(sender, [to], f"Subject: {subject}\n\nbody\n")


def test_messages_that_are_there_and_ones_that_come(server):
    send(server, subject="first")
    later = threading.Thread(target=send, args=(server,), kwargs={"subject": "second"})
    later.start()
    first, second = server.wait_for(to="b@example.org", count=2)
    later.join()
    assert (first.subject, second.subject) == ("first", "second")
    assert server.outbox == server.messages == [first, second]


def test_each_condition_counts(server):
    send(server)
    [found] = server.wait_for("b@example.org", "hell", sender="a@example.org", matching=lambda mail: b"body" in mail.content)
    assert found.recipients == ("b@example.org",)
    for other in ({"to": "x"}, {"subject": "x"}, {"sender": "x"}, {"matching": lambda _: False}, {"count": 2}):
        with pytest.raises(pysmtpd.NotReceived):
            server.wait_for(**other, timeout=0)


def test_a_failure_says_what_came_instead(server):
    send(server, subject="something else")
    with pytest.raises(AssertionError, match=r"(?s)to='nobody'.*0 of 1.*'something else'>: another recipient"):
        server.wait_for(to="nobody", timeout=0)
    server.clear()
    with pytest.raises(AssertionError, match="nothing"):
        server.wait_for(timeout=0)


def test_none_is_expected(server):
    server.expect_none(timeout=0)
    send(server)
    server.expect_none(to="somebody else", timeout=0)
    with pytest.raises(pysmtpd.NotReceived, match="expected no message"):
        server.expect_none(timeout=0)
