"""The steps of a handshake in OpenSSL's words; tests/tcl/test_tcl_tls.py compares them with what Tcl's tls package tells."""

import contextlib
import ctypes
import ssl

import pytest
from tls_client import client_context

from pysmtpd.certificates import CA, CLIENT, LOCALHOST
from pysmtpd.core.handshake import VERIFY, Handshake, alert_text
from pysmtpd.core.tls import Stage, TlsSettings, make_context

OVER = "SSL negotiation finished successfully"


def shaken(version="TLSv1_3", certificate=None, piece=0, **options):
    """Return the steps of a handshake with a client."""
    stage = Stage(make_context(TlsSettings(*LOCALHOST, told=True, **options)), b"")
    context = client_context()
    context.maximum_version = ssl.TLSVersion[version]
    if certificate:
        context.load_cert_chain(*certificate)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    for _ in range(4):
        with contextlib.suppress(ssl.SSLWantReadError):
            client.do_handshake()
        records = outgoing.read()
        step = piece or len(records) or 1
        for start in range(0, len(records), step):
            stage.feed(records[start : start + step])
            if not stage.established:
                stage.shake()
        incoming.write(stage.encrypt(b"", last=False))
    return [*stage.handshake.steps]


def states(steps):
    return [step[-1] for step in steps]


def test_tls_1_3_without_a_certificate_asked_for():
    assert states(shaken()) == [
        "before SSL initialization",
        "before SSL initialization",
        "before SSL initialization",
        "SSLv3/TLS read client hello",
        "SSLv3/TLS write server hello",
        "SSLv3/TLS write change cipher spec",
        "TLSv1.3 write encrypted extensions",
        "SSLv3/TLS write certificate",
        "TLSv1.3 write server certificate verify",
        "SSLv3/TLS write finished",
        "TLSv1.3 early data",
        "TLSv1.3 early data",
        "SSLv3/TLS read finished",
        "SSLv3/TLS write session ticket",
        "SSLv3/TLS write session ticket",
        "SSLv3/TLS write session ticket",
        OVER,
    ]


def test_tls_1_2_without_a_certificate_asked_for():
    steps = shaken("TLSv1_2")
    assert states(steps)[3:] == [
        "SSLv3/TLS read client hello",
        "SSLv3/TLS write server hello",
        "SSLv3/TLS write certificate",
        "SSLv3/TLS write key exchange",
        "SSLv3/TLS write server done",
        "SSLv3/TLS write server done",
        "SSLv3/TLS read client key exchange",
        "SSLv3/TLS read change cipher spec",
        "SSLv3/TLS read finished",
        "SSLv3/TLS write session ticket",
        "SSLv3/TLS write change cipher spec",
        "SSLv3/TLS write finished",
        OVER,
        OVER,
    ]
    assert steps[0] == ("info", "handshake", "start", "before SSL initialization")
    assert steps[-2:] == [("info", "handshake", "done", OVER), ("info", "accept", "exit", OVER)]


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_certificates_are_looked_at_before_they_count_as_read(version):
    steps = shaken(version, CLIENT, request=True, cafile=CA)
    assert steps[steps.index(VERIFY) + 1] == ("info", "accept", "loop", "SSLv3/TLS read client certificate")
    assert steps.count(VERIFY) == 1


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_the_same_byte_by_byte(version):
    whole = shaken(version, CLIENT, request=True, cafile=CA)
    assert shaken(version, CLIENT, 1, request=True, cafile=CA) == whole


def test_a_failure_is_the_end():
    handshake = Handshake()
    handshake.message("read", 0x0303, 21, 48)
    handshake.failed("tlsv1 alert unknown ca")
    before = [*handshake.steps]
    assert before[2:] == [
        ("info", "alert", "read", "unknown CA"),
        ("info", "accept", "exit", "error"),
        ("error", "tlsv1 alert unknown ca"),
    ]
    handshake.message("write", 0x0303, 22, 2)
    handshake.message("write", 0x0303, 21, 0)
    handshake.waits()
    handshake.failed("again")
    assert [*handshake.steps] == before


def test_after_the_handshake_alerts_are_told_and_a_failure():
    handshake = Handshake()
    handshake.succeeded()
    before = len(handshake.steps)
    handshake.message("write", 0x0304, 22, 4)
    handshake.message("write", 0x0304, 21, 20)
    handshake.failed("decryption failed or bad record mac")
    assert [*handshake.steps][before:] == [("info", "alert", "write", "bad record mac"), ("error", "")]


def later(*messages):
    """Return what is told of messages after the handshake."""
    handshake = Handshake()
    handshake.succeeded()
    handshake.steps.clear()
    for message in messages:
        handshake.message(*message)
    return [step[1:] for step in handshake.steps]


def test_renewed_keys_are_told():
    """As Tcl's tls package was seen to tell when an s_client was given the command K, and a reply went out after it."""
    assert later(("read", 0x0304, 22, 24), ("write", 0x0304, 22, 24)) == [
        ("accept", "loop", OVER),
        ("accept", "loop", OVER),
        ("accept", "loop", "TLSv1.3 read client key update"),
        ("accept", "exit", OVER),
        ("accept", "loop", OVER),
        ("accept", "loop", "TLSv1.3 write server key update"),
        ("accept", "exit", OVER),
    ]


def test_that_handshakes_are_not_repeated_is_told():
    """The same for its command R, under TLS 1.2."""
    assert later(("read", 0x0303, 22, 1), ("write", 0x0303, 21, 100)) == [
        ("handshake", "start", OVER),
        ("accept", "loop", OVER),
        ("accept", "loop", OVER),
        ("alert", "write", "no renegotiation"),
        ("accept", "loop", "SSLv3/TLS read client hello"),
        ("handshake", "done", OVER),
        ("accept", "exit", OVER),
    ]


def test_a_message_of_no_known_type_changes_nothing_else():
    handshake = Handshake()
    handshake.message("write", 0x0304, 22, 99)
    handshake.message("read", 0x0304, 256, 0)  # a record's header
    assert states(handshake.steps)[-1] == "before SSL initialization"


def test_alerts_have_the_names_that_openssl_gives_them():
    library = ctypes.CDLL(ssl._ssl.__file__)  # and what it is linked with
    library.SSL_alert_desc_string_long.restype = ctypes.c_char_p
    expected = [library.SSL_alert_desc_string_long(number).decode() for number in range(256)]
    assert [alert_text(number) for number in range(256)] == expected
