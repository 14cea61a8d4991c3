"""Connections of the Tcl drivers: clients that leave, stall, do not read, or are too many. Everything returns, and others are served meanwhile."""

import socket
import zlib

import pytest

COUNT = 'proc d args {incr ::delivered}; set delivered 0; smtpd::configure -deliver d\nproc bgerror m {puts "background error: $m"; flush stdout}\n'
LEFT = "list [info vars ::smtpd::state_*] [array size ::pysmtpd::channels] [array size ::pysmtpd::numbers] [array size ::pysmtpd::suspended]"
NOTHING_LEFT = "{} 0 0 0"
TRANSACTION = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"


def channels(server):
    """Return how many connections the script has."""
    return len([name for name in server.eval("chan names").split() if name.startswith("sock")])


def test_a_client_that_leaves_in_data_delivers_nothing(serve):
    server = serve(COUNT)
    for leave in ("close", "reset", "end"):
        with server.client() as client:
            client.hello()
            client.send(TRANSACTION + b"half a mess")
            client.expect(250, 250, 354)
            getattr(client, leave)()
            if leave == "end":
                client.expect_end()
    server.wait_until(LEFT, NOTHING_LEFT)
    assert server.eval("set delivered") == "0"
    with server.client() as client:
        client.hello()
        assert client.mail().code == 250


def test_a_command_cut_off_by_the_end_is_not_executed(serve):
    server = serve(COUNT)
    with server.client() as client:
        client.hello()
        client.send(TRANSACTION + b"x\r\n.")
        client.end()
        client.expect(250, 250, 354)
        client.expect_end()
    assert server.eval("set delivered") == "0"


def test_two_hundred_connections_leave_nothing(serve):
    server = serve(COUNT)
    before = channels(server)
    for number in range(200):
        with server.client() as client:
            if number % 4 == 0:
                client.hello()
                client.quit()
            elif number % 4 == 1:
                client.expect(220)
                client.send(TRANSACTION[:20])
                client.reset()
            elif number % 4 == 2:
                client.expect(220)
    server.wait_until(LEFT, NOTHING_LEFT)
    server.wait_until("llength [lsearch -all -inline [chan names] sock*]", str(before))
    assert "background" not in " ".join(server.printed)


def test_a_session_in_one_segment_half_closed_gets_all_its_replies(serve):
    server = serve(COUNT)
    with server.client() as client:
        client.send(b"EHLO x\r\n" + TRANSACTION + b"x\r\n.\r\nQUIT\r\n")
        client.end()
        client.expect(220, 250, 250, 250, 354, 250, 221)
        client.expect_end()
    server.wait_until(LEFT, NOTHING_LEFT)


def test_the_goodbye_arrives_with_more_behind_the_quit(serve):
    server = serve(COUNT)
    before = server.eval("llength [lsearch -all -inline [chan names] sock*]")
    for size in (10, 300_000):
        with server.client() as client:
            client.expect(220)
            client.send(b"QUIT\r\n" + b"NOOP\r\n" * (size // 6))
            client.expect(221)
            client.expect_end()
    server.wait_until(LEFT, NOTHING_LEFT)
    server.wait_until("llength [lsearch -all -inline [chan names] sock*]", before)
    # No timer waits to close a channel of that name: the next connection may have it.
    assert server.eval("lsearch -all -inline [lmap timer [after info] {after info $timer}] *close*") == ""


def test_a_partial_line_stalls_nobody(serve):
    server = serve(COUNT)
    with server.client() as slow, server.client() as other:
        slow.expect(220)
        slow.send("EHLO fo")
        other.hello()
        assert other.mail().code == 250
        slow.send("o.example\r\n")
        slow.expect(250)


def test_one_octet_at_a_time(serve):
    server = serve(COUNT)
    with server.client() as client:
        for octet in b"EHLO x\r\n" + TRANSACTION + b"..x\r\n.\r\nQUIT\r\n":
            client.send(bytes([octet]))
        client.expect(220, 250, 250, 250, 354, 250, 221)


def test_a_client_that_does_not_read_is_throttled_and_loses_nothing(serve):
    server = serve(COUNT)
    with server.client(receive_buffer=4096) as client:
        client.expect(220)
        sent, stuck = client.send_until_stuck(b"NOOP\r\n", limit=40_000_000)
        assert stuck, f"{sent} octets were taken with no reply read"
        with server.client() as other:
            other.hello()
            assert other.mail().code == 250
        pending = server.eval(
            "lmap channel [lsearch -all -inline [chan names] sock*] {expr {[catch {chan pending output $channel} n] ? 0 : $n}}"
        )
        assert max(map(int, pending.split())) < 4_000_000
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        wanted = b"250 OK\r\n" * (sent // 6)
        received = bytearray()
        while len(received) < len(wanted):
            received += client.socket.recv(1 << 20)
        assert received == wanted
        client.send(b"NOOP\r\n"[sent % 6 :] + b"QUIT\r\n")
        client.expect(250, 221)


def test_sixty_thousand_commands_are_all_answered(serve):
    server = serve(COUNT)
    with server.client() as client:
        client.expect(220)
        client.socket.setblocking(False)
        data = memoryview(b"NOOP\r\n" * 60_000 + b"QUIT\r\n")
        received = b""
        client.socket.settimeout(0.01)
        while b"\r\n221 " not in received:
            for step in (lambda: client.socket.send(data[:65536]) if data else 0, lambda: client.socket.recv(65536)):
                try:
                    done = step()
                except TimeoutError:
                    continue
                if isinstance(done, int):
                    data = data[done:]
                else:
                    assert done, "closed"
                    received += done
        assert received.startswith(b"250 OK\r\n" * 60_000 + b"221 ")


def test_a_large_body_arrives_as_sent(serve):
    script = """
    proc d {s r data} {
        set ::text [join [lrange $data 4 end] \\n]
    }
    smtpd::configure -deliver d
    """
    server = serve(script)
    line = bytes(octet for octet in range(256) if octet not in b"\r\n\0") + b"x" * 80
    body = b"".join((b"." if number % 3 == 0 else b"") + b"%d " % number + line + b"\r\n" for number in range(10_000))
    body = body.replace(b"\r\n.", b"\r\n..")
    with server.client() as client:
        client.hello()
        assert client.mail(body=b"first\r\n" + body).code == 250
    wanted = (b"first\r\n" + body).replace(b"\r\n..", b"\r\n.").replace(b"\r\n", b"\n").removesuffix(b"\n")
    assert int(server.eval("string length $text")) == len(wanted)
    assert int(server.eval("zlib crc32 [encoding convertto iso8859-1 $text]")) == zlib.crc32(wanted)


@pytest.mark.parametrize("profile", ["tcllib-1.5", "rfc5321"])
def test_the_lines_of_a_large_message_are_those_sent(serve, profile):
    """Empty ones, long ones, octets of every kind; though they reach Tcl in pieces."""
    server = serve("proc d {s r data} { set ::lines $data }\nsmtpd::configure -deliver d -profile " + profile)
    kinds = [b"", b"", b"x" * 70, b"y" * 300_000, b"\0 and more", bytes(range(128, 256)), b"z " * 3_000]
    lines = [kinds[number * number % 7] for number in range(300)] + [b"%d" % number for number in range(30_000)] + [b""] * 3
    with server.client() as client:
        client.hello()
        assert client.mail(body=b"".join(line + b"\r\n" for line in lines)).code == 250
    assert int(server.eval("llength $lines")) - len(lines) in (4, 5)  # the trace header
    said = server.eval(f"zlib crc32 [encoding convertto iso8859-1 [join [lrange $lines end-{len(lines) - 1} end] \\n]]")
    assert int(said) == zlib.crc32(b"\n".join(lines))


def test_an_http_request_is_turned_away(serve):
    server = serve(COUNT)
    with server.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\n\r\nEHLO x\r\n" + TRANSACTION + b"x\r\n.\r\n")
        client.expect(220, 421)
        client.expect_end()
    assert server.eval("set delivered") == "0"


def test_a_connection_too_many_is_421_and_the_others_live(serve):
    server = serve(COUNT + "set ::pysmtpd::max_sessions 3")
    clients = [server.client() for _ in range(3)]
    for client in clients:
        client.hello()
    with server.client() as surplus:
        surplus.expect(421)
        surplus.expect_end()
    for client in clients:
        assert client.mail().code == 250
    clients.pop().close()
    server.wait_until("array size ::pysmtpd::channels", "2")
    with server.client() as client:
        client.hello()
    for client in clients:
        client.close()
    server.wait_until(LEFT, NOTHING_LEFT)


def test_connections_that_a_script_has_closed_do_not_count(serve):
    server = serve(COUNT + "set ::pysmtpd::max_sessions 3")
    with server.client() as other:
        other.hello()
        for _ in range(6):
            with server.client() as client:
                client.hello()
                server.eval("close [dict get [array get ::pysmtpd::channels] [set ::pysmtpd::serial]]")
                client.expect_end()
        other.command("NOOP", 250)


def test_the_number_of_sessions_stays_below_the_wall_of_select(serve_tkinter):
    server = serve_tkinter()
    limit = int(server.eval("set ::pysmtpd::max_sessions"))
    assert limit <= 1000 or server.eval("package vsatisfies [package provide Tcl] 9-") == "1"


def test_many_clients_at_once(serve):
    server = serve(COUNT)
    clients = [server.client() for _ in range(60)]
    for client in clients:
        client.send(b"EHLO x\r\n" + TRANSACTION + b"x\r\n.\r\nQUIT\r\n")
    for client in clients:
        client.expect(220, 250, 250, 250, 354, 250, 221)
        client.expect_end()
        client.close()
    assert server.eval("set delivered") == "60"
    server.wait_until(LEFT, NOTHING_LEFT)


def test_binary_rubbish_is_answered(serve):
    server = serve(COUNT)
    for rubbish in (bytes(range(256)), b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\xff\xfb\x1f\xff\xfd\x03"):
        with server.client() as client:
            client.expect(220)
            client.send(rubbish + b"\r\nQUIT\r\n")
            replies = client.rest()
            assert replies.startswith(b"500 ")
            assert b"\r\n221 " in replies


@pytest.mark.parametrize("when", ["greeted", "in data"])
def test_stop_leaves_live_sessions_alone(serve, when):
    server = serve(COUNT)
    with server.client() as client:
        client.hello()
        if when == "in data":
            client.send(TRANSACTION)
            client.expect(250, 250, 354)
        server.eval("smtpd::stop")
        if when == "in data":
            client.send(b"x\r\n.\r\n")
            client.expect(250)
        assert client.mail().code == 250
        client.quit()
    server.wait_until(LEFT, NOTHING_LEFT)


def test_what_a_script_says_to_a_stderr_that_it_has_closed_does_not_reach_the_engine(serve_stock):
    server = serve_stock(f"{COUNT}close stderr; smtpd::cget -profile")
    server.eval("catch {puts stderr {what a script says}; flush stderr}")
    with server.client() as client:
        client.hello()
        assert client.mail().code == 250


def test_a_script_may_cancel_all_timers_in_its_callbacks(serve):
    cancel = "foreach timer [after info] {after cancel $timer}; after 1 {set ::waited 1}; vwait ::waited"
    server = serve(f"{COUNT}proc v a {{{cancel}}}; smtpd::configure -validate_sender v -validate_recipient v")
    clients = [server.client() for _ in range(5)]
    for client in clients:
        client.hello()
        client.send(TRANSACTION)
    for client in clients:
        client.expect(250, 250, 354)
        client.send(b"hello\r\n.\r\nQUIT\r\n")
    for client in clients:
        client.expect(250, 221)
        client.close()
    assert server.eval("set delivered") == "5"
