"""The engine behind both Tcl drivers: actions, settings, and who answers a question."""

import pytest

from pysmtpd.callbacks import ConfigurationError, Refused
from pysmtpd.drivers.tcl import TclEngine, overrides_from_environment

SETTINGS = [
    ("hostname", "host.example"), ("server_address", "mx.example"), ("banner", "b"), ("log_level", "warn"),
    *(("command", verb) for verb in ["EHLO", "HELO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT", "HELP", "VRFY"]),
    ("extension", "SIZE"), ("parameters", "0"), ("help", ""), ("line", "Topics:"), ("help", "X"), ("line", "one"), ("line", "two"),
]  # fmt: skip
TO_RCPT = b"HELO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"
MAIL = TO_RCPT + b"DATA\r\nhello\r\n.\r\n"


def engine(*callbacks, overrides=None):
    """Return an engine; ``callbacks`` are pairs of an option and its words."""
    made = TclEngine(overrides)
    settings = list(SETTINGS)
    for option, *words in callbacks:
        settings.append(("callback", option))
        settings += [("word", word) for word in words]
    made.configure(settings)
    return made


def opened(made, number=1):
    return made.open(number, "192.0.2.1", 1025, "sock1")


def pairs(actions):
    """Return a flat list of actions and arguments as pairs; replies and nothing else are one that writes."""
    if isinstance(actions, bytes):
        return [("write", actions)] if actions else []
    return list(zip(actions[::2], actions[1::2], strict=True))


def names(actions):
    return [action for action, _ in pairs(actions)]


def written(actions):
    """Return the reply bytes that go out by these actions, those held back included."""
    return b"".join(argument for action, argument in pairs(actions) if action in ("write", "hold"))


def asked(actions):
    """Return the question to the script, which must be the last action."""
    action, question = pairs(actions)[-1]
    assert action == "ask"
    return question


def test_replies_are_one_write_per_chunk():
    made = engine()
    assert written(opened(made)).startswith(b"220 mx.example b; ")
    actions = made.receive(1, MAIL + b"QUIT\r\nNOOP\r\n")
    assert names(actions) == ["write", "close"]
    assert [line[:3] for line in written(actions).split(b"\r\n")[:-1]] == [b"250", b"250", b"250", b"354", b"250", b"221"]
    assert not made.sessions


def test_a_question_for_the_script_is_the_last_action_and_says_what_changed():
    made = engine(("validate_sender", "tcl"), ("validate_recipient", "tcl"), ("deliver", "tcl"))
    opened(made)
    actions = made.receive(1, MAIL)
    assert names(actions) == ["hold", "ask"]
    assert asked(actions) == ("sender", ("domain", "c"), ("a@b", "<a@b>", "", "MAIL FROM:<a@b>"))
    assert not made.receive(1, b"NOOP\r\n")
    actions = made.accept(1)
    assert asked(actions) == ("recipient", ("from", "<a@b>"), ("c@d", "<c@d>", "", "RCPT TO:<c@d>"))
    actions = made.accept(1)
    kind, changes, text = asked(actions)
    assert (kind, changes[:2], changes[2]) == ("deliver", ("to", ("<c@d>",)), "id")
    assert text.split(b"\n")[0] == b"Return-Path: <a@b>"
    assert text.endswith(b"\nhello")
    reply = written(made.accept(1))
    assert reply.startswith(b"250 ")
    assert reply.endswith(b" Message accepted for delivery\r\n250 OK\r\n")


def test_an_acceptance_sent_by_the_link_is_not_sent_again():
    made = engine(("deliver", "tcl"))
    opened(made)
    made.receive(1, MAIL + b"NOOP\r\n")
    assert written(made.accept(1, replied=True)) == b"250 OK\r\n"


@pytest.mark.parametrize(
    ("code", "text", "error_code", "delivery", "sender"),
    [
        (1, "no", "NONE", b"554 Transaction failed: no", b"553 "),
        (1, "no", "SMTP 451", b"451 no", b"451 no"),
        (1, "no", "451", b"451 no", b"553 "),
        (1, "no", "SMTP 251", None, b"553 "),
        (1, "no", "SMTP 451 x", b"554 ", b"553 "),
        (1, "no", "CHILDSTATUS 451 1", b"554 ", b"553 "),
        (1, "no", "SMTP 999", b"554 ", b"553 "),
        (2, "x", "NONE", b"554 ", b"553 "),
        (3, "", "NONE", b"554 ", b"553 "),
        (7, "x", "NONE", b"554 ", b"553 "),
        (1, "a\nb", "SMTP 451", b"451-a\r\n451 b", b"451-a\r\n451 b"),
    ],
)
def test_what_ended_a_callback_chooses_the_reply(code, text, error_code, delivery, sender):
    made = engine(("deliver", "tcl"))
    opened(made)
    made.receive(1, MAIL)
    if delivery is not None:
        assert written(made.refuse(1, code, text, error_code)).startswith(delivery)
    made = engine(("validate_sender", "tcl"))
    opened(made)
    made.receive(1, TO_RCPT)
    assert written(made.refuse(1, code, text, error_code)).startswith(sender)


def test_a_python_callback_is_due_once_what_came_before_is_out(monkeypatch):
    called = []
    made = engine(overrides={"validate_sender": called.append})
    opened(made)
    actions = made.receive(1, TO_RCPT)
    assert names(actions) == ["hold", "python"]
    assert not called
    assert written(made.resolve(1)) == b"250 OK\r\n250 OK\r\n"
    assert called == ["a@b"]


@pytest.mark.parametrize(
    ("configured", "overrides", "winner"),
    [
        ([("deliver", "tcl")], [], "tcl"),
        ([("deliver", "::pysmtpd::call", "handle")], [], "python handle"),
        ([("deliver", "tcl")], ["deliver"], "deliver override"),
        ([("deliverMIME", "tcl")], ["deliver"], "deliver override"),
        ([("deliver", "tcl"), ("deliverMIME", "tcl")], ["deliver"], "deliver override"),
        ([("deliver", "::pysmtpd::call", "handle"), ("deliverMIME", "tcl")], [], "tcl"),
        ([("deliver", "tcl"), ("deliverMIME", "::pysmtpd::call", "handle")], [], "python handle"),
        ([("deliver", "tcl")], ["deliverMIME"], "deliverMIME override"),
        ([], ["deliver", "deliverMIME"], "deliverMIME override"),
        ([("deliver", "pysmtpd::call", "handle")], ["deliverMIME"], "deliverMIME override"),
        ([("deliver",)], [], "nobody"),
        ([("deliver", "::pysmtpd::call")], [], "tcl"),
    ],
)
def test_python_overrides_the_script_and_deliver_mime_wins_over_deliver(configured, overrides, winner):
    called = []
    made = TclEngine({option: lambda *_, option=option: called.append(f"{option} override") for option in overrides})
    handle = made.handle_for(lambda *_: called.append("python handle"))
    settings = list(SETTINGS)
    for option, *words in configured:
        settings.append(("callback", option))
        settings += [("word", handle if word == "handle" else word) for word in words]
    made.configure(settings)
    opened(made)
    actions = made.receive(1, MAIL)
    if names(actions)[-1] == "python":
        made.resolve(1)
    assert (called or ["tcl" if names(actions)[-1] == "ask" else "nobody"]) == [winner]


def test_a_missing_python_callback_is_an_error_of_configure():
    with pytest.raises(ConfigurationError, match="no_such_module_here"):
        engine(("deliver", "::pysmtpd::call", "no_such_module_here:f"))


def test_words_behind_the_function_are_its_first_arguments():
    called = []
    made = TclEngine()
    handle = made.handle_for(lambda *arguments: called.append(arguments))
    made.configure([*SETTINGS, ("callback", "validate_sender"), ("word", "pysmtpd::call"), ("word", handle), ("word", "a b")])
    opened(made)
    made.receive(1, TO_RCPT)
    made.resolve(1)
    assert called == [("a b", "a@b")]


def test_settings_reach_live_sessions():
    made = engine()
    opened(made)
    assert (
        written(made.receive(1, b"VRFY x\r\nHELP X\r\n"))
        == b"500 VRFY not implemented\r\n214-one\r\n214-two\r\n214 End of HELP\r\n"
    )
    made.configure([*SETTINGS, ("callback", "validate_sender"), ("word", "tcl")])
    assert names(made.receive(1, TO_RCPT)) == ["hold", "ask"]


def test_log_lines_are_actions():
    made = engine()
    made.configure([("log_level", "debug"), *(pair for pair in SETTINGS if pair[0] != "log_level")])
    opened(made)
    assert ("log", ("debug", "received: NOOP \\x1b")) in pairs(made.receive(1, b"NOOP \x1b\r\n"))


def test_numbers_that_are_no_session_are_no_matter():
    made = engine(("deliver", "tcl"))
    opened(made)
    made.receive(1, MAIL)
    made.forget(1)
    for result in (
        made.accept(1),
        made.refuse(1, 1),
        made.resolve(1),
        made.receive(1, b"NOOP\r\n"),
        made.end(1),
        made.receive(9, b"x"),
    ):
        assert not result
    made.forget(1)
    made.assign(1, "from", ["x"])


def test_the_end_of_a_client_closes():
    made = engine()
    opened(made)
    assert names(made.receive(1, b"NOOP\r\nMAIL FR")) == ["write"]
    assert names(made.end(1)) == ["close"]
    assert not made.sessions


class Mute(Exception):
    """An exception whose text cannot be had."""

    def __str__(self):
        raise ValueError("no words")


def test_a_call_gives_back_values_and_errors_as_data():
    made = TclEngine()

    def fail(kind):
        raise {
            "refused": Refused(451, "later"), "key": KeyError("k"), "exit": SystemExit(2), "silent": ValueError(), "mute": Mute(),
        }[kind]  # fmt: skip

    handle = made.handle_for(fail)
    assert made.call(made.handle_for(lambda *words: list(words)), ["a b", ""]) == ("ok", "{a b} {}")
    assert made.call(handle, ["refused"]) == ("error", "later", "SMTP 451")
    assert made.call(handle, ["key"]) == ("error", "'k'", "PYTHON KeyError")
    assert made.call(handle, ["exit"]) == ("error", "2", "PYTHON SystemExit")
    assert made.call(handle, ["silent"]) == ("error", "ValueError", "PYTHON ValueError")
    assert made.call("no_such_module_here:f", [])[0] == "error"
    assert made.call(handle, ["mute"])[::2] == ("error", "PYTHON Mute")


def test_state_that_a_script_sets_holds():
    made = engine(("validate_sender", "tcl"), ("deliver", "tcl"))
    opened(made)
    made.receive(1, b"MAIL FROM:<a@b>\r\n")
    made.accept(1)
    made.assign(1, "to", ["<x@y>", "<z@y>"])
    actions = made.receive(1, b"DATA\r\n.\r\n")
    kind, changes, _ = asked(actions)
    assert kind == "deliver"
    assert changes[changes.index("to") + 1] == ("<x@y>", "<z@y>")


def test_what_a_script_has_set_is_told_again_when_it_is_as_before():
    made = engine(("deliver", "tcl"))
    opened(made)
    made.receive(1, b"MAIL FROM:<a@b>\r\nVRFY\r\n")
    made.state(1)
    made.assign(1, "from", [""])
    made.receive(1, b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n")
    _, changes, _ = asked(made.receive(1, b"DATA\r\n.\r\n"))
    assert changes[changes.index("from") + 1] == "<a@b>"


def test_a_message_that_a_script_has_begun_is_told_of():
    made = engine()
    made.configure([*SETTINGS, ("scripted", "DATA")])
    opened(made)
    _, changes, command = asked(made.receive(1, TO_RCPT + b"DATA\r\n"))
    assert command == ("DATA", "DATA")
    assert changes[changes.index("indata") + 1] == "0"
    *_, action, state = made.command(1, "DATA", "DATA")
    assert action == "state"
    assert state[:3] == ("indata", "1", "data")
    assert state[3][0] == "Return-Path: <a@b>"


def test_a_client_whom_the_script_has_greeted_is_not_greeted_again():
    made = engine(("validate_host", "tcl"))
    made.adopt(1, "192.0.2.1", 1025, "sock1")
    assert written(made.receive(1, b"HELO c\r\n")) == b"250 mx.example Hello c [192.0.2.1], pleased to meet you\r\n"


@pytest.mark.parametrize(
    ("code", "reply"),
    [
        ("452 4.2.2", b"452 4.2.2 full\r\n"),
        ("SMTP 550 5.7.1", b"550 5.7.1 full\r\n"),
        ("452 words", b"554 Transaction failed: full\r\n"),
        ("452 4.2", b"554 Transaction failed: full\r\n"),
    ],
)
def test_an_enhanced_status_code_of_a_script(code, reply):
    made = engine(("deliver", "tcl"))
    opened(made)
    made.receive(1, MAIL)
    assert written(made.refuse(1, 1, "full", code)) == reply


def test_the_time_may_be_a_scripts_own():
    made = engine()
    made.configure([*SETTINGS, ("timestamp", "now")])
    assert written(opened(made)) == b"220 mx.example b; now\r\n"
    made.configure(SETTINGS)
    assert written(opened(made, 2)) != b"220 mx.example b; now\r\n"


def test_the_environment_names_a_module_of_callbacks(monkeypatch, tmp_path):
    monkeypatch.delenv("PYSMTPD_CALLBACKS", raising=False)
    assert overrides_from_environment() == {}
    (tmp_path / "environment_callbacks.py").write_text("def deliver(*_): pass\ndef validate_host(*_): pass\nother = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYSMTPD_CALLBACKS", "environment_callbacks")
    assert set(overrides_from_environment()) == {"deliver", "validate_host"}
    monkeypatch.setenv("PYSMTPD_CALLBACKS", "no_such_module_here")
    with pytest.raises(ConfigurationError, match="no_such_module_here"):
        overrides_from_environment()


def test_the_state_is_told_when_a_script_looks():
    made = engine()
    opened(made)
    made.receive(1, TO_RCPT)
    told = dict(pairs(made.state(1)))
    assert told == {"domain": "c", "from": "<a@b>", "to": ("<c@d>",), "indata": "0", "data": ()}
    made.receive(1, b"DATA\r\none\r\n..two\r\nthr")
    told = dict(pairs(made.state(1)))
    assert told["indata"] == "1"
    assert told["data"][0] == "Return-Path: <a@b>"
    assert told["data"][-2:] == ("one", ".two")
    made.receive(1, b"ee\r\n.\r\n")
    assert dict(pairs(made.state(1))) == {"indata": "0"}  # the message was told with its question, or to nobody
    made.assign(1, "from", [""])
    assert dict(pairs(made.state(1))) == {"from": "", "indata": "0"}
    made.receive(1, b"RSET\r\n")
    assert dict(pairs(made.state(1))) == {"to": (), "indata": "0", "data": ()}
    made.forget(1)
    assert made.state(1) == ()
