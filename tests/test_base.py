"""What both servers for Python have in common, on each driver."""

import errno
import os
import socket
import sys
import threading
import time
from contextlib import suppress
from unittest.mock import Mock

import pytest
from python_server import KINDS
from smtp_client import Client

from pysmtpd import ConfigurationError, Server
from pysmtpd.drivers import aio, sockets

POLLER = sockets.new_poller


@pytest.fixture(params=KINDS)
def make(request):
    """A function that makes a server, driven by each driver for Python in turn."""
    made = []

    def make(*arguments, **options):
        made.append(KINDS[request.param](*arguments, **options))
        return made[-1]

    yield make
    for server in made:
        server.end()


def test_the_address_in_every_form(make):
    made = make()
    listener = made.start()
    server = made.server
    assert (server.host, server.port) == server.addr == listener.getsockname()
    assert server.hostname == "127.0.0.1"
    assert server.url == f"smtp://127.0.0.1:{server.port}"
    with Client(server.addr) as client:
        client.hello()
        assert client.mail().code == 250
    assert [message.sender for message in server.messages] == ["a@example.org"]
    assert len(server.outbox) == 1


def test_without_listening_there_is_no_address(make):
    server = make().server
    for name in ("host", "port", "addr", "url"):
        with pytest.raises(RuntimeError, match="not listening"):
            getattr(server, name)


def test_it_calls_itself_what_the_option_says(make):
    made = make(serveraddr="mx.example")
    made.start()
    with Client(made.server.addr) as client:
        assert client.expect(220).text.split()[0] == "mx.example"
    made.server.configure({"serveraddr": ""})
    made.server.stop()
    made.start()
    with Client(made.server.addr) as client:
        assert client.expect(220).text.split()[0] == "127.0.0.1"


class Slow:
    async def add(self, message, trace):
        pass


@pytest.mark.parametrize(
    ("store", "said"), [("mail.mbox", "store.add is NoneType None"), (Slow(), "store.add is a coroutine function")]
)
def test_what_cannot_store_a_message_is_named(make, store, said):
    """Else all messages would be answered 451, or 250, with nothing stored."""
    with pytest.raises(ConfigurationError, match=said):
        make(store=store)


def test_over_ipv6(make):
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    made = make("::1")
    made.start()
    with socket.create_connection(made.server.addr) as client:
        client.sendall(b"EHLO [IPv6:::1]\r\nQUIT\r\n")
        replies = client.makefile("rb").read()
    assert b"Hello [IPv6:::1] [::1]" in replies
    assert made.server.url == f"smtp://[::1]:{made.server.port}"


def test_over_a_unix_socket(make, tmp_path):
    path = str(tmp_path / "mail")
    seen = []
    made = make(path, validate_host=seen.append)
    made.start()
    assert (made.server.host, made.server.port, made.server.url) == (path, 0, f"unix:{path}")
    with Client(made.server.host) as client:
        client.hello()
        assert client.mail().code == 250
        client.quit()
    assert seen == ["local"]
    assert made.server.messages[0].peer == ("local", 0)


def test_on_a_socket_of_ones_own(make):
    own = socket.socket()
    own.bind(("127.0.0.1", 0))
    where = own.getsockname()
    made = make(sock=own)
    assert made.start() is own
    with Client(where) as client:
        client.hello()
    made.close()
    with pytest.raises(ConnectionRefusedError):
        Client(where)


def test_a_second_start_names_the_address(make):
    made = make()
    port = made.start().getsockname()[1]
    with pytest.raises(RuntimeError, match=f"already running on .*{port}"):
        made.start()


def test_a_port_in_use_is_named_and_nothing_is_left(make):
    before = len(os.listdir("/proc/self/fd"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        made = make("127.0.0.1", port)
        loops = len(os.listdir("/proc/self/fd")) - before - 1
        with pytest.raises(OSError, match=f"127.0.0.1, port {port}.*in use"):
            made.start()
    assert len(os.listdir("/proc/self/fd")) == before + loops
    made.start()


def test_stopped_is_false_until_it_is_and_again_from_the_next_start(make):
    made = make()
    made.stop()
    assert not made.server.stopped()
    made.start()
    assert not made.server.stopped()
    assert not made.server.wait_stopped(0)
    made.stop()
    assert made.server.stopped()
    assert made.server.wait_stopped(0)
    made.start()
    assert not made.server.stopped()


def test_live_sessions_outlive_stop(make):
    made = make()
    where = made.start().getsockname()
    with Client(where) as client:
        client.hello()
        made.stop()
        with pytest.raises(ConnectionRefusedError):
            Client(where)
        assert client.mail().code == 250
        client.quit()


def test_close_tells_live_sessions_and_frees_everything(make):
    made = make()
    made.start()  # once: event loops open things of their own then
    made.close()
    before = len(os.listdir("/proc/self/fd"))
    where = made.start().getsockname()
    clients = [Client(where) for _ in range(20)]
    for client in clients:
        client.hello()
    clients[0].send("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nhalf")
    clients[0].expect(250, 250, 354)
    made.close()
    for client in clients:
        client.expect(421)
        client.expect_end()
        client.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert made.server.messages == []


def test_it_starts_again_after_close_and_keeps_its_messages(make):
    made = make()
    for count in range(1, 4):
        with Client(made.start().getsockname()) as client:
            client.hello()
            client.mail()
            assert len(made.server.messages) == count
        made.close()
        made.close()
    made.server.clear()
    assert made.server.messages == []


def test_without_keeping(make):
    made = make(keep=False)
    with Client(made.start().getsockname()) as client:
        client.hello()
        assert client.mail().code == 250
    assert made.server.messages == []


def test_wrong_options_are_named(make):
    with pytest.raises(ConfigurationError, match="no_such"):
        make(no_such=1)
    with pytest.raises(ConfigurationError, match="sock is 5"):
        make(sock=5).start()


def test_a_mock_is_a_callback(make):
    """Whatever it is asked for it has, and what it returns has as well."""
    called = Mock()
    made = make(
        validate_host=called.host, validate_sender=called.sender, validate_recipient=called.recipient, deliver=called.mail
    )
    with Client(made.start().getsockname()) as client:
        client.hello()
        assert client.mail().code == 250
    assert [name for name, *_ in called.method_calls] == ["host", "sender", "recipient", "mail"]


def test_a_message_says_its_circumstances(make):
    made = make()
    made.start()
    with Client(made.server.addr) as client:
        client.hello()
        client.command("MAIL FROM:<a@example.org> BODY=8BITMIME SIZE=10", 250)
        client.command("RCPT TO:<b@example.org> NOTIFY=NEVER", 250)
        client.command("RCPT TO:<c@example.org>", 250)
        client.command("DATA", 354)
        client.command("x\r\n.", 250)
    [message] = made.server.messages
    assert (message.helo, message.protocol, message.user, message.tls) == ("client.example", "ESMTP", None, None)
    assert message.parameters == {"BODY": "8BITMIME", "SIZE": "10"}
    assert message.recipient_parameters == ({"NOTIFY": "NEVER"}, {})
    assert message.peer[0] == "127.0.0.1"


def test_refusing_on_demand(make):
    made = make()
    made.start()
    with (
        made.server.refuse(to="full@example.org", code=452, text="4.2.2 full", times=1) as full,
        Client(made.server.addr) as client,
    ):
        client.hello()
        client.command("MAIL FROM:<a@example.org>", 250)
        assert client.command("RCPT TO:<full@example.org>", 452).text == "4.2.2 full"
        client.command("RCPT TO:<full@example.org>", 250)
        client.command("RSET", 250)
        made.server.refuse()
        assert client.mail().text == "5.0.0 Refused on demand"
        assert made.server.messages == []
    assert full.struck == 1
    assert [fault.at for fault in made.server.faults] == ["MESSAGE"]


def test_a_connection_that_breaks_and_then_does_not(make):
    made = make()
    made.start()
    made.server.drop("MESSAGE", times=1)
    with Client(made.server.addr) as client:
        client.hello()
        with pytest.raises(ConnectionError):
            client.mail()
    with Client(made.server.addr) as client:
        client.hello()
        assert client.mail().code == 250
    assert len(made.server.messages) == 1


def test_one_client_waits_and_the_others_do_not(make):
    made = make()
    made.start()
    made.server.delay(60, "NOOP")
    made.server.delay(0.01, "RSET")
    with Client(made.server.addr) as slow, Client(made.server.addr) as quick:
        slow.hello()
        quick.hello()
        slow.command("RSET", 250)
        slow.send("NOOP\r\n")
        while "C: NOOP" not in made.server.transcript:
            os.sched_yield()
        assert quick.mail().code == 250


def test_a_server_that_keeps_nothing_has_no_faults(make):
    server = make(keep=False).server
    with pytest.raises(RuntimeError, match="keep=False"):
        server.refuse()
    with pytest.raises(ValueError, match="code is 250"):
        server.refuse(code=250)


def test_an_inbox_for_each_recipient(make):
    made = make()
    made.start()
    with Client(made.server.addr) as client:
        client.hello()
        client.mail(recipients=("<b@example.org>", "<c@example.org>", "<b@example.org>"))
        client.mail(recipients=("<c@example.org>",))
    first, second = made.server.messages
    assert made.server.inboxes == {"b@example.org": [first], "c@example.org": [first, second]}


def test_a_client_that_sends_mails_ahead_lets_others_in_between(make):
    delivered = []

    def deliver(sender, *_):
        time.sleep(0.002)  # a callback that works
        delivered.append(sender)

    made = make(deliver=deliver)
    made.start()
    mail = b"MAIL FROM:<ahead@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\nSubject: x\r\n\r\nhi\r\n.\r\n"
    with Client(made.server.addr) as ahead, Client(made.server.addr) as other:
        ahead.hello()
        other.hello()
        ahead.send(mail * 1000)
        ahead.expect(250, 250, 354, 250)
        assert other.mail("<other@b.c>").code == 250
        assert len(delivered) < 500
        ahead.expect(*[250, 250, 354, 250] * 999)
    assert delivered.count("<ahead@b.c>") == 1000


@pytest.fixture
def quick_switches():
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def no_descriptor_left(monkeypatch):
    """A function that says that from now on there is none left for a poller, or that there are some again."""

    def fail():
        raise OSError(errno.EMFILE, "Too many open files")

    def change(left):
        for module in (sockets, aio):
            monkeypatch.setattr(module, "new_poller", fail if left else POLLER)

    return change


def test_what_a_start_in_vain_has_opened_is_closed_again(make, no_descriptor_left, tmp_path):
    path = str(tmp_path / "mail")
    for host in ("127.0.0.1", path):
        made = make(host)
        no_descriptor_left(True)
        descriptors = os.listdir("/proc/self/fd")
        with pytest.raises(OSError, match="Too many"):
            made.start()
        assert os.listdir("/proc/self/fd") == descriptors
        no_descriptor_left(False)
        assert not os.path.exists(path)
        made.start()
        assert made.server.host == host


def test_a_socket_of_ones_own_outlives_a_start_in_vain(make, no_descriptor_left):
    with socket.socket() as given:
        given.bind(("127.0.0.1", 0))
        made = make(sock=given)
        no_descriptor_left(True)
        with pytest.raises(OSError, match="Too many"):
            made.start()
        no_descriptor_left(False)
        assert made.start() is given
        made.close()


def test_options_are_set_from_many_threads_at_once(quick_switches):
    """And none is lost, while the server looks at them."""
    failures = []

    def change(name):
        try:
            for _ in range(300):
                server.configure({name: None})
                server.configure({name: print})
        except Exception as error:
            failures.append(error)

    with Server() as server:
        names = ("validate_host", "validate_sender", "validate_recipient", "validate_user")
        threads = [threading.Thread(target=change, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert [server.cget(name) for name in names] == [print] * 4


def test_where_it_listens_can_be_asked_while_others_start_and_stop_it(quick_switches):
    def restart():
        for _ in range(500):
            server.start()
            server.stop()

    server = Server()
    thread = threading.Thread(target=restart)
    thread.start()
    while thread.is_alive():
        with suppress(RuntimeError):  # not listening
            assert server.host == "127.0.0.1"
    thread.join()
    server.close()


@pytest.mark.parametrize("again", [False, True])
def test_whoever_closes_the_listening_socket_by_hand_harms_nobody(make, again):
    """As a script does that has it from ``start``."""
    made = make()
    listener = made.start()
    with Client(made.server.addr) as client:
        client.hello()
        listener.close()
        if again:
            with Client(made.start().getsockname()) as other:
                other.hello()
        made.close()
        client.expect(421)
        client.expect_end()
