"""A message as it is printed: what a reader wants to see, and nothing that a terminal would obey."""

import io
import time
import unicodedata
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysmtpd.message import Message
from pysmtpd.printing import LONGEST_TEXT, Printer, harmless, wants_colour


def printed(
    content, encoding="utf-8", sender="a@example.org", recipients=("b@example.org", "c@example.org"), helo="client", **options
):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    peer = ("127.0.0.1", 4711)
    printer = Printer(stream, **options)
    printer.write(printer.render(Message(sender, recipients, content, peer, helo, "ID1", datetime(2026, 11, 24, 9, tzinfo=UTC))))
    return stream.buffer.getvalue().decode(encoding)


def body(text):
    """Return what is printed below the line of the envelope."""
    return text.partition("\n")[2]


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_whole_message():
    mail = EmailMessage()
    mail["Received"] = "from nowhere"
    mail["Subject"] = "Grüße, and a subject that is so long that it is folded on its way, as the standard asks for"
    mail["From"] = "Anna <a@example.org>"
    mail["To"] = "Bert <b@example.org>"
    mail.set_content("plain\ntext\n")
    mail.add_alternative("<p>rich</p>\n", subtype="html")
    mail.add_attachment(b"\0" * 1234, maintype="application", subtype="pdf", filename="report\x1b[2J.pdf")
    size = len(octets := mail.as_bytes().replace(b"\n", b"\r\n"))
    assert printed(octets) == (
        f"09:00:00 <a@example.org> -> <b@example.org>, <c@example.org> (ID1, {size:,} octets, from client [127.0.0.1])\n"
        "From: Anna <a@example.org>\n"
        "To: Bert <b@example.org>\n"
        "Subject: Grüße, and a subject that is so long that it is folded on its way, as the standard asks for\n"
        "\n"
        "plain\n"
        "text\n"
        "[also as HTML, 12 characters]\n"
        "[attachment: report\\x1b[2J.pdf, application/pdf, 1,234 octets]\n"
        "\n"
    )


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b"", "\n\n"),
        (b"Subject: x\r\n\r\n", "Subject: x\n\n"),
        (b"no header\r\n", "\nno header\n\n"),
        (b"Content-Type: text/html\r\n\r\n<p>x</p>\r\n", "\n<p>x</p>\n\n"),
        (b"Subject: a\r\nSubject: b\r\n\r\nx\r\n", "Subject: a\nSubject: b\n\nx\n\n"),
        (b"Subject: a\r\n b\r\n\r\nx\ty\x00\r\n", "Subject: a b\n\nx\ty\\x00\n\n"),
        (b"Subject: x\r\n\r\n\xff\xfe\r\n", None),
        (b"Content-Type: multipart/mixed\r\n\r\nx\r\n", None),
        (b'From: "\r\nTo: <\r\nDate: \xff\r\nSubject: =?x?q?=ff?=\r\n\r\nhello\r\n', None),
    ],
)
def test_odd_messages_have_a_form(content, shown):
    text = body(printed(content))
    assert text.endswith("\n")
    assert shown is None or text == shown


def test_a_message_that_the_email_package_fails_on_is_printed_as_it_is(monkeypatch):
    monkeypatch.setattr("pysmtpd.printing.FIELDS", None)
    assert body(printed(b"Subject: x\r\n\r\n\xffhello\x1b\r\n")) == "Subject: x\\x0d\n\\x0d\n\\xffhello\\x1b\\x0d\n\n"


def test_long_texts_are_cut_and_said_to_be():
    text = printed(b"Subject: x\r\n\r\n" + b"abcdefghi\r\n" * 10_000)
    assert len(text) < LONGEST_TEXT + 500
    assert "[... 50,000 more characters]" in text


def test_a_stream_that_cannot_have_a_character_gets_its_number():
    assert "Gr\\xfc\\u20ac" in printed("Content-Type: text/plain; charset=utf-8\r\n\r\nGrü€\r\n".encode(), encoding="ascii")


def test_the_envelope_is_harmless_too():
    assert "\x1b" not in printed(b"x\r\n", sender="\x1b[2J@b", recipients=("\nfoo@c",), helo="\x9bx")
    assert printed(b"x\r\n", recipients=("\nfoo@c",)).count("\nfoo") == 0


@given(text=st.text(max_size=60))
def test_nothing_that_a_terminal_obeys_comes_out(text):
    assert not {unicodedata.category(character) for character in harmless(text) if character not in "\t\n"} & {
        "Cc",
        "Cs",
        "Zl",
        "Zp",
    }


def test_texts_without_harm_stay_as_they_are():
    assert harmless("Grüße €\t\n👩‍💻") == "Grüße €\t\n👩‍💻"
    assert harmless("\u202egpj.exe") == "\\u202egpj.exe"


def test_colour():
    text = printed(b"Subject: x\r\n\r\nhello\r\n", colour=True)
    assert "\x1b[36mSubject:\x1b[0m x" in text
    assert text.count("\x1b[") % 2 == 0


def test_raw():
    assert printed(b"Subject: \x1b[0m\r\n\r\n.\r\n", colour=True, raw=True) == "Subject: \x1b[0m\r\n\r\n.\r\n"


@pytest.mark.parametrize(
    ("environment", "terminal", "wanted"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, True, False),
        ({"TERM": "xterm"}, True, True),
    ],
)
def test_who_wants_colours(environment, terminal, wanted):
    stream = io.StringIO()
    stream.isatty = lambda: terminal
    assert wants_colour(stream, environment) is wanted
