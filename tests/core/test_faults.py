"""Faults on demand, without a driver: what strikes when, and what does not."""

import re

import pytest
from engine import Driver, codes, config

from pysmtpd.core import Close, Pause
from pysmtpd.core.faults import Fault, Faults, address_in, same_address
from pysmtpd.core.record import record

REFUSAL = b"452 4.2.2 full\r\n"


def session(*faults, profile="rfc5321"):
    """Return a driver of a session with these faults."""
    settings = config(profile, ask=("deliver",))
    settings.observe = record
    settings.faults = Faults()
    for fault in faults:
        settings.faults.add(fault)
    return Driver(settings)


def fault(at=None, to=None, sender=None, reply=REFUSAL, **more):
    return Fault(at, to, sender, reply, **more)


def mail(driver, *recipients):
    """Send one mail; return the codes of the replies."""
    commands = b"".join(b"RCPT TO:<%b>\r\n" % recipient for recipient in recipients)
    before = driver.said(b"MAIL FROM:<a@b.example>\r\n" + commands)
    answer = driver.said(b"DATA\r\n")
    if answer.startswith(b"354"):
        answer += driver.said(b"x\r\n.\r\n")
    return codes(before + answer)


def test_one_recipient():
    full = fault(to="full@b.example")
    driver = session(full)
    driver.said(b"EHLO x\r\n")
    assert mail(driver, b"full@B.EXAMPLE", b"c@b.example") == [250, 452, 250, 354, 250]
    assert full.struck == 1
    assert (full.at, repr(full)) == ("RCPT", "<fault at RCPT, struck 1 times>")


def test_two_times_then_well():
    driver = session(fault(sender=re.compile("^a@"), times=2))
    driver.said(b"EHLO x\r\n")
    assert mail(driver, b"c@d.example") == [452, 503, 503]
    assert mail(driver, b"c@d.example") == [452, 503, 503]
    assert mail(driver, b"c@d.example") == [250, 250, 354, 250]


@pytest.mark.parametrize(
    ("at", "replies"),
    [("MESSAGE", [250, 250, 354, 452]), ("data", [250, 250, 452]), ("MAIL", [452, 503, 503]), ("RCPT", [250, 452, 503])],
)
def test_each_stage_of_a_mail(at, replies):
    driver = session(fault(at))
    driver.said(b"EHLO x\r\n")
    assert mail(driver, b"c@d.example") == replies
    assert codes(driver.said(b"RSET\r\n")) == [250]


def test_after_data_conditions_mean_the_transaction():
    driver = session(fault("MESSAGE", to="c@d.example", sender="a@b.example"))
    driver.said(b"EHLO x\r\n")
    assert mail(driver, b"e@d.example") == [250, 250, 354, 250]
    assert mail(driver, b"e@d.example", b"c@d.example") == [250, 250, 250, 354, 452]


@pytest.mark.parametrize(("reply", "replies"), [(REFUSAL, [452, 503, 250]), (b"421 4.3.2 away\r\n", [421]), (b"", [])])
def test_a_chunk_that_is_refused_is_read_all_the_same(reply, replies):
    """RFC 3030, 2: its octets are no commands."""
    driver = session(fault("BDAT", reply=reply))
    driver.said(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n")
    assert codes(driver.said(b"BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")) == replies
    assert driver.closed is (reply != REFUSAL)


def test_a_chunk_that_is_wrong_anyway_meets_no_fault():
    away = fault("BDAT", reply=b"421 4.3.2 away\r\n")
    driver = session(away)
    driver.said(b"EHLO x\r\n")
    chunk = b"BDAT 6 LAST\r\nQUIT\r\n"
    assert codes(driver.said(chunk + b"MAIL FROM:<a@b.example>\r\n" + chunk)) == [503, 250, 503]
    assert away.struck == 0


def test_lmtp_has_a_reply_for_each_recipient_after_the_data():
    driver = session(fault("MESSAGE"))
    driver.session.config.choose({"lmtp": True})
    driver.said(b"LHLO x\r\n")
    assert mail(driver, b"c@d.example", b"e@d.example") == [250, 250, 250, 354, 452, 452]


@pytest.mark.parametrize("verb", [b"EHLO x", b"HELO x", b"NOOP", b"VRFY x", b"STARTTLS", b"QUIT"])
def test_any_verb(verb):
    driver = session(fault(verb.split()[0].decode()))
    assert driver.said(verb.lower() + b"\r\n") == REFUSAL


def test_the_greeting():
    driver = session(fault("CONNECT"))
    assert driver.output == REFUSAL
    assert codes(driver.said(b"EHLO x\r\nQUIT\r\n")) == [503, 221]


def test_421_and_a_drop_end_the_session():
    driver = session(fault("EHLO", reply=b"421 later\r\n"))
    assert driver.said(b"EHLO x\r\nNOOP\r\n") == b"421 later\r\n"
    assert driver.of_type(Close) == [Close("fault")]
    driver = session(fault("MESSAGE", reply=b""))
    driver.said(b"EHLO x\r\n")
    assert mail(driver, b"c@d.example") == [250, 250, 354]
    assert driver.of_type(Close) == [Close("fault")]
    assert session(fault("CONNECT", reply=b"")).output == b""


def test_a_delay_is_a_question():
    driver = session(fault("NOOP", reply=None, seconds=3))
    assert driver.said(b"NOOP\r\nRSET\r\n") == b"250 2.0.0 OK\r\n250 2.0.0 OK\r\n"
    assert driver.of_type(Pause) == [Pause(3.0)]
    driver = session(fault("CONNECT", reply=None, seconds=1))
    assert driver.output.startswith(b"220 ")
    driver = session(fault("MESSAGE", seconds=1))
    driver.said(b"EHLO x\r\n")
    assert mail(driver, b"c@d.example") == [250, 250, 354, 452]


def test_what_the_client_does_wrong_is_not_hidden():
    driver = session(fault("RCPT"), fault("DATA"))
    driver.said(b"EHLO x\r\n")
    assert codes(driver.said(b"RCPT TO:<a@b>\r\nDATA\r\n")) == [503, 503]


def test_an_envelope_in_one_segment():
    driver = session(fault(to="c@d.example"))
    driver.said(b"EHLO x\r\n")
    text = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nRCPT TO:<e@d.example>\r\nDATA\r\n"
    assert codes(driver.said(text)) == [250, 452, 250, 354]


def test_the_first_that_fits_strikes_and_faults_end():
    first, second = fault("NOOP", reply=b"451 one\r\n", times=1), fault("NOOP", reply=b"452 two\r\n")
    driver = session(first, second)
    faults = driver.session.config.faults
    assert list(faults) == [first, second]
    assert [driver.code(b"NOOP") for _ in range(3)] == [451, 452, 452]
    with second:
        assert driver.code(b"NOOP") == 452
    assert driver.code(b"NOOP") == 250
    faults.clear()
    assert not faults


def test_the_stock_profile_has_them_as_well():
    driver = session(fault(to="c@d.example"), profile="tcllib-1.5")
    assert codes(driver.said(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n")) == [250, 452]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"at": "NO SUCH"}, "at is 'NO SUCH': must be a verb"),
        ({"at": ""}, "^$"),
        ({"at": "MAIL", "to": "x"}, "to is 'x', and not known at MAIL"),
        ({"at": "CONNECT", "sender": "x"}, "sender is 'x', and not known at CONNECT"),
        ({"times": 0}, "times is 0"),
        ({"times": True}, "times is True"),
        ({"seconds": -1}, "seconds is -1"),
        ({"seconds": "1"}, "seconds is '1'"),
    ],
)
def test_what_cannot_go_wrong(options, message):
    if message == "^$":
        assert fault(**options).at == "MESSAGE"
        return
    with pytest.raises(ValueError, match=message):
        fault(**options)


@pytest.mark.parametrize(
    ("line", "address"),
    [
        ("RCPT TO:<a@b> X=1", "a@b"),
        ('rcpt to: <"a>b"@c>', '"a>b"@c'),
        ("MAIL FROM:<>", ""),
        ("RCPT TO:a", ""),
        ("MAIL FROM:<a@b> AUTH=<>", "a@b"),
        ("RCPT TO:<@x,@y:a@b> ORCPT=rfc822;<c@d>", "a@b"),
        ('RCPT TO:<"@x:y"@z>', '"@x:y"@z'),
        ("RCPT TO:<\xc3\xa0@b>", "à@b"),
        ("RCPT TO:<\xe0@b>", "\xe0@b"),
    ],
)
def test_addresses_in_commands(line, address):
    assert address_in(line) == address


def test_addresses_compare_as_mail_does():
    assert same_address("Anna@EXAMPLE.org", "Anna@example.ORG")
    assert not same_address("anna@example.org", "Anna@example.org")
    assert same_address("anna", "anna")
    assert same_address(re.compile("^a"), "anna@x")
