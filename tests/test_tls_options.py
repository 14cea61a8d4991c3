"""TLS as Python asks for it: options checked when they are set, the test certificates, and real clients at a server."""

import contextlib
import smtplib
import socket
import ssl
import subprocess
import sys
import threading
from concurrent.futures import Future

import pytest
from smtp_client import DEADLINE

import pysmtpd
from pysmtpd.certificates import CA, CLIENT, LOCALHOST, SERVER_CERTIFICATES
from pysmtpd.core import Config
from pysmtpd.tls_options import CERTIFICATES, TlsOptions


@pytest.fixture
def serve():
    """A function that starts a server; the log goes nowhere."""
    servers = []

    def start(**options):
        server = pysmtpd.Server(**{"loglevel": "none", **options})
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.close()


def test_the_test_certificates_go_by_their_names():
    assert tuple(SERVER_CERTIFICATES) == CERTIFICATES


def send(client):
    client.sendmail("a@b.example", ["c@d.example"], "Subject: hi\r\n\r\nHello\r\n")
    client.quit()


def test_starttls_needs_no_set_up(serve):
    server = serve(tls="starttls")
    client = smtplib.SMTP("localhost", server.port)
    client.starttls(context=server.client_context())
    send(client)
    (message,) = server.wait_for(to="c@d.example")
    assert message.tls.version == "TLSv1.3"
    assert message.content == b"Subject: hi\r\n\r\nHello\r\n"


def test_the_stock_package_calls_it_usetls(serve):
    server = serve(usetls=True, certfile=LOCALHOST.certfile, keyfile=LOCALHOST.keyfile)
    assert server.cget("tls") == "starttls"
    with smtplib.SMTP("localhost", server.port) as client:
        client.ehlo()
        assert client.has_extn("starttls")
    server.configure({"usetls": False})
    with smtplib.SMTP("localhost", server.port) as client:
        client.ehlo()
        assert not client.has_extn("starttls")
        assert client.docmd("STARTTLS")[0] == 502


def test_implicit_tls(serve):
    server = serve(tls="implicit")
    assert server.url == f"smtps://127.0.0.1:{server.port}"
    client = smtplib.SMTP_SSL("localhost", server.port, context=server.client_context())
    client.ehlo()
    assert not client.has_extn("starttls")
    send(client)
    assert server.wait_for()[0].tls is not None


def test_a_server_over_ipv6_has_a_good_certificate_too(serve):
    server = serve(host="::1", tls="implicit")
    with smtplib.SMTP_SSL("::1", server.port, context=server.client_context()) as client:
        assert client.noop()[0] == 250


def test_required_tls_refuses_mail_in_the_clear_only(serve):
    server = serve(tls="starttls", require_tls=True)
    client = smtplib.SMTP("localhost", server.port)
    client.ehlo()
    assert client.mail("a@b.example")[0] == 530
    client.starttls(context=server.client_context())
    send(client)
    assert server.wait_for()


def test_the_profile_may_change_under_it(serve):
    server = serve(tls="starttls", require_tls=True)
    server.configure({"profile": "tcllib-1.5"})
    with smtplib.SMTP("localhost", server.port) as client:
        client.ehlo()
        assert client.has_extn("starttls")
        assert client.mail("a@b.example")[0] == 530


@pytest.mark.parametrize(
    ("name", "problem"),
    [("expired", "expired"), ("wrong-host", "mismatch|not valid for"), ("self-signed", "self.signed")],
)
def test_a_bad_test_certificate_is_bad_in_its_own_way(serve, name, problem):
    server = serve(tls="starttls", certificate=name)
    with smtplib.SMTP("localhost", server.port) as client, pytest.raises(ssl.SSLCertVerificationError, match=problem):
        client.starttls(context=server.client_context())


def test_clients_trust_a_certificate_of_ones_own(serve):
    own = SERVER_CERTIFICATES["self-signed"]
    server = serve(tls="implicit", certfile=own.certfile, keyfile=own.keyfile)
    with smtplib.SMTP_SSL("localhost", server.port, context=server.client_context()) as client:
        assert client.noop()[0] == 250


def test_a_clients_certificate_is_among_the_facts(serve):
    server = serve(tls="implicit", require=True, cafile=CA)
    client = smtplib.SMTP_SSL("localhost", server.port, context=server.client_context(certificate=True))
    send(client)
    certificate = server.wait_for()[0].tls.peer_certificate
    assert certificate["subjectAltName"] == (("email", "client@localhost"),)


def asked(answers):
    """Return a command that hands out what is to become of client certificates."""
    return lambda option, *_details: answers.pop(0) if option == "verify" else None


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_command_decides_on_a_clients_certificate(serve, version):
    later = Future()
    server = serve(tls="implicit", request=True, cafile=CA, command=asked([True, later, True, False]))
    context = server.client_context(certificate=True)
    context.maximum_version = ssl.TLSVersion[version]
    threading.Timer(0.05, later.set_result, [True]).start()
    with smtplib.SMTP_SSL("localhost", server.port, context=context) as client:
        assert client.noop()[0] == 250
    with pytest.raises(OSError, match=r"(?i)alert.internal.error"):  # SSLError, or what smtplib makes of it
        smtplib.SMTP_SSL("localhost", server.port, context=context)


@pytest.mark.parametrize("client_leaves", [False, True])
def test_a_server_ends_while_command_has_not_decided(client_leaves):
    before = threading.active_count()
    came = threading.Semaphore(0)
    answers = Future()

    def command(option, *_details):
        if option == "verify":
            came.release()
            return answers
        return None

    with pysmtpd.Server(loglevel="none", tls="starttls", request=True, cafile=CA, command=command) as server:
        context = server.client_context(certificate=True)
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # whose clients wait for the end of the handshake
        clients = [smtplib.SMTP("localhost", server.port) for _ in range(20)]
        below = [client.sock.dup() for client in clients]
        threads = [threading.Thread(target=leave_in_the_handshake, args=(client, context)) for client in clients]
        for thread in threads:
            thread.start()
            assert came.acquire(timeout=DEADLINE)
        for connection in below:
            if client_leaves:
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
    for thread in threads:
        thread.join(DEADLINE)
    assert threading.active_count() == before
    answers.set_result(True)


def test_where_openssl_cannot_be_called_certificates_are_asked_for_where_that_makes_a_difference(monkeypatch):
    monkeypatch.setattr("pysmtpd.client_certificates.load", lambda: None)
    pair = {"usetls": True, "certfile": LOCALHOST.certfile, "keyfile": LOCALHOST.keyfile}

    def mode(told, **options):
        made = Config(str, str, "localhost")
        TlsOptions(told=told, lenient=True).changed({**pair, **options}).put_into(made)
        return made.tls.verify_mode

    assert mode(told=False, request=True) == ssl.CERT_NONE  # each would be taken
    assert mode(told=True, request=True) == ssl.CERT_OPTIONAL
    assert mode(told=False, request=True, require=True) == ssl.CERT_REQUIRED


def leave_in_the_handshake(client, context):
    with client, contextlib.suppress(OSError):
        client.starttls(context=context)


def test_a_client_without_the_required_certificate_is_refused(serve):
    server = serve(tls="implicit", require=True, cafile=CA)
    with pytest.raises((ssl.SSLError, ConnectionError, smtplib.SMTPServerDisconnected)):
        smtplib.SMTP_SSL("localhost", server.port, context=server.client_context())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tls": "on"}, "tls is 'on': must be one of off, starttls, implicit"),
        ({"usetls": 1}, "usetls is 1: must be True or False"),
        ({"ssl3": "yes"}, "ssl3 is 'yes': must be True or False"),
        ({"certfile": 3}, "certfile is 3: must be a string"),
        ({"certificate": "good"}, "certificate is 'good': must be one of localhost, expired, wrong-host, self-signed"),
        ({"password": 3}, "password is a int: must be a string, or a function that returns one"),
        ({"usetls": True, "password": lambda: None}, "password returned a NoneType: must return a string"),
        ({"require_tls": True}, "require_tls is True, and tls is 'off'"),
        ({"tls": "starttls", "certfile": "/no/such.pem"}, "certfile is \"/no/such.pem\": No such file"),
        ({"tls": "starttls", "keyfile": CLIENT.keyfile}, "keyfile is .*, and certfile is empty"),
    ],
)  # fmt: skip
def test_wrong_options_are_refused_when_they_are_set(options, message):
    with pytest.raises(pysmtpd.ConfigurationError, match=message):
        pysmtpd.Server(**options)


def test_a_python_without_ssl_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "_ssl", None)
    for name in ("ssl", "pysmtpd.core.tls"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(pysmtpd.ConfigurationError, match="tls is 'starttls': must be 'off', since this Python has no ssl"):
        pysmtpd.Server(tls="starttls")


def test_refused_options_change_nothing(serve):
    server = serve(tls="starttls")
    with pytest.raises(pysmtpd.ConfigurationError):
        server.configure({"banner": "new", "certfile": "/no/such.pem"})
    assert server.cget("certfile") == ""
    assert server.cget("banner") != "new"
    with smtplib.SMTP("localhost", server.port) as client:
        client.starttls(context=server.client_context())
        assert client.noop()[0] == 250


def test_files_are_not_read_while_tls_is_off():
    server = pysmtpd.Server(certfile="/no/such.pem")
    with pytest.raises(pysmtpd.ConfigurationError, match="no/such.pem"):
        server.configure({"tls": "starttls"})


def test_old_protocols_are_taken_and_change_nothing(serve):
    server = serve(tls="implicit", ssl2=True, ssl3=True, tls1=False)
    with smtplib.SMTP_SSL("localhost", server.port, context=server.client_context()) as client:
        assert client.sock.version() == "TLSv1.3"


def test_a_password_may_be_a_function():
    asked = []
    server = pysmtpd.Server(tls="starttls", password=lambda: asked.append(1) or "open sesame")
    assert asked
    server.close()


# Real clients


def test_openssl_s_client_under_implicit_tls(serve):
    server = serve(tls="implicit")
    mail = "EHLO x.example\nMAIL FROM:<a@b.example>\nrcpt to:<c@d.example>\nDATA\nHello\n.\nquit\n"
    command = [
        "openssl",
        "s_client",
        "-connect",
        f"127.0.0.1:{server.port}",
        "-CAfile",
        CA,
        "-crlf",
        "-quiet",
        "-verify_return_error",
    ]
    done = subprocess.run(command, input=mail, capture_output=True, text=True, timeout=DEADLINE)
    assert "221 2.0.0" in done.stdout, done.stderr
    assert server.wait_for()[0].content == b"Hello\r\n"


@pytest.mark.parametrize(("tls", "option"), [("starttls", "--tls"), ("implicit", "--tls-on-connect")])
def test_swaks(serve, tls, option):
    server = serve(tls=tls)
    where = f"localhost:{server.port}"
    command = [
        "swaks",
        option,
        "--tls-verify",
        "--tls-ca-path",
        CA,
        "--server",
        where,
        "--from",
        "a@b.example",
        "--to",
        "c@d.example",
    ]
    done = subprocess.run([*command, "--helo", "x.example"], capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert server.wait_for()[0].tls.version == "TLSv1.3"
