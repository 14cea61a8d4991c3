"""Known replies: what may be told, how much of it; and that nobody can see that it is, nor that the engine hears of it later."""

import itertools
import os
import random
import re
import signal

import pytest

from pysmtpd import clock
from pysmtpd.core import TCLLIB_1_5, Config, Session
from pysmtpd.drivers.known_replies import CAPACITY, KnownReplies

DELIVER = """
proc deliver {sender recipients data} {puts [list delivered $sender $recipients [lindex $data end]]; flush stdout}
smtpd::configure -deliver deliver
"""
# One that has the engine asked each time: no line stays known, and who has looked at the name of a connection may
# have used it.
ASKED = """
trace add variable ::pysmtpd::known write {apply {args {array unset ::pysmtpd::known}}}
proc deliver {sender recipients data} {
    upvar 1 channel channel
    set channel
    puts [list delivered $sender $recipients [lindex $data end]]
    flush stdout
    if {[info exists ::then]} {
        eval $::then
    }
}
smtpd::configure -deliver deliver
"""
LINES = (
    "RSET", "RSET", "NOOP", "HELO one", "EHLO two", "MAIL FROM:<a@b>", "MAIL FROM:<a@b>", "MAIL FROM:<c@d>", "RCPT TO:<e@f>",
    "RCPT TO:<e@f>", "RCPT TO:<postmaster>", "rcpt to:<g@h>", "DATA", "DATA", "HELP", "HELP MAIL", "VRFY x", "MAIL FROM:<a@b> X=1",
    "MAIL FROM:", "NONSENSE", "", "data x", "\xe9",
)  # fmt: skip
RARE = 5  # of them, the last ones: after an error a session has no standing
BEHIND = "RSET\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"
LEFT = "list {*}[array get ::pysmtpd::untold] {*}[array get ::pysmtpd::standing]"


def greeted():
    session = Session(Config(clock.timestamp, clock.new_id, "host", TCLLIB_1_5), "127.0.0.1", 1, "")
    session.start()
    session.receive(b"EHLO x\r\n")
    while session.next_event() is not None:
        pass
    session.take_output()
    return session


def test_an_exchange_is_told_when_it_has_come_twice_and_once():
    known, session = KnownReplies(), greeted()
    standing = known.number(session.standing)
    assert standing
    assert [known.is_new(standing, b"RSET\r\n", session, standing) for _ in range(3)] == [False, True, False]
    known.forget()
    assert known.number(session.standing) > standing


@pytest.mark.parametrize("line", [b"RSET", b"RSET\r\nRSET\r\n", b"\r\n", b"a\0b\r\n", b"\xe9\r\n", b"x" * 511 + b"\r\n"])
def test_what_is_not_one_plain_line_is_never_told(line):
    known, session = KnownReplies(), greeted()
    assert not any(known.is_new(1, line, session, 1) for _ in range(3))


def test_there_is_an_end_to_what_is_kept():
    known, session = KnownReplies(), greeted()
    told = sum(known.is_new(1, b"NOOP %d\r\n" % (number // 2), session, 1) for number in range(4 * CAPACITY))
    assert told == CAPACITY
    numbers = [known.number((number,)) for number in range(2 * CAPACITY)]
    assert len(set(numbers)) == CAPACITY + 1
    assert numbers[-1] == 0


def test_a_session_has_no_standing_in_the_middle_of_something():
    session = greeted()
    assert session.standing
    for before, after in ((b"MAI", b"L FROM:<a@b>\r\n"), (b"RCPT TO:<c@d>\r\nDATA\r\n", b"x\r\n.\r\n")):
        session.receive(before)
        assert session.standing is None
        session.receive(after)
        assert session.standing
    session.receive(b"NONSENSE\r\n")
    assert session.standing is None


def test_a_session_has_another_standing_before_its_first_line():
    session = Session(Config(clock.timestamp, clock.new_id, "host", TCLLIB_1_5), "127.0.0.1", 1, "")
    session.start()
    fresh = session.standing
    assert fresh
    session.receive(b"NOOP\r\n")
    assert session.standing not in (fresh, None)


def play(server, sessions):
    """Play sessions one line at a time; return the replies, message ids and times masked, and what was delivered."""
    replies = []
    for lines in sessions:
        with server.client() as client:
            replies.append(client.expect(220).code)
            for line in lines:
                reply = client.command(line)
                replies.append((line, reply.code, re.sub(r"\b\w{12}\b|\d\d:.*", "-", reply.text)))
                if reply.code == 354:
                    reply = client.command("body\r\n.")
                    replies.append((reply.code, re.sub(r"\b\w{12}\b", "-", reply.text)))
            client.quit()
    server.eval("puts done; flush stdout")
    server.wait_printed("done")
    return replies, server.printed


def test_replies_and_deliveries_are_those_of_an_engine_that_is_asked_each_time(serve_stock, serve_tkinter):
    choose = random.Random(1)  # noqa: S311 # repeatable on purpose
    sessions = [["EHLO x", *choose.choices(LINES[: -RARE * (number % 3 > 0) or None], k=25)] for number in range(60)]
    asked = play(serve_tkinter(ASKED), sessions)
    for serve in (serve_stock, serve_tkinter):
        server = serve(DELIVER)
        told = play(server, sessions)
        assert int(server.eval("array size ::pysmtpd::known")) > 10
        for ours, theirs in itertools.zip_longest(told[0], asked[0]):
            assert ours == theirs
        assert told[1] == asked[1]


def teach(server, client):
    """Have a server know the replies of a plain session, and use them up to DATA."""
    client.hello()
    for _ in range(4):
        client.command("RSET", 250)
        client.mail("<a@b>", ("<c@d>",))
    client.command("RSET", 250)
    client.command("MAIL FROM:<a@b>", 250)
    client.command("RCPT TO:<c@d>", 250)


@pytest.fixture
def taught(serve):
    """A server that has replied to an envelope by its table, and the client."""
    server = serve(DELIVER)
    with server.client() as client:
        teach(server, client)
        assert "MAIL FROM:<a@b>" in server.eval("array get ::pysmtpd::untold")
        yield server, client


CHANNEL = "lindex [array get ::pysmtpd::channels] 1"


def test_a_script_that_looks_at_the_state_sees_what_was_replied_to(taught):
    server, _ = taught
    assert server.eval(f"set ::smtpd::state_[{CHANNEL}](from)") == "<a@b>"
    assert server.eval(f"::smtpd::state [{CHANNEL}] to") == "<c@d>"


def test_a_client_that_goes_on_at_once_is_met_with_the_replies_due(taught):
    server, client = taught
    server.eval("set ::pysmtpd::moment 200000")  # some milliseconds: enough for any client
    server.eval("set ::pysmtpd::rests 0")
    for _ in range(3):
        for line, code in (("RSET", 250), ("MAIL FROM:<a@b>", 250), ("RCPT TO:<c@d>", 250), ("NOOP x", 250), ("NOOP", 250)):
            client.command(line, code)
    client.command("VRFY x", 500)
    client.command("DATA", 354)
    client.command("met\r\n.", 250)
    server.wait_printed("delivered <a@b> <c@d> met")
    client.command("RSET", 250)
    client.close()
    server.wait_until("array size ::pysmtpd::channels", "0")


def test_a_client_that_takes_its_time_is_waited_for_more_and_more_seldom(taught):
    server, client = taught
    server.eval("set ::pysmtpd::in_vain 0; set ::pysmtpd::rests 0")
    server.eval(f"set channel [{CHANNEL}]; for {{set i 0}} {{$i < 1000}} {{incr i}} {{::pysmtpd::MeetAgain $channel}}")
    assert int(server.eval("set ::pysmtpd::in_vain")) > 100
    client.command("RSET", 250)


@pytest.fixture
def served(serve):
    """A server to which clients have come that said what clients say."""
    server = serve(DELIVER)
    for _ in range(3):
        with server.client() as client:
            client.hello()
            client.mail("<a@b>", ("<c@d>",))
            client.quit()
    server.wait_until("array size ::pysmtpd::channels", "0")
    return server


def test_a_client_is_greeted_and_let_go_without_the_engine(served):
    with served.client() as client:
        client.hello()
        assert "EHLO" in served.eval("array get ::pysmtpd::untold")
        assert "QUIT" in served.eval("array names ::pysmtpd::known")
        assert served.eval(f"::smtpd::state [{CHANNEL}] domain") == "client.example"
        client.quit()
    served.wait_until(LEFT, "")
    served.wait_until("info vars ::smtpd::state_*", "")
    assert served.eval("array size [namespace which -variable ::pysmtpd::link::turn]") == "0"


def test_the_name_a_known_client_gives_stands_in_the_trace_header(served):
    served.eval("proc first {sender recipients data} {puts [lindex $data 1]; flush stdout}; smtpd::configure -deliver first")
    for _ in range(3):
        with served.client() as client:
            client.hello()
            client.mail("<a@b>", ("<c@d>",))
            client.quit()
        served.wait_printed("from client.example")


def test_a_message_is_delivered_whose_client_leaves_at_once(served):
    with served.client() as client:
        client.hello()
        client.mail("<a@b>", ("<last@d>",))
        client.quit()
    served.wait_printed("<last@d>")
    served.wait_until(LEFT, "")


def test_what_comes_behind_a_known_quit_is_not_replied_to(served):
    with served.client() as client:
        client.hello()
        client.send(b"QUIT\r\n")
        client.expect(221)
        client.expect_end()
    with served.client() as client:
        client.hello()
        client.send(b"QUIT\r\nNOOP\r\n")
        client.expect(221)
        client.expect_end()


def test_a_request_of_another_protocol_is_still_told_from_a_known_first_line(served):
    with served.client() as client:
        client.expect(220)
        client.command("POST / HTTP/1.1", 421)
        client.expect_end()


def test_what_a_script_sets_comes_behind_what_was_replied_to(taught):
    server, client = taught
    server.eval(f"::smtpd::state [{CHANNEL}] from <other@b>")
    client.command("RSET", 250)
    server.eval(f"::smtpd::state [{CHANNEL}] from <other@b>")
    client.command("RCPT TO:<c@d>", 250)
    client.command("DATA", 354)
    client.command("x\r\n.", 250)
    server.wait_printed("delivered <other@b> <c@d> x")


def test_other_settings_hold_from_the_next_command_on(taught):
    server, client = taught
    server.eval("proc no address {error no}; smtpd::configure -validate_sender no")
    client.command("DATA", 354)
    client.command("x\r\n.", 250)
    server.wait_printed("delivered <a@b> <c@d> x")
    client.command("RSET", 250)
    client.command("MAIL FROM:<a@b>", 553)


def test_a_verb_that_a_script_takes_over_is_the_scripts_from_then_on(taught):
    server, client = taught
    server.eval('proc ::smtpd::RSET {channel line} {puts $channel "250 mine"}')
    assert client.command("RSET", 250).text == "mine"


def test_a_puts_that_a_script_takes_over_has_every_reply_from_then_on(taught):
    server, client = taught
    server.eval("rename ::smtpd::Puts plain; proc ::smtpd::Puts {channel line} {lappend ::said $line; plain $channel $line}")
    for _ in range(5):
        client.command("NOOP", 250)
        client.command("RSET", 250)
    said = server.eval("set ::said")
    assert len(re.findall("250", said)) == 10


def test_the_log_at_debug_misses_nothing(taught):
    server, client = taught
    server.eval("proc ${::smtpd::log}::stdoutcmd {level text} {lappend ::logged $text}; smtpd::configure -loglevel debug")
    client.command("RSET", 250)
    server.wait_until("expr {[lsearch $::logged *RSET*] >= 0}", "1")


def test_nothing_is_left_of_a_client_that_goes_before_the_engine_has_heard(taught):
    server, client = taught
    client.close()
    server.wait_until(LEFT, "")
    assert server.eval("array size [namespace which -variable ::pysmtpd::link::turn]") == "0"


def test_limits_hold(serve):
    server = serve(DELIVER + "smtpd::configure -recipient_limit 3")
    for _ in range(4):
        with server.client() as client:
            client.hello()
            client.command("MAIL FROM:<a@b>", 250)
            for code in (250, 250, 250, 452):
                client.command("RCPT TO:<c@d>", code)


def test_many_recipients_in_known_lines_are_as_many_as_are_allowed(serve):
    server = serve(DELIVER + "smtpd::configure -recipient_limit 150")
    with server.client() as client:
        client.hello()
        client.command("MAIL FROM:<a@b>", 250)
        assert [client.command("RCPT TO:<c@d>").code for _ in range(300)] == [250] * 150 + [452] * 150


def test_a_client_that_reads_no_replies_is_not_replied_to_without_end(serve):
    server = serve(DELIVER)
    # The engine has said by then all that it has to say of what was read: how far it lags behind is not the question.
    pending = f"::pysmtpd::link::await [array names ::pysmtpd::channels]; chan pending output [{CHANNEL}]"
    lines = b"HELP MAIL\r\n" * 90  # whole ones each time, so that they are met by a session that has a standing
    with server.client(receive_buffer=4096) as client:
        client.hello()
        for _ in range(3):
            client.command("RSET", 250)
        for _ in range(1_500):  # 24 MB of replies; those to what is read at once, 262,144 octets, are sent in any case
            client.send(lines)
            if int(server.eval(pending)) > 6_000_000:
                break
        assert int(server.eval(pending)) < 6_000_000


@pytest.fixture
def accepted(taught):
    """A server that has accepted a message, which the engine has not heard of, and the client."""
    server, client = taught
    client.command("DATA", 354)
    client.command("x\r\n.", 250)
    assert server.eval("array size ::pysmtpd::untold") == "1"
    return server, client


def test_a_script_sees_the_state_after_a_message_that_was_accepted(accepted):
    server, _ = accepted
    state = server.eval(f"::smtpd::state [{CHANNEL}]").split()
    assert state[state.index("from") + 1] == "<a@b>"
    assert state[state.index("indata") + 1] == "0"


def test_what_a_script_sets_then_holds_for_the_next_message(accepted):
    server, client = accepted
    server.eval(f"::smtpd::state [{CHANNEL}] from <other@b> to <e@f>")
    client.command("DATA", 354)
    client.command("y\r\n.", 250)
    server.wait_printed("delivered <other@b> <e@f> y")


def test_other_settings_hold_from_then_on(accepted):
    server, client = accepted
    server.eval("proc other {sender recipients data} {error no}; smtpd::configure -deliver other")
    client.command("DATA", 354)
    client.command("y\r\n.", 554)
    server.eval("smtpd::configure -deliver {}")
    client.command("DATA", 354)
    client.command("y\r\n.", 250)


@pytest.mark.parametrize(("verb", "code"), [("RSET", 250), ("NOOP", 250), ("HELO x", 503), ("DATA", 354)])
def test_a_script_may_have_a_command_handled_then(accepted, verb, code):
    server, client = accepted
    server.eval(f"::smtpd::{verb.split()[0]} [{CHANNEL}] {{{verb}}}")
    client.expect(code)
    if code == 354:
        client.command("y\r\n.", 250)
    client.quit()


def test_a_script_may_say_something_then(accepted):
    server, client = accepted
    server.eval(f"::smtpd::Puts [{CHANNEL}] {{250 mine}}")
    assert client.expect(250).text == "mine"
    client.command("RSET", 250)


def test_a_client_may_end_its_side_then(accepted):
    server, client = accepted
    server.eval("proc ${::smtpd::log}::stdoutcmd {level text} {lappend ::logged $text}")
    client.end()
    client.expect_end()
    server.wait_until("info vars ::smtpd::state_*", "")
    assert server.eval("set ::logged") == "{client has closed the channel}"


def test_nothing_is_left_of_a_client_that_goes_then(accepted):
    server, client = accepted
    client.reset()
    server.wait_until(LEFT, "")
    server.wait_until("info vars ::smtpd::state_*", "")


def test_a_client_that_is_silent_then_has_its_session_ended(serve):
    server = serve(DELIVER + "smtpd::configure -idle_timeout 0.3")
    with server.client() as client:
        client.hello()
        assert client.mail().code == 250
        client.expect(421)
        client.expect_end()
    server.wait_until(LEFT, "")


def test_the_server_may_be_stopped_then(accepted):
    server, client = accepted
    server.eval("smtpd::stop")
    client.command("RSET", 250)
    client.quit()


def test_what_comes_right_behind_a_message_is_replied_to(serve):
    """Behind it, but not with it: it may meet the question for the message on its way, or the answer."""
    server = serve(DELIVER)
    with server.client() as client:
        client.hello()
        for line in ("NOOP", "RSET", "MAIL FROM:<a@b>", "RSET\r\nNOOP") * 25:
            client.command("MAIL FROM:<a@b>", 250)
            client.command("RCPT TO:<c@d>", 250)
            client.command("DATA", 354)
            client.send("x\r\n.\r\n")
            client.send(f"{line}\r\n")
            client.expect(*[250] * (1 + len(line.split("\r\n"))))


def test_what_meets_the_question_for_a_message_on_its_way_changes_what_holds_behind_that(serve_stock):
    server = serve_stock(DELIVER)
    [child] = server.children()
    with server.client() as client:
        client.hello()
        for _ in range(5):
            client.command("NOOP", 250)
            client.mail("<a@b>", ("<c@d>",))
        client.command("DATA", 354)
        os.kill(child, signal.SIGSTOP)
        for segment in ("x\r\n.\r\n", "DATA\r\n"):
            client.send(segment)
            server.wait_until("expr {[chan pending input [lindex [array get ::pysmtpd::channels] 1]] == 0}", "1")
            server.eval("update")
        os.kill(child, signal.SIGCONT)
        client.expect(250, 354)
        client.send("NOOP\r\n")
        server.eval("update")
        assert "accepted" in client.command(".", 250).text
        server.wait_printed("delivered <a@b> {<c@d> <c@d> <c@d> <c@d> <c@d>} NOOP")


def test_a_large_message_is_let_go_when_it_is_accepted(serve):
    server = serve(DELIVER)
    with server.client() as client:
        client.hello()
        assert client.mail(body="Subject: x\r\n\r\n" + ("x" * 70 + "\r\n") * 1500).code == 250
        assert server.eval("array size ::pysmtpd::untold") == "0"


def test_messages_in_two_sessions_at_once_are_accepted_each_for_itself(serve):
    server = serve(
        """
    proc deliver {sender recipients data} {
        if {$sender eq "<waits@b>"} {
            vwait ::on
        }
        puts [list delivered $sender]
        flush stdout
    }
    smtpd::configure -deliver deliver
    """
    )
    with server.client() as first, server.client() as second:
        for client, sender in ((first, "<waits@b>"), (second, "<a@b>")):
            client.hello()
            client.send(f"MAIL FROM:{sender}\r\nRCPT TO:<c@d>\r\nDATA\r\n")
            client.expect(250, 250, 354)
        first.send("x\r\n.\r\nNOOP\r\n")
        server.wait_until("array size ::pysmtpd::busy", "1")
        for _ in range(3):
            second.command("x\r\n.", 250)
            second.command("DATA", 354)
        server.eval("set ::on 1")
        first.expect(250, 250)
        second.command("x\r\n.", 250)
    assert [line for line in server.printed if "waits" in line] == ["delivered <waits@b>"]


def test_replies_due_before_a_message_do_not_wait_for_a_callback_that_runs_the_event_loop(serve):
    server = serve("proc deliver {sender recipients data} {vwait ::on}; smtpd::configure -deliver deliver")
    with server.client() as client:
        client.hello()
        for _ in range(3):
            client.send(BEHIND + "x\r\n.\r\n")
            client.expect(250, 250, 250, 354)
            server.eval("set ::on 1")
            client.expect(250)


@pytest.mark.parametrize(
    "does",
    [
        "upvar 1 channel channel; set channel",
        "upvar 1 channel channel; ::smtpd::state $channel client_addr",
        "upvar 1 channel channel; ::smtpd::state $channel mine 1",
        "upvar 1 channel channel; ::smtpd::NOOP $channel NOOP",
        "smtpd::configure -banner [clock microseconds]",
        "after 1 {set ::on 1}; vwait ::on",
    ],
    ids=["looks at the name", "at the state", "writes there", "a command", "other settings", "event loop"],
)
def test_a_callback_may_do_anything_again_and_again(serve, does):
    server = serve(f"proc deliver {{sender recipients data}} {{ {does} }}; smtpd::configure -deliver deliver")
    with server.client() as client:
        client.hello()
        for _ in range(4):
            client.command("RSET", 250)
            client.command("MAIL FROM:<a@b>", 250)
            client.command("RCPT TO:<c@d>", 250)
            client.command("DATA", 354)
            client.send("x\r\n.\r\n")
            client.expect(*[250] * (1 + ("NOOP" in does)))
        for _ in range(4):
            client.send(BEHIND)
            client.expect(250, 250, 250, 354)
            client.send("x\r\n.\r\n")
            client.expect(*[250] * (1 + ("NOOP" in does)))
        client.quit()


def test_a_callback_that_closes_the_connection_ends_the_session(serve):
    server = serve(
        "proc deliver {sender recipients data} {foreach number [array names ::pysmtpd::channels] {close $::pysmtpd::channels($number)}}"
        "; smtpd::configure -deliver deliver -loglevel critical"
    )
    with server.client() as client:
        client.hello()
        client.send(BEHIND)
        client.expect(250, 250, 250, 354)
        client.send("x\r\n.\r\n")
        client.expect_end()
    server.wait_until(LEFT, "")
    server.wait_until("info vars ::smtpd::state_*", "")


def test_lmtp_has_its_replies_though_the_engine_hears_later(serve):
    server = serve(DELIVER + "smtpd::configure -profile rfc5321 -lmtp 1")
    with server.client() as client:
        client.expect(220)
        client.command("LHLO x", 250)
        for _ in range(3):
            client.send("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\nDATA\r\n")
            client.expect(250, 250, 250, 354)
            client.send("x\r\n.\r\n")
            client.expect(250, 250)


MESSAGE = "Subject: x\r\n\r\nhello\r\n.\r\n"
CHOOSY = """
proc deliver {sender recipients data} {
    puts [list delivered $sender $recipients [lindex $data end]]
    flush stdout
    eval $::then
}
set then {}
smtpd::configure -deliver deliver
"""


def pipeline(client, *codes):
    """Send a message and the next envelope in one segment, and expect what is replied."""
    client.send(MESSAGE + BEHIND)
    client.expect(*codes)


@pytest.fixture
def pipelining(serve):
    """A server that knows what comes behind a message, and a client in the middle of one."""
    server = serve(CHOOSY)
    with server.client() as client:
        client.hello()
        client.send(BEHIND)
        client.expect(250, 250, 250, 354)
        for _ in range(3):
            pipeline(client, 250, 250, 250, 250, 354)
        yield server, client


def behind_of(server):
    """What came with the last question of a message, as far as it is known."""
    return server.eval("set ::behind")


def test_the_replies_to_what_comes_behind_a_message_come_with_its_question(serve_stock):
    server = serve_stock(
        CHOOSY
        + """
    trace add execution ::pysmtpd::link::Answer enter {apply {{call operation} {set ::behind [lindex $call 8]}}}
    """
    )
    with server.client() as client:
        client.hello()
        client.send(BEHIND)
        client.expect(250, 250, 250, 354)
        known = []
        for _ in range(3):
            pipeline(client, 250, 250, 250, 250, 354)
            known.append("354" in behind_of(server))
        assert known == [False, True, True]
        client.send(MESSAGE + "RSET\r\n" + BEHIND)
        client.expect(250, 250, 250, 250, 250, 354)
        assert behind_of(server) == ""


@pytest.mark.parametrize(
    ("then", "codes"),
    [
        ("error no", (554, 250, 250, 250, 354)),
        ("smtpd::configure -validate_sender {error no}", (250, 250, 553, 250, 503)),
        ("proc ::smtpd::RSET {channel line} {::smtpd::Puts $channel {252 mine}}", (250, 252, 250, 250, 354)),
        ("lappend ::smtpd::commands RSET; unset ::smtpd::Help", (250, 250, 250, 250, 354)),
        ("upvar 2 channel channel; smtpd::state $channel id MINE", (250, 250, 250, 250, 354)),
        ("smtpd::stop", (250, 250, 250, 250, 354)),
        ("after 20 {set ::on 1}; vwait ::on", (250, 250, 250, 250, 354)),
    ],
    ids=["refuses", "other settings", "a verb", "other variables", "state", "stop", "event loop"],
)
def test_a_callback_that_changes_something_changes_what_comes_behind(pipelining, then, codes):
    server, client = pipelining
    server.eval(f"set ::then {{{then}}}")
    client.send(MESSAGE + BEHIND)
    assert [client.reply().code for _ in codes] == list(codes)
    server.eval("set ::then {}")
    if codes[-1] == 354:
        pipeline(client, 250, *codes[1:])


def test_pipelined_sessions_are_those_of_an_engine_that_is_asked_each_time(serve_stock, serve_tkinter):
    choose = random.Random(2)  # noqa: S311 # repeatable on purpose
    envelopes = [
        BEHIND,
        BEHIND,
        "NOOP\r\n" + BEHIND,
        "RSET\r\nRSET\r\n",
        "HELP\r\n" + BEHIND,
        BEHIND.replace("a@b", "e@f"),
        "MAIL FROM:\r\n",
    ]
    sessions = [["EHLO x\r\n" + BEHIND, *(MESSAGE + choose.choice(envelopes) for _ in range(12))] for _ in range(30)]
    seen = []
    choosy = 'set then {if {$sender eq "<e@f>"} {error no}}'
    impatient = f"{CHOOSY}\nset ::pysmtpd::link::turn -1\n"  # others have their turn between any two questions
    for serve, script in ((serve_tkinter, ASKED), (serve_stock, CHOOSY), (serve_tkinter, CHOOSY), (serve_tkinter, impatient)):
        server = serve(script + choosy)
        said = []
        for segments in sessions:
            with server.client() as client:
                for segment in segments:
                    client.send(segment)
                client.send(".\r\nQUIT\r\n")
                said.append(re.sub(rb"\b\w{12}\b|\d\d:.*", b"-", client.rest()))
        server.eval("puts done; flush stdout")
        server.wait_printed("done")
        seen.append((said, [re.sub(r"\tid .*", "-", line) for line in server.printed]))
    assert seen[0] == seen[1] == seen[2] == seen[3]
