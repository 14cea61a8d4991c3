"""Descriptors, memory and state, against every driver: whatever clients do, it all returns."""

import os
import resource
import signal
import threading

import pytest
from subject import in_threads
from tclsh import children_of, wait_gone

MEGABYTE = 1 << 20
ENVELOPE = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"

#: For what there is in Tcl alone.
TCL = pytest.mark.parametrize("driver", ["tclsh", "tkinter"], indirect=True, scope="module")


@pytest.fixture
def many_descriptors():
    """As many descriptors as the system allows, for clients by the thousand."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limits[1], 8192), limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def greeted(server, count):
    """Return so many connections that have had their greeting: 220, or 421 for those that there is no room for."""
    clients, codes = [], []
    for _ in range(count):
        client = server.client()
        clients.append(client)
        codes.append(client.reply().code)
    return clients, codes


def test_connections_by_the_hundred_leave_nothing(server):
    server.assert_alive()
    descriptors = server.descriptors()

    def visit(number):
        for turn in range(50):
            with server.client() as client:
                match (number + turn) % 5:
                    case 0:
                        client.hello()
                        client.quit()
                    case 1:
                        client.expect(220)
                        client.reset()
                    case 2:
                        client.hello()
                        client.send(ENVELOPE + b"half")
                        client.expect(250, 250, 354)
                        client.reset()
                    case 3:
                        client.reset()

    in_threads(8, visit)
    server.wait_nothing_left(descriptors)
    assert server.delivered() == 1
    server.assert_alive()


def test_resets_in_data_by_the_hundred_leave_no_memory(server):
    def waste(count):
        for _ in range(count):
            with server.client() as client:
                client.hello()
                client.send(ENVELOPE)
                client.expect(250, 250, 354)
                client.send(b"x" * 100_000)
                client.reset()

    server.assert_alive()
    descriptors = server.descriptors()
    waste(100)
    server.wait_nothing_left(descriptors)
    before = server.memory()
    waste(300)
    server.wait_nothing_left(descriptors)
    assert server.memory() - before < 8 * MEGABYTE
    assert server.delivered() == 1


def test_more_clients_than_select_can_hold_are_served_or_told_421_and_all_returns(server, many_descriptors):
    """The stock package dies of the 1,024th descriptor."""
    server.assert_alive()
    descriptors = server.descriptors()
    clients, codes = greeted(server, 1200)
    try:
        assert set(codes) <= ({220, 421} if server.speaks_tcl else {220})
        assert codes.count(220) >= 900
        first = clients[0]
        first.command("EHLO client.example", 250)
        assert first.mail().code == 250
    finally:
        for client in clients:
            client.close()
    server.wait_nothing_left(descriptors)
    server.assert_alive()


def test_clients_that_said_goodbye_and_go_on_sending_count_as_well(server, many_descriptors):
    """A session is over with its QUIT; its connection is not, as long as there is something behind it to read."""
    server.assert_alive()
    clients = []
    try:
        for _ in range(1200):
            client = server.client()
            clients.append(client)
            if client.reply().code == 220:
                client.send(b"QUIT\r\n" + b"x" * 270_000)
                client.expect(221)
    finally:
        for client in clients:
            client.close()
    server.assert_alive()


@TCL
def test_a_connection_that_is_over_does_not_take_a_later_one_along(start, driver):
    """The timer that ends what lingers knows a channel by its name, and Tcl gives names out again."""
    server = start()
    server.script.eval("set ::pysmtpd::linger 300")
    for _ in range(10):
        with server.client() as client:
            client.expect(220)
            client.send(b"QUIT\r\n" + b"x" * 270_000)
            client.expect(221)
    clients, _ = greeted(server, 20)
    server.script.eval("after 400 {set over 1}; vwait over")
    for client in clients:
        client.command("NOOP", 250)
        client.close()


@TCL
def test_a_script_that_has_files_open_does_not_bring_the_wall_nearer(start, driver, many_descriptors):
    server = start()
    server.script.eval("for {set i 0} {$i < 300} {incr i} {lappend files [open /dev/null]}; llength $files")
    clients, codes = greeted(server, 800)
    assert set(codes) == {220, 421}
    assert codes.count(220) > 500
    for client in clients:
        client.close()
    server.wait_nothing_left(10_000)
    server.assert_alive()


def test_out_of_descriptors_it_waits_and_recovers_and_does_not_spin(start, driver):
    server = start(doomed=True)  # it says that it cannot accept
    server.assert_alive()
    descriptors = server.descriptors()
    own = len(os.listdir(f"/proc/{server.pid}/fd"))
    _, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (own + 20, hard))
    if server.speaks_tcl:
        server.script.eval("set ::pysmtpd::room 0")  # it has counted already
    clients = [server.client() for _ in range(40)]
    try:
        clients[0].expect(220)
        clients[0].command("EHLO client.example", 250)
        assert clients[0].mail().code == 250
        before = server.cpu()
        # Nothing can be waited for that does not come: a second is long enough to see somebody spin.
        threading.Event().wait(1.0)
        used = server.cpu() - before
        for client in clients:
            client.close()
        server.wait_nothing_left(descriptors)
        server.assert_alive()
        assert used < 0.5, f"{used:.2f} s of CPU in a second with nothing to do"
    finally:
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (hard, hard))


def test_limits_are_options(start):
    server = start(profile="rfc5321", line_limit=600, size_limit=1000, recipient_limit=2, error_limit=4)
    with server.client() as client:
        client.hello()
        client.command("NOOP " + "x" * 500, 250)
        client.command("NOOP " + "x" * 600, 500)
        client.command("MAIL FROM:<a@b.example>", 250)
        for code in (250, 250, 452):
            client.command("RCPT TO:<c@d.example>", code)
        client.command("DATA", 354)
        client.send(b"x" * 2000 + b"\r\n.\r\n")
        client.expect(552)
        client.command("X", 500, 421)
        client.expect_end()
    server.assert_alive()


def test_a_silent_client_is_told_and_a_client_that_waits_for_a_callback_is_not_silent(start):
    server = start(idle_timeout=0.4, **({"validate_sender": "wait_until_told"}))
    descriptors = server.descriptors()
    with server.client() as silent, server.client() as waiting:
        if server.speaks_tcl:  # there, others are served while a callback runs the event loop
            waiting.hello()
            waiting.send(b"MAIL FROM:<a@b.example>\r\n")
            server.wait_waiting()
        silent.expect(220, 421)
        silent.expect_end()
        if server.speaks_tcl:
            server.go_on()
            waiting.expect(250)
    server.wait_nothing_left(descriptors)


def test_idle_clients_cost_no_cpu(server):
    clients, _ = greeted(server, 200)
    before = server.cpu()
    threading.Event().wait(1.0)
    used = server.cpu() - before
    for client in clients:
        client.close()
    assert used < 0.2


def test_a_slow_client_and_a_fast_one_by_turns_for_all_of_a_large_body(server):
    """Ten clients that send a large body in small pieces, by turns: each arrives whole."""
    clients = [server.client() for _ in range(10)]
    for client in clients:
        client.hello()
        client.send(ENVELOPE)
        client.expect(250, 250, 354)
    for piece in range(200):
        for number, client in enumerate(clients):
            client.send(b"%d %d " % (number, piece) + b"x" * 1000 + b"\r\n")
    for number, client in enumerate(clients):
        client.send(b".\r\n")
        client.expect(250)
        assert len(server.last()) == 200
        assert all(line.startswith(f"{number} {piece} ") for piece, line in enumerate(server.last()))
        client.close()
    assert server.delivered() == 10


@pytest.mark.parametrize("blow", ["SIGKILL", "SIGTERM", "SIGINT"])
@TCL
def test_whatever_ends_the_process_no_child_is_left(start, driver, blow):
    """The engine of a stock tclsh runs in a child: it goes with it, and clients see the end."""
    server = start(doomed=True)
    children = children_of(server.pid)
    assert len(children) == (driver == "tclsh")
    with server.client() as client:
        client.hello()
        os.kill(server.pid, getattr(signal, blow))
        for process in [server.pid, *children]:
            wait_gone(process)
        client.rest()


def test_hundreds_of_clients_at_once_while_the_server_is_held_up_are_all_greeted(server, many_descriptors):
    """They wait to be accepted: none is refused, and none is forgotten."""
    server.assert_alive()
    descriptors = server.descriptors()
    os.kill(server.pid, signal.SIGSTOP)
    clients = []
    try:
        for _ in range(900):
            clients.append(server.client())
    finally:
        os.kill(server.pid, signal.SIGCONT)
    for client in clients:
        client.expect(220)
        client.close()
    server.wait_nothing_left(descriptors)
