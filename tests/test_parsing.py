"""Hostile messages: an answer in seconds, and never an exception."""

import pytest

from pysmtpd.message import Message
from pysmtpd.parsing import MAX_ADDRESSES, MAX_FIELD, MAX_STRUCTURED, MAX_STRUCTURED_FIELD, parse_message


def nested(depth):
    """Return a multipart in a multipart, and so on, with a text in the innermost one."""
    head = "".join(f"Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n" for level in range(depth))
    tail = "".join(f"\r\n--b{level}--\r\n" for level in reversed(range(depth)))
    return f"{head}Content-Type: text/plain\r\n\r\ndeep\r\n{tail}".encode()


HOSTILE = {
    "nothing": b"",
    "no header": b"no header",
    "no boundary": b"Content-Type: multipart/mixed\r\n\r\nx",
    "boundary that never comes": b"Content-Type: multipart/mixed; boundary=x\r\n\r\ny",
    "unknown charset": b"Content-Type: text/plain; charset=nope\r\n\r\n\xff",
    "charset with a NUL": b'Content-Type: text/plain; charset="a\0b"\r\n\r\n\xff',
    "a codec that is no charset": b"Content-Type: text/plain; charset=rot13\r\n\r\nuryyb",
    "bad base64": b"Content-Transfer-Encoding: base64\r\n\r\n!!!",
    "cut base64": b"Content-Transfer-Encoding: base64\r\n\r\nQUJ",
    "bad encoded word": b"Subject: =?x?y?z?=\r\n\r\n",
    "header of octets": b"\xff\xfe: x\r\n\r\n",
    "400 parts, nested": nested(400),
    "3,000 parts, nested": nested(3000),
    "3,000 messages, nested": b"Content-Type: message/rfc822\r\n\r\n" * 3000 + b"Subject: x\r\n\r\n",
    "20,000 headers": b"X: y\r\n" * 20_000 + b"\r\n",
    "20,000 parts": b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--x\r\n\r\ny\r\n" * 20_000,
    "a subject of a megabyte": b"Subject: " + b"x " * 500_000 + b"\r\n\r\n",
    "20,000 encoded words": b"Subject: " + b"=?utf-8?q?a?= " * 20_000 + b"\r\n\r\n",
    "20,000 parameters": b"Content-Type: text/plain; " + b"a=b; " * 20_000 + b"\r\n\r\nx",
    "comments in an address": b"From: " + b"(" * 20_000 + b"\r\n\r\n",
    "comments in a type": b"Content-Type: text/plain; charset=" + b"(" * 20_000 + b"\r\n\r\nx",
    "comments in an encoding": b"Content-Transfer-Encoding: " + b"(" * 20_000 + b"\r\n\r\nx",
    "comments in a disposition": b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Disposition: attachment; filename="
    + b'"(' * 20_000 + b"\r\n\r\nx\r\n--x--",
    "tags that never end": b"Content-Type: text/html\r\n\r\n" + b"<a" * 200_000,
    "comments that never end": b"Content-Type: text/html\r\n\r\n" + b"<!--" * 100_000,
}  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_every_view_of_a_hostile_message_has_an_answer(text):
    message = Message("", ["b@example.org"], text, peer=("::1", 1), helo="x", id="1", time=None)
    views = (
        message.subject,
        message.header("From"),
        message.text,
        message.html,
        message.attachments,
        message.links,
        repr(message),
    )
    assert all(isinstance(view, str | list) for view in views)
    assert message.content == text


def test_what_can_be_read_is_read():
    assert parse_message(nested(400)).get_body(("plain",)).get_content().strip() == "deep"
    assert parse_message(b"Subject: kept\r\n" + nested(3000))["Subject"] == "kept"
    assert len(parse_message(b"Subject: " + b"x" * 100_000 + b"\r\n\r\n")["Subject"]) == MAX_FIELD
    assert parse_message(b"Content-Type: ((((" + b"(" * 20_000 + b"\r\n\r\nbody").get_content() == "body"


@pytest.mark.parametrize("junk", [". ", '"', ",", "a ", "<", "a'", "a@b a"])
def test_addresses_that_are_none_are_read_as_far_as_a_limit(junk):
    """Each cost time with the square of its length: half a minute for 64 kB."""
    message = parse_message(f"To: {junk * 50_000}\r\n\r\n".encode())
    assert len(str(message["To"])) <= 2 * MAX_STRUCTURED_FIELD  # as written out again, it has some more characters


@pytest.mark.parametrize(
    "address",
    [
        "anna.smith@example.org",
        '"Smith, Anna" <anna@example.org>',
        "Anna P. Smith <anna@example.org>",
        "=?utf-8?q?Anna?= <a@b.example>",
    ],
)
def test_long_lists_of_addresses_are_read_further(address):
    number = MAX_ADDRESSES // (len(address) + 4)
    message = parse_message(f"To: {(address + ',' + chr(10) + ' ') * number}\r\n\r\n".encode())
    assert len(message["To"].addresses) == number


def test_all_fields_together_are_read_as_far_as_a_limit_and_each_once():
    fields = [f"To: {number} {', ' * 2_000}\r\n" for number in range(100)]
    message = parse_message("".join(fields).encode() + b"\r\n")
    values = [str(value) for value in message.get_all("To")]
    assert sum(map(len, values)) <= 2 * MAX_STRUCTURED
    assert values[0]
    assert values[-1] == ""
    assert [str(value) for value in message.get_all("To")] == values
