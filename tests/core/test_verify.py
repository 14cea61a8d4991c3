"""VRFY and EXPN (RFC 5321, 3.5)."""

import time

import pytest
from engine import Driver, codes, config

from pysmtpd.core import Accept, CheckRecipient, Refuse


def said(line, verdict=None, **chosen):
    made = config(ask=["recipient"] if verdict else [])
    made.choose(chosen)
    driver = Driver(made, lambda _: verdict)
    return driver.said(line + b"\r\n"), driver.of_type(CheckRecipient)


@pytest.mark.parametrize(
    "line", [b"VRFY a@b.example", b"VRFY <a@b.example>", b"vrfy a@b.example SMTPUTF8", b"VRFY a@b.example \t"]
)
def test_who_validates_recipients_verifies_mailboxes(line):
    assert said(line, Accept()) == (b"250 2.1.5 <a@b.example>\r\n", [CheckRecipient("a@b.example")])
    assert said(line, Refuse("no such user", 550)) == (b"550 no such user\r\n", [CheckRecipient("a@b.example")])
    assert codes(said(line, Refuse())[0]) == [553]


@pytest.mark.parametrize("line", [b"VRFY smith", b"VRFY John Smith", b"VRFY <>", b"VRFY a@b@c", b"VRFY \xe9@b"])
def test_what_is_no_mailbox_cannot_be_verified(line):
    """RFC 5321, 3.5.3: 252."""
    reply, asked = said(line, Refuse())
    assert (codes(reply), asked) == ([252], [])


def test_without_a_validator_nothing_can_be_verified():
    assert codes(said(b"VRFY a@b.example")[0]) == [252]


def test_a_name_must_be_given():
    assert codes(said(b"VRFY")[0]) == [501]
    assert codes(said(b"VRFY ")[0]) == [501]
    assert codes(said(b"EXPN \t", expn=True)[0]) == [501]


def test_the_postmaster_is_always_there():
    """RFC 5321, 4.5.1: whoever validates recipients is not asked at RCPT either."""
    assert said(b"VRFY postmaster", Refuse()) == (b"250 2.1.5 <postmaster>\r\n", [])
    assert said(b"VRFY Postmaster@b.example", Refuse()) == (b"250 2.1.5 <Postmaster@b.example>\r\n", [])


def test_a_line_of_blanks_takes_no_time():
    start = time.process_time()
    assert codes(said(b"VRFY x" + b" " * 100_000 + b"x")[0]) == [252]
    assert time.process_time() - start < 1  # minutes, where each blank has all behind it looked at


def test_each_is_there_only_where_it_is_offered():
    assert codes(said(b"VRFY a@b", vrfy=False)[0]) == [502]
    assert codes(said(b"EXPN list")[0]) == [502]
    assert codes(said(b"EXPN list", expn=True)[0]) == [252]
    assert b"250 EXPN\r\n" in said(b"EHLO x", expn=True, help=False)[0]
    assert b"VRFY" not in said(b"EHLO x", vrfy=False)[0]


def test_a_mail_transaction_goes_on_beside_it():
    driver = Driver(config(ask=["recipient"]))
    driver.feed(b"EHLO x\r\nMAIL FROM:<a@b>\r\nVRFY c@d\r\n")
    assert codes(driver.said(b"RCPT TO:<c@d>\r\nDATA\r\n")) == [250, 354]
