"""Clients that other people wrote deliver to the server: what they sent is what it has."""

import asyncio
import smtplib
import ssl
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
import pytest
from tclsh import ROOT

from pysmtpd.certificates import CA, LOCALHOST

#: Where tools/clients.sh puts what is no Debian package to install.
FOLDER = ROOT / ".clients"
HERE = Path(__file__).resolve().parent
MODES = ("off", "starttls", "implicit")
#: Lines that transparency (RFC 5321, 4.5.2) is about.
DOTS = "Hello\n.\n..two dots\n"


def context():
    return ssl.create_default_context(cafile=CA)


def mail(subject="Grüße"):
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "a@example.org", "b@example.org", subject
    made.set_content(f"{DOTS}Hällo\n")
    return made


def received(server, mode, count=1, **wanted):
    """Return the messages that came, each over TLS where that is on."""
    messages = server.wait_for(to="b@example.org", count=count, **wanted)
    assert len(messages) == count
    for message in messages:
        assert message.sender == "a@example.org"
        assert (message.tls is not None) is (mode != "off")
    return messages


# Libraries


@pytest.mark.parametrize("mode", MODES)
def test_smtplib(serve, mode):
    server = serve(tls=mode)
    if mode == "implicit":
        client = smtplib.SMTP_SSL("localhost", server.port, context=context())
    else:
        client = smtplib.SMTP("localhost", server.port)
    with client:
        if mode == "starttls":
            client.starttls(context=context())
        for number in range(2):
            assert client.send_message(mail(f"Grüße {number}")) == {}
        assert client.verify("b@example.org")[0] in (250, 252)
        assert client.noop()[0] == client.rset()[0] == 250
    first, second = received(server, mode, 2)
    assert (first.subject, second.subject) == ("Grüße 0", "Grüße 1")
    assert first.text == f"{DOTS}Hällo\n"


def test_smtplib_with_an_address_beyond_ascii(serve):
    server = serve()
    made = mail()
    made.replace_header("To", "jörg@example.org")
    with smtplib.SMTP(*server.addr) as client:
        assert client.send_message(made) == {}
    [message] = server.messages
    assert message.recipients == ("jörg@example.org",)
    assert "SMTPUTF8" in message.parameters


@pytest.mark.parametrize("mode", MODES)
def test_aiosmtplib(serve, mode):
    server = serve(tls=mode)

    async def send():
        options = {"start_tls": mode == "starttls", "use_tls": mode == "implicit", "tls_context": context()}
        client = aiosmtplib.SMTP(hostname="localhost", port=server.port, **options)
        async with client:
            for number in range(2):
                refused, _ = await client.send_message(mail(f"Grüße {number}"))
                assert refused == {}

    asyncio.run(send())
    assert [message.subject for message in received(server, mode, 2)] == ["Grüße 0", "Grüße 1"]


@pytest.mark.parametrize("mode", MODES)
def test_nodemailer(serve, run, mode):
    server = serve(tls=mode)
    security = "none" if mode == "off" else mode
    output = run("node", HERE / "send.mjs", "localhost", server.port, security, CA, NODEMAILER_FOLDER=FOLDER)
    first, second = received(server, mode, 2)
    assert [line.startswith("250 2.0.0 ") for line in output.splitlines()] == [True, True]
    assert [first.subject, second.subject] == ["Grüße 1", "Grüße 2"]
    assert first.recipients == ("b@example.org", "c@example.org")
    assert first.text.startswith("Hällo\n.\n..two dots\n")
    assert "<p>Hällo</p>" in first.html
    [attachment] = first.attachments
    assert (attachment.get_filename(), attachment.get_content()) == ("täst.bin", b"\0\1\2\xff")
    assert (first.parameters["RET"], first.parameters["ENVID"]) == ("HDRS", "x1")
    assert first.recipient_parameters[0]["NOTIFY"] == "FAILURE,DELAY"


@pytest.mark.parametrize("usetls", [0, 1])
def test_tcllib(serve, run, usetls):
    server = serve(tls="starttls")
    run("tclsh", HERE / "send.tcl", "localhost", server.port, usetls)
    [message] = received(server, "starttls" if usetls else "off", subject="from Tcl")
    assert message.text == "Hello\n..two dots\n.one\n"


# Commands


def swaks(run, server, *words):
    envelope = ("--from", "a@example.org", "--to", "b@example.org,c@example.org", "--h-Subject", "from swaks", "--body", DOTS)
    return run("swaks", "--server", "localhost", "--port", server.port, *envelope, *words)


@pytest.mark.parametrize("words", [[], ["--pipeline"]])
@pytest.mark.parametrize(("mode", "option"), [("off", []), ("starttls", ["-tls"]), ("implicit", ["-tlsc"])])
def test_swaks(serve, run, mode, option, words):
    server = serve(tls=mode)
    swaks(run, server, *option, *words)
    [message] = received(server, mode, subject="from swaks")
    assert message.recipients == ("b@example.org", "c@example.org")
    assert message.text.rstrip("\n") + "\n" == DOTS


def test_swaks_over_ipv6_and_a_unix_socket(serve, run, tmp_path):
    server = serve(host="::1")
    swaks(run, server, "--server", "::1", "-6")
    received(server, "off")
    server = serve(host=str(tmp_path / "socket"))
    run("swaks", "--socket", server.host, "--from", "a@example.org", "--to", "b@example.org")
    received(server, "off")


@pytest.mark.parametrize("mode", MODES)
def test_curl(serve, run, tmp_path, mode):
    server = serve(tls=mode)
    file = tmp_path / "mail"
    file.write_bytes(mail().as_bytes().replace(b"\n", b"\r\n"))
    scheme = "smtps" if mode == "implicit" else "smtp"
    security = ["--ssl-reqd"] if mode == "starttls" else []
    run("curl", "-sS", "--cacert", CA, *security, f"{scheme}://localhost:{server.port}/client.example",
        "--mail-from", "a@example.org", "--mail-rcpt", "b@example.org", "--upload-file", file)  # fmt: skip
    [message] = received(server, mode, subject="Grüße")
    assert message.content == file.read_bytes()
    assert message.helo == "client.example"
    assert message.parameters["SIZE"] == str(file.stat().st_size)


@pytest.mark.parametrize("mode", MODES)
def test_msmtp(serve, run, mode):
    server = serve(tls=mode)
    tls = {"off": ["--tls=off"], "starttls": ["--tls=on", "--tls-starttls=on"], "implicit": ["--tls=on", "--tls-starttls=off"]}
    trust = [] if mode == "off" else [f"--tls-trust-file={CA}"]
    words = ["--host=localhost", f"--port={server.port}", "--from=a@example.org", *tls[mode], *trust]
    run("msmtp", *words, "b@example.org", "--", "c@example.org", input=f"Subject: from msmtp\n\n{DOTS}")
    [message] = received(server, mode, subject="from msmtp")
    assert message.recipients == ("b@example.org", "c@example.org")
    assert message.text == DOTS


@pytest.mark.parametrize("mode", MODES)
def test_s_nail(serve, run, mode):
    server = serve(tls=mode)
    scheme = "smtps" if mode == "implicit" else "smtp"
    run("s-nail", "-:/", "-Sv15-compat", f"-Smta={scheme}://localhost:{server.port}", "-Ssmtp-auth=none", *(["-Ssmtp-use-starttls"] if mode == "starttls" else []),
        f"-Stls-ca-file={CA}", "-Stls-verify=strict", "-Ssendwait", "-SDEAD=/dev/null", "-r", "a@example.org", "-s", "from s-nail", "b@example.org", input=DOTS)  # fmt: skip
    [message] = received(server, mode, subject="from s-nail")
    assert message.text == DOTS


@pytest.mark.parametrize("mode", MODES)
def test_git_send_email(serve, run, tmp_path, mode):
    server = serve(tls=mode)
    patch = tmp_path / "0001-a-change.patch"
    patch.write_text(
        f"From 0123 Mon Sep 17 00:00:00 2001\nFrom: a@example.org\nDate: Tue, 24 Nov 2026 09:00:00 +0000\nSubject: [PATCH] a change\n\n{DOTS}"
    )
    encryption = {"off": [], "starttls": ["--smtp-encryption=tls"], "implicit": ["--smtp-encryption=ssl"]}
    trust = [] if mode == "off" else [f"--smtp-ssl-cert-path={CA}"]
    run("git", "send-email", "--smtp-server=localhost", f"--smtp-server-port={server.port}", *encryption[mode], *trust,
        "--from=a@example.org", "--to=b@example.org", "--to=c@example.org", "--confirm=never", "--suppress-cc=all", patch)  # fmt: skip
    [message] = received(server, mode, subject="[PATCH] a change")
    assert message.recipients == ("b@example.org", "c@example.org")
    assert message.text == DOTS


def source(run, *words):
    libraries = FOLDER / "postfix/usr/lib/postfix"
    return run(FOLDER / "postfix/usr/sbin/smtp-source", *words, LD_LIBRARY_PATH=str(libraries))


@pytest.mark.parametrize(
    "words", [["-m", 60, "-s", 6], ["-d", "-m", 60, "-s", 3], ["-m", 5, "-r", 20, "-l", 100_000], ["-m", 5, "-F"]]
)
@pytest.mark.parametrize("place", ["inet", "unix"])
def test_smtp_source_of_postfix(serve, run, tmp_path, words, place):
    server = serve(host=str(tmp_path / "socket") if place == "unix" else "127.0.0.1")
    if words[-1] == "-F":  # a message of our own
        (tmp_path / "mail").write_bytes(mail().as_bytes())
        words = [*words, tmp_path / "mail"]
    where = f"unix:{server.host}" if place == "unix" else f"inet:{server.host}:{server.port}"
    source(run, *words, "-f", "a@example.org", "-t", "b@example.org", where)
    count = words[words.index("-m") + 1]
    assert len(server.wait_for(count=count)) == count
    if "-r" in words:
        assert len(server.messages[0].recipients) == 20
        assert len(server.messages[0].content) >= 100_000


# Logging in

MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5")


@pytest.fixture
def guarded(serve):
    """A server that takes mail from those only who log in over TLS."""
    return serve(tls="starttls", auth_users={"anna": "s3cret"}, auth_required=True, auth_require_tls=True)


def logged_in(server):
    [message] = received(server, "starttls")
    assert (message.user, message.protocol) == ("anna", "ESMTPSA")


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_smtplib_logs_in(serve, mechanism):
    server = serve(tls="starttls", auth_users={"anna": "s3cret"}, auth_mechanisms=[mechanism])
    with smtplib.SMTP("localhost", server.port) as client:
        client.starttls(context=context())
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("anna", "wrong")
        client.login("anna", "s3cret")
        client.send_message(mail())
    logged_in(server)


def test_aiosmtplib_logs_in(guarded):
    asyncio.run(
        aiosmtplib.send(
            mail(),
            hostname="localhost",
            port=guarded.port,
            start_tls=True,
            tls_context=context(),
            username="anna",
            password="s3cret",  # noqa: S106 # of a test server
        )
    )
    logged_in(guarded)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_swaks_logs_in(guarded, run, mechanism):
    swaks(run, guarded, "-tls", "--auth", mechanism, "--auth-user", "anna", "--auth-password", "s3cret")
    logged_in(guarded)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_curl_logs_in(guarded, run, tmp_path, mechanism):
    (tmp_path / "mail").write_bytes(mail().as_bytes())
    run("curl", "-sS", "--cacert", CA, "--ssl-reqd", f"smtp://localhost:{guarded.port}", "-T", tmp_path / "mail", "--user", "anna:s3cret",
        "--login-options", f"AUTH={mechanism}", "--mail-from", "a@example.org", "--mail-rcpt", "b@example.org")  # fmt: skip
    logged_in(guarded)


@pytest.mark.parametrize("mechanism", ["plain", "login", "cram-md5", "scram-sha-256"])
def test_msmtp_logs_in(guarded, run, tmp_path, mechanism):
    run("msmtp", "--host=localhost", f"--port={guarded.port}", "--from=a@example.org", "--tls=on", f"--tls-trust-file={CA}",
        f"--auth={mechanism}", "--user=anna", "--passwordeval=echo s3cret", "b@example.org", input="Subject: x\n\nx\n")  # fmt: skip
    logged_in(guarded)


def test_nodemailer_logs_in(guarded, run):
    run("node", HERE / "send.mjs", "localhost", guarded.port, "starttls", CA, "anna", "s3cret", NODEMAILER_FOLDER=FOLDER)
    assert [message.user for message in received(guarded, "starttls", 2)] == ["anna", "anna"]


def test_git_logs_in(guarded, run, tmp_path):
    (tmp_path / "patch").write_text("From: a@example.org\nSubject: [PATCH] x\n\nx\n")
    run("git", "send-email", "--smtp-server=localhost", f"--smtp-server-port={guarded.port}", "--smtp-encryption=tls",
        f"--smtp-ssl-cert-path={CA}", "--smtp-user=anna", "--smtp-pass=s3cret", "--from=a@example.org", "--to=b@example.org",
        "--confirm=never", "--suppress-cc=all", tmp_path / "patch")  # fmt: skip
    logged_in(guarded)


def test_s_nail_logs_in(guarded, run):
    run("s-nail", "-:/", "-Sv15-compat", f"-Smta=smtp://anna:s3cret@localhost:{guarded.port}", "-Ssmtp-use-starttls", "-Ssmtp-auth=plain",
        f"-Stls-ca-file={CA}", "-Ssendwait", "-SDEAD=/dev/null", "-r", "a@example.org", "-s", "x", "b@example.org", input=DOTS)  # fmt: skip
    logged_in(guarded)


def test_a_client_that_may_not_is_told_so(guarded, run):
    with pytest.raises(AssertionError, match="530"):
        swaks(run, guarded)
    with pytest.raises(AssertionError, match="535"):
        swaks(run, guarded, "-tls", "--auth", "PLAIN", "--auth-user", "anna", "--auth-password", "wrong")
    assert guarded.messages == []


# LMTP


def test_lmtp(serve, run, tmp_path):
    server = serve(host=str(tmp_path / "socket"), lmtp=True)
    with smtplib.LMTP(server.host) as client:
        client.send_message(mail())
    run("swaks", "--protocol", "LMTP", "--socket", server.host, "--from", "a@example.org", "--to", "b@example.org,c@example.org")
    source(run, "-L", "-m", 4, "-s", 2, "-r", 3, "-f", "a@example.org", "-t", "b@example.org", f"unix:{server.host}")
    assert len(server.wait_for(count=6)) == 6
    assert {message.protocol for message in server.messages} == {"LMTP"}


# What is bad about a server is noticed by its clients


def test_a_certificate_for_another_host_is_refused_by_clients(serve, run, tmp_path):
    server = serve(tls="starttls", certificate="wrong-host")
    with smtplib.SMTP("localhost", server.port) as client, pytest.raises(ssl.SSLCertVerificationError):
        client.starttls(context=context())
    with pytest.raises(AssertionError, match=r"(?i)certificate"):
        run(
            "msmtp",
            "--host=localhost",
            f"--port={server.port}",
            "--tls=on",
            f"--tls-trust-file={CA}",
            "--from=a@b",
            "c@d",
            input="x",
        )
    assert server.messages == []


def test_a_certificate_of_ones_own(serve, run):
    server = serve(tls="starttls", certfile=LOCALHOST.certfile, keyfile=LOCALHOST.keyfile)
    swaks(run, server, "-tls", "--tls-verify", "--tls-ca-path", CA)
    received(server, "starttls")
