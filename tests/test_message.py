"""What a Python test sees of a message."""

import copy
import pickle
import smtplib
from datetime import UTC, datetime
from email.message import EmailMessage

import pysmtpd
from pysmtpd.message import Message


def message(content, **facts):
    now = datetime.now(UTC)
    return Message("a@example.org", ["b@example.org"], content, peer=("127.0.0.1", 1), helo="client", id="ID1", time=now, **facts)


def everything():
    mail = EmailMessage()
    mail["Subject"] = "Grüße"
    mail.set_content("plain http://example.org/1\n")
    mail.add_alternative('<p><a href="http://example.org/2">rich</a> http://example.org/1</p>\n', subtype="html")
    mail.add_attachment(b"\0\1", maintype="application", subtype="octet-stream", filename="x.bin")
    return mail.as_bytes().replace(b"\n", b"\r\n")


def test_a_message_with_everything():
    received = message(everything())
    assert (received.subject, received.text) == ("Grüße", "plain http://example.org/1\n")
    assert received.html.endswith("http://example.org/1</p>\n")
    [attachment] = received.attachments
    assert (attachment.get_filename(), attachment.get_content()) == ("x.bin", b"\0\1")
    assert received.links == ["http://example.org/1", "http://example.org/2"]
    assert received.header("MIME-version") == "1.0"
    assert "Grüße" in repr(received)


def test_the_bytes_are_those_received():
    received = message(b"Subject: x\r\n\r\n\xff")
    assert received.raw == received.content == b"Subject: x\r\n\r\n\xff"


def test_odd_bodies_have_an_answer():
    assert message(b"no header here\r\n").subject == ""
    assert message(b"").text == ""
    assert message(b"Content-Type: text/plain; charset=klingon\r\n\r\nnuqneH \xc3\xbc\r\n").text == "nuqneH ü\n"
    assert message(b"Content-Type: text/plain; charset=klingon\r\n\r\nnuqneH \xfc\r\n").text == "nuqneH ü\n"
    assert message(b"Content-Type: multipart/mixed\r\n\r\nx\r\n").attachments == []
    assert message(b"Content-Type: text/plain; charset=unicode_escape\r\n\r\n\\d\r\n").text == "\\d\n"  # Python warns of that
    assert message(b"Subject: x\r\n\r\nplain only\r\n").html == ""


def test_the_envelope():
    plain = message(b"")
    assert (plain.parameters, plain.recipient_parameters, plain.protocol, plain.tls, plain.user) == (
        {},
        ({},),
        "SMTP",
        None,
        None,
    )
    extended = message(b"", parameters={"SIZE": "1"}, recipient_parameters=[{"NOTIFY": "NEVER"}], protocol="ESMTPSA", user="anna")
    assert (extended.parameters["SIZE"], extended.recipient_parameters[0]["NOTIFY"], extended.user) == ("1", "NEVER", "anna")
    assert plain.recipients == ("b@example.org",)
    assert plain.time.utcoffset() is not None


def test_it_pickles_and_copies_without_its_parsed_view():
    received = message(everything())
    again = pickle.loads(pickle.dumps(received))  # noqa: S301 # made in the line itself
    before = len(pickle.dumps(received))
    assert received.subject == again.subject == copy.deepcopy(received).subject == "Grüße"
    assert len(pickle.dumps(received)) == before
    assert vars(again).keys() - {"email"} == vars(received).keys() - {"email"}


def test_the_repr_stays_short():
    long = Message(
        "a",
        [f"{n}@example.org" for n in range(1000)],
        b"Subject: " + b"x" * 5000 + b"\r\n\r\n",
        peer=("", 0),
        helo="",
        id="1",
        time=None,
    )
    assert len(repr(long)) < 300
    assert repr(long).endswith("xx...', 5013 bytes>")


def test_what_is_saved_is_what_came(tmp_path):
    message(b"Subject: x\r\n\r\n\xff\r\n").save(tmp_path / "mail.eml")
    assert (tmp_path / "mail.eml").read_bytes() == b"Subject: x\r\n\r\n\xff\r\n"


def received_by_a_server():
    with pysmtpd.Server() as server:
        with smtplib.SMTP(*server.addr) as client:
            client.sendmail("a@example.org", ["b@example.org"], b"Subject: x\r\n\r\ntext\r\n")
        [found] = server.messages
        return found


def test_one_that_a_server_has_received_is_all_there_whatever_is_looked_at_first():
    before = datetime.now(UTC)
    for name, value in (("sender", "a@example.org"), ("recipients", ("b@example.org",)), ("subject", "x"), ("protocol", "ESMTP")):
        found = received_by_a_server()
        assert getattr(found, name) == value
        assert before <= found.time <= datetime.now(UTC)
        assert not hasattr(found, "receiver")
    again = pickle.loads(pickle.dumps(received_by_a_server()))  # noqa: S301 # made in the line itself
    assert (again.sender, again.recipients, again.content) == ("a@example.org", ("b@example.org",), b"Subject: x\r\n\r\ntext\r\n")
    assert copy.copy(received_by_a_server()).helo


def test_what_is_set_before_anything_is_looked_at_stays():
    found = received_by_a_server()
    found.sender = "other@example.org"
    assert found.recipients == ("b@example.org",)
    assert found.sender == "other@example.org"
