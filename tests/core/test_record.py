"""What a session's record shows."""

import pytest
from engine import Driver, config
from tls_client import TlsClient

from pysmtpd.certificates import LOCALHOST
from pysmtpd.core.record import MAX_ENTRIES, record
from pysmtpd.core.tls import TlsSettings, make_context


@pytest.fixture
def recorded():
    """A session that is recorded, and its record."""
    records = []
    settings = config(ask=("deliver",))
    settings.observe = lambda session: records.append(record(session))
    driver = Driver(settings)
    return driver, records[0]


def test_a_session_reads_as_it_went(recorded):
    driver, kept = recorded
    driver.feed(b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n")
    driver.feed(b"DATA\r\n")
    driver.feed(b"Subject: x\r\n\r\n..\r\n.\r\n")
    driver.feed(b"QUIT\r\n")
    lines = [line for line in kept.lines if not line.startswith("S: 250-")]
    assert lines == [
        "S: 220 host.example ESMTP pysmtpd; Tue, 24 Nov 2026 09:00:00 +0000",
        "C: EHLO x", "C: MAIL FROM:<a@b>", "C: RCPT TO:<c@d>",
        "S: 250 HELP", "S: 250 2.1.0 Sender OK", "S: 250 2.1.5 Recipient OK",
        "C: DATA",
        "S: 354 End data with <CR><LF>.<CR><LF>",
        "C: (a message of 17 octets)",
        "S: 250 2.0.0 ID1 Message accepted for delivery",
        "C: QUIT",
        "S: 221 2.0.0 host.example Service closing transmission channel",
    ]  # fmt: skip
    assert str(kept) == "\n".join(kept.lines)
    assert (kept.client, kept.port) == ("192.0.2.1", 1025)


def test_the_same_whatever_the_segments(recorded):
    driver, kept = recorded
    text = b"HELO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\nNOOP\r\n"
    for octet in text:
        driver.feed(bytes([octet]))
    assert [line for line in kept.lines if line.startswith("C:")] == [
        "C: HELO x", "C: MAIL FROM:<a@b>", "C: RCPT TO:<c@d>", "C: DATA", "C: (a message of 3 octets)", "C: NOOP",
    ]  # fmt: skip


def test_an_envelope_in_one_segment_is_recorded_line_by_line(recorded):
    driver, kept = recorded
    driver.feed(b"EHLO x\r\n")
    driver.feed(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nRCPT TO:<c@example.org>\r\nDATA\r\n")
    driver.feed(b"x\r\n.\r\n")
    assert [line for line in kept.lines if line.startswith("C:")] == [
        "C: EHLO x", "C: MAIL FROM:<a@example.org>", "C: RCPT TO:<b@example.org>", "C: RCPT TO:<c@example.org>", "C: DATA",
        "C: (a message of 3 octets)",
    ]  # fmt: skip


@pytest.mark.parametrize("times", [1, 20, 300])
def test_recipients_in_one_segment_are_recorded_as_line_by_line(recorded, times):
    """Few or many, and long ones cut."""
    driver, kept = recorded
    driver.feed(b"EHLO x\r\n")
    commands = [b"MAIL FROM:<a@example.org>", *[b"RCPT TO:<b@example.org>"] * times, b"RCPT TO:<%b@example.org>" % (b"c" * 600)]
    text = b"".join(command + b"\r\n" for command in commands)
    driver.feed(text[:100])
    driver.feed(text[100:])
    said = [line for line in kept.lines if line.startswith("C:")][1:]
    assert said[:-1] == [f"C: {command.decode()}" for command in commands[:-1]]
    assert said[-1].startswith("C: RCPT TO:<ccc")
    assert said[-1].endswith("cc... (622 octets)")


def test_secrets_stay_secret(recorded):
    driver, kept = recorded
    driver.session.config.choose({"auth_users": {"anna": "secret"}})
    driver.feed(b"AUTH PLAIN AGFubmEAc2VjcmV0\r\n")
    driver.feed(b"HELO x\r\nauth login YW5uYQ==\r\nd3Jvbmc=\r\n")
    driver.feed(b"AUTH LOGIN\r\nYW5uYQ==\r\n")
    driver.feed(b"c2VjcmV0\r\n")
    driver.feed(b"AUTH CRAM-MD5\r\n")
    assert not any(secret in str(kept) for secret in ("c2VjcmV0", "YW5uYQ", "d3Jvbmc"))
    assert [line for line in kept.lines if line.startswith("C:")] == [
        "C: AUTH PLAIN (secret)", "C: HELO x", "C: auth login (secret)", "C: (secret)", "C: AUTH LOGIN", "C: (secret)", "C: (secret)",
        "C: AUTH CRAM-MD5",
    ]  # fmt: skip


def test_controls_are_escaped_and_long_lines_cut(recorded):
    driver, kept = recorded
    driver.feed(b"NOOP \x1b[31m\x00\n\xc3\xbc\xff\r\n")
    driver.feed(b"NOOP " + b"x" * 5000 + b"\r\n")
    driver.end()
    _, escaped, _, cut, *_, end = kept.lines
    assert escaped == r"C: NOOP \x1b[31m\x00\x0aü\xff"
    assert cut.endswith("xx... (5005 octets)")
    assert len(cut) < 600
    assert end == "C: (end)"


def test_a_record_is_bounded(recorded):
    driver, kept = recorded
    for _ in range(10):
        driver.feed(b"NOOP\r\n" * 5000)
    assert len(kept.entries) <= MAX_ENTRIES
    for _ in range(5 * MAX_ENTRIES):
        driver.feed(b"NOOP\r\n")
        assert len(kept.entries) <= 2 * MAX_ENTRIES
    assert kept.lines[0] == "..."
    assert len(kept.lines) == 1 + MAX_ENTRIES
    assert len(str(kept)) < 1_000_000


def test_a_session_that_nobody_records_is_none_of_ours():
    driver = Driver(config())
    assert type(driver.session).__name__ == "Session"
    with pytest.raises(AttributeError):
        driver.session.record  # noqa: B018 # asking is the point


@pytest.mark.parametrize("implicit", [False, True])
def test_what_is_said_under_tls_is_recorded_in_the_clear(implicit):
    records = []
    settings = config()
    settings.observe = lambda session: records.append(record(session))
    settings.use_tls(make_context(TlsSettings(*LOCALHOST)), implicit=implicit, offered=True)
    driver = Driver(settings)
    if not implicit:
        driver.feed(b"EHLO x\r\nSTARTTLS\r\n")
    client = TlsClient(driver).handshake()
    client.send(b"NOOP\r\n")
    client.send(b"QUIT\r\n")
    before = [] if implicit else ["C: EHLO x", "C: STARTTLS", "S: 250 STARTTLS", "S: 220 2.0.0 Ready to start TLS"]
    lines = [line for line in records[0].lines if not line.startswith(("S: 250-", "S: 220 host.example"))]
    assert lines == [
        *before,
        "C: NOOP",
        "S: 250 2.0.0 OK",
        "C: QUIT",
        "S: 221 2.0.0 host.example Service closing transmission channel",
    ]
    assert str(records[0]).count("S: 220 host.example ESMTP") == 1
