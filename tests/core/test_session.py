"""The state machine: every state times every command, the same bytes in any pieces, and what hostile bytes may not do."""

import itertools
import re
import sys
import time
import unicodedata

import pytest
from engine import EVERYTHING, PROFILE_NAMES, TIME, Driver, accept, codes, config, lines, play
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pysmtpd.core import Accept, CheckHost, CheckRecipient, CheckSender, Close, Command, Deliver, Log, Refuse, RefuseSome, Session
from pysmtpd.core.record import record
from pysmtpd.core.replies import STANDARD, STOCK

PROFILE = pytest.mark.parametrize("profile", PROFILE_NAMES)
WHOLE = b"EHLO client.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"


# ---- every state times every command

STATES = {
    "connected": (),
    "greeted": (b"EHLO a.example",),
    "greeted, reset": (b"EHLO a.example", b"RSET"),
    "sender": (b"HELO a.example", b"MAIL FROM:<a@b.example>"),
    "sender, reset": (b"HELO a.example", b"MAIL FROM:<a@b.example>", b"RSET"),
    "recipient": (b"HELO a.example", b"MAIL FROM:<a@b.example>", b"RCPT TO:<c@d.example>"),
    "delivered": (b"HELO a.example", b"MAIL FROM:<a@b.example>", b"RCPT TO:<c@d.example>", b"DATA", b"x\r\n."),
}
COMMANDS = {
    "HELO": b"HELO b.example",
    "EHLO": b"EHLO b.example",
    "MAIL": b"MAIL FROM:<e@f.example>",
    "RCPT": b"RCPT TO:<g@h.example>",
    "DATA": b"DATA",
    "RSET": b"RSET",
    "NOOP": b"NOOP",
    "HELP": b"HELP",
    "QUIT": b"QUIT",
    "VRFY": b"VRFY someone",
    "nothing": b"",
    "HELO without a name": b"HELO",
    "MAIL without a path": b"MAIL",
    "RCPT without a path": b"RCPT TO:",
}
#: What is answered whatever went before.
ALWAYS = {"RSET": 250, "NOOP": 250, "HELP": 214, "QUIT": 221, "nothing": 500}
#: VRFY is an extension, and the stock dialect has none.
VRFY = {"tcllib-1.5": 500, "rfc5321": 252}
#: Whether HELO, MAIL, RCPT and DATA are in order, by state.
IN_ORDER = {
    "tcllib-1.5": {
        "connected": "HELO MAIL RCPT",
        "greeted": "MAIL RCPT",
        "greeted, reset": "MAIL RCPT",
        "sender": "MAIL RCPT",
        "sender, reset": "MAIL RCPT",
        "recipient": "MAIL RCPT DATA",
        "delivered": "MAIL RCPT DATA",
    },
    "rfc5321": {
        "connected": "HELO",
        "greeted": "HELO MAIL",
        "greeted, reset": "HELO MAIL",
        "sender": "HELO RCPT",
        "sender, reset": "HELO MAIL",
        "recipient": "HELO RCPT DATA",
        "delivered": "HELO MAIL",
    },
}
OK = {"HELO": 250, "EHLO": 250, "MAIL": 250, "RCPT": 250, "DATA": 354}


def expected(profile, state, command):
    if command in ALWAYS:
        return ALWAYS[command]
    if command == "VRFY":
        return VRFY[profile]
    verb = command.split()[0]
    if verb.replace("EHLO", "HELO") not in IN_ORDER[profile][state].split():
        return 503
    return 501 if "without" in command else OK[verb]


@PROFILE
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_in_every_state(profile, state, command):
    driver = Driver(config(profile))
    for line in STATES[state]:
        assert driver.code(line) < 400
    assert driver.code(COMMANDS[command]) == expected(profile, state, command)
    assert driver.closed is (command == "QUIT")


@PROFILE
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_from_a_denied_host(profile, command):
    driver = Driver(config(profile, ["host"]), lambda _: Refuse("not you"))
    assert codes(driver.output) == [550]
    wanted = {"QUIT": 221, "VRFY": 500 if profile == "tcllib-1.5" else 503, "nothing": 500}.get(command, 503)
    assert driver.code(COMMANDS[command]) == wanted
    assert driver.closed is (command == "QUIT")


@PROFILE
@pytest.mark.parametrize("command", COMMANDS.values())
def test_commands_inside_data_are_text(profile, command):
    driver = Driver(config(profile, ["deliver"]))
    driver.feed(WHOLE)
    assert driver.said(command + b"\r\n") == b""
    assert driver.code(b".") == 250
    [delivery] = driver.of_type(Deliver)
    assert delivery.content.lines()[-1] == command.decode()


@PROFILE
@pytest.mark.parametrize("verb", [b"mail from:<a@b.example>", b"Mail From:<a@b.example>", b"MAIL from: <a@b.example>"])
def test_case_and_a_space_behind_the_colon_do_not_matter(profile, verb):
    driver = Driver(config(profile))
    driver.code(b"ehlo a")
    assert driver.code(verb) == 250


@PROFILE
def test_a_transaction_is_answered_and_delivered(profile):
    driver = Driver(config(profile, EVERYTHING))
    output = driver.said(WHOLE + b"Subject: x\r\n\r\nhello\r\n.\r\nQUIT\r\n")
    assert codes(output) == [250, 250, 250, 354, 250, 221]
    assert [event for event in driver.events if not isinstance(event, Log)][:3] == [
        CheckHost("192.0.2.1"),
        CheckSender("a@b.example"),
        CheckRecipient("c@d.example"),
    ]
    [delivery] = driver.of_type(Deliver)
    assert (delivery.sender, delivery.recipients) == ("<a@b.example>", ("<c@d.example>",))
    assert delivery.content.lines()[4:] == ["Subject: x", "", "hello"]
    assert delivery.content.trace.startswith("Return-Path: <a@b.example>\nReceived: from client.example ")
    assert delivery.content.trace.endswith(f"\n\tid {delivery.id}; {TIME}")
    assert delivery.id.encode() in output


def test_recipients_of_a_delivered_message_stay_under_tcllib_only():
    again = b"MAIL FROM:<e@f.example>\r\nRCPT TO:<g@h.example>\r\nDATA\r\n.\r\n"
    for profile, wanted in (("tcllib-1.5", ("<c@d.example>", "<g@h.example>")), ("rfc5321", ("<g@h.example>",))):
        driver = play(config(profile, ["deliver"]), [WHOLE + b".\r\n" + again])
        assert driver.of_type(Deliver)[1].recipients == wanted


@PROFILE
@pytest.mark.parametrize("cleared", [b"RSET\r\n", b"EHLO again.example\r\n"])
def test_what_a_reset_clears_is_not_in_the_next_transaction(profile, cleared):
    made = config(profile, ["deliver"])
    made.use_profile(made.profile.with_quirks(hello_once=False))
    driver = play(made, [WHOLE[:-6] + cleared + WHOLE[WHOLE.index(b"MAIL") :] + b".\r\n"])
    assert driver.of_type(Deliver)[0].recipients == ("<c@d.example>",)


@PROFILE
def test_quirks_can_be_switched_one_by_one(profile):
    settings_ = config(profile)
    settings_.use_profile(settings_.profile.with_quirks(mail_before_hello=True, hello_once=False))
    driver = Driver(settings_)
    assert driver.code(b"MAIL FROM:<a@b.example>") == 250
    assert [driver.code(b"HELO x"), driver.code(b"HELO x")] == [250, 250]


# ---- the same bytes in any pieces

PIECES = [
    b"EHLO client.example", b"HELO x", b"HELO [127.0.0.1]", b"HELO", b"MAIL FROM:<a@b.example>", b"MAIL FROM:<>",
    b"MAIL FROM:<no@b.example> SIZE=12", b"MAIL FROM:Some One <a@b> BODY=8BITMIME", b"RCPT TO:<c@d.example>", b"RCPT TO:<no@d>",
    b"RCPT TO:<Postmaster>", b'RCPT TO:<"q \\" [x] $y"@d>', b"RCPT TO:<c@d.example> NOTIFY=NEVER", b"DATA", b"DATA", b"DATA x",
    b"RSET", b"NOOP", b"HELP", b"HELP MAIL", b"help no\xffne", b"QUIT", b"VRFY x", b"", b".", b"..", b".x", b"text", b"\xe9\x00\x1b",
    b"EHLO \x1b[0m", b"NOOP \x9b31m\x85", b"MAIL FROM:<a\x00@b>", b"[exit]*", b"x" * 90, b"y" * 110, b"GET / HTTP/1.1",
]  # fmt: skip
ENDS = [b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\r\n", b"\r\n.\r\n", b"\n.\n", b"\r.\r", b"\r\n.\n", b""]

wild = st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(ENDS)).map(b"".join), max_size=14).map(b"".join)
sensible = st.lists(
    st.sampled_from(
        [
            WHOLE, b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<c@d.example>\r\n", b"DATA\r\n", b"RSET\r\n", b"MAIL FROM:<no@b>\r\n",
            b".dot\r\n..\r\n.\r\n", b"text\r\n.\r\n", b"\r\n.\r\n", b"a\n.\nb\r.\rc\r\n.\r\n", b"x" * 120 + b"\r\n.\r\n",
        ]
    ),
    max_size=10,
).map(b"".join)  # fmt: skip
streams = st.one_of(wild, sensible, st.binary(max_size=60), st.tuples(sensible, wild, sensible).map(b"".join))
cuts = st.lists(st.integers(0, 400), max_size=8)


def pieces(stream, places):
    places = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in itertools.pairwise(places)]


def judge(question):
    """Verdicts that depend on nothing but the question."""
    match question:
        case CheckSender(address) | CheckRecipient(address) if address.startswith("no"):
            return Refuse("go\r\naway \x1b é", 450 if isinstance(question, CheckSender) else None)
        case Deliver(content=content) if b"text" in content.body:
            return Refuse("no text")
    return Accept()


def small(profile, ask=EVERYTHING):
    """Settings whose limits the streams above pass, with every line of the log."""
    made = config(profile, ask)
    made.limits.command_line = 100
    made.limits.message = 100
    made.limits.recipients = 3
    made.log_to("debug")
    return made


def outcome(profile, chunks, **options):
    driver = play(small(profile), chunks, judge, **options)
    return driver.output, driver.events


@PROFILE
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(stream=streams, places=cuts)
def test_whole_or_in_pieces_or_byte_by_byte_or_answered_late_is_the_same(profile, stream, places):
    whole = outcome(profile, [stream])
    assert outcome(profile, pieces(stream, places)) == whole
    assert outcome(profile, [stream[index : index + 1] for index in range(len(stream))]) == whole
    assert outcome(profile, pieces(stream, places), late=True) == whole


ENVELOPE = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n"
PLAIN = b"RCPT TO:<e@d>\r\n"
RECIPIENTS = [
    PLAIN,
    b"RCPT TO:<Postmaster@d>\r\n",
    b"RCPT TO:<e@d> X=1\r\n",
    b"RCPT TO:<.@d>\r\n",
    b"rcpt to:<e@d>\r\n",
    b"RCPT TO:<" + b"l" * 88 + b"@d>\r\n",  # as long as a line may be
    b"RCPT TO:<" + b"l" * 89 + b"@d>\r\n",
]
runs = st.lists(st.sampled_from([PLAIN, PLAIN * 2, PLAIN * 12, *RECIPIENTS]), max_size=4).map(b"".join)
pipelined = st.lists(
    st.one_of(
        st.sampled_from(
            [
                b"EHLO x\r\n", b"DATA\r\n.\r\n", ENVELOPE + b"DATA\r\ntext\r\n.\r\n", b"RSET\r\n" + ENVELOPE + b"DATA\r\n..a\r\n.\r\n",
                ENVELOPE + b"DATA\r\na\r.\r", ENVELOPE, b"\r\n.\r\n", b"QUIT\r\n", b"NOOP\r\n",
            ]
        ),
        runs,
        runs.map(lambda more: ENVELOPE + more + b"DATA\r\nmany\r\n.\r\n"),
    ),
    max_size=6,
).map(b"".join)  # fmt: skip
greetings = st.sampled_from([b"EHLO x\r\n", b"EHLO x\r\n", b"EHLO x\r\n", b""])


@pytest.mark.parametrize("values", [*({"profile": profile} for profile in PROFILE_NAMES), {"lmtp": True}], ids=str)
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    greeting=greetings,
    stream=pipelined,
    places=cuts,
    room=st.sampled_from([1, 5, 20, 1_000]),
    observe=st.sampled_from([None, record]),
)
def test_envelopes_in_any_segments_come_to_the_same_as_line_by_line(values, greeting, stream, places, room, observe):
    def result(chunks):
        made = config(ask=["deliver"])
        made.choose(values)
        made.limits.recipients = room
        made.limits.command_line = 100
        made.observe = observe
        driver = play(made, chunks, judge)
        return driver.output, driver.events, driver.session.recipients, driver.session.errors

    stream = greeting + stream
    if "lmtp" in values:
        stream = stream.replace(b"EHLO", b"LHLO")
    whole = result([stream])
    assert result(stream.splitlines(keepends=True)) == whole
    assert result(pieces(stream, places)) == whole


@PROFILE
@pytest.mark.parametrize("line", RECIPIENTS)
@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_many_recipients_in_two_segments(profile, line, cut):
    """Whatever one of them is, wherever they are cut, and with room for all, or not."""
    text = ENVELOPE + PLAIN * 30 + line + PLAIN * 30 + b"DATA\r\nx\r\n.\r\n"
    for room in (20, 32, 40, 1_000):
        for limit in (100, 400, 10_000):
            made = config(profile, ["deliver"])
            made.limits.recipients = room
            made.limits.command_line = limit
            one_by_one, in_two = Driver(made), Driver(made)
            for driver in (one_by_one, in_two):
                driver.feed(b"EHLO x\r\n")
            wanted = b"".join(one_by_one.said(each) for each in text.splitlines(keepends=True))
            place = len(text) * cut // 60
            said = in_two.said(text[:place]) + in_two.said(text[place:])
            assert said.replace(b"ID2", b"ID1") == wanted
            assert in_two.of_type(Deliver)[0].recipients == one_by_one.of_type(Deliver)[0].recipients
            assert in_two.session.errors == one_by_one.session.errors


@PROFILE
@pytest.mark.parametrize("segments", [1, 2, 7])
@pytest.mark.parametrize("limit", [1_000, 131_072])
def test_recipients_that_come_together_cost_no_call_each(profile, segments, limit):
    made = config(profile, ["deliver"])
    made.limits.command_line = limit
    driver = Driver(made)
    driver.feed(b"EHLO x\r\n")
    text = b"RSET\r\n" + ENVELOPE + b"".join(b"RCPT TO:<recipient%d@example.org>\r\n" % each for each in range(500)) + b"DATA\r\n"
    called = []
    sys.setprofile(lambda frame, event, _: called.append(frame.f_code.co_name) if event == "call" else None)
    try:
        for chunk in pieces(text, [len(text) * each // segments for each in range(1, segments)]):
            driver.feed(chunk)
    finally:
        sys.setprofile(None)
    assert codes(driver.output)[-503:] == [250] * 502 + [354]
    assert len(called) < 250, called


@PROFILE
def test_a_lower_limit_on_lines_holds_for_an_envelope_that_has_come_before(profile):
    made = config(profile)
    for limit, wanted in ((100, [250, 250, 354]), (20, [500, 500, 503])):
        made.limits.command_line = limit
        driver = Driver(made)
        driver.feed(b"EHLO x\r\n")
        assert codes(driver.said(ENVELOPE + b"DATA\r\n")) == wanted


@PROFILE
@pytest.mark.parametrize("lead", [bytes([octet]) for octet in range(256)])
def test_no_line_that_leads_a_long_segment_is_taken_for_an_envelope(profile, lead):
    for before in (b"", ENVELOPE + b"DATA\r\nx\r\n.\r\nRSET\r\n"):
        driver = Driver(config(profile, ["deliver"]))
        driver.feed(b"EHLO x\r\n" + before)
        said = driver.said(lead + b" " * 50 + b"\r\nNOOP\r\n")
        assert len(codes(said)) == 2
        assert driver.session.body is None


@PROFILE
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(stream=st.one_of(streams, st.binary(max_size=300)))
def test_whatever_comes_the_replies_are_well_formed(profile, stream):
    driver = play(small(profile), [stream], judge)
    assert codes(driver.output)[0] == 220
    assert len(driver.of_type(Close)) == 1
    for delivery in driver.of_type(Deliver):
        assert delivery.recipients
        assert delivery.sender


@PROFILE
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(stream=st.one_of(streams, st.binary(max_size=200)))
def test_whatever_comes_the_log_carries_no_control_characters(profile, stream):
    driver = play(small(profile), [stream], judge)
    for entry in driver.of_type(Log):
        assert not [character for character in entry.text if unicodedata.category(character) == "Cc"], entry


@PROFILE
@pytest.mark.parametrize("octet", range(256))
def test_every_octet_in_a_command_is_answered(profile, octet):
    """In the verb, in an argument, in a path: an answer each, and the session goes on."""
    driver = Driver(config(profile))
    byte = bytes([octet])
    said = driver.said(b"NO" + byte + b"OP\r\nEHLO a" + byte + b"b\r\nMAIL FROM:<a" + byte + b"b@c.example>\r\nNOOP\r\n")
    assert len(codes(said)) == 4
    assert codes(said)[-1] == 250


# ---- answers given late


@PROFILE
def test_nothing_is_answered_while_a_question_is_open(profile):
    driver = Driver(config(profile, ["sender"]), late=True)
    assert codes(driver.said(b"HELO x\r\nMAIL FROM:<a@b.example>\r\nNOOP\r\n")) == [250]
    assert not driver.session.wants_input
    assert driver.said(b"HELP\r\nQUIT\r\n") == b""
    before = len(driver.output)
    driver.settle()
    assert codes(driver.output[before:]) == [250, 250, 214, 221]
    assert driver.closed


@PROFILE
def test_a_client_that_talks_before_the_greeting_gets_no_way_around_the_host_check(profile):
    driver = Driver(config(profile, ["host", "deliver"]), lambda _: Refuse("no"), late=True)
    assert driver.said(WHOLE + b"x\r\n.\r\nQUIT\r\n") == b""
    driver.settle()
    assert not driver.of_type(Deliver)
    assert set(codes(driver.output)) == {550, 503, 500, 221}


@PROFILE
def test_the_end_of_the_client_waits_for_the_open_question(profile):
    driver = Driver(config(profile, ["deliver"]), late=True)
    driver.feed(WHOLE + b"x\r\n.\r\nNOOP\r\n")
    driver.end()
    assert not driver.closed
    driver.settle()
    assert codes(driver.output)[-2:] == [250, 250]
    assert driver.closed


@PROFILE
def test_a_driver_may_send_the_reply_to_a_yes_itself(profile):
    """What it would have been is known while the question is open, and is not said twice."""
    usual = Driver(config(profile, EVERYTHING))
    usual.feed(WHOLE + b"x\r\n.\r\nQUIT\r\n")
    ahead = Driver(config(profile, EVERYTHING), late=True)
    ahead.feed(WHOLE + b"x\r\n.\r\nQUIT\r\n")
    for _ in range(4):
        ahead.output += ahead.session.acceptance
        ahead.session.answer(Accept(), replied=True)
        ahead._go_on()
    assert ahead.session.acceptance == b""
    assert (ahead.output, ahead.events) == (usual.output, usual.events)


def test_an_answer_to_no_question_is_a_mistake_of_the_drivers():
    driver = Driver(config())
    with pytest.raises(RuntimeError, match="no question"):
        driver.session.answer(Accept())


# ---- verdicts

UGLY = [
    "two\r\nlines",
    "a\nb\rc\r\n",
    "café \u20ac",
    "\x1b[31mred\x07",
    "nul\0",
    "",
    "\r\n",
    "500-x\r\n250 ok",
    "x" * 5000,
    "tab\there",
    "{text} {0} %s",
]


@PROFILE
@pytest.mark.parametrize("text", UGLY)
@pytest.mark.parametrize("code", [None, 451])
@pytest.mark.parametrize(("kind", "default"), [("host", 550), ("sender", 553), ("recipient", 553), ("deliver", 554)])
def test_a_refusal_is_one_well_formed_reply_whatever_its_text(profile, kind, default, code, text):
    driver = Driver(config(profile, [kind]), lambda _: Refuse(text, code))
    if kind != "host":
        driver.output = b""
        assert len(codes(driver.said(b"HELO x\r\n"))) == 1
        driver.output = b""
        driver.feed(WHOLE.partition(b"\r\n")[2] if kind == "deliver" else b"MAIL FROM:<a@b.c>\r\n")
        if kind == "recipient":
            driver.output = b""
            driver.feed(b"RCPT TO:<c@d.e>\r\n")
        if kind == "deliver":
            driver.output = b""
            driver.feed(b"x\r\n.\r\n")
    assert codes(driver.output) == [code or default]
    assert driver.code(b"NOOP") == (503 if kind == "host" else 250)


def test_the_text_of_a_refusal_is_shown_line_by_line():
    driver = Driver(config(ask=["deliver"]), lambda _: Refuse("one\ntwo\x1b!", 451))
    driver.feed(WHOLE)
    assert driver.said(b".\r\n") == b"451-one\r\n451 two!\r\n"


@PROFILE
def test_a_refused_sender_or_recipient_is_not_in_the_envelope(profile):
    driver = Driver(config(profile, EVERYTHING), judge)
    driver.feed(b"HELO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<no@d>\r\n")
    assert driver.code(b"DATA") == 503
    driver.feed(b"RCPT TO:<yes@d>\r\nDATA\r\nx\r\n.\r\n")
    assert driver.of_type(Deliver)[0].recipients == ("<yes@d>",)
    driver.feed(b"RSET\r\nMAIL FROM:<no@b.example>\r\nRCPT TO:<yes@d>\r\n")
    assert driver.code(b"DATA") == 503


@PROFILE
@pytest.mark.parametrize("path", [b"<Postmaster>", b"<postMASTER>", b"<POSTMASTER@b.example>"])
def test_the_postmaster_is_not_asked_about(profile, path):
    driver = Driver(config(profile, ["recipient"]), lambda _: Refuse())
    driver.feed(b"HELO x\r\nMAIL FROM:<>\r\n")
    assert driver.code(b"RCPT TO:" + path) == 250
    assert not driver.of_type(CheckRecipient)


@PROFILE
def test_the_null_sender_is_an_empty_address(profile):
    driver = play(config(profile, ["sender", "deliver"]), [b"HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n.\r\n"])
    assert driver.of_type(CheckSender) == [CheckSender("")]
    assert driver.of_type(Deliver)[0].sender == "<>"


@PROFILE
def test_the_null_path_is_no_recipient(profile):
    driver = Driver(config(profile))
    driver.feed(b"HELO x\r\nMAIL FROM:<>\r\n")
    assert driver.code(b"RCPT TO:<>") == 501


def test_a_user_without_a_domain_gains_the_host_name_under_tcllib():
    driver = Driver(config("tcllib-1.5", ["sender"]))
    driver.feed(b"MAIL FROM:<user>\r\n")
    assert driver.of_type(CheckSender) == [CheckSender("user@host.example")]


HOSTILE = ["[exit]", "$x", "{*}x", "a;b", '"[exit]"', "{", "}", "#x", "a\\b", "\xe9", "*", "?", "%s", "{0}"]


@PROFILE
@pytest.mark.parametrize("local", HOSTILE)
def test_a_hostile_path_is_refused_or_passed_on_as_sent(profile, local):
    driver = Driver(config(profile, ["sender"]))
    driver.feed(b"HELO x\r\n")
    answer = driver.code(f"MAIL FROM:<{local}@b.example>".encode("latin-1"))
    assert driver.of_type(CheckSender) == ([CheckSender(f"{local}@b.example")] if answer == 250 else [])
    assert answer in (250, 501, 553)


@PROFILE
@pytest.mark.parametrize("line", [b"X 12", b"XA 1", b"X\t12", b"XA  ", b"x a", b"X 1 2 3"])
def test_a_verb_of_fewer_than_four_letters_is_one(profile, line):
    made = config(profile)
    made.hand_over(frozenset(("X", "XA")), frozenset(("X", "XA")))
    driver = Driver(made)
    driver.feed(line + b"\r\n")
    assert [command.verb for command in driver.of_type(Command)] == [line.split()[0].decode().upper()]


@pytest.mark.parametrize(
    "verb", [b"[exit]*", b"*", b"?ELO", b"[eE]HLO", b"{HELO}", b"$x", b"HELOX", b"HEL", b"_ehlo", b"\xff\xfd\x03"]
)
@PROFILE
def test_verbs_are_compared_literally(profile, verb):
    assert Driver(config(profile)).code(verb + b" x") == 500


@PROFILE
@pytest.mark.parametrize("octet", [b"\0", b"\r", b"\n", b"\x1b"])
@pytest.mark.parametrize(
    "line", [b"HELO a%sb", b"EHLO %s", b"MAIL FROM:<a%sb@c.d>", b"MAIL FROM:<a@c%sd>", b"MAIL FROM:<a@b> X=%s"]
)
def test_control_characters_in_a_name_or_path_are_501(profile, line, octet):
    driver = Driver(config(profile, ["sender"]))
    if line.startswith(b"MAIL"):
        driver.feed(b"HELO x\r\n")
    assert driver.code(line.replace(b"%s", octet)) == 501
    assert not driver.of_type(CheckSender)


@PROFILE
def test_control_characters_in_a_recipient_are_501(profile):
    driver = Driver(config(profile))
    driver.feed(b"HELO x\r\nMAIL FROM:<a@b>\r\n")
    for octet in (b"\0", b"\r", b"\n", b"\x1b"):
        assert driver.code(b"RCPT TO:<a" + octet + b"@b.example>") == 501


# ---- greeting


@PROFILE
@pytest.mark.parametrize("verb", [b"HELO ", b"EHLO "])
def test_address_literals_are_names(profile, verb):
    for literal in (b"[127.0.0.1]", b"[IPv6:::1]", b"[IPv6:2001:db8::1]"):
        driver = Driver(config(profile))
        assert f"Hello {literal.decode()} [192.0.2.1]".encode() in driver.said(verb + literal + b"\r\n")


@PROFILE
def test_a_name_of_255_octets_is_taken_and_a_longer_one_is_501(profile):
    assert Driver(config(profile)).code(b"HELO " + b"a" * 255) == 250
    driver = Driver(config(profile))
    assert driver.code(b"EHLO " + b"a" * 256) == 501
    assert driver.code(b"EHLO a") == 250


def test_ehlo_lists_the_extensions_of_the_profile():
    stock = Driver(config("tcllib-1.5")).said(b"EHLO me\r\n")
    assert stock == (
        b"250-host.example Hello me [192.0.2.1], pleased to meet you\r\n250-SIZE 0\r\n250-8BITMIME\r\n250 Ready for mail.\r\n"
    )
    ours = Driver(config("rfc5321")).said(b"EHLO me\r\n")
    assert [line[4:].split()[0] for line in lines(ours)[1:]] == [
        b"PIPELINING",
        b"8BITMIME",
        b"SIZE",
        b"SMTPUTF8",
        b"CHUNKING",
        b"BINARYMIME",
        b"DSN",
        b"ENHANCEDSTATUSCODES",
        b"VRFY",
        b"HELP",
    ]


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1", b"POST /x?y=z HTTP/1.0", b"OPTIONS * HTTP/1.1", b"PRI * HTTP/2.0"])
@PROFILE
def test_an_http_request_is_421_and_the_end(profile, line):
    driver = Driver(config(profile, EVERYTHING))
    assert codes(driver.said(line + b"\r\nHost: x\r\n\r\n" + WHOLE + b"x\r\n.\r\n")) == [421]
    assert driver.closed
    assert not driver.of_type(Deliver)
    assert driver.said(WHOLE) == b""


@PROFILE
@pytest.mark.parametrize("ending", [b" HTTP/1.1\r\n", b""])
def test_an_http_request_too_long_to_be_read_is_421_and_the_end(profile, ending):
    """A page may name a path of any length, and what it posts is lines of its own choice."""
    driver = Driver(config(profile, EVERYTHING))
    assert codes(driver.said(b"POST /" + b"x" * 200_000 + ending)) == [421]
    assert driver.closed
    assert driver.said(WHOLE + b"x\r\n.\r\n") == b""
    later = Driver(config(profile))
    assert codes(later.said(b"NOOP\r\nPOST " + b"x" * 200_000 + b"\r\nNOOP\r\n")) == [250, 500, 250]


@PROFILE
@pytest.mark.parametrize(("topic", "code"), [(b"", 214), (b" MAIL", 214), (b" NOSUCH", 504)])
def test_help(profile, topic, code):
    assert Driver(config(profile)).code(b"HELP" + topic) == code


@PROFILE
def test_no_reply_has_a_line_longer_than_clients_must_take(profile):
    """RFC 5321, 4.5.3.1.5: 512 octets."""
    made = config(profile, ["recipient"])
    made.choose({"lmtp": True, "vrfy": True})
    driver = Driver(made)
    name, path = b"x" * 255, b"<" + b"x" * 2000 + b"@b>"
    said = driver.said(
        b"HELP " + b"x" * 2000 + b"\r\nLHLO " + name + b"\r\nVRFY " + path + b"\r\nMAIL FROM:" + path + b"\r\nRCPT TO:" + path
        + b"\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r\n"
    )  # fmt: skip
    assert codes(said) == [504, 250, 250, 250, 250, 250, 354, 250, 250]
    assert max(map(len, said.splitlines(keepends=True))) <= 512


def test_lmtp_names_recipients_without_what_they_may_hold():
    made = config("tcllib-1.5", ["deliver"])
    made.choose({"lmtp": True})
    driver = Driver(made)
    said = driver.said(b'LHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<"\x07\x08"@d>\r\nDATA\r\n.\r\n')
    assert codes(said) == [250, 250, 250, 354, 250]
    assert b'\r\n250 <"\\x07\\x08"@d> ' in said


@pytest.mark.parametrize(
    "command", [b"MAIL FROM:<a@b>", b"MAIL FROM:<a@b> SIZE=3", b"RCPT TO:<c@d>", b"BDAT 0", b"AUTH LOGIN", b"STARTTLS"]
)
@pytest.mark.parametrize("blanks", [b" ", b"\t", b" \t "])
def test_white_space_behind_a_command_is_tolerated(command, blanks):
    """RFC 5321, 4.1.1."""
    made = config()
    made.choose({"auth_users": {"anna": "secret"}})
    made.use_tls(None, offered=True)
    replies = []
    for line in (command, command + blanks):
        session = Driver(made)
        session.feed(b"EHLO x\r\n" + b"MAIL FROM:<a@b>\r\n" * command.startswith(b"RCPT"))
        replies.append(session.said(line + b"\r\n"))
    assert replies[0] == replies[1]


def test_help_names_the_commands_there_are():
    made = config("rfc5321")
    assert b"214-2.0.0    HELO EHLO MAIL RCPT DATA RSET NOOP QUIT HELP BDAT VRFY\r\n" in Driver(made).said(b"HELP\r\n")
    assert Driver(made).code(b"HELP bdat") == 214
    made.choose({"chunking": False})
    assert b"BDAT" not in Driver(made).said(b"HELP\r\n")
    assert Driver(made).code(b"HELP BDAT") == 504
    made.help[""] = ("a text of a script's",)
    assert Driver(made).said(b"HELP\r\n").endswith(b"214-2.0.0 a text of a script's\r\n214 2.0.0 End of HELP\r\n")


@PROFILE
def test_quit_is_the_last_command(profile):
    driver = Driver(config(profile))
    assert codes(driver.said(b"QUIT\r\nNOOP\r\nHELP\r\n")) == [221]
    assert driver.said(b"NOOP\r\n") == b""
    assert not driver.session.wants_input


# ---- paths under rfc5321


@pytest.mark.parametrize(
    "line",
    [
        b"MAIL FROM:a@b.example", b"MAIL FROM:<a@b.example", b"MAIL FROM:Name <a@b.example>", b"MAIL FROM:<a b@c>", b"MAIL FROM:<a@>",
        b"MAIL FROM:<@b>", b"MAIL FROM:<a>", b"MAIL FROM:<a@b>junk", b"MAIL FROM:<a@b@c>", b"MAIL FROM:<a..b@c>", b"MAIL FROM:<.a@c>",
        b"MAIL FROM:<a.@c>", b"MAIL FROM:<a@-b>", b"MAIL  FROM:<a@b>", b"MAIL FROM :<a@b>", b"MAIL FROM:<a(c)@b>", b"MAIL FROM:<\"a@b>",
    ],
)  # fmt: skip
def test_what_is_no_path_is_501(line):
    driver = Driver(config())
    driver.feed(b"EHLO x\r\n")
    assert driver.code(line) == 501


@pytest.mark.parametrize(
    ("path", "address"),
    [
        (b"<a@b>", "a@b"),
        (b"<a@[127.0.0.1]>", "a@[127.0.0.1]"),
        (b"<a@[IPv6:::1]>", "a@[IPv6:::1]"),
        (b"<@x.example,@y.example:a@b.example>", "a@b.example"),
        (b'<"a b"@c>', '"a b"@c'),
        (b'<"a\\"b"@c>', '"a\\"b"@c'),
        (b'<"<>"@c>', '"<>"@c'),
        (b"<!#$%&'*+-/=?^_`{|}~@c>", "!#$%&'*+-/=?^_`{|}~@c"),
        (b"<a@b_c.example>", "a@b_c.example"),
    ],
)
def test_what_is_a_path_is_taken(path, address):
    driver = Driver(config(ask=["sender"]))
    driver.feed(b"EHLO x\r\n")
    assert driver.code(b"MAIL FROM:" + path) == 250
    assert driver.of_type(CheckSender) == [CheckSender(address)]


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        (b"SIZE=100", 250), (b"SIZE=268435456 BODY=8BITMIME", 250), (b"size=1 body=7bit", 250), (b"SIZE=268435457", 552),
        (b"SIZE=" + b"9" * 400, 552), (b"SIZE=x", 501), (b"SIZE", 501), (b"SIZE=-1", 501), (b"BODY=9BIT", 501), (b"X=y", 555),
        (b"SIZE=\xb2", 501),
    ],
)  # fmt: skip
def test_parameters_of_mail(parameters, code):
    driver = Driver(config())
    driver.feed(b"EHLO x\r\n")
    assert driver.code(b"MAIL FROM:<a@b> " + parameters) == code
    assert driver.code(b"MAIL FROM:<a@b>") == (503 if code == 250 else 250)


def test_a_parameter_of_mail_is_none_of_rcpt():
    driver = Driver(config())
    driver.feed(b"EHLO x\r\nMAIL FROM:<a@b>\r\n")
    assert driver.code(b"RCPT TO:<a@b> SIZE=1") == 555


# ---- international addresses: RFC 6531


def test_an_address_that_is_not_ascii_needs_smtputf8():
    driver = Driver(config(ask=["sender", "recipient"]))
    driver.feed(b"EHLO x\r\n")
    assert driver.code("MAIL FROM:<é@b>".encode()) == 553
    assert driver.code("MAIL FROM:<é@b> SMTPUTF8".encode()) == 250
    assert driver.code("RCPT TO:<用户@例子.example>".encode()) == 250
    assert [event.address for event in driver.of_type(CheckSender)] == ["é@b"]
    assert [event.address for event in driver.of_type(CheckRecipient)] == ["用户@例子.example"]


def test_smtputf8_holds_where_paths_are_read_loosely_as_well():
    made = config("tcllib-1.5", ask=EVERYTHING)
    made.choose({"smtputf8": True, "eightbitmime": True})
    driver = Driver(made)
    driver.feed("MAIL FROM:<à@b> SMTPUTF8\r\nRCPT TO:Ü <ü@d>\r\nDATA\r\n.\r\n".encode())
    (delivery,) = driver.of_type(Deliver)
    assert (delivery.sender, delivery.recipients) == ("<à@b>", ("<ü@d>",))
    assert [event.address for event in driver.of_type(CheckSender | CheckRecipient)] == ["à@b", "ü@d"]
    assert delivery.content.lines()[0].encode("latin-1") == "Return-Path: <à@b>".encode()
    assert codes(driver.said(b"RSET\r\nMAIL FROM:<\xff@b> SMTPUTF8\r\n")) == [250, 501]


def test_smtputf8_holds_for_one_transaction():
    driver = Driver(config())
    driver.feed(b"EHLO x\r\nMAIL FROM:<a@b> SMTPUTF8\r\nRSET\r\nMAIL FROM:<a@b>\r\n")
    assert driver.code("RCPT TO:<é@b>".encode()) == 553


def test_octets_that_are_not_utf_8_are_no_address():
    driver = Driver(config(ask=["sender"]))
    driver.feed(b"EHLO x\r\n")
    assert driver.code(b"MAIL FROM:<\xe9@b> SMTPUTF8") == 501
    assert driver.code("MAIL FROM:<a\x9b@b> SMTPUTF8".encode()) == 501  # a control character, as terminals see it
    assert not driver.of_type(CheckSender)


def test_an_international_path_stands_in_the_trace_header_as_utf_8():
    driver = Driver(config(ask=["deliver"]))
    driver.feed("EHLO x\r\nMAIL FROM:<é@b> SMTPUTF8\r\nRCPT TO:<中@b>\r\nDATA\r\nhello\r\n.\r\n".encode())
    [delivery] = driver.of_type(Deliver)
    assert (delivery.sender, delivery.recipients) == ("<é@b>", ("<中@b>",))
    assert delivery.content.text().startswith("Return-Path: <é@b>\n".encode())
    assert delivery.envelope.smtputf8


def test_without_the_extension_there_is_no_smtputf8():
    made = config()
    made.choose({"smtputf8": False})
    driver = Driver(made)
    assert b"SMTPUTF8" not in driver.said(b"EHLO x\r\n")
    assert driver.code(b"MAIL FROM:<a@b> SMTPUTF8") == 555
    assert driver.code("MAIL FROM:<é@b>".encode()) == 553


# ---- LMTP: RFC 2033


def lmtp(ask=()):
    made = config(ask=ask)
    made.choose({"lmtp": True})
    return made


def test_lmtp_is_greeted_with_lhlo_and_nothing_else():
    """RFC 2033, 4.1."""
    driver = Driver(lmtp())
    assert driver.code(b"HELO x") == 500
    assert driver.code(b"EHLO x") == 500
    assert b"250-PIPELINING" in driver.said(b"LHLO x\r\n")
    assert driver.code(b"MAIL FROM:<a@b>") == 250


LMTP_MAIL = b"LHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\nDATA\r\nhello\r\n.\r\n"


def test_lmtp_answers_a_message_once_for_each_recipient():
    """RFC 2033, 4.2."""
    driver = Driver(lmtp(["deliver"]))
    assert lines(driver.said(LMTP_MAIL))[-2:] == [
        b"250 2.1.5 <c@d> ID1 Message accepted for delivery",
        b"250 2.1.5 <e@f> ID1 Message accepted for delivery",
    ]
    assert driver.of_type(Deliver)[0].envelope.protocol == "LMTP"
    assert codes(driver.said(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 1 LAST\r\nx")) == [250, 250, 250]


def test_lmtp_refuses_a_message_once_for_each_recipient():
    driver = Driver(lmtp(["deliver"]), lambda _: Refuse("no"))
    assert codes(driver.said(LMTP_MAIL))[-2:] == [554, 554]


def test_lmtp_refuses_what_is_too_large_once_for_each_recipient():
    """RFC 2033, 4.2 and 4.3."""
    made = lmtp()
    made.choose({"lmtp": True, "size_limit": 3})
    driver = Driver(made)
    assert codes(driver.said(LMTP_MAIL))[-3:] == [354, 552, 552]
    assert codes(driver.said(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\nBDAT 2\r\nxx"))[-1] == 250
    assert codes(driver.said(b"BDAT 2 LAST\r\nxx")) == [552, 552]
    assert codes(driver.said(b"BDAT 2 LAST\r\nxx")) == [503]


def test_lmtp_counts_one_error_for_a_message_whatever_the_number_of_its_recipients():
    """Nothing may follow the 421."""
    made = lmtp(["deliver"])
    made.choose({"lmtp": True, "error_limit": 2})
    driver = Driver(made, lambda _: Refuse("no"))
    assert codes(driver.said(LMTP_MAIL))[-2:] == [554, 554]
    assert codes(driver.said(LMTP_MAIL))[-3:] == [554, 554, 421]


def test_lmtp_refuses_single_recipients():
    driver = Driver(lmtp(["deliver"]), lambda _: RefuseSome({"<e@f>": Refuse("full", 452)}))
    assert lines(driver.said(LMTP_MAIL))[-2:] == [b"250 2.1.5 <c@d> ID1 Message accepted for delivery", b"452 full"]
    assert driver.code(b"MAIL FROM:<a@b>") == 250


def test_lmtp_without_a_recipient_takes_no_data():
    """RFC 2033, 4.2: 503."""
    driver = Driver(lmtp(["recipient"]), lambda _: Refuse("no"))
    assert codes(driver.said(b"LHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n")) == [250, 250, 553, 503]


def test_smtp_has_one_reply_for_all_recipients():
    driver = Driver(config(ask=["deliver"]), lambda _: RefuseSome({"<e@f>": Refuse("full", 452)}))
    assert lines(driver.said(LMTP_MAIL.replace(b"LHLO", b"EHLO")))[-1] == b"452 full"


# ---- limits


@PROFILE
@pytest.mark.parametrize("excess", [1, 2, 3, 5000])
def test_a_command_line_over_the_limit_is_500_and_the_session_goes_on(profile, excess):
    made = config(profile)
    made.limits.command_line = 1000
    driver = Driver(made)
    assert driver.code(b"NOOP " + b"x" * 995) == 250
    assert driver.code(b"NOOP " + b"x" * (995 + excess)) == 500
    assert driver.code(b"NOOP") == 250


@PROFILE
@pytest.mark.parametrize("step", [1, 2, 3, 1000])
def test_the_line_end_of_a_body_is_no_part_of_the_line_behind_it(profile, step):
    made = config(profile)
    made.limits.command_line = 100
    driver = Driver(made)
    stream = WHOLE + b"x\r\n.\r\nNOOP " + b"x" * 95 + b"\r\n"
    for start in range(0, len(stream), step):
        driver.feed(stream[start : start + step])
    assert codes(driver.output)[-3:] == [354, 250, 250]


@PROFILE
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_message_over_the_limit_is_552_and_the_session_goes_on(profile, step):
    made = config(profile, ["deliver"])
    made.limits.message = 100
    for size, code in ((98, 250), (99, 552), (5000, 552)):
        driver = Driver(made)
        stream = WHOLE + b"x" * size + b"\r\n.\r\n"
        for start in range(0, len(stream), step):
            driver.feed(stream[start : start + step])
        assert codes(driver.output)[-1] == code, size
        assert len(driver.of_type(Deliver)) == (code == 250)
        assert driver.code(b"RSET") == 250
        driver.feed(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nshort\r\n.\r\n")
        assert driver.of_type(Deliver)[-1].content.lines()[4:] == ["short"]


@PROFILE
def test_one_recipient_too_many_is_452_and_the_others_stay(profile):
    made = config(profile, ["deliver"])
    made.limits.recipients = 2
    driver = Driver(made)
    driver.feed(b"HELO x\r\nMAIL FROM:<a@b>\r\n")
    assert [driver.code(b"RCPT TO:<%d@x>" % number) for number in range(3)] == [250, 250, 452]
    driver.feed(b"DATA\r\n.\r\n")
    assert driver.of_type(Deliver)[0].recipients == ("<0@x>", "<1@x>")


# ---- the end of the client


@PROFILE
@pytest.mark.parametrize("cut", [b"QUIT", b"QUIT\r", b"NOOP\n", b"MAIL FROM:<a@b>"])
def test_a_command_cut_off_by_the_end_is_not_executed(profile, cut):
    driver = play(config(profile, EVERYTHING), [b"HELO x\r\n" + cut])
    assert codes(driver.output) == [220, 250]
    assert driver.of_type(Close) == [Close("end of input")]
    assert not driver.of_type(CheckSender)


@PROFILE
@pytest.mark.parametrize("cut", [b"", b"text", b"text\r\n", b"text\r\n.", b".\x00\r\n"])
def test_a_message_cut_off_by_the_end_is_not_delivered(profile, cut):
    driver = play(config(profile, EVERYTHING), [WHOLE + cut])
    assert codes(driver.output)[-1] == 354
    assert not driver.of_type(Deliver)
    assert driver.of_type(Close)


@PROFILE
def test_what_stands_before_the_end_is_answered(profile):
    driver = play(config(profile, ["deliver"]), [WHOLE + b"x\r\n.\r\nQUIT\r\n"])
    assert codes(driver.output)[-2:] == [250, 221]
    assert driver.of_type(Close) == [Close("quit")]


# ---- smuggling

INNER = b"MAIL FROM:<evil@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nsmuggled\r\n.\r\n"
FALSE_ENDS = [
    b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r.\r\n", b"\n.\r", b"\r.\n", b"\r\n.\r\r\n", b"\r\r\n.\r\r\n", b"\r\n.\n\r\n",
    b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\n.\r\0\n", b"\0\r\n. \r\n", b"\r\n .\r\n", b"\v.\v", b"\f.\f", b"\x85.\x85", b"\r\n.\x85", b"\xe2\x80\xa8.\xe2\x80\xa8",
    b"\r\n..\r\n", b"\n\r.\n\r",
]  # fmt: skip


@pytest.mark.parametrize("end", FALSE_ENDS)
@pytest.mark.parametrize("step", [1, 3, 10_000])
def test_no_other_end_of_data_than_crlf_dot_crlf_under_rfc5321(end, step):
    stream = WHOLE + b"first" + end + INNER
    driver = play(config("rfc5321", ["deliver"]), [stream[start : start + step] for start in range(0, len(stream), step)])
    [delivery] = driver.of_type(Deliver)
    assert delivery.sender == "<a@b.example>"
    assert b"smuggled" in delivery.content.body


@pytest.mark.parametrize("end", [b"\n.\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r\n", b"\n.\r\n", b"\r.\r\n", b"\r\n.\r", b"\n.\r"])
@pytest.mark.parametrize("step", [1, 3, 10_000])
def test_every_line_end_ends_data_under_tcllib(end, step):
    stream = WHOLE + b"first" + end + b"NOOP\r\nQUIT\r\n"
    driver = play(config("tcllib-1.5", ["deliver"]), [stream[start : start + step] for start in range(0, len(stream), step)])
    [delivery] = driver.of_type(Deliver)
    assert delivery.content.lines()[4:] == ["first"]
    assert codes(driver.output)[-3:] == [250, 250, 221]


# ---- cost


def seconds(line, profile="tcllib-1.5"):
    driver = Driver(config(profile, ["sender"]))
    driver.feed(b"HELO x\r\n")
    start = time.thread_time()
    driver.code(line)
    return time.thread_time() - start


LONG = {
    "local part": lambda size: b"a" * size + b"@b",
    "dotted local part": lambda size: b"a." * (size // 2) + b"a@b",
    "dots": lambda size: b"." * size + b"@b",
    "dotted domain": lambda size: b"a@" + b"b." * (size // 2) + b"b",
    "dashed domain": lambda size: b"a@" + b"b-" * (size // 2),
    "underscored domain": lambda size: b"a@" + b"_" * size + b"!",
    "at-signs": lambda size: b"a" + b"@b" * (size // 2),
    "route": lambda size: b"@a," * (size // 3) + b":a@b",
    "nested comments": lambda size: b"(" * (size // 2) + b")" * (size // 2) + b"a@b",
    "open comments": lambda size: b"(" * size + b"a@b",
    "repeated comments": lambda size: b"()" * (size // 2) + b"a@b",
    "comments between": lambda size: b"a(x)" * (size // 4) + b"@b",
    "open quotes": lambda size: b'a"' * (size // 2),
    "open literals": lambda size: b"a@[" * (size // 3),
    "backslashes": lambda size: b"\\" * size,
    "quoted backslashes": lambda size: b'"' + b"\\" * size + b"@b",
    "quoted": lambda size: b'"' + b"x" * size + b'"@b',
    "words": lambda size: b"a " * (size // 2) + b"<a@b>",
    "groups": lambda size: b"a:" * (size // 2) + b";",
    "semi-colons": lambda size: b"a" + b";" * size,
    "commas": lambda size: b"," * size,
    "list": lambda size: b"a@b," * (size // 4),
    "blanks": lambda size: b"a" + b" " * size + b"!@b",
    "brackets": lambda size: b"<" * (size // 2) + b">" * (size // 2),
    "parameters": lambda size: b"a@b>" + b" X=y" * (size // 4) + b"=",
    "parameter blanks": lambda size: b"a@b>" + b" " * size + b"=",
}


@PROFILE
@pytest.mark.parametrize("make", LONG.values(), ids=LONG.keys())
def test_the_cost_of_an_address_is_linear(profile, make):
    """Sixteen times the size takes about sixteen times as long, not 256; generously measured, and never seconds."""
    small_, large = (min(seconds(b"MAIL FROM:<" + make(size) + b">", profile) for _ in range(3)) for size in (8_000, 128_000))
    assert large < 1.0
    assert large < 32 * small_ + 0.25


@PROFILE
def test_deep_comments_are_no_recursion(profile):
    driver = Driver(config(profile))
    driver.feed(b"HELO x\r\n")
    answer = driver.code(b"MAIL FROM:" + b"(" * 10_000 + b")" * 10_000 + b"<a@b>")
    assert answer == (250 if profile == "tcllib-1.5" else 501)


@PROFILE
def test_a_body_in_single_octets_is_linear(profile):
    def cost(size):
        driver = Driver(config(profile))
        driver.feed(WHOLE)
        start = time.thread_time()
        for _ in range(size // 4):
            for octet in (b"a", b"b", b"\r", b"\n"):
                driver.feed(octet)
        return time.thread_time() - start

    # The best of some: a machine that is busy with something else says nothing about us.
    assert min(cost(40_000) for _ in range(4)) < 30 * cost(5_000) + 0.05


# ---- what scripts do to a live session


def test_state_assigned_by_a_script_counts():
    driver = Driver(config("tcllib-1.5", ["deliver"]))
    session = driver.session
    session.assign("domain", ["assigned.example"])
    session.assign("from", ["<s@x>"])
    session.assign("to", ["<r@x>", "<t@x>"])
    assert driver.code(b"HELO again") == 503
    driver.feed(b"DATA\r\nhello\r\n.\r\n")
    [delivery] = driver.of_type(Deliver)
    assert (delivery.sender, delivery.recipients) == ("<s@x>", ("<r@x>", "<t@x>"))
    assert delivery.content.lines()[1] == "Received: from assigned.example [192.0.2.1]"
    session.assign("to", [])
    assert driver.code(b"DATA") == 503
    session.assign("access", ["denied"])
    assert driver.code(b"NOOP") == 503
    session.assign("access", ["allowed"])
    assert driver.code(b"NOOP") == 250


def test_a_message_that_a_script_begins_has_the_lines_it_says_and_nothing_else():
    driver = Driver(config("tcllib-1.5", ["deliver"]))
    driver.session.assign("indata", ["1", "X-One: 1", "X-Two: 2"])
    driver.feed(b"Subject: x\r\n\r\n..dot\r\n.\r\nNOOP\r\n")
    driver.session.assign("indata", ["1"])
    driver.feed(b"bare\r\n.\r\n")
    first, second = driver.of_type(Deliver)
    assert first.content.lines() == ["X-One: 1", "X-Two: 2", "Subject: x", "", ".dot"]
    assert second.content.lines() == ["bare"]


def test_a_message_on_its_way_can_be_rewritten_or_given_up_by_a_script():
    driver = Driver(config("tcllib-1.5", ["deliver"]))
    driver.feed(WHOLE + b"one\r\n")
    driver.session.assign("indata", ["1", "not", "again"])
    driver.session.assign("data", ["other"])
    driver.feed(b"two\r\n.\r\n")
    [delivery] = driver.of_type(Deliver)
    assert delivery.content.lines() == ["other", "two"]
    driver.feed(b"DATA\r\nhalf\r\n")
    driver.session.assign("indata", ["0"])
    assert driver.code(b"NOOP") == 250
    driver.session.assign("data", ["too late"])
    assert driver.code(b"NOOP") == 250


@PROFILE
def test_the_reply_to_a_message_names_the_id_that_a_script_gives_it_in_its_delivery(profile):
    driver = Driver(config(profile, ["deliver"]), late=True)
    driver.feed(WHOLE + b"x\r\n.\r\n")
    driver.session.assign("id", ["MINE"])
    assert b"MINE" in driver.session.acceptance
    driver.settle()
    assert codes(driver.output)[-1] == 250
    assert b"MINE" in driver.output


def test_the_address_that_a_script_gives_a_client_is_shown():
    driver = Driver(config("tcllib-1.5", ["deliver"]))
    driver.session.assign("client_addr", ["198.51.100.1"])
    driver.feed(WHOLE + b"x\r\n.\r\n")
    assert b"Hello client.example [198.51.100.1]" in driver.output
    [delivery] = driver.of_type(Deliver)
    assert delivery.content.lines()[1] == "Received: from client.example [198.51.100.1]"
    assert delivery.envelope.client == "198.51.100.1"


def test_has_input_tells_whether_more_is_there_behind_the_open_question():
    driver = Driver(config(ask=["sender"]), late=True)
    driver.feed(b"HELO x\r\nMAIL FROM:<a@b>\r\n")
    assert not driver.session.has_input
    driver.feed(b"NOOP\r\n")
    assert driver.session.has_input
    driver.settle()
    assert not driver.session.has_input


def test_settings_changed_during_a_session_count():
    made = config()
    driver = Driver(made)
    made.hand_over(frozenset({"NOOP", "X"}), frozenset())
    assert driver.code(b"HELO x") == 500
    assert driver.code(b"NOOP") == 250
    assert driver.code(b"X") == 502


def test_a_verb_that_is_recognized_and_not_had_is_502():
    """RFC 5321, 4.2.4: 502, where an unknown one is 500."""
    driver = Driver(config())
    assert [driver.code(verb) for verb in (b"EXPN list", b"TURN", b"ETRN x", b"XYZZY", b"LHLO x")] == [502, 502, 502, 500, 500]


def test_the_two_profiles_speak_their_own_words():
    assert codes(Driver(config("tcllib-1.5")).output) == [220]
    assert Driver(config("tcllib-1.5")).output == f"220 host.example tcllib smtpd 1.5; {TIME}\r\n".encode()
    assert Driver(config("rfc5321")).output == f"220 host.example ESMTP pysmtpd; {TIME}\r\n".encode()
    driver = Driver(config("rfc5321"))
    said = driver.said(b"EHLO x\r\n" + WHOLE.partition(b"\r\n")[2] + b".\r\nNOPE\r\nRSET\r\nNOOP\r\nQUIT\r\n")
    plain = [line for line in lines(said) if not line.startswith((b"250-", b"250 HELP", b"354"))]
    assert all(re.match(rb"([245])\d\d \1\.\d\.\d ", line) for line in plain), plain
    assert STOCK.noop_ok == b"250 OK\r\n"
    assert STANDARD.noop_ok == b"250 2.0.0 OK\r\n"


def scripted(*verbs, verdict=accept):
    chosen = config("tcllib-1.5")
    chosen.hand_over(chosen.commands | set(verbs), frozenset(verbs))
    return Driver(chosen, verdict)


def test_a_verb_handed_over_is_a_question_and_its_line_is_as_it_came():
    driver = scripted("VRFY", "NOOP")
    driver.feed(b"vrfy [x] $y\r\nNOOP\r\nRSET\r\n")
    assert driver.events == [Command("VRFY", "vrfy [x] $y"), Command("NOOP", "NOOP")]
    assert driver.output.endswith(b"\r\n250 OK\r\n")


def test_a_verb_handed_over_that_nobody_has_is_not_implemented():
    driver = scripted("VRFY", verdict=lambda _: Refuse())
    assert driver.said(b"VRFY x\r\n") == b"500 VRFY not implemented\r\n"
    driver = scripted("VRFY", verdict=lambda _: Refuse("oops"))
    assert driver.said(b"VRFY x\r\n").startswith(b"451 ")


def test_a_command_asked_for_while_a_question_is_open_is_handled_and_the_question_stays_open():
    chosen = config("tcllib-1.5", ask=("sender",))
    chosen.hand_over(chosen.commands, frozenset({"MAIL"}))
    session = Session(chosen, "192.0.2.1", 1, "sock1")
    session.start()
    session.take_output()
    session.receive(b"MAIL FROM:<a@b>\r\nNOOP\r\n")
    outer = session.next_event()
    session.command("MAIL", "MAIL FROM:<a@b>")
    assert session.next_event() == CheckSender("a@b")
    session.answer(Accept())
    assert session.take_output() == b"250 OK\r\n"
    assert session.sender == "<a@b>"
    assert session.question == outer
    assert session.next_event() is None
    session.answer(Accept())
    assert session.next_event() is None
    assert session.take_output() == b"250 OK\r\n"


# ---- errors and silence


def test_too_many_errors_end_the_session():
    made = config()
    made.choose({"error_limit": 3})
    driver = Driver(made)
    output = driver.said(b"FOO\r\nMAIL FROM:<a@b.example>\r\nNOOP\r\nHELO\r\nNOOP\r\n")
    assert codes(output) == [500, 503, 250, 501, 421]
    assert driver.of_type(Close) == [Close("too many errors")]


def test_refusals_count_as_errors():
    made = config(ask=["sender", "recipient", "deliver"])
    made.choose({"error_limit": 2})
    driver = Driver(made, lambda question: Refuse("no") if isinstance(question, CheckSender) else Accept())
    assert codes(driver.said(b"EHLO a\r\n" + b"MAIL FROM:<a@b.example>\r\n" * 3)) == [250, 553, 553, 421]


@PROFILE
def test_a_client_that_was_silent_for_too_long_is_told(profile):
    driver = Driver(config(profile))
    driver.session.time_out()
    driver.feed(b"")
    assert codes(driver.output) == [220, 421]
    assert driver.of_type(Close) == [Close("idle")]


@PROFILE
def test_a_client_that_waits_for_a_callback_is_not_silent(profile):
    driver = Driver(config(profile, ["sender"]), late=True)
    driver.feed(b"HELO a\r\nMAIL FROM:<a@b.example>\r\n")
    driver.session.time_out()
    driver.settle()
    assert codes(driver.output) == [220, 250, 250]
    assert not driver.closed


# ---- extensions, mixed

PIECES_OF_ESMTP = [
    b"EHLO x\r\n", b"HELO x\r\n", b"AUTH PLAIN AGFubmEAc2VjcmV0\r\n", b"AUTH LOGIN\r\n", b"AUTH CRAM-MD5\r\n", b"YW5uYQ==\r\n", b"c2VjcmV0\r\n",
    b"*\r\n", b"MAIL FROM:<a@b.example> RET=HDRS SIZE=9\r\n", "MAIL FROM:<\u00e9@b.example> SMTPUTF8\r\n".encode(), b"MAIL FROM:<a@b.example>\r\n",
    b"RCPT TO:<c@d.example> NOTIFY=NEVER\r\n", "RCPT TO:<\u7528@d.example>\r\n".encode(), b"RCPT TO:<e@f.example>\r\n", b"BDAT 6\r\nQUIT\r\n",
    b"BDAT 3 LAST\r\n.\r\n", b"BDAT 0 LAST\r\n", b"BDAT x\r\n", b"DATA\r\n", b"text\r\n.\r\n", b"RSET\r\n", b"VRFY a@b.example\r\n", b"NOOP\r\n",
    b"EXPN x\r\n", b"AUTH\r\n", b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nx\r\n.\r\n",
]  # fmt: skip


def deliveries_of(data, sizes, **chosen):
    """Play octets in pieces of these sizes, over and over; return replies and deliveries."""
    made = config(ask=["deliver", "recipient"])
    made.choose({"auth_users": {"anna": "secret"}, "error_limit": 0, "expn": True, **chosen})
    chunks = []
    start = 0
    for size in itertools.cycle(sizes):
        if start >= len(data):
            break
        chunks.append(data[start : start + size])
        start += size
    driver = play(made, chunks)
    return driver.output, driver.of_type(Deliver)


@pytest.mark.parametrize(
    "chosen",
    [{}, {"profile": "tcllib-1.5", "chunking": True, "dsn": True}, {"auth_required": True}],
    ids=["ours", "stock", "auth"],
)
@given(st.lists(st.sampled_from(PIECES_OF_ESMTP), max_size=30), st.lists(st.integers(1, 60), min_size=1, max_size=4))
@settings(max_examples=120)
def test_extensions_in_any_order_are_the_same_whole_and_in_pieces(chosen, parts, sizes):
    data = b"".join(parts)
    output, deliveries = deliveries_of(data, [len(data) or 1], **chosen)
    codes(output)
    assert deliveries_of(data, sizes, **chosen) == (output, deliveries)
    assert deliveries_of(data, [1], **chosen) == (output, deliveries)


def test_a_client_that_just_leaves_is_worth_a_warning_in_the_stock_profile_only():
    levels = {}
    for profile in ("tcllib-1.5", "rfc5321"):
        made = config(profile)
        made.log_to("debug")
        driver = play(made, [b"NOOP\r\n"])
        levels[profile] = [entry.level for entry in driver.of_type(Log) if "closed the channel" in entry.text]
    assert levels == {"tcllib-1.5": ["warn"], "rfc5321": ["info"]}
