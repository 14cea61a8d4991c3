"""TLS: the stage in the session's byte pipeline, STARTTLS and implicit; the context and what can be wrong with its files."""

import contextlib
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from engine import EVERYTHING, PROFILE_NAMES, Driver, config
from hypothesis import given, strategies
from hypothesis import settings as settings_for_all
from tclsh import environment
from tls_client import TlsClient, client_context

from pysmtpd.certificates import CA, CLIENT, EXPIRED, LOCALHOST, SELF_SIGNED
from pysmtpd.client_certificates import Examiner
from pysmtpd.core import Accept, Close, Deliver, Log, Refuse, TlsReport
from pysmtpd.core.tls import TlsSettings, make_context

MAIL = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"


def settings(profile="rfc5321", ask=EVERYTHING, implicit=False, required=False, **options):
    """Return the settings of a server with the test certificate."""
    made = config(profile, ask)
    context = make_context(TlsSettings(*LOCALHOST, **options))
    made.use_tls(context, implicit=implicit, required=required, offered=not implicit)
    return made


def started(profile="rfc5321", piece=0, context=None, **options):
    """Return a driver and a client after EHLO, STARTTLS and the handshake."""
    driver = Driver(settings(profile, **options))
    driver.feed(b"EHLO client.example\r\nSTARTTLS\r\n")
    assert b"STARTTLS\r\n" in driver.output
    assert driver.output.splitlines()[-1].startswith(b"220 ")
    return driver, TlsClient(driver, piece, context).handshake()


def delivered(driver):
    return [event for event in driver.events if isinstance(event, Deliver)]


def closed(driver):
    return [event.reason for event in driver.events if isinstance(event, Close)]


@pytest.mark.parametrize("profile", PROFILE_NAMES)
def test_a_mail_under_starttls(profile):
    driver, client = started(profile)
    assert client.send(b"EHLO client.example\r\n").startswith(b"250-")
    assert client.send(MAIL).splitlines()[-1].startswith(b"354 ")
    assert client.send(b"Subject: hi\r\n\r\nHello\r\n.\r\n").startswith(b"250 ")
    assert client.send(b"QUIT\r\n").startswith(b"221 ")
    assert delivered(driver)[0].content.lines()[-3:] == ["Subject: hi", "", "Hello"]
    assert closed(driver) == ["quit"]


def test_a_client_of_tls_1_2():
    context = client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    driver, client = started(context=context)
    client.send(b"EHLO client.example\r\n" + MAIL)
    assert client.send(b"Hello\r\n.\r\n").startswith(b"250 ")
    assert driver.session.tls.version == "TLSv1.2"
    assert client.send(b"QUIT\r\n").startswith(b"221 ")
    assert client.ended()


def test_the_same_byte_by_byte():
    driver, client = started(piece=1)
    client.send(b"EHLO client.example\r\n" + MAIL)
    assert client.send(b"Hello\r\n.\r\n").startswith(b"250 ")
    assert len(delivered(driver)) == 1


def test_what_a_script_reads_by_itself_is_a_line_and_what_is_behind_it_the_sessions():
    driver, client = started()
    client.tls.write(b"s3cret\r\nEHLO client.example\r\n")
    assert driver.session.overhear(client.outgoing.read()) == b"s3cret\r\n"
    assert client.send(b"NOOP\r\n").splitlines()[-1] == b"250 2.0.0 OK"
    assert driver.session.domain == "client.example"


def test_a_body_of_many_records_arrives_whole():
    driver, client = started(piece=1000)
    body = b"".join(b"%d %s\r\n" % (number, b"x" * 60) for number in range(2000))
    client.send(b"EHLO client.example\r\n" + MAIL)
    client.send(body + b".\r\n")
    assert delivered(driver)[0].content.body == body


def test_the_session_starts_anew_after_the_handshake():
    """RFC 3207, 4.2: nothing that was said before is known any more, and STARTTLS is neither offered nor taken."""
    _, client = started()
    assert client.send(b"MAIL FROM:<a@b.example>\r\n").startswith(b"503 ")
    hello = client.send(b"EHLO client.example\r\n")
    assert b"PIPELINING" in hello
    assert b"STARTTLS" not in hello
    assert client.send(b"STARTTLS\r\n").startswith(b"503 ")
    assert client.send(b"NOOP\r\n").startswith(b"250 ")


@pytest.mark.parametrize("profile", PROFILE_NAMES)
def test_a_transaction_from_before_is_forgotten(profile):
    driver = Driver(settings(profile))
    driver.feed(b"EHLO client.example\r\nMAIL FROM:<forged@b.example>\r\nRCPT TO:<c@d.example>\r\nSTARTTLS\r\n")
    client = TlsClient(driver).handshake()
    assert client.send(b"EHLO client.example\r\nDATA\r\n").splitlines()[-1].startswith(b"503 ")


@pytest.mark.parametrize("profile", PROFILE_NAMES)
def test_clear_text_behind_starttls_is_dropped(profile):
    """The class of CVE-2011-0411: a man in the middle puts commands there, and the client's own mail is answered for them."""
    driver = Driver(settings(profile))
    driver.feed(b"EHLO client.example\r\nSTARTTLS\r\nRSET\r\nMAIL FROM:<forged@b.example>\r\nNO")
    assert driver.output.splitlines()[-1].startswith(b"220 ")
    client = TlsClient(driver).handshake()
    assert client.read() == b""
    assert client.send(b"NOOP\r\n").startswith(b"250 ")
    assert client.send(b"EHLO client.example\r\nDATA\r\n").splitlines()[-1].startswith(b"503 ")
    assert not [event for event in driver.events if getattr(event, "address", "").startswith("forged")]


def test_clear_text_that_comes_while_the_driver_has_not_answered_is_dropped():
    driver = Driver(settings(), late=True)
    driver.settle()
    driver.feed(b"STARTTLS\r\n")
    driver.feed(b"MAIL FROM:<forged@b.example>\r\n")
    driver.settle()
    assert TlsClient(driver).handshake().read() == b""


def test_a_driver_may_refuse_it():
    driver = Driver(settings(ask=()), verdict=lambda question: Refuse("not today"))
    driver.feed(b"STARTTLS\r\nNOOP\r\n")
    assert driver.output.splitlines()[-2:] == [b"454 4.7.0 TLS not available: not today", b"250 2.0.0 OK"]


def test_starttls_takes_no_parameters_and_any_case():
    driver = Driver(settings())
    driver.feed(b"STARTTLS now\r\n")
    assert driver.output.splitlines()[-1].startswith(b"501 ")
    driver.feed(b"starttls\r\n")
    assert driver.output.splitlines()[-1].startswith(b"220 ")


def test_without_a_certificate_it_is_454():
    made = config("tcllib-1.5")
    made.hand_over(made.commands | {"STARTTLS"}, frozenset())
    driver = Driver(made)
    driver.feed(b"STARTTLS\r\n")
    assert driver.output.splitlines()[-1] == b"454 TLS not available due to temporary reason"


def test_it_is_no_command_where_it_is_off():
    driver = Driver(config())
    driver.feed(b"STARTTLS\r\n")
    assert driver.output.splitlines()[-1].startswith(b"502 ")


def test_implicit_tls_greets_after_the_handshake():
    driver = Driver(settings(implicit=True))
    assert driver.output == b""
    client = TlsClient(driver).handshake()
    assert client.read().startswith(b"220 host.example ESMTP")
    assert b"STARTTLS" not in client.send(b"EHLO client.example\r\n")


def test_where_tls_is_required_mail_in_the_clear_is_530():
    driver = Driver(settings(required=True))
    driver.feed(b"NOOP\r\nEHLO client.example\r\nMAIL FROM:<a@b.example>\r\n")
    assert driver.output.splitlines()[-1] == b"530 5.7.0 Must issue a STARTTLS command first"
    driver.feed(b"STARTTLS\r\n")
    client = TlsClient(driver).handshake()
    client.send(b"EHLO client.example\r\n")
    assert client.send(MAIL).splitlines()[-1].startswith(b"354 ")


def test_the_last_flight_of_a_handshake_is_answered():
    """Else the first command of a client without TCP_NODELAY waits for a delayed acknowledgement: with a TLS 1.3 ticket, one."""
    driver = Driver(settings())
    driver.feed(b"STARTTLS\r\n")
    client = TlsClient(driver)
    client.handshake()
    assert client.tls.version() == "TLSv1.3"
    assert client.incoming.pending
    client.read()
    assert client.tls.session.has_ticket


def test_the_trace_header_names_the_cipher():
    for profile, version in (("tcllib-1.5", "TLS1/SSL3"), ("rfc5321", "TLSv1.3")):
        driver, client = started(profile)
        client.send(b"EHLO client.example\r\n" + MAIL)
        client.send(b".\r\n")
        lines = delivered(driver)[0].content.trace.split("\n")
        cipher, _, bits = client.tls.cipher()
        assert lines[3] == f"\t(version={version} cipher={cipher} bits={bits} verify=NO)"


def test_the_facts_name_the_clients_certificate():
    context = client_context()
    context.load_cert_chain(*CLIENT)
    driver, client = started(context=context, request=True, cafile=CA)
    facts = driver.session.tls
    assert facts.version == client.tls.version()
    assert ("commonName", "pysmtpd test client") in [pair for (pair,) in facts.peer_certificate["subject"]]
    client.send(b"EHLO client.example\r\n" + MAIL)
    client.send(b".\r\n")
    assert "verify=YES" in delivered(driver)[0].content.trace


def test_a_requested_certificate_may_be_missing_and_a_required_one_not():
    driver, client = started(request=True, cafile=CA)
    assert driver.session.tls.peer_certificate is None
    driver = Driver(settings(require=True, cafile=CA))
    driver.feed(b"STARTTLS\r\n")
    client = TlsClient(driver)
    client.handshake()  # under TLS 1.3 the client is through before it hears of it
    with pytest.raises(ssl.SSLError, match="(?i)certificate_required|handshake_failure"):
        client.tls.read(1)
    assert closed(driver) == ["TLS failure"]


def test_replies_wait_for_a_callback_under_tls_too():
    driver = Driver(settings(), late=True)
    driver.settle()
    driver.feed(b"STARTTLS\r\n")
    driver.settle()
    client = TlsClient(driver).handshake()
    assert client.send(b"EHLO x.example\r\nMAIL FROM:<a@b.example>\r\nRSET\r\n").splitlines()[-1] == b"250 HELP"
    assert driver.session.acceptance == b""
    assert driver.session.question.address == "a@b.example"
    assert client.send(b"NOOP\r\n") == b""
    driver.settle()
    client.take_back()
    assert client.read().splitlines() == [b"250 2.1.0 Sender OK", b"250 2.0.0 OK", b"250 2.0.0 OK"]


# Client certificates, and who has the last word on them


def judged(verdict, version="TLSv1_3", certificate=SELF_SIGNED, late=False, piece=0, **options):
    """Return a driver and a client that shows a certificate; a verdict for each report of a check, by its status."""

    def answer(question):
        return verdict(question.details[2]) if is_check(question) else Accept()

    options = {"told": True, "request": True, "cafile": CA, "examiner": Examiner(CA), **options}
    driver = Driver(settings(ask=(*EVERYTHING, "tls"), **options), verdict=answer)
    driver.feed(b"STARTTLS\r\n")
    driver._late = late
    context = client_context()
    context.maximum_version = ssl.TLSVersion[version]
    context.load_cert_chain(*certificate)
    return driver, TlsClient(driver, piece, context)


def is_check(question):
    return isinstance(question, TlsReport) and question.option == "verify"


def as_openssl_says(status):
    return Accept() if status else Refuse("no")


def reports(driver):
    return [(event.option, *event.details[1:]) for event in driver.events if isinstance(event, TlsReport)]


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_bad_certificate_may_be_forgiven(version):
    driver, client = judged(lambda _status: Accept(), version)
    assert client.handshake().send(b"NOOP\r\n").startswith(b"250 ")
    assert driver.session.tls.peer_certificate["serialNumber"] == "1005"
    assert [report[2:] for report in reports(driver) if report[0] == "verify"] == [
        (0, "self-signed certificate"), (0, "unsuitable certificate purpose"), (1, ""),
    ]  # fmt: skip


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize(
    ("certificate", "verdict", "alert"),
    [(SELF_SIGNED, as_openssl_says, "unknown.ca"), (EXPIRED, as_openssl_says, "unsupported.certificate"),
     (CLIENT, lambda _status: Refuse("no"), "internal.error")],
)  # fmt: skip
def test_who_is_refused_is_told_why_and_nothing_else(version, certificate, verdict, alert):
    driver, client = judged(verdict, version, certificate)
    with pytest.raises(ssl.SSLError, match=f"(?i)alert.{alert}"):
        client.handshake().tls.read(1)
    assert closed(driver) == ["TLS failure"]
    assert reports(driver)[-3][:2] == ("info", "write")
    assert reports(driver)[-2:] == [("info", "exit", "error"), ("error",)]
    assert client.tls.session is None or not client.tls.session.has_ticket
    before = len(driver.output)
    driver.feed(b"EHLO again.example\r\n")
    assert len(driver.output) == before


def test_what_was_forgiven_first_is_not_the_reason():
    """It is the second thing that is wrong with this certificate for which the client is refused."""
    forgiving = iter([Accept(), Accept(), Refuse("no")])
    _, client = judged(lambda _status: next(forgiving), "TLSv1_2", EXPIRED)
    with pytest.raises(ssl.SSLError, match=r"(?i)alert.certificate.expired"):
        client.handshake()


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("piece", [0, 1])
def test_the_handshake_stands_still_while_somebody_decides(version, piece):
    driver, client = judged(lambda _status: Accept(), version, late=is_check, piece=piece)
    with contextlib.suppress(AssertionError):
        client.handshake()
    assert is_check(driver.session.question)
    before = len(driver.output)
    if version == "TLSv1_3":
        client.tls.write(b"NOOP\r\n")
        driver.feed(client.records())
    assert len(driver.output) == before
    driver.settle()
    client.take_back()
    client.handshake()
    assert client.send(b"NOOP\r\n").startswith(b"250 ")


def test_a_handshake_waits_for_what_was_asked_before():
    """The host is still looked at when the client's records come, under implicit TLS."""
    options = {"told": True, "request": True, "cafile": CA, "examiner": Examiner(CA)}
    driver = Driver(settings(ask=(*EVERYTHING, "tls"), implicit=True, **options), late=True)
    context = client_context()
    context.load_cert_chain(*CLIENT)
    client = TlsClient(driver, context=context)
    with pytest.raises(AssertionError, match="nothing more"):
        client.handshake()
    assert driver.output == b""
    assert driver.events[-1].kind == "host"
    driver.settle()
    client.take_back()
    with contextlib.suppress(AssertionError):
        client.handshake()
    driver.settle()
    client.take_back()
    assert client.handshake().read().startswith(b"220 ")


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("without", [0, ssl.OP_NO_TICKET])
@pytest.mark.parametrize("examiner", [Examiner(CA), None])
def test_no_session_is_resumed_where_handshakes_are_told(version, without, examiner):
    driver, client = judged(lambda _status: Accept(), version, CLIENT, examiner=examiner)
    context = client.tls.context
    context.options |= without
    client = TlsClient(driver, context=context)
    client.handshake().read()
    session = client.tls.session
    assert session is not None
    again = Driver(driver.session.config, verdict=lambda _question: Accept())
    again.feed(b"STARTTLS\r\n")
    client = TlsClient(again, context=context)
    client.tls.session = session
    assert not client.handshake().tls.session_reused
    assert "verify" in [report[0] for report in reports(again)]


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_where_openssl_decides_its_verdict_is_told(version):
    driver, client = judged(lambda _status: Accept(), version, examiner=None)
    with pytest.raises(ssl.SSLError, match="(?i)unknown.ca"):
        client.handshake().tls.read(1)
    assert [report[2:] for report in reports(driver) if report[0] == "verify"] == [(0, "self-signed certificate")]
    assert reports(driver)[-3:] == [
        ("info", "write", "unknown CA"), ("info", "exit", "error"), ("error",),
    ]  # fmt: skip
    driver, client = judged(as_openssl_says, version, CLIENT, examiner=None)
    assert client.handshake().send(b"NOOP\r\n").startswith(b"250 ")
    assert [report[2:] for report in reports(driver) if report[0] == "verify"] == [(1, ""), (1, "")]


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_where_openssl_decides_its_yes_may_still_become_a_no(version):
    driver, client = judged(lambda _status: Refuse("no"), version, CLIENT, examiner=None)
    with contextlib.suppress(AssertionError):
        client.handshake()
        client.tls.write(b"NOOP\r\n")
        client.take_back()
    assert closed(driver) == ["TLS failure"]
    assert len([report for report in reports(driver) if report[0] == "verify"]) == 1
    assert reports(driver)[-2:] == [("info", "exit", "error"), ("error",)]
    assert b"250" not in client.read()


def test_where_nobody_listens_any_more_openssls_verdict_counts():
    for certificate, over in ((CLIENT, []), (SELF_SIGNED, ["TLS failure"])):
        driver, client = judged(lambda _status: Accept(), "TLSv1_2", certificate)
        driver.session.config.listen_for(frozenset(EVERYTHING))
        with contextlib.suppress(ssl.SSLError):
            client.handshake()
        assert closed(driver) == over


def handshakes():
    """Return how many handshakes wait for an answer, in threads of their own."""
    return sum(thread.name == "pysmtpd handshake" for thread in threading.enumerate())


@pytest.mark.parametrize("leave", ["drop", "shut_down"])
def test_a_question_that_is_never_answered_keeps_no_thread(leave):
    before = handshakes()
    left = []
    for number in range(50):
        driver, client = judged(lambda _status: Accept(), ("TLSv1_2", "TLSv1_3")[number % 2], late=is_check)
        left.append((driver, client))
        with contextlib.suppress(AssertionError):
            client.handshake()
        assert is_check(driver.session.question)
    assert handshakes() == before + 50
    for driver, _ in left:
        getattr(driver.session, leave)()
        assert driver.session.question is None
    assert handshakes() == before


def test_nothing_is_told_behind_the_end_of_a_session():
    driver, client = judged(lambda _status: Accept())
    client.handshake().tls.write(b"QUIT\r\n")
    client.close_notify()
    assert closed(driver) == ["quit"]
    assert isinstance(driver.events[-1], Close)


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_where_anything_goes_sessions_are_resumed(version):
    made = settings(request=True, examiner=Examiner(CA, anything_goes=True))
    context = client_context()
    context.maximum_version = ssl.TLSVersion[version]
    context.load_cert_chain(*SELF_SIGNED)
    session = None
    for resumed in (False, True):
        driver = Driver(made)
        driver.feed(b"STARTTLS\r\n")
        client = TlsClient(driver, context=context)
        if session is not None:
            client.tls.session = session
        client.handshake().read()
        assert client.tls.session_reused is resumed
        session = client.tls.session


def test_without_a_thread_to_be_had_a_handshake_fails():
    class Poor(Examiner):
        def begin(self, handshake):
            raise RuntimeError("can't start new thread")

    driver, client = judged(lambda _status: Accept(), examiner=Poor(CA))
    with pytest.raises(AssertionError, match="nothing more"):
        client.handshake()
    assert closed(driver) == ["TLS failure"]


def test_a_handshake_that_is_left_or_over_keeps_no_thread():
    before = handshakes()
    for piece in (1, 0):
        driver, client = judged(lambda _status: Accept(), piece=piece)
        client.handshake()
        assert handshakes() == before
        client.send(b"QUIT\r\n")
        assert closed(driver) == ["quit"]
    driver, client = judged(lambda _status: Accept())
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.do_handshake()
    driver.feed(client.records()[:-1])
    driver.end()
    assert handshakes() == before


def test_a_certificate_that_has_gone_since_goes_on_serving(tmp_path):
    files = [tmp_path / name for name in ("certificate", "key")]
    for file, source in zip(files, LOCALHOST, strict=True):
        file.write_bytes(Path(source).read_bytes())
    made = config("rfc5321", (*EVERYTHING, "tls"))
    made.use_tls(make_context(TlsSettings(*map(str, files), told=True)), offered=True)
    for file in files:
        file.unlink()
    driver = Driver(made)
    driver.feed(b"STARTTLS\r\n")
    assert TlsClient(driver).handshake().send(b"NOOP\r\n").startswith(b"250 ")


# What breaks


def failed_handshake(driver):
    """Return the log's line about it."""
    assert closed(driver) == ["TLS failure"]
    return next(event.text for event in driver.events if isinstance(event, Log) and event.level == "error")


@pytest.mark.parametrize("garbage", [b"EHLO again\r\n", b"\0" * 100, b"\x16\x03\x01\xff\xff" + b"x" * 70_000])
def test_garbage_instead_of_a_hello_closes(garbage):
    driver = Driver(settings())
    driver.feed(b"STARTTLS\r\n")
    driver.feed(garbage)
    assert "TLS handshake with 192.0.2.1:1025 failed: " in failed_handshake(driver)
    driver.feed(b"NOOP\r\n")
    assert b"250" not in driver.output.rpartition(b"220 ")[2]


def test_a_fin_in_the_handshake_closes():
    driver = Driver(settings())
    driver.feed(b"STARTTLS\r\n")
    client = TlsClient(driver)
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.do_handshake()
    driver.feed(client.records()[:20])
    driver.end()
    assert failed_handshake(driver).endswith("failed: the client left")


def test_a_stall_in_the_handshake_says_nothing():
    driver = Driver(settings())
    driver.feed(b"STARTTLS\r\n")
    client = TlsClient(driver)
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.do_handshake()
    output = driver.output
    driver.feed(client.records()[:-1])
    assert driver.output == output
    assert driver.session.wants_input


def test_a_client_that_does_not_trust_the_certificate_is_told_of_in_the_log():
    driver = Driver(settings())
    driver.feed(b"STARTTLS\r\n")
    client = TlsClient(driver, context=ssl.create_default_context())
    with pytest.raises(ssl.SSLCertVerificationError):
        client.handshake()
    driver.feed(client.records())
    assert "unknown ca" in failed_handshake(driver)


@pytest.mark.parametrize("say_so", [False, True])
def test_an_end_inside_data_delivers_nothing(say_so):
    """With a close_notify or without one: what has no end is no message."""
    driver, client = started()
    client.send(b"EHLO client.example\r\n" + MAIL)
    client.send(b"Half a message\r\n")
    if say_so:
        client.close_notify()
    driver.end()
    assert not delivered(driver)
    assert closed(driver) == ["end of input"]


def test_a_broken_record_inside_data_delivers_nothing():
    driver, client = started()
    client.send(b"EHLO client.example\r\n" + MAIL)
    client.tls.write(b"Hello\r\n.\r\n")
    record = bytearray(client.records())
    record[-1] ^= 1
    driver.feed(bytes(record))
    assert not delivered(driver)
    assert closed(driver) == ["TLS failure"]


def test_quit_is_answered_with_a_close_notify():
    _, client = started()
    client.send(b"QUIT\r\n")
    assert client.ended()


def test_what_came_before_a_close_notify_is_answered():
    driver, client = started()
    client.tls.write(b"EHLO client.example\r\n" + MAIL + b"Hello\r\n.\r\n")
    client.close_notify()
    assert client.read().splitlines()[-1].startswith(b"250 ")
    assert client.ended()
    assert len(delivered(driver)) == 1
    assert closed(driver) == ["end of input"]


def test_a_host_that_was_refused_cannot_start_tls():
    driver = Driver(settings(), verdict=lambda question: Refuse("go away"))
    driver.feed(b"STARTTLS\r\n")
    assert driver.output.splitlines()[-1].startswith(b"503 ")


def test_no_renegotiation():
    """OpenSSL would repeat the handshake whenever a TLS 1.2 client asks."""
    assert make_context(TlsSettings(*LOCALHOST)).options & ssl.OP_NO_RENEGOTIATION


#: What is done to the records that a client sends, one time after the other: what, where, and with which octets.
MEDDLING = strategies.lists(
    strategies.tuples(
        strategies.sampled_from(["nothing", "flip", "cut", "add"]),
        strategies.integers(0, 9999),
        strategies.binary(min_size=1, max_size=40),
    ),
    max_size=8,
)


@settings_for_all(max_examples=200, deadline=None)
@given(meddling=MEDDLING, told=strategies.booleans(), version=strategies.sampled_from(["TLSv1_2", "TLSv1_3"]))
def test_whatever_becomes_of_the_bytes_of_a_client_nothing_is_raised_and_nothing_forged(meddling, told, version):
    """Octets flipped, lost or added anywhere, in the handshake and after it: a mail arrives as it was sent, or none does."""
    driver, client = judged(lambda _status: Accept(), version, CLIENT, told=told, examiner=Examiner(CA) if told else None)
    plan = iter(meddling)
    client = TlsClient(
        driver, context=client.tls.context, meddle=lambda records: meddled(records, *next(plan, ("nothing", 0, b"")))
    )
    with contextlib.suppress(ssl.SSLError, AssertionError):
        client.handshake()
        client.send(b"EHLO client.example\r\n" + MAIL)
        client.send(b"Hello\r\n.\r\n")
    driver.end()
    assert [event.content.body for event in delivered(driver)] in ([], [b"Hello\r\n"])
    assert len(closed(driver)) == 1
    assert handshakes() == 0


def meddled(records, what, place, octets):
    """Return records with something done to them, or not."""
    if what == "nothing" or not records:
        return records
    where = place % len(records)
    if what == "flip":
        return records[:where] + bytes([records[where] ^ (octets[0] or 1)]) + records[where + 1 :]
    return records[:where] + (octets if what == "add" else b"") + records[where + (what == "cut") :]


# Certificates, keys, passwords


@pytest.fixture
def locked_key(tmp_path):
    """The test key under the password "open sesame"."""
    path = tmp_path / "locked.key"
    command = ["openssl", "pkey", "-in", LOCALHOST.keyfile, "-aes256", "-passout", "pass:open sesame", "-out", path]
    subprocess.run(command, check=True, capture_output=True)
    return str(path)


def test_a_certificate_of_another_age_serves(tmp_path):
    """As tcllib's example has one: a key and a signature that OpenSSL takes only at a lower security level than Debian's."""
    certificate, key = tmp_path / "old.pem", tmp_path / "old.key"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:1024",
        "-sha1",
        "-nodes",
        "-subj",
        "/CN=old",
        "-keyout",
        key,
        "-out",
        certificate,
    ]
    subprocess.run(command, check=True, capture_output=True)
    context = make_context(TlsSettings(str(certificate), str(key)))
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_a_password_opens_the_key(locked_key):
    make_context(TlsSettings(LOCALHOST.certfile, locked_key, "open sesame"))


def test_certificate_and_key_may_be_in_one_file(tmp_path):
    both = tmp_path / "both.pem"
    both.write_text("".join(Path(path).read_text() for path in LOCALHOST))
    make_context(TlsSettings(str(both)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"certfile": "/no/such.pem"}, 'certfile is "/no/such.pem": No such file or directory'),
        ({"certfile": CLIENT.keyfile}, "certfile is .*client.key\": must be a PEM file with a certificate"),
        ({"keyfile": "/no/such.key"}, 'keyfile is "/no/such.key": No such file or directory'),
        ({"keyfile": CA}, "keyfile is .*ca.pem\": must be a PEM file with a private key"),
        ({"keyfile": ""}, "certfile is .*localhost.pem\": must be a PEM file with a private key, since keyfile is empty"),
        ({"keyfile": EXPIRED.keyfile}, "keyfile is .*expired.key\": is not the key of the certificate in .*localhost.pem"),
        ({"cipher": "NONSENSE"}, 'cipher is "NONSENSE": must be a list of OpenSSL cipher suites'),
        ({"require": True, "cafile": "/no/such.ca"}, 'cafile is "/no/such.ca": No such file or directory'),
        ({"require": True, "cafile": LOCALHOST.keyfile}, "cafile is .*localhost.key\": must hold certificates"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_said_with_its_name(wrong, message):
    with pytest.raises(ValueError, match=message):
        make_context(TlsSettings(**{"certfile": LOCALHOST.certfile, "keyfile": LOCALHOST.keyfile, **wrong}))


def test_a_wrong_password_is_said_with_the_name_of_the_key_and_not_its_own(locked_key):
    with pytest.raises(ValueError, match='locked.key": the password does not open it') as caught:
        make_context(TlsSettings(LOCALHOST.certfile, locked_key, "guess"))
    assert "guess" not in str(caught.value)
    with pytest.raises(ValueError, match='locked.key": is encrypted, and no password is set'):
        make_context(TlsSettings(LOCALHOST.certfile, locked_key))


def test_a_plain_session_does_not_load_ssl():
    program = (
        "from pysmtpd.core import Config, Session; import sys; s = Session(Config(str, str, 'h'), '', 0, ''); s.start();"
        "s.receive(b'EHLO x.example\\r\\nSTARTTLS\\r\\nQUIT\\r\\n'); assert b'221' in s.take_output();"
        "sys.exit('ssl' in sys.modules)"
    )
    subprocess.run([sys.executable, "-S", "-c", program], env=environment(), check=True)
