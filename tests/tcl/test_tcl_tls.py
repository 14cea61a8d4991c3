"""TLS from a Tcl script, without Tcl's tls package: options, STARTTLS on the wire, -command and -password, and what breaks."""

import argparse
import contextlib
import os
import signal
import smtplib
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from smtp_client import DEADLINE
from tclsh import SHELLS, Script, TclError, environment, run

from compat import scripts
from pysmtpd.certificates import CA, CLIENT, EXPIRED, LOCALHOST, SELF_SIGNED

PAIR = f"-certfile {LOCALHOST.certfile} -keyfile {LOCALHOST.keyfile}"
USE_TLS = f"smtpd::configure -usetls 1 {PAIR}\n"
DELIVER = (
    'proc got {from to lines} {puts "got $from $to"; foreach line $lines {puts "> $line"}}\nsmtpd::configure -deliver ::got\n'
)
MAIL = ("a@b.example", ["c@d.example"], "Subject: hi\r\n\r\nHello\r\n")


def context(certificate=None):
    made = ssl.create_default_context(cafile=CA)
    if certificate:
        made.load_cert_chain(*certificate)
    return made


@contextlib.contextmanager
def under_tls(server, certificate=None):
    """A client after STARTTLS and the handshake."""
    with smtplib.SMTP(*server.address, timeout=DEADLINE) as client:
        client.starttls(context=context(certificate))
        yield client


def test_a_mail_arrives_under_starttls(serve):
    server = serve(USE_TLS + DELIVER)
    with under_tls(server) as client:
        client.sendmail(*MAIL)
        cipher, _, bits = client.sock.cipher()
    server.wait_printed("> Hello")
    assert server.printed[0] == "got <a@b.example> <c@d.example>"
    assert f"> \t(version=TLS1/SSL3 cipher={cipher} bits={bits} verify=NO)" in server.printed


def test_the_session_starts_anew_and_offers_it_no_more(serve):
    server = serve(USE_TLS)
    with smtplib.SMTP(*server.address, timeout=DEADLINE) as client:
        client.ehlo("client.example")
        assert client.has_extn("starttls")
        assert client.docmd("STARTTLS now") == (501, b"Syntax error (no parameters allowed)")
        assert client.starttls(context=context()) == (220, b"Ready to start TLS")
        assert client.ehlo("client.example")[0] == 250
        assert not client.has_extn("starttls")
        assert client.docmd("STARTTLS") == (503, b"bad sequence of commands")


def test_the_state_says_so(serve):
    server = serve(USE_TLS)
    with under_tls(server) as client:
        channel = server.eval("string range [info vars ::smtpd::state_*] 15 end")
        assert server.eval(f"smtpd::state {channel} tls") == "1"
        assert server.eval(f"smtpd::state {channel} domain") == ""
        assert client.noop()[0] == 250


def test_usetls_lists_the_verb_once_and_can_be_switched_off(serve):
    server = serve(USE_TLS + USE_TLS)
    assert server.eval("lsearch -all -inline $smtpd::commands STARTTLS") == "STARTTLS"
    assert server.eval("smtpd::cget -usetls") == "1"
    server.eval("smtpd::configure -usetls 0")
    assert server.eval("list $smtpd::options(usetls) [lsearch $smtpd::commands STARTTLS]") == "0 -1"
    with smtplib.SMTP(*server.address, timeout=DEADLINE) as client:
        client.ehlo("client.example")
        assert not client.has_extn("starttls")
        assert client.docmd("STARTTLS") == (500, b"Invalid command")


def test_the_last_value_counts(serve):
    server = serve(f"smtpd::configure -usetls 1 -certfile /no/such.pem {PAIR} -cipher NONSENSE -cipher {{}}")
    assert server.eval("smtpd::cget -certfile") == LOCALHOST.certfile
    assert server.eval("dict size [smtpd::cget -tlsopts]") == "3"
    with under_tls(server) as client:
        assert client.noop()[0] == 250


def test_half_a_certificate_is_none(serve):
    server = serve(f"smtpd::configure -usetls 1 -certfile {LOCALHOST.certfile}")
    with smtplib.SMTP(*server.address, timeout=DEADLINE) as client:
        assert client.docmd("STARTTLS") == (454, b"TLS not available due to temporary reason")


def test_old_protocols_are_taken_and_change_nothing(serve):
    server = serve(USE_TLS + "smtpd::configure -ssl2 1 -ssl3 yes -tls1 0")
    with under_tls(server) as client:
        assert client.sock.version() == "TLSv1.3"


def test_a_relative_file_name_is_the_scripts_own(serve, tmp_path):
    for name, source in (("my cert.pem", LOCALHOST.certfile), ("my key.pem", LOCALHOST.keyfile)):
        (tmp_path / name).write_bytes(Path(source).read_bytes())
    server = serve("smtpd::configure -usetls 1 -certfile {my cert.pem} -keyfile {my key.pem}")
    with under_tls(server) as client:
        assert client.noop()[0] == 250


# Wrong options


@pytest.mark.parametrize("shell", SHELLS)
def test_a_bad_file_is_an_error_of_start_that_names_it(shell, tmp_path):
    program = (
        "package require smtpd; smtpd::configure -usetls 1 -certfile /no/such.pem -keyfile /no/such.key\n"
        "puts [catch {smtpd::start 127.0.0.1 0} message]; puts $message; puts [info exists smtpd::options(socket)]\n"
        f"smtpd::configure {PAIR}; smtpd::start 127.0.0.1 0; puts started"
    )
    result = run(tmp_path, program, shell)
    lines = ["1", 'certfile is "/no/such.pem": No such file or directory', "0", "started"]
    assert result.stdout.splitlines() == lines, result.stderr


def test_a_bad_file_is_an_error_of_configure_while_the_server_runs(serve):
    server = serve(USE_TLS)
    with pytest.raises(TclError, match=f'keyfile is "{CLIENT.keyfile}": is not the key of the certificate'):
        server.eval(f"smtpd::configure -keyfile {CLIENT.keyfile}")
    assert server.eval("smtpd::cget -keyfile") == LOCALHOST.keyfile
    with under_tls(server) as client:
        assert client.noop()[0] == 250


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-require maybe", '-require is "maybe": must be 0 or 1'),
        ("-ssl3 new", '-ssl3 is "new": must be 0 or 1'),
        ("-usetls maybe", 'expected boolean value but got "maybe"'),
        ("-tls on", '-tls is "on": must be one of off, starttls, implicit'),
        ("-require_tls 1", "-require_tls is True, and tls is 'off': must be 'starttls' or 'implicit' then"),
        (f"-usetls 1 {PAIR} -cipher NONSENSE", 'cipher is "NONSENSE": must be a list of OpenSSL cipher suites'),
    ],
)
def test_a_wrong_value_is_an_error_of_configure(serve, words, message):
    server = serve()
    with pytest.raises(TclError, match=message):
        server.eval(f"smtpd::configure {words}")
    assert server.eval("list $smtpd::options(usetls) $smtpd::options(tlsopts)") == "0 {}"


# Ours


def test_tls_needs_no_set_up_with_our_option(serve):
    server = serve("smtpd::configure -tls starttls -require_tls 1")
    with smtplib.SMTP(*server.address, timeout=DEADLINE) as client:
        client.ehlo("client.example")
        assert client.mail("a@b.example") == (530, b"Must issue a STARTTLS command first")
        client.starttls(context=context())
        assert client.sendmail(*MAIL) == {}


def test_implicit_tls(serve):
    server = serve("smtpd::configure -tls implicit -profile rfc5321\n" + DELIVER)
    with smtplib.SMTP_SSL(*server.address, context=context(), timeout=DEADLINE) as client:
        assert client.sendmail(*MAIL) == {}
    server.wait_printed("version=TLSv1.3 cipher=")


def test_implicit_tls_with_a_certificate_of_ones_own(serve):
    server = serve(f"smtpd::configure {PAIR} -tls implicit -certificate expired")
    with smtplib.SMTP_SSL(*server.address, context=context(), timeout=DEADLINE) as client:
        assert client.noop()[0] == 250
    assert server.eval("list [smtpd::cget -tls] [smtpd::cget -certificate] [smtpd::cget -require_tls]") == "implicit expired 0"


@pytest.mark.parametrize("options", ["-tls starttls", "-usetls 1"])
def test_a_bad_test_certificate(serve, options):
    server = serve(f"smtpd::configure {options} -certificate expired -loglevel emergency")
    with smtplib.SMTP(*server.address, timeout=DEADLINE) as client, pytest.raises(ssl.SSLError, match="expired"):
        client.starttls(context=context())


# -password


@pytest.fixture
def locked(tmp_path):
    """Options with a key that is under the password "let me in"."""
    key = tmp_path / "locked.key"
    command = ["openssl", "pkey", "-in", LOCALHOST.keyfile, "-aes256", "-passout", "pass:let me in", "-out", key]
    subprocess.run(command, check=True, capture_output=True)
    return f"-usetls 1 -certfile {LOCALHOST.certfile} -keyfile {key}"


@pytest.mark.parametrize("password", ["{let me in}", "::secret", "secret", "{secret me}"])
def test_a_password_is_a_command_or_a_value(serve, locked, password):
    server = serve(
        "proc secret {{second me}} {incr ::asked; return [list let $second in]}\nset asked 0\n"
        f"smtpd::configure {locked} -password {password}\n"
    )
    server.eval("smtpd::configure -banner new")
    with under_tls(server) as client:
        assert client.noop()[0] == 250
    assert server.eval("set asked") == ("0" if "{let" in password else "1")


@pytest.mark.parametrize(
    ("password", "message"),
    [
        ("-password hunch", "the password does not open it"),
        ("", "is encrypted, and no password is set"),
        ("-password {error {not at home}}", "-password: not at home"),
    ],
)
def test_a_wrong_password_is_an_error(serve, locked, password, message):
    server = serve()
    with pytest.raises(TclError, match=message) as caught:
        server.eval(f"smtpd::configure {locked} {password}")
    assert "hunch" not in str(caught.value)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_password_that_cannot_be_had_is_an_error_of_each_start(shell, tmp_path, locked):
    program = (
        f"package require smtpd; smtpd::configure {locked} -password {{error {{not at home}}}}\n"
        "foreach time {1 2} {puts [list [catch {smtpd::start 127.0.0.1 0} message] $message]}"
    )
    result = run(tmp_path, program, shell)
    assert result.stdout.splitlines() == ["1 {-password: not at home}"] * 2, result.stderr


# -command


COMMAND = "proc told {option channel args} {puts $option,[string map [list \\n !] $args]; lappend ::all $args; return $::answer}\nset answer 1\n"


def test_command_is_told_of_a_handshake_as_by_the_tls_package(serve):
    server = serve(COMMAND + USE_TLS + f"smtpd::configure -command ::told -request 1 -cafile {CA}")
    with under_tls(server, CLIENT) as client:
        client.sendmail(*MAIL)
    server.wait_printed("info,accept exit {SSL negotiation finished successfully}")
    assert server.printed[0] == "info,handshake start {before SSL initialization}"
    root, own = (index for index, line in enumerate(server.printed) if line.startswith("verify"))
    assert [server.eval(f"lreplace [lindex $all {index}] 1 1") for index in (root, own)] == ["1 1 {}", "0 1 {}"]
    assert server.eval(f"dict get [lindex $all {root} 1] subject") == "CN=pysmtpd test authority,O=pysmtpd test"
    text = subprocess.run(
        ["openssl", "x509", "-in", CLIENT.certfile, "-noout", "-fingerprint", "-sha1", "-serial", "-subject", "-nameopt", "RFC2253"],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    expected = [line.partition("=")[2].replace(":", "") for line in text]
    assert [server.eval(f"dict get [lindex $all {own} 1] {key}") for key in ("sha1_hash", "serial", "subject")] == expected
    assert server.eval(f"dict get [lindex $all {own} 1] certificate") == Path(CLIENT.certfile).read_text()


TOLD = r"""
proc bgerror message {puts "background $message"}
proc told {option channel args} {
    if {$option eq "verify"} {
        set args [lreplace $args 1 1 [dict create {*}[lindex $args 1]]]
    }
    puts [list $option {*}[string map [list \n !] $args]]
    if {$option eq "verify"} {
        return [verdict {*}$args]
    }
}
"""


@pytest.fixture(scope="module")
def told_by_both(tmp_path_factory):
    """A function that has a client play its part at the stock package with Tcl's tls package, and at ours in a shell.

    It returns what -command is told by each, and what alert the client gets. Tcl's tls package cannot read dates of certificates
    from 2050 on.
    """
    servers = {}

    def server(name):
        if name not in servers:
            script = f"{TOLD}{USE_TLS}smtpd::configure -loglevel emergency -command ::told -request 1 -cafile {CA}\n"
            shell, variables = ("tclsh", {"TCLLIBPATH": ""}) if name == "stock" else (name, {})
            servers[name] = Script(shell, tmp_path_factory.mktemp("told"), script, **variables)
        return servers[name]

    def told(shell, play, options="-require 0", verdict="", last=()):
        found = []
        for each in (server("stock"), server(shell)):
            each.eval(f"proc verdict args {{{verdict}}}; smtpd::configure {options}")
            before = len(each.printed)
            with contextlib.ExitStack() as held:  # a connection that is closed too early is another story
                alert = alert_in(play, each, held)
                each.wait_for(lambda each=each, before=before: any(map(is_last, each.printed[before:])))
                for line in last:
                    each.wait_for(lambda each=each, before=before, line=line: line in each.printed[before:])
                each.eval("update")
                lines = [line.replace("{Bad time value}", "{Jan  1 00:00:00 2120 GMT}") for line in each.printed[before:]]
                found.append(([alert] if alert else []) + lines)
            # What Tcl's tls package tells when the client leaves is no part of the next.
            each.eval("foreach channel [chan names sock*] {if {$channel ne $::smtpd::options(socket)} {catch {close $channel}}}")
        return found

    yield told
    for each in servers.values():
        each.end()


def alert_in(play, server, held):
    """Have a client play its part; return the alert that it gets, or nothing."""
    try:
        play(server, held)
    except ssl.SSLError as error:
        return error.reason if "ALERT" in error.reason else ""
    except OSError:
        pass
    return ""


def is_last(line):
    return line.startswith(("error", "info accept exit {SSL"))


def client_of(version, certificate=None, **options):
    """Return a client's part: a handshake and a command, if it comes to that."""
    made = ssl.create_default_context(cafile=options.get("cafile", CA))
    made.maximum_version = ssl.TLSVersion[version]
    if certificate:
        made.load_cert_chain(*certificate)
    if "ciphers" in options:
        made.set_ciphers(options["ciphers"])

    def play(server, held):
        connection = in_handshake(server, b"STARTTLS\r\n")
        held.enter_context(connection.dup())
        with connection, made.wrap_socket(connection, server_hostname="localhost") as tls:
            tls.sendall(b"QUIT\r\n")
            tls.recv(1)

    return play


def garbage(server, held):
    held.enter_context(in_handshake(server, b"STARTTLS\r\n")).sendall(b"EHLO again and again\r\n")


def leaves(server, _held):
    in_handshake(server, b"STARTTLS\r\n").close()


def leaves_after_its_hello(server, held):
    connection = held.enter_context(in_handshake(server, b"STARTTLS\r\n"))
    connection.sendall(hello())
    connection.recv(65536)
    connection.shutdown(socket.SHUT_WR)


PARTS = {
    "TLS 1.2": (client_of("TLSv1_2"), ""),
    "TLS 1.3": (client_of("TLSv1_3"), ""),
    "TLS 1.2, certificate": (client_of("TLSv1_2", CLIENT), ""),
    "TLS 1.3, certificate": (client_of("TLSv1_3", CLIENT), ""),
    "TLS 1.2, none where one is required": (client_of("TLSv1_2"), "-require 1"),
    "TLS 1.3, none where one is required": (client_of("TLSv1_3"), "-require 1"),
    "TLS 1.2, self-signed": (client_of("TLSv1_2", SELF_SIGNED), ""),
    "TLS 1.2, untrusting": (client_of("TLSv1_2", cafile=CLIENT.certfile), ""),
    "TLS 1.3, untrusting": (client_of("TLSv1_3", cafile=CLIENT.certfile), ""),
    "no cipher in common": (client_of("TLSv1_2", ciphers="DHE-RSA-AES128-SHA"), ""),
    "garbage": (garbage, ""),
    "leaves": (leaves, ""),
    "leaves after its hello": (leaves_after_its_hello, ""),
}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("part", PARTS)
def test_command_is_told_what_the_tls_package_tells(told_by_both, shell, part):
    play, options = PARTS[part]
    stock, ours = told_by_both(shell, play, options or "-require 0")
    assert ours == stock
    assert "info handshake start {before SSL initialization}" in ours[:2]


def ends(version, end):
    """Return a client's part: a handshake, a command, and an end."""
    made = context()
    made.maximum_version = ssl.TLSVersion[version]

    def play(server, held):
        connection = in_handshake(server, b"STARTTLS\r\n")
        held.enter_context(connection.dup())
        with connection, made.wrap_socket(connection, server_hostname="localhost") as tls:
            tls.sendall(b"NOOP\r\n")
            assert tls.recv(100) == b"250 OK\r\n"
            end(tls)

    return play


def says_that_nothing_will_come(tls):
    tls.setblocking(False)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.unwrap()


def just_ends(tls):
    socket.socket.shutdown(tls, socket.SHUT_WR)


def sends_garbage(tls):
    with socket.socket(fileno=os.dup(tls.fileno())) as below:
        below.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)


def says_quit(tls):
    tls.sendall(b"QUIT\r\n")
    assert tls.recv(100).startswith(b"221 ")


ENDS = {
    says_that_nothing_will_come: ["info alert read {close notify}"],
    just_ends: ["info alert write {decode error}", "error {}"],
    sends_garbage: ["info alert write {bad record mac}", "error {}"],
    says_quit: [],
}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("end", ENDS)
def test_command_is_told_how_a_connection_ends(told_by_both, shell, version, end):
    stock, ours = told_by_both(shell, ends(version, end), last=ENDS[end])
    assert ours == stock
    over = ours.index("info accept exit {SSL negotiation finished successfully}")
    assert ours[over + 1 :] == ENDS[end]


@pytest.fixture(scope="session")
def shown(tmp_path_factory):
    """Certificates that clients show, by what is wrong with them."""
    folder = tmp_path_factory.mktemp("shown")

    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=folder)

    def key(name):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key"]

    openssl(
        "req",
        "-x509",
        *key("odd"),
        "-utf8",
        "-subj",
        '/C=DE/O=A, B <C>/CN= Jürgen "#1; /emailAddress=j@b.example',
        "-out",
        "odd.pem",
    )
    openssl("req", "-x509", *key("root"), "-subj", "/CN=some root", "-out", "root.pem")
    openssl("req", *key("between"), "-subj", "/CN=in between", "-out", "between.csr")
    openssl("req", *key("leaf"), "-subj", "/CN=leaf", "-out", "leaf.csr")
    (folder / "authority").write_text("basicConstraints=CA:TRUE\n")
    (folder / "server").write_text("extendedKeyUsage=serverAuth\n")
    for name, issuer, extensions, days in (
        ("between", "root", "authority", "9"), ("leaf", "between", "server", "9"), ("late", "between", "authority", "-1"),
    ):  # fmt: skip
        request = "leaf" if name == "late" else name
        openssl("x509", "-req", "-in", f"{request}.csr", "-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key", "-extfile", extensions,
                "-days", days, "-set_serial", "7", "-out", f"{name}.pem")  # fmt: skip
    forged = ssl.PEM_cert_to_DER_cert((folder / "leaf.pem").read_text())
    (folder / "forged.pem").write_text(ssl.DER_cert_to_PEM_cert(forged[:-1] + bytes([forged[-1] ^ 1])))
    openssl("req", *key("other"), "-subj", "/CN=other", "-out", "other.csr")
    openssl("x509", "-req", "-in", "other.csr", "-CA", "leaf.pem", "-CAkey", "leaf.key", "-set_serial", "8", "-out", "other.pem")
    for name, parts in (
        ("chain", "leaf between root"), ("gap", "leaf"), ("over", "late between"), ("wrong signature", "forged between root"),
        ("no authority", "other leaf between root"),
    ):  # fmt: skip
        (folder / f"{name}.pem").write_text("".join((folder / f"{part}.pem").read_text() for part in parts.split()))
    return {name: (folder / f"{name}.pem", folder / f"{key}.key") for name, key in
            (("odd", "odd"), ("chain", "leaf"), ("gap", "leaf"), ("over", "leaf"), ("wrong signature", "leaf"),
             ("no authority", "other"))} | {
            "expired": EXPIRED, "self-signed": SELF_SIGNED, "good": CLIENT}  # fmt: skip


ALL = ["odd", "chain", "gap", "over", "wrong signature", "no authority", "expired", "self-signed", "good"]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("certificate", ALL)
def test_command_may_take_any_certificate(told_by_both, shell, shown, certificate, version):
    stock, ours = told_by_both(shell, client_of(version, shown[certificate]), verdict="return 1")
    assert ours == stock
    assert any(line.startswith("verify") and not line.endswith(" 1 {}") for line in ours) == (certificate != "good")
    assert ours[-1] == "info accept exit {SSL negotiation finished successfully}"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("certificate", ALL)
@pytest.mark.parametrize("verdict", ["return 0", "", "lassign $args depth; return $depth", "error oops"])
@pytest.mark.parametrize("options", ["-require 0", "-require 1"])
def test_command_may_refuse_a_certificate_or_leave_it_at_what_openssl_says(
    told_by_both, shell, shown, certificate, version, verdict, options
):
    """Or take all but the client's own, or fail, which is a no."""
    stock, ours = told_by_both(shell, client_of(version, shown[certificate]), options, verdict)
    assert without_background(ours) == without_background(stock)
    refused = verdict != "" or certificate != "good"
    assert ("error {certificate verify failed}" in ours) == refused
    assert ("ALERT" in ours[0]) == refused


def without_background(lines):
    """What is told without errors in the background, which come when there is time for them."""
    return [line for line in lines if not line.startswith("background")]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "verdict",
    [
        "error oops",
        "return yes",
        "return 1.0",
        "return 2",
        "return 0x1",
        "return -code break",
        "return -code return 1",
    ],
)
def test_an_answer_of_command_counts_as_with_the_tls_package(told_by_both, shell, verdict):
    stock, ours = told_by_both(shell, client_of("TLSv1_3", SELF_SIGNED), verdict=verdict)
    assert without_background(ours) == without_background(stock)
    assert any("background" in line for line in ours) == any("background" in line for line in stock)


def client_in_the_handshake(server):
    """Return a client that has shown its certificate, and waits."""
    connection = in_handshake(server, b"STARTTLS\r\n")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    made = context(CLIENT)
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    client = made.wrap_bio(incoming, outgoing, server_hostname="localhost")
    for _ in range(2):
        with contextlib.suppress(ssl.SSLWantReadError):
            client.do_handshake()
        connection.sendall(outgoing.read())
        while not _ and not incoming.pending:
            incoming.write(connection.recv(65536))
    return connection


THREADS = "::pysmtpd::call threading:active_count"
ASKED = f"""{USE_TLS}smtpd::configure -loglevel emergency -cafile {CA} -command ::told
proc told {{option channel args}} {{
    if {{$option eq "verify" && [lindex $args 0] == 0}} {{
        puts "asked $channel"
        verdict $channel
    }}
}}
"""


def test_while_command_decides_others_are_served(serve):
    server = serve(ASKED + "proc verdict channel {if {[incr ::asked] == 1} {vwait ::go}; return 1}\n" + DELIVER)
    alone = server.eval(THREADS)
    with client_in_the_handshake(server) as connection:
        server.wait_printed("asked")
        assert still_serves(server)
        with under_tls(server, CLIENT) as client:
            assert client.sendmail(*MAIL) == {}
        server.eval("set go 1")
        assert connection.recv(1)
    server.wait_until("info vars ::smtpd::state_*", "")
    assert server.eval(THREADS) == alone


@pytest.mark.parametrize("verdict", ["close $channel", "::smtpd::stop", "vwait ::go", "error oops"])
def test_a_client_that_leaves_while_command_decides_leaves_nothing_behind(serve, verdict):
    server = serve(f"proc bgerror args {{}}\n{ASKED}proc verdict channel {{{verdict}}}\n")
    alone = server.eval(THREADS)
    for _ in range(1 if "stop" in verdict else 50):
        client_in_the_handshake(server).close()
        server.wait_printed("asked")
        server.printed.clear()
        if "go" in verdict:
            server.eval("set go 1")
    server.wait_until("info vars ::smtpd::state_*", "")
    server.wait_until(THREADS, alone)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_may_end_while_command_decides(shell, tmp_path):
    file = tmp_path / "ends.tcl"
    start = "puts [lindex [fconfigure [smtpd::start 127.0.0.1 0] -sockname] 2]; flush stdout; vwait done"
    file.write_text(f"package require smtpd\n{ASKED}proc verdict channel {{exit 7}}\n{start}")
    with subprocess.Popen([*SHELLS[shell], file], env=environment(), stdout=subprocess.PIPE, text=True) as process:
        port = int(process.stdout.readline())
        with client_in_the_handshake(argparse.Namespace(address=("127.0.0.1", port))) as connection:
            assert refused(connection)
        assert process.wait(DEADLINE) == 7


REQUESTS = ["", f"-cafile {CA}", f"-cafile {CA} -request 0", "-require 1", f"-cafile {CA} -command list"]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("options", REQUESTS)
def test_certificates_are_asked_for_as_by_the_tls_package(tmp_path, shell, options):
    asked = []
    for name, variables in (("tclsh", {"TCLLIBPATH": ""}), (shell, {})):
        server = Script(name, tmp_path, f"{USE_TLS}smtpd::configure -loglevel emergency {options}", **variables)
        words = ["openssl", "s_client", "-starttls", "smtp", "-name", "x.example", "-connect", f"127.0.0.1:{server.address[1]}"]
        result = subprocess.run(words, input="QUIT\n", capture_output=True, text=True, timeout=DEADLINE)
        server.end()
        lines = result.stdout.splitlines()
        asked.append(
            [
                line
                for line in lines
                if "client certificate CA names" in line or "Requested Signature" in line or "O = pysmtpd" in line
            ]
        )
    assert asked[1] == asked[0]
    assert any("Requested" in line for line in asked[1]) == ("-request 0" not in options)


def test_without_a_command_any_certificate_is_taken_unless_one_is_required(serve):
    server = serve(f"{USE_TLS}{DELIVER}smtpd::configure -request 1 -cafile {CA} -loglevel emergency")
    with under_tls(server, SELF_SIGNED) as client:
        client.sendmail(*MAIL)
    server.wait_printed("> Hello")
    server.eval("smtpd::configure -require 1")
    assert gets_nowhere(server, SELF_SIGNED)
    with under_tls(server, CLIENT) as client:
        assert client.noop()[0] == 250


def gets_nowhere(server, certificate):
    """Tell whether a client is cut off in the handshake, or right after it: under TLS 1.3 it may think it is through."""
    try:
        with under_tls(server, certificate) as client:
            client.ehlo()
            client.noop()
    except OSError:  # smtplib's exceptions and those of ssl are such
        return True
    return False


def test_command_may_refuse_a_good_certificate(serve):
    server = serve(COMMAND + USE_TLS + f"smtpd::configure -command ::told -require 1 -cafile {CA}; set answer 0")
    assert gets_nowhere(server, CLIENT)
    server.wait_printed("error,{certificate verify failed}")
    server.eval("set answer 1")
    with under_tls(server, CLIENT) as client:
        assert client.noop()[0] == 250


@pytest.mark.parametrize(
    ("certificate", "text"), [(None, "peer did not return a certificate"), (SELF_SIGNED, "certificate verify failed")]
)
def test_a_client_without_the_required_certificate_gets_nowhere(serve, certificate, text):
    server = serve(COMMAND + USE_TLS + f"smtpd::configure -command ::told -require 1 -cafile {CA}; set answer {{}}")
    assert gets_nowhere(server, certificate)
    server.wait_printed(f"error,{{{text}}}")
    if certificate:
        server.wait_printed("0 {self-signed certificate}")


def test_the_packages_own_command_logs(serve):
    server = serve(USE_TLS + f"smtpd::configure -command ::smtpd::tlscallback -request 1 -cafile {CA} -loglevel debug")
    with under_tls(server, CLIENT) as client:
        client.noop()
    assert "smtpd notice] TLS verify/0: CN=pysmtpd test client,O=pysmtpd test" in server.wait_printed("TLS verify/0")
    assert server.wait_printed("TLS accept.exit SSL negotiation finished successfully")


def test_a_command_that_fails_is_a_background_error_and_stops_nobody(serve):
    server = serve(USE_TLS + "proc bgerror text {puts background:$text}\nsmtpd::configure -command {error oops}")
    with under_tls(server) as client:  # and not even that, where it is just told of a step
        assert client.noop()[0] == 250
    assert gets_nowhere(server, CLIENT)
    server.wait_printed("background:")
    with under_tls(server) as client:
        assert client.noop()[0] == 250


# What scripts do in a session


def test_a_script_that_ends_with_its_message_has_answered_first(tmp_path):
    """In both shells: the reply under TLS comes from the engine, and the script is gone right after the callback."""
    for shell in SHELLS:
        program = (
            "package require smtpd\nproc got args {set ::done 1}\n"
            f"smtpd::configure -deliver ::got -usetls 1 {PAIR}\n"
            "puts [lindex [fconfigure [smtpd::start 127.0.0.1 0] -sockname] 2]; flush stdout; vwait done"
        )
        file = tmp_path / "once.tcl"
        file.write_text(program)
        process = subprocess.Popen([*SHELLS[shell], file], env=environment(), stdout=subprocess.PIPE, text=True)
        with process, smtplib.SMTP("127.0.0.1", int(process.stdout.readline()), timeout=DEADLINE) as client:
            client.starttls(context=context())
            assert client.sendmail(*MAIL) == {}
            client.close()


def test_a_refusal_with_its_own_code_arrives_under_tls(serve):
    server = serve(USE_TLS + "proc got args {error later {} 451}\nsmtpd::configure -deliver ::got")
    with under_tls(server) as client, pytest.raises(smtplib.SMTPDataError) as caught:
        client.sendmail(*MAIL)
    assert caught.value.args == (451, b"later")


def test_callbacks_that_take_their_time_and_pipelining_under_tls(serve):
    server = serve(
        USE_TLS
        + DELIVER
        + "proc slow address {after 10 {set ::woken 1}; vwait ::woken}\nsmtpd::configure -validate_recipient ::slow"
    )
    with under_tls(server) as client:
        recipients = b"".join(b"RCPT TO:<c%d@d.example>\r\n" % number for number in range(20))
        client.send(b"HELO x.example\r\nMAIL FROM:<a@b.example>\r\n" + recipients + b"DATA\r\nHello\r\n.\r\nNOOP\r\n")
        codes = [client.getreply()[0] for _ in range(25)]
    assert codes == [250] * 22 + [354, 250, 250]


def test_a_scripts_own_lines_go_out_under_tls(serve):
    server = serve(USE_TLS + "lappend smtpd::commands XYZ\nproc smtpd::XYZ {channel line} {Puts $channel {250 own line}}")
    with under_tls(server) as client:
        assert client.docmd("XYZ") == (250, b"own line")
        assert client.noop() == (250, b"OK")


def test_a_script_may_wrap_the_verb(serve):
    server = serve(
        USE_TLS + "rename smtpd::STARTTLS smtpd::Original\n"
        "proc smtpd::STARTTLS {channel line} {puts wrapped; Original $channel $line}"
    )
    with under_tls(server) as client:
        assert client.noop()[0] == 250
    server.wait_printed("wrapped")


# What breaks


def refused(connection):
    """Tell whether the server closes a connection, whatever it says first."""
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(65536):
            pass
    return True


def in_handshake(server, before=b"EHLO x.example\r\nSTARTTLS\r\n"):
    """Return a connection on which the server waits for a handshake."""
    connection = socket.create_connection(server.address, DEADLINE)
    connection.sendall(before)
    received = b""
    while b"220 Ready" not in received:
        received += connection.recv(65536)
    return connection


def hello():
    """Return a client's first bytes of a handshake."""
    outgoing = ssl.MemoryBIO()
    client = context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def still_serves(server):
    with under_tls(server) as client:
        return client.sendmail(*MAIL) == {}


def test_garbage_instead_of_a_hello(serve):
    server = serve(USE_TLS)
    with in_handshake(server) as connection:
        connection.sendall(b"EHLO again\r\n")
        assert refused(connection)
    assert "smtpd error] TLS handshake with 127.0.0.1:" in server.wait_printed("failed:")
    assert still_serves(server)
    assert server.eval("info vars ::smtpd::state_*") == ""


def test_a_stalled_handshake_keeps_nobody_waiting(serve):
    server = serve(USE_TLS)
    with in_handshake(server) as connection:
        connection.sendall(hello()[:50])
        assert still_serves(server)


def test_a_fin_in_the_handshake(serve):
    server = serve(USE_TLS)
    with in_handshake(server) as connection:
        connection.sendall(hello()[:50])
        connection.shutdown(socket.SHUT_WR)
        assert refused(connection)
    server.wait_printed("the client left")
    assert still_serves(server)


def test_a_reset_in_the_handshake(serve):
    server = serve(USE_TLS)
    connection = in_handshake(server)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()
    assert still_serves(server)
    server.wait_until("info vars ::smtpd::state_*", "")


def test_a_handshake_byte_by_byte(serve):
    server = serve(USE_TLS)
    with in_handshake(server) as connection:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                for octet in outgoing.read():
                    connection.sendall(bytes([octet]))
                incoming.write(connection.recv(65536))
        client.write(b"NOOP\r\n")
        for octet in outgoing.read():
            connection.sendall(bytes([octet]))
        while True:
            try:
                assert client.read(100) == b"250 OK\r\n"
                break
            except ssl.SSLWantReadError:
                incoming.write(connection.recv(65536))


def test_clear_text_pipelined_behind_starttls_is_dropped(serve):
    server = serve(USE_TLS + DELIVER)
    forged = b"MAIL FROM:<forged@b.example>\r\nRCPT TO:<forged@d.example>\r\n"
    connection = in_handshake(server, b"EHLO x.example\r\n" + forged + b"STARTTLS\r\n" + forged)
    with context().wrap_socket(connection, server_hostname="localhost") as secure:
        secure.sendall(b"DATA\r\n")
        assert secure.recv(1000) == b"503 bad sequence: no sender specified\r\n"


def test_an_end_without_a_close_notify_inside_data_delivers_nothing(serve):
    server = serve(USE_TLS + DELIVER)
    with under_tls(server) as client:
        client.ehlo("client.example")
        client.mail("a@b.example")
        client.rcpt("c@d.example")
        assert client.docmd("DATA")[0] == 354
        client.send(b"Half a message\r\n")
        client.sock.shutdown(socket.SHUT_WR)
        client.close()
    server.wait_until("info vars ::smtpd::state_*", "")
    assert not [line for line in server.printed if line.startswith("got")]


def test_when_the_child_dies_nothing_is_said_in_the_clear(serve_stock):
    server = serve_stock(USE_TLS)
    with in_handshake(server) as connection:
        for child in server.children():
            os.kill(child, signal.SIGKILL)
        assert connection.recv(65536) == b""
    assert still_serves(server)


# Real clients


def test_openssl_s_client(serve):
    server = serve(USE_TLS + DELIVER)
    session = "MAIL FROM:<a@b.example>\r\nrcpt to:<c@d.example>\r\nDATA\r\nHello\r\n.\r\nquit\r\n"
    port = server.address[1]
    result = subprocess.run(
        ["openssl", "s_client", "-starttls", "smtp", "-connect", f"127.0.0.1:{port}", "-CAfile", CA, "-crlf", "-quiet",
         "-verify_hostname", "localhost", "-verify_return_error"],
        input=session.replace("\r\n", "\n"), capture_output=True, text=True, timeout=DEADLINE,
    )  # fmt: skip
    assert "221 127.0.0.1 Service closing" in result.stdout, result.stderr
    server.wait_printed("> Hello")


def test_swaks(serve):
    server = serve(USE_TLS + DELIVER)
    result = subprocess.run(
        ["swaks", "--tls", "--tls-verify", "--tls-ca-path", CA, "--server", f"localhost:{server.address[1]}", "--from", "a@b.example",
         "--to", "c@d.example", "--helo", "x.example", "--body", "Hello from swaks"],
        capture_output=True, text=True, timeout=DEADLINE,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    server.wait_printed("> Hello from swaks")


def test_tcllibs_smtp_with_tcls_tls(serve, tmp_path):
    server = serve(USE_TLS + DELIVER)
    port = server.address[1]
    program = (
        "package require smtp; package require mime\n"
        "set token [mime::initialize -canonical text/plain -string {Hello from tcllib}]\n"
        f"smtp::sendmessage $token -servers 127.0.0.1 -ports {port} -usetls 1 -header {{From a@b.example}} -header {{To c@d.example}}\n"
        "puts sent"
    )
    file = tmp_path / "client.tcl"
    file.write_text(program)
    plain = {name: value for name, value in environment().items() if name != "TCLLIBPATH"}
    result = subprocess.run(["tclsh", file], env=plain, capture_output=True, text=True, timeout=DEADLINE)
    assert result.stdout == "sent\n", result.stderr
    server.wait_printed("> Hello from tcllib")
    assert any(line.startswith("> \t(version=TLS1/SSL3 cipher=") for line in server.printed)


def send_under_tls(port):
    """What compat's scripts call a client."""
    with smtplib.SMTP("localhost", port, timeout=DEADLINE) as client:
        client.starttls(context=context())
        text = "From: a@b.example\r\nTo: c@d.example\r\nSubject: hi\r\n\r\nHello\r\n"
        yield f"refused: {client.sendmail('a@b.example', ['c@d.example'], text)}"


@pytest.mark.parametrize("target", SHELLS)
def test_tk_smtpd_receives_over_starttls(monkeypatch, target):
    """The stock package cannot: its own example asks for SSL 2 and 3, which OpenSSL does not have any more."""
    arguments = (str(scripts.EXAMPLES / "tk_smtpd"), "PORT", "1", *LOCALHOST)
    case = scripts.Case(scripts.FOLDER / "tk_driver.tcl", arguments, send_under_tls, windowed=True)
    monkeypatch.setitem(scripts.CASES, "tk_smtpd_tls", case)
    lines = scripts.output.__wrapped__("tk_smtpd_tls", target)
    assert lines[0] == "refused: {}"
    assert 'dialog "To: c@d.example" .dlg1.e .dlg1.sb .dlg1.b' in lines
    assert "TLS accept.exit SSL negotiation finished successfully" in lines
    assert lines[-1] == "exit code 0"
