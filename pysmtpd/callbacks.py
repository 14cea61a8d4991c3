"""Python callbacks: how one is found, checked and called, and what its exception means.

A callback says yes by returning, and no by raising: :exc:`Refused` chooses the reply, any other exception gets the reply that
an error in a Tcl callback gets.
"""

import importlib
import sys
from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import Any, Final, TypeAlias

from pysmtpd.core.events import (
    Accept,
    CheckHost,
    CheckRecipient,
    CheckSender,
    CheckUser,
    Deliver,
    Question,
    Refuse,
    RefuseSome,
    TlsReport,
    Verdict,
)

Callback: TypeAlias = Callable[..., object]

#: The options that take a callback, and the question each one answers.
CALLBACK_OPTIONS: Mapping[str, str] = {
    "deliver": "deliver",
    "deliverMIME": "deliver",
    "validate_host": "host",
    "validate_sender": "sender",
    "validate_recipient": "recipient",
    "validate_user": "user",
}


class Refused(Exception):  # noqa: N818 # reads as what it says: raise Refused(451, "later")
    """Raised by a callback to refuse with a reply of its own.

    Arguments:
        code: the reply code, 400 to 599 (RFC 5321, 4.2.1).
        text: the text of the reply; line breaks make it a multi-line reply.

    Raises ValueError for a code out of range.
    """

    def __init__(self, code: int, text: str = "") -> None:
        if not (isinstance(code, int) and 400 <= code <= 599):
            raise ValueError(f"reply code {code!r} cannot refuse: must be a number from 400 to 599")
        super().__init__(code, text)
        self.code = int(code)  # an enumeration's number may have another text
        self.text = str(text) or "Refused"

    def __str__(self) -> str:
        return self.text


class RefusedRecipients(Exception):  # noqa: N818 # as Refused
    """Raised by a delivery callback to refuse a message for some of its recipients, and take it for the others.

    Under LMTP each recipient has a reply of its own. SMTP has one for all of them: there the first refusal refuses the message.

    Arguments:
        refusals: by address, with or without brackets.

    Raises ValueError when there is none.
    """

    def __init__(self, refusals: Mapping[str, Refused]) -> None:
        if not refusals or not all(isinstance(refusal, Refused) for refusal in refusals.values()):
            raise ValueError(f"refusals are {refusals!r}: must be Refused by address, one at least")
        super().__init__(refusals)
        self.refusals = {f"<{address.removeprefix('<').removesuffix('>')}>": refusal for address, refusal in refusals.items()}


class ConfigurationError(TypeError, ValueError):
    """An option or a callback that cannot be used. The message names it, its value, and what is allowed."""


def find_callback(name: str) -> Callback:
    """Return the function that ``MODULE:FUNCTION`` names; FUNCTION may be dotted (``Class.method``).

    Modules are looked up as Python would from the working directory. Raises ConfigurationError.
    """
    module_name, colon, path = name.partition(":")
    if not (module_name and colon and path):
        raise ConfigurationError(f'"{name}" does not name a Python function: must be MODULE:FUNCTION')
    found: Any = load_module(module_name)
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ConfigurationError(f'module "{module_name}" has no function "{path}" (in {_origin(module_name)})') from None
    return check_callback(name, found)


def load_module(name: str) -> ModuleType:
    """Import a module, the working directory searched first. Raises ConfigurationError saying where was looked."""
    if sys.flags.no_site and "site" not in sys.modules:  # left out to start faster: the child of a tclsh
        import site

        site.main()
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            places = ", ".join(place or "the working directory" for place in sys.path)
            raise ConfigurationError(f'cannot find the Python module "{name}"; looked in {places}') from None
        raise ConfigurationError(f'cannot import the Python module "{name}": {describe(error)}') from error
    except BaseException as error:
        raise ConfigurationError(f'cannot import the Python module "{name}": {describe(error)}') from error


def callbacks_in(module: str | ModuleType) -> dict[str, Callback]:
    """Return the callbacks that a module defines, by option name. Raises ConfigurationError when it defines none."""
    if isinstance(module, str):
        module = load_module(module)
    found = {name: check_callback(name, getattr(module, name)) for name in CALLBACK_OPTIONS if hasattr(module, name)}
    if not found:
        raise ConfigurationError(
            f'module "{module.__name__}" (in {_origin(module.__name__)}) defines no callback: must have at least one of '
            + ", ".join(CALLBACK_OPTIONS)
        )
    return found


def check_callback(name: str, function: object, *, awaits: bool = False) -> Callback:
    """Return ``function`` when it can be a callback. Raises ConfigurationError naming it when not.

    Arguments:
        awaits: whether there is somebody to await a coroutine function.
    """
    if not callable(function):
        raise ConfigurationError(f"{name} is {type(function).__name__} {function!r}: must be a function")
    kind = _flags(function)
    if kind & _GENERATOR:
        raise ConfigurationError(f"{name} is a generator function, of which nothing would ever run: must be a plain function")
    if not awaits and kind & _COROUTINE:
        raise ConfigurationError(f"{name} is a coroutine function, and nothing here can await it: must be a plain function")
    return function


#: CO_COROUTINE; CO_GENERATOR and CO_ASYNC_GENERATOR. Saves the import of inspect.
_COROUTINE: Final = 0x80
_GENERATOR: Final = 0x20 | 0x200


def _flags(function: object) -> int:
    """Return what the code of a function says it is, be it a method, partly applied, or an object that can be called."""
    while isinstance(function, partial):
        function = function.func
    if not hasattr(getattr(function, "__func__", function), "__code__"):
        function = getattr(type(function), "__call__", function)  # noqa: B004 # an object whose call is the function
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return 0 if code is None else int(code.co_flags)


def _origin(module_name: str) -> str:
    return getattr(sys.modules.get(module_name), "__file__", None) or "no file"


def describe(error: BaseException) -> str:
    """Return what an exception is, what it says, and where it came up."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" ({trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno})" if trace is not None else ""
    return f"{type(error).__name__}: {text_of(error)}{where}"


def text_of(error: BaseException) -> str:
    """Return what an exception says; its name when it says nothing, or cannot."""
    try:
        return str(error) or type(error).__name__
    except BaseException:  # whatever saying it may raise, SystemExit included
        return type(error).__name__


def put_question(callbacks: Mapping[str, Callback], question: Question) -> Verdict:
    """Put a question to the Python callback that answers it and return the verdict; yes when there is none.

    Never raises: whatever a callback raises, SystemExit and KeyboardInterrupt included, refuses.
    """
    try:
        call_back(callbacks, question)
    except BaseException as error:
        return refusal(error)
    return Accept()


def is_future(result: object) -> bool:
    """Tell whether what a callback has returned is a future. Its type is asked: a mock has whatever it is asked for."""
    return hasattr(type(result), "add_done_callback")


def _check_opinion(answer: object, details: tuple[object, ...]) -> None:
    """Raise Refused where an answer to ``verify`` is a no, or there is none and the certificate is bad."""
    good = details[2]
    if answer is False or not (good or answer is True):
        raise Refused(454, "returned False" if answer is False else "did not return True")


async def _opinion_to_come(answer: Any, details: tuple[object, ...]) -> None:
    _check_opinion(await answer, details)


def refusal(error: BaseException) -> Refuse | RefuseSome:
    """Return the verdict that an exception in a callback stands for."""
    try:
        if isinstance(error, RefusedRecipients):
            return RefuseSome({path: Refuse(refused.text, refused.code) for path, refused in error.refusals.items()})
        if isinstance(error, Refused):
            return Refuse(error.text, error.code)
    except AttributeError:  # a subclass has not called our __init__
        pass
    return Refuse(text_of(error))


def call_back(callbacks: Mapping[str, Callback], question: Question) -> object:
    """Call the callback that answers a question; return what it returns, None where there is none. Raises what it raises."""
    match question:
        case CheckHost(address) if "validate_host" in callbacks:
            return callbacks["validate_host"](address)
        case CheckSender(address) if "validate_sender" in callbacks:
            return callbacks["validate_sender"](address)
        case CheckRecipient(address) if "validate_recipient" in callbacks:
            return callbacks["validate_recipient"](address)
        case CheckUser(username, secret) if "validate_user" in callbacks:
            return callbacks["validate_user"](username, secret)
        case TlsReport(option, channel, details) if "command" in callbacks:
            answer = callbacks["command"](option, channel, *details)
            if option != "verify":
                return answer
            if hasattr(answer, "__await__"):
                return _opinion_to_come(answer, details)
            if details[2] and is_future(answer):
                return answer
            _check_opinion(answer, details)
            return None
        case Deliver() if "deliverMIME" in callbacks:
            from pysmtpd.parsing import parse_message

            return callbacks["deliverMIME"](parse_message(question.content.text()))
        case Deliver(sender, recipients, content) if "deliver" in callbacks:
            return callbacks["deliver"](sender, list(recipients), content.lines())
        case _:
            return None
