"""A mail that arrives, one that arrives at the third attempt, and one that never does."""

import smtplib

import pytest
from report import send_report


def test_it_arrives(pysmtpd):
    send_report(*pysmtpd.addr, "anna@example.org", "All is well.\n")
    [message] = pysmtpd.wait_for(to="anna@example.org", subject="Your report")
    assert message.sender == "reports@example.org"
    assert message.text == "All is well.\n"


def test_it_tries_again(pysmtpd):
    full = pysmtpd.refuse(to="anna@example.org", code=452, text="4.2.2 Mailbox full", times=1)
    broken = pysmtpd.drop("MESSAGE", times=1)
    send_report(*pysmtpd.addr, "anna@example.org", "All is well.\n")
    assert (full.struck, broken.struck, len(pysmtpd.messages)) == (1, 1, 1)


def test_it_gives_up(pysmtpd):
    nobody = pysmtpd.refuse(to="nobody@example.org", code=550, text="5.1.1 No such user")
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        send_report(*pysmtpd.addr, "nobody@example.org", "All is well.\n")
    assert nobody.struck == 1
    pysmtpd.expect_none(timeout=0)
