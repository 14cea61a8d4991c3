"""Python callbacks: found, checked, called; and what their exceptions mean."""

import sys
import types
from concurrent.futures import Future
from enum import Enum
from functools import partial
from unittest.mock import AsyncMock, MagicMock, Mock

import pytest

from pysmtpd.callbacks import (
    ConfigurationError,
    Refused,
    RefusedRecipients,
    call_back,
    callbacks_in,
    check_callback,
    find_callback,
    load_module,
    put_question,
    refusal,
)
from pysmtpd.core import Accept, CheckHost, CheckRecipient, CheckSender, CheckUser, Deliver, Refuse, RefuseSome, TlsReport
from pysmtpd.core.data import Content
from pysmtpd.core.envelope import Envelope

ENVELOPE = Envelope("192.0.2.1", 4711, "client", "ESMTP", None, None)
CONTENT = Content("Return-Path: <a@b>", [b"Subject: h\xc3\xa9\r\n\r\nbody\r\n"], b"\r\n")
ENVELOPE = Envelope("192.0.2.1", 1025, "me", "SMTP", None, None)
QUESTIONS = {
    "validate_user": (CheckUser("anna", "secret", "PLAIN"), ("anna", "secret")),
    "validate_host": (CheckHost("192.0.2.1"), ("192.0.2.1",)),
    "validate_sender": (CheckSender("a@b"), ("a@b",)),
    "validate_recipient": (CheckRecipient("c@d"), ("c@d",)),
    "deliver": (
        Deliver("<a@b>", ("<c@d>", "<e@f>"), CONTENT, "ID", ENVELOPE),
        ("<a@b>", ["<c@d>", "<e@f>"], ["Return-Path: <a@b>", "Subject: h\xc3\xa9", "", "body"]),
    ),
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory that modules are imported from."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("callback_module"):
            del sys.modules[name]


@pytest.mark.parametrize("option", QUESTIONS)
def test_a_question_is_put_to_its_callback(option):
    question, arguments = QUESTIONS[option]
    called = []
    assert isinstance(put_question({option: lambda *words: called.append(words)}, question), Accept)
    assert called == [arguments]


@pytest.mark.parametrize("option", QUESTIONS)
def test_without_a_callback_the_answer_is_yes(option):
    assert isinstance(put_question({}, QUESTIONS[option][0]), Accept)


def test_deliver_mime_wins_and_gets_a_message():
    called = []
    put_question({"deliver": called.append, "deliverMIME": called.append}, QUESTIONS["deliver"][0])
    [message] = called
    assert message["Return-Path"] == "<a@b>"
    assert message["Subject"] == "hé"
    assert message.get_content() == "body"


@pytest.mark.parametrize("value", [None, False, 0, "no", Refused(451)])
def test_whatever_a_callback_returns_accepts(value):
    assert isinstance(put_question({"validate_sender": lambda _: value}, CheckSender("a")), Accept)


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (Refused(451, "later"), Refuse("later", 451)),
        (Refused(550), Refuse("Refused", 550)),
        (ValueError("bad\r\nthing"), Refuse("bad\r\nthing")),
        (ValueError(), Refuse("ValueError")),
        (SystemExit(3), Refuse("3")),
        (SystemExit(), Refuse("SystemExit")),
        (KeyboardInterrupt(), Refuse("KeyboardInterrupt")),
        (GeneratorExit(), Refuse("GeneratorExit")),
        (ExceptionGroup("several", [ValueError("x")]), Refuse("several (1 sub-exception)")),
    ],
)
@pytest.mark.parametrize("option", QUESTIONS)
def test_every_exception_refuses(option, error, verdict):
    def callback(*_):
        raise error

    assert put_question({option: callback}, QUESTIONS[option][0]) == verdict


def test_an_exception_whose_text_cannot_be_had_refuses():
    class Unspeakable(Exception):
        def __str__(self):
            raise ValueError("no words")

    def callback(*_):
        raise Unspeakable

    assert isinstance(put_question({"validate_sender": callback}, CheckSender("a")), Refuse)


@pytest.mark.parametrize("text", [5, b"bytes", ["a"], ValueError("x")])
def test_a_text_that_is_no_string_is_refused_or_made_one(text):
    def callback(_):
        raise Refused(451, text)

    verdict = put_question({"validate_sender": callback}, CheckSender("a"))
    assert isinstance(verdict, Refuse)
    assert isinstance(verdict.text, str)


def test_a_callback_with_other_arguments_refuses_and_says_so():
    verdict = put_question({"validate_sender": lambda: None}, CheckSender("a"))
    assert "positional argument" in verdict.text


@pytest.mark.parametrize("code", [399, 600, 250, 0, -1, "451", 451.0, None])
def test_codes_that_cannot_refuse(code):
    with pytest.raises(ValueError, match="must be a number from 400 to 599"):
        Refused(code)


def test_a_code_may_be_of_an_enumeration():
    class Code(int, Enum):
        FULL = 452

    assert str(refusal(Refused(Code.FULL)).code) == "452"


@pytest.mark.parametrize("kind", [Refused, RefusedRecipients])
def test_a_refusal_that_was_not_made_whole_refuses(kind):
    class Unfinished(kind):
        def __init__(self):
            pass

    assert refusal(Unfinished()) == Refuse("Unfinished")


def test_refused_says_its_text():
    assert str(Refused(451, "later")) == "later"
    assert (Refused(451, "later").code, Refused(451).text) == (451, "Refused")


# ---- finding


def test_a_function_is_found_by_module_and_name(here):
    (here / "callback_module_a.py").write_text("def f(): return 1\nclass C:\n    @staticmethod\n    def g(): return 2\n")
    assert find_callback("callback_module_a:f")() == 1
    assert find_callback("callback_module_a:C.g")() == 2
    assert find_callback("os.path:join")("a", "b") == "a/b"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("callback_module_none:f", ['"callback_module_none"', "the working directory"]),
        ("callback_module_b:nope", ['"callback_module_b"', '"nope"', "callback_module_b.py"]),
        ("callback_module_b:f.nope", ['"f.nope"', "callback_module_b.py"]),
        ("callback_module_b:number", ["callback_module_b:number", "int", "function"]),
        ("callback_module_b:asynchronous", ["coroutine function", "plain function"]),
        ("callback_module_c:f", ['"callback_module_c"', "ZeroDivisionError"]),
        ("callback_module_d:f", ['"callback_module_d"', "no_such_thing"]),
        ("callback_module_e:f", ['"callback_module_e"', "SyntaxError"]),
        ("callback_module_g:f", ['"callback_module_g"', "SystemExit"]),
        ("os.nothing:f", ['"os.nothing"']),
        ("callback_module_b", ["MODULE:FUNCTION"]),
        (":f", ["MODULE:FUNCTION"]),
        ("callback_module_b:", ["MODULE:FUNCTION"]),
        ("", ["MODULE:FUNCTION"]),
        (".relative:f", [".relative"]),
    ],
)
def test_what_cannot_be_found_says_which_and_where(here, name, said):
    (here / "callback_module_b.py").write_text("def f(): pass\nnumber = 5\nasync def asynchronous(): pass\n")
    (here / "callback_module_c.py").write_text("1 / 0\n")
    (here / "callback_module_d.py").write_text("import no_such_thing\n")
    (here / "callback_module_e.py").write_text("def (\n")
    (here / "callback_module_g.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(ConfigurationError) as caught:
        find_callback(name)
    assert all(part in str(caught.value) for part in said), str(caught.value)


def test_a_module_names_its_callbacks(here):
    (here / "callback_module_h.py").write_text("def deliver(*_): pass\ndef validate_host(ip): pass\ndef other(): pass\n")
    assert set(callbacks_in("callback_module_h")) == {"deliver", "validate_host"}
    assert set(callbacks_in(load_module("callback_module_h"))) == {"deliver", "validate_host"}


def test_a_module_without_callbacks_is_an_error_that_lists_them():
    with pytest.raises(ConfigurationError, match="defines no callback: must have at least one of deliver, deliverMIME"):
        callbacks_in(types.ModuleType("callback_module_empty"))


def test_a_module_whose_callback_is_no_function():
    module = types.ModuleType("callback_module_odd")
    module.deliver = 5
    with pytest.raises(ConfigurationError, match="deliver is int 5: must be a function"):
        callbacks_in(module)


async def coroutine(*_):
    """What nothing here can await."""


class Asynchronous:
    async def method(self):
        pass

    async def __call__(self, *_):
        pass


@pytest.mark.parametrize("function", [coroutine, Asynchronous().method, Asynchronous(), partial(coroutine, 1), AsyncMock()])
def test_coroutine_functions_in_any_shape_are_refused_when_configured(function):
    with pytest.raises(ConfigurationError, match="coroutine"):
        check_callback("deliver", function)


def generator(*_):
    yield


async def asynchronous_generator(*_):
    yield


@pytest.mark.parametrize("function", [generator, asynchronous_generator, partial(generator, 1), types.coroutine(generator)])
@pytest.mark.parametrize("awaits", [False, True])
def test_generator_functions_are_refused_since_nothing_of_them_would_run(function, awaits):
    with pytest.raises(ConfigurationError, match="deliver is a generator function"):
        check_callback("deliver", function, awaits=awaits)


@pytest.mark.parametrize("function", [print, len, [].append, str, lambda: None, Asynchronous, Mock(), MagicMock()])
def test_whatever_can_be_called_is_a_callback(function):
    assert check_callback("deliver", function) is function


def test_some_recipients_are_refused_by_address():
    verdict = refusal(RefusedRecipients({"a@b": Refused(452, "full"), "<c@d>": Refused(550)}))
    assert verdict == RefuseSome({"<a@b>": Refuse("full", 452), "<c@d>": Refuse("Refused", 550)})
    for wrong in ({}, {"a@b": "full"}):
        with pytest.raises(ValueError, match="must be Refused by address"):
            RefusedRecipients(wrong)


def verify(answer, status):
    """Return the verdict that an answer of -command comes to, for a certificate that is good (1) or bad (0)."""
    return put_question({"command": lambda *_words: answer}, TlsReport("verify", "sock", (0, {}, status, "")))


@pytest.mark.parametrize(
    ("answer", "good", "bad"), [(None, True, False), (True, True, True), (False, False, False), (1, True, False)]
)
def test_only_true_forgives_a_bad_certificate(answer, good, bad):
    assert isinstance(verify(answer, 1), Accept) is good
    assert isinstance(verify(answer, 0), Accept) is bad


def test_an_answer_to_come_counts_when_it_has_come():
    async def command(*_words):
        return None

    for status in (0, 1):
        coming = call_back({"command": command}, TlsReport("verify", "sock", (0, {}, status, "")))
        with pytest.raises(StopIteration if status else Refused):
            coming.send(None)


def test_a_future_is_waited_for_where_it_may_only_refuse():
    future = Future()
    told = {"command": lambda *_words: future}
    assert call_back(told, TlsReport("verify", "sock", (0, {}, 1, ""))) is future
    with pytest.raises(Refused):
        call_back(told, TlsReport("verify", "sock", (0, {}, 0, "")))


def test_what_is_just_told_has_no_answer():
    assert isinstance(
        put_question({"command": lambda *_words: False}, TlsReport("info", "sock", ("accept", "loop", "x"))), Accept
    )
