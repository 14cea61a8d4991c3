"""Remarks on what clients do."""

import pytest
from engine import Driver, config

from pysmtpd.core.record import MAX_ENTRIES, record
from pysmtpd.core.remarks import remarks_on

MAIL = [b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<c@d.example>\r\n", b"DATA\r\n", b"x\r\n.\r\n"]


def remarks(*segments, leaves=False):
    """Return the remarks on a session in which each segment is sent when the replies to the last one have come."""
    made = []
    settings = config(ask=("deliver",))
    settings.observe = lambda session: made.append(record(session))
    driver = Driver(settings)
    for segment in segments:
        driver.feed(segment)
    if leaves:
        driver.end()
    return made[0].remarks


def test_on_a_good_client_there_are_none():
    assert remarks(b"EHLO x\r\n", *MAIL, b"QUIT\r\n", leaves=True) == []
    assert remarks(b"EHLO x\r\n", MAIL[0] + MAIL[1] + MAIL[2], MAIL[3] + b"QUIT\r\n", leaves=True) == []


@pytest.mark.parametrize(
    ("segments", "remark"),
    [
        ([b"HELO x\r\n", *MAIL, b"QUIT\r\n"], "HELO, and no EHLO before it (RFC 5321, 3.2)"),
        ([b"EHLO x\r\n", *MAIL], "left without QUIT (RFC 5321, 4.1.1.10)"),
        ([MAIL[0], b"QUIT\r\n"], "MAIL before EHLO (RFC 5321, 4.1.4)"),
        ([b"EHLO x\r\n" + MAIL[0], b"QUIT\r\n"], "MAIL before the reply to EHLO (RFC 2920, 3.1)"),
        ([b"EHLO x\r\n", b"".join(MAIL), b"QUIT\r\n"], "the message was sent before the reply to DATA (RFC 5321, 3.3)"),
        ([b"EHLO x\r\n", b"NOOP a\nb\r\n", b"QUIT\r\n"], "CR or LF alone in a command (RFC 5321, 2.3.8)"),
        (
            [b"EHLO x\r\n", b"mail from: <a@b.example>\r\n", b"QUIT\r\n"],
            "a space behind the colon of MAIL FROM or RCPT TO (RFC 5321, 3.3)",
        ),
        ([b"EHLO x\r\n", b"MAIL FROM:a@b.example\r\n", b"QUIT\r\n"], "a path without its angle brackets (RFC 5321, 4.1.2)"),
        (
            [b"EHLO x\r\n", b"NOOP " + b"x" * 510 + b"\r\n", b"QUIT\r\n"],
            "a command of more than 512 octets (RFC 5321, 4.5.3.1.4)",
        ),
        ([b"EHLO x\r\n", MAIL[0], MAIL[1], MAIL[1], b"QUIT\r\n"], "a recipient named twice in one transaction"),
        (
            [b"EHLO x\r\n", MAIL[0], MAIL[1], MAIL[1].replace(b"\r\n", b" ORCPT=rfc822;<x@y.example>\r\n"), b"QUIT\r\n"],
            "a recipient named twice in one transaction",
        ),
    ],
)
def test_what_a_client_does_otherwise(segments, remark):
    assert remarks(*segments, leaves=True) == [remark]


def test_pipelining_that_was_not_offered():
    found = remarks(b"HELO x\r\n", MAIL[0] + MAIL[1], b"QUIT\r\n")
    assert found[0] == "RCPT before the reply to what came before: PIPELINING was not offered (RFC 2920, 3.1)"


def test_before_the_greeting():
    assert remarks_on(["EHLO x", b"220 x\r\n"]) == ["EHLO before the greeting (RFC 5321, 3.1)"]


def test_each_remark_is_made_once_and_none_on_what_is_not_known():
    assert len(remarks(b"EHLO x\r\n", *[MAIL[0].replace(b":", b": "), b"RSET\r\n"] * 3)) == 1
    assert remarks(b"EHLO x\r\n", *[b"NOOP a\nb\r\n"] * MAX_ENTRIES) == []
