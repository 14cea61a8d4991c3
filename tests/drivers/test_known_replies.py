"""Known replies: what may be told, how much of it; and that nobody can see in stock tclsh that it is."""

import itertools
import random
import re

import pytest

from pysmtpd import clock
from pysmtpd.core import TCLLIB_1_5, Config, Session
from pysmtpd.drivers.known_replies import CAPACITY, KnownReplies

DELIVER = """
proc deliver {sender recipients data} {puts [list delivered $sender $recipients [lindex $data end]]; flush stdout}
smtpd::configure -deliver deliver
"""
LINES = (
    "RSET", "RSET", "NOOP", "HELO one", "EHLO two", "MAIL FROM:<a@b>", "MAIL FROM:<a@b>", "MAIL FROM:<c@d>", "RCPT TO:<e@f>",
    "RCPT TO:<e@f>", "RCPT TO:<postmaster>", "rcpt to:<g@h>", "DATA", "DATA", "HELP", "HELP MAIL", "VRFY x", "MAIL FROM:<a@b> X=1",
    "MAIL FROM:", "NONSENSE", "", "data x", "\xe9",
)  # fmt: skip
RARE = 5  # of them, the last ones: after an error a session has no standing
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
    stock = serve_stock(DELIVER)
    told = play(stock, sessions)
    assert int(stock.eval("array size ::pysmtpd::known")) > 10
    asked = play(serve_tkinter(DELIVER), sessions)
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
def taught(serve_stock):
    """A server that has replied to an envelope by its table, and the client."""
    server = serve_stock(DELIVER)
    with server.client() as client:
        teach(server, client)
        assert "MAIL FROM:<a@b>" in server.eval("array get ::pysmtpd::untold")
        yield server, client


CHANNEL = "lindex [array get ::pysmtpd::channels] 1"


def test_a_script_that_looks_at_the_state_sees_what_was_replied_to(taught):
    server, _ = taught
    assert server.eval(f"set ::smtpd::state_[{CHANNEL}](from)") == "<a@b>"
    assert server.eval(f"::smtpd::state [{CHANNEL}] to") == "<c@d>"


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


def test_the_log_at_debug_misses_nothing(taught):
    server, client = taught
    server.eval("proc ${::smtpd::log}::stdoutcmd {level text} {lappend ::logged $text}; smtpd::configure -loglevel debug")
    client.command("RSET", 250)
    server.wait_until("expr {[lsearch $::logged *RSET*] >= 0}", "1")


def test_nothing_is_left_of_a_client_that_goes_before_the_engine_has_heard(taught):
    server, client = taught
    client.close()
    server.wait_until(LEFT, "")
    assert server.eval("array size ::pysmtpd::link::turn") == "0"


def test_limits_hold(serve_stock):
    server = serve_stock(DELIVER + "smtpd::configure -recipient_limit 3")
    for _ in range(4):
        with server.client() as client:
            client.hello()
            client.command("MAIL FROM:<a@b>", 250)
            for code in (250, 250, 250, 452):
                client.command("RCPT TO:<c@d>", code)


MESSAGE = "Subject: x\r\n\r\nhello\r\n.\r\n"
BEHIND = "RSET\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"
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
def pipelining(serve_stock):
    """A server that knows what comes behind a message, and a client in the middle of one."""
    server = serve_stock(CHOOSY)
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
    trace add execution ::pysmtpd::link::Answer enter {apply {{call operation} {set ::behind [lindex $call 2 6]}}}
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
    for serve in (serve_stock, serve_tkinter):
        server = serve(CHOOSY + 'set then {if {$sender eq "<e@f>"} {error no}}')
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
    assert seen[0] == seen[1]
