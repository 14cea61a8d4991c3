"""Callbacks that go wrong, in every driver and both languages: each outcome has its one answer, and the server goes on."""

import pytest
import raising
from smtp_client import DEADLINE, Client
from subject import in_threads
from tclsh import wait_gone

PYTHON = [f"raising:{name}" for name in vars(raising) if name[0].islower() and name not in ("pysmtpd", "raising")]
TCL_ONLY = ["raise", "raise_code", "raise_lines", "raise_accents", "raise_long", "raise_nonsense_code"]
TCL_ONLY += ["raise_break", "raise_continue", "raise_return", "raise_seven"]
WITHOUT_CODE = {"validate_host": 550, "validate_sender": 553, "validate_recipient": 553, "deliver": 554}
#: What an option is when nothing is to go wrong any more: by whether it is Tcl's, and its name.
KEEP = {(tcl, option): '""' if tcl else "" for tcl in (True, False) for option in WITHOUT_CODE} | {(True, "deliver"): "keep"}

#: For what there is in Tcl alone.
TCL = pytest.mark.parametrize("driver", ["tclsh", "tkinter"], indirect=True, scope="module")


def behaviours(server):
    return PYTHON + (TCL_ONLY if server.speaks_tcl else [])


def refused(client, option):
    """Go on until the callback is asked; return the reply that it causes."""
    if option == "validate_host":
        return client.reply()
    client.expect(220)
    client.command("EHLO client.example", 250)
    reply = client.command("MAIL FROM:<a@b.example>")
    if option == "validate_sender":
        return reply
    reply = client.command("RCPT TO:<c@d.example>")
    if option == "validate_recipient":
        return reply
    client.command("DATA", 354)
    client.send("x\r\n.\r\n")
    return client.reply()


@pytest.mark.parametrize("option", WITHOUT_CODE)
def test_whatever_a_callback_raises_is_one_refusal_and_the_session_goes_on(server, option):
    """The client checks the form of every reply: no line break, control or foreign character of the callback's gets through."""
    for behaviour in behaviours(server):
        server.configure(**{option: behaviour})
        with server.client() as client:
            reply = refused(client, option)
            assert reply.code == (451 if behaviour in ("raise_code", "raising:code") else WITHOUT_CODE[option]), behaviour
            if option != "validate_host":
                client.command("NOOP", 250)
            client.quit()
    server.configure(**{option: KEEP[server.speaks_tcl, option]})
    server.assert_alive()


@pytest.mark.parametrize("option", WITHOUT_CODE)
def test_stop_in_a_callback_and_its_client_is_served_to_the_end(start, option):
    server = start(**{option: "stop"})
    with server.client() as client:
        client.hello()
        assert client.mail().code == 250
        client.quit()


@pytest.mark.parametrize("option", WITHOUT_CODE)
def test_start_anew_in_a_callback_and_its_client_is_served_to_the_end(start, option):
    server = start(**{option: "restart"})
    with server.client() as client:
        client.hello()
        assert client.mail().code == 250
        client.quit()
    server.configure(**{option: KEEP[server.speaks_tcl, option]})
    server.find()
    server.assert_alive()


@pytest.mark.parametrize("option", WITHOUT_CODE)
def test_configure_in_a_callback_and_its_client_is_served_to_the_end(start, option):
    """In one segment: the settings are new for commands that are there already."""
    server = start(**{option: "reconfigure"})
    with server.client() as client:
        client.send(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nx\r\n.\r\nNOOP\r\nQUIT\r\n")
        client.expect(220, 250, 250, 250, 354, 250, 250, 221)
        client.expect_end()
    with server.client() as client:
        assert "changed" in client.reply().text
        client.command("EHLO client.example", 250)
        assert client.mail(body=b"x" * 2000 + b"\r\n").code == 552


@pytest.mark.parametrize("option", WITHOUT_CODE)
@TCL
def test_a_callback_may_call_the_verbs(start, driver, option):
    """Each says its own reply, before that to the command whose callback it is. It was an endless loop in a stock tclsh."""
    server = start(**{option: "call_verbs"})
    with server.client() as client:
        reply = client.reply()
        if option == "validate_host":
            assert reply.code == 250
            client.expect(250, 220)
        client.send(b"EHLO x\r\nNOOP\r\nMAIL FROM:<a@b.example>\r\n")
        client.expect(250, 250, *([250, 250] if option == "validate_sender" else []), 250)
        client.send(b"RCPT TO:<c@d.example>\r\n")
        client.expect(*([250, 250] if option == "validate_recipient" else []), 250)
        if option != "validate_recipient":  # which has reset the transaction
            client.command("DATA", 354)
            client.send("x\r\n.\r\n")
            client.expect(*([250, 250] if option == "deliver" else []), 250)
        client.quit()
    server.configure(**{option: KEEP[True, option]})
    server.assert_alive()


@pytest.mark.parametrize("option", WITHOUT_CODE)
@TCL
def test_a_script_that_exits_in_a_callback_has_said_what_was_to_be_said_and_leaves_no_child(start, driver, option):
    server = start(doomed=True, **{option: "leave"})
    family = server.family()
    with server.client() as client:
        client.send(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nx\r\n.\r\n")
        before = {"validate_host": [], "validate_sender": [220, 250], "validate_recipient": [220, 250, 250]}
        for code in before.get(option, [220, 250, 250, 250, 354]):
            client.expect(code)
        client.expect_end()
    for process in family:
        wait_gone(process)
    assert server.script.process.wait(DEADLINE) == 5


@pytest.mark.parametrize("option", WITHOUT_CODE)
@TCL
def test_a_callback_may_delete_the_interpreter_of_its_server(start, driver, option):
    """A server in an interpreter of its own goes with it, and so does its engine; the other one serves on."""
    server = start()
    server.assert_alive()
    family, descriptors = len(server.family()), server.descriptors()
    server.script.eval("interp create inner; proc end args {interp delete inner}; interp alias inner end {} end")
    server.script.eval(f"inner eval {{package require smtpd; smtpd::configure -{option} end}}")
    port = server.script.eval("inner eval {lindex [fconfigure [smtpd::start 127.0.0.1 0] -sockname] 2}")
    with Client(("127.0.0.1", int(port))) as client:
        client.send(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n")
        client.rest()
    server.wait_nothing_left(descriptors)
    server.assert_alive()
    assert len(server.family()) <= family


@pytest.mark.parametrize("option", WITHOUT_CODE)
@TCL
def test_a_callback_may_close_its_connection(start, driver, option):
    server = start(**{option: "close_channel"})
    descriptors = server.descriptors()
    with server.client() as client:
        client.send(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n")
        client.rest()
    server.configure(**{option: KEEP[True, option]})
    server.wait_nothing_left(descriptors)
    server.assert_alive()


@pytest.mark.parametrize("option", ["validate_host", "validate_sender", "deliver"])
def test_a_client_that_does_not_wait_for_a_callback_is_answered_in_order(start, option):
    """Everything at once, QUIT included, while the callback still runs: before the greeting, too."""
    server = start(**{option: "wait_until_told"})
    with server.client() as client:
        client.send(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nx\r\n.\r\nNOOP\r\nQUIT\r\n")
        server.wait_waiting()
        if option == "validate_host":
            client.socket.setblocking(False)
            with pytest.raises(BlockingIOError):
                client.socket.recv(1)
            client.socket.settimeout(DEADLINE)
        server.go_on()
        client.expect(220, 250, 250, 250, 354, 250, 250, 221)
        client.expect_end()


@pytest.mark.parametrize("leave", ["close", "reset", "end"])
def test_a_client_that_leaves_while_a_callback_runs_leaves_nothing(start, leave):
    server = start(validate_sender="wait_until_told")
    descriptors = server.descriptors()
    with server.client() as client:
        client.hello()
        client.send(b"MAIL FROM:<a@b.example>\r\n")
        server.wait_waiting()
        getattr(client, leave)()
        server.go_on()
        if leave == "end":
            client.rest()
    server.wait_nothing_left(descriptors)


@TCL
def test_a_callback_that_runs_the_event_loop_for_ever_keeps_only_its_own_client(start, driver):
    server = start(validate_sender="wait_until_told")
    with server.client() as stuck:
        stuck.hello()
        stuck.send(b"MAIL FROM:<a@b.example>\r\n")
        server.wait_waiting()
        server.configure(validate_sender='""')
        for _ in range(3):
            server.assert_alive()
        server.go_on()
        stuck.expect(250)


@TCL
def test_a_callback_that_starts_what_runs_already_refuses(start, driver):
    server = start(validate_recipient="start")
    with server.client() as client:
        client.hello()
        client.command("MAIL FROM:<a@b.example>", 250)
        client.command("RCPT TO:<c@d.example>", 553)  # "already running"
        client.quit()


@TCL
def test_many_clients_of_a_callback_that_waits_a_moment(start, driver):
    server = start(validate_sender="wait_a_moment", validate_recipient="wait_a_moment")
    descriptors = server.descriptors()

    def deliver(_):
        with server.client() as client:
            client.hello()
            assert client.mail().code == 250
            client.quit()

    in_threads(8, deliver)
    assert server.delivered() == 8
    server.wait_nothing_left(descriptors)


MONSTERS = {
    "no header": b"just a body\r\n",
    "nothing": b"",
    "only colons": b":\r\n:\r\n\r\n:\r\n",
    "no boundary": b"Content-Type: multipart/mixed\r\n\r\nx\r\n",
    "boundary never used": b"Content-Type: multipart/mixed; boundary=b\r\n\r\nx\r\n",
    "boundary never closed": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n",
    "bad base64": b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n=!!!===\r\nA\r\n",
    "unknown encoding": b"Content-Transfer-Encoding: rot13\r\n\r\nx\r\n",
    "unknown charset": b"Content-Type: text/plain; charset=x-none\r\n\r\n\xff\xfe\r\n",
    "encoded words": b"Subject: =?utf-8?q?=ff=fe?= =?x-none?b?????=\r\n\r\nx\r\n",
    "nested": b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(400))
    + b"\r\nx\r\n",
    "headers": b"".join(b"X-%d: y\r\n" % n for n in range(20_000)) + b"\r\nx\r\n",
    "one long header": b"Subject: " + b"x" * 500_000 + b"\r\n\r\nx\r\n",
    "many parameters": b"Content-Type: text/plain" + b"; a=b" * 20_000 + b"\r\n\r\nx\r\n",
    "quotes": b'Content-Type: text/plain; name="' + b"\\" * 50_000 + b"\r\n\r\nx\r\n",
    "comments": b"Date: " + b"(" * 20_000 + b"\r\nMime-Version: " + b"(" * 20_000 + b"\r\n\r\nx\r\n",
    "parts": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 2_000 + b"--b--\r\n",
}


@pytest.mark.parametrize("monster", MONSTERS)
def test_a_message_that_is_hardly_one_is_answered_in_time(mime_server, monster):
    """With deliverMIME set, the message is parsed before the callback sees it: taken or refused, but answered."""
    body = MONSTERS[monster]
    with mime_server.client() as client:
        client.hello()
        assert client.mail(body=body).code in (250, 554)
        client.command("NOOP", 250)
    with mime_server.client() as client:
        client.hello()
        assert client.mail().code == 250


@pytest.fixture(scope="module")
def mime_server(running):
    running.configure(deliverMIME="look")
    yield running
    running.configure(deliverMIME='""' if running.speaks_tcl else "")
