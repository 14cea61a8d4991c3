"""Verbs called for a channel without a session. That they do what the stock package does there, compat/scripts/by_hand.tcl shows."""

import pytest

from pysmtpd.core import RFC5321, TCLLIB_1_5, Accept, Config, Refuse
from pysmtpd.drivers.tcl_by_hand import Hand


@pytest.fixture
def config():
    return Config(lambda: "DATE", lambda: "ID", "host.example", TCLLIB_1_5)


@pytest.fixture
def hand(config):
    return Hand(config, lambda question: None)


def test_a_verb_without_any_state(hand):
    assert hand.call("chan", "NOOP", "NOOP") == [("say", "250 OK")]


def test_the_log_goes_in_the_order_of_the_stock_package(hand, config):
    config.log_to("debug")
    assert hand.call("chan", "MAIL", "MAIL FROM:<a@b>") == [
        ("log", "debug", "MAIL FROM: a@b"), ("set", "from", "<a@b>"), ("set", "options", ""), ("say", "250 OK"),
    ]  # fmt: skip
    assert hand.call("chan", "HELO", "HELO me") == [
        ("say", "250 host.example Hello me [], pleased to meet you"), ("set", "domain", "me"), ("log", "debug", "HELO on chan from me"),
    ]  # fmt: skip
    assert hand.call("chan", "HELO", "HELO me", "domain", "you") == [
        ("say", "503 bad sequence of commands"), ("log", "debug", "HELO received out of sequence."),
    ]  # fmt: skip


def test_the_state_is_what_the_script_has(hand):
    steps = hand.call("chan", "RCPT", "RCPT TO:<c@d>", "to", "<a@b> <e@f>", "mine", "kept")
    assert steps == [("set", "to", ["<a@b>", "<e@f>", "<c@d>"]), ("say", "250 OK")]


def test_recipients_that_are_no_list_are_one(hand):
    assert hand.call("chan", "RCPT", "RCPT TO:<c@d>", "to", "{a") == [("set", "to", ["{a", "<c@d>"]), ("say", "250 OK")]


def test_data_looks_at_the_sender_first_and_begins_a_message(hand):
    assert hand.call("chan", "DATA", "DATA") == [("read", "from"), ("say", "503 bad sequence: no sender specified")]
    steps = hand.call("chan", "DATA", "DATA", "from", "<a@b>", "to", "<c@d>", "client_addr", "192.0.2.1")
    assert [step[:2] for step in steps] == [
        ("read", "from"), ("read", "to"), ("say", '354 Enter mail, end with "." on a line by itself'),
        ("set", "id"), ("set", "indata"), ("read", "from"), ("set", "data"), ("translate",),
    ]  # fmt: skip
    assert steps[6][2][:2] == ["Return-Path: <a@b>", "Received: from  [192.0.2.1]"]


def test_rset_and_quit(hand):
    assert hand.call("chan", "RSET", "RSET", "from", "<a@b>") == [("forget",), ("say", "250 OK")]
    assert hand.call("chan", "QUIT", "QUIT") == [("say", "221 host.example Service closing transmission channel"), ("close",)]


def test_there_is_nobody_to_shake_hands_with(hand, config):
    config.use_tls(object())
    assert hand.call("chan", "STARTTLS", "STARTTLS") == [
        ("say", "220 Ready to start TLS"), ("say", "454 TLS not available due to temporary reason"),
    ]  # fmt: skip


def test_a_question_is_put_to_the_script_and_answered_by_its_number(hand, config):
    config.listen_for(frozenset(("sender", "recipient")))
    [(*question, number)] = hand.call("chan", "MAIL", "MAIL FROM:<a@b>")
    [(*other, second)] = hand.call("chan", "RCPT", "RCPT TO:<c@d>")
    assert question == ["ask", "sender", ["a@b", "<a@b>", "", "MAIL FROM:<a@b>"]]
    assert other == ["ask", "recipient", ["c@d", "<c@d>", "", "RCPT TO:<c@d>"]]
    assert hand.answer(second, Refuse("no")) == [("say", "553 Requested action not taken: mailbox name not allowed")]
    assert hand.answer(number, Accept()) == [("set", "from", "<a@b>"), ("set", "options", ""), ("say", "250 OK")]


def test_python_is_asked_where_it_listens(config):
    config.listen_for(frozenset(("sender",)))
    asked = []
    hand = Hand(config, lambda question: asked.append(question.address) or Refuse("later", 451))
    assert hand.call("chan", "MAIL", "MAIL FROM:<a@b>") == [("say", "451 later")]
    assert asked == ["a@b"]


def test_our_own_dialect(config):
    config.use_profile(RFC5321)
    hand = Hand(config, lambda question: None)
    assert [step[1][:3] for step in hand.call("chan", "DATA", "DATA", "from", "") if step[0] == "say"] == ["503"]
