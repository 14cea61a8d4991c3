"""What a Python test sees of a message."""

from datetime import UTC, datetime
from email.message import EmailMessage

from pysmtpd.message import Message


def message(content):
    return Message("a@example.org", ("b@example.org",), content, ("127.0.0.1", 1), "client", "ID1", datetime.now(UTC))


def test_a_message_with_everything():
    mail = EmailMessage()
    mail["Subject"] = "Grüße"
    mail.set_content("plain\n")
    mail.add_alternative("<p>rich</p>\n", subtype="html")
    mail.add_attachment(b"\0\1", maintype="application", subtype="octet-stream", filename="x.bin")
    received = message(mail.as_bytes().replace(b"\n", b"\r\n"))
    assert (received.subject, received.text, received.html) == ("Grüße", "plain\n", "<p>rich</p>\n")
    [attachment] = received.attachments
    assert (attachment.get_filename(), attachment.get_content()) == ("x.bin", b"\0\1")
    assert "Grüße" in repr(received)


def test_odd_bodies_have_an_answer():
    assert message(b"no header here\r\n").subject == ""
    assert message(b"").text == ""
    assert message(b"Content-Type: text/plain; charset=klingon\r\n\r\nnuqneH\r\n").text.strip() == "nuqneH"
    assert message(b"Content-Type: multipart/mixed\r\n\r\nx\r\n").attachments == []
    assert message(b"Subject: x\r\n\r\nplain only\r\n").html == ""


def test_what_is_saved_is_what_came(tmp_path):
    message(b"Subject: x\r\n\r\n\xff\r\n").save(tmp_path / "mail.eml")
    assert (tmp_path / "mail.eml").read_bytes() == b"Subject: x\r\n\r\n\xff\r\n"
