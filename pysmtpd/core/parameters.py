"""The parameters of MAIL and RCPT: which there are, with which extension, and what each may be.

A parameter is kept as it was sent, its name in upper case. Where paths are read loosely, as the stock package does, unknown
parameters are ignored, as it does too.
"""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from pysmtpd.core.envelope import NO_PARAMETERS
from pysmtpd.core.grammar import Pattern

if TYPE_CHECKING:
    from pysmtpd.core.config import Config

# RFC 3461, 4: xtext = *( xchar / hexchar ); xchar = any ASCII CHAR between "!" and "~" inclusive, except for "+" and "=";
# hexchar = "+" and two upper case hexadecimal digits.
_XTEXT: Final = Pattern(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*\Z")
# RFC 3461, 4.1: notify-list-element = "SUCCESS" / "FAILURE" / "DELAY"
_NOTIFY: Final = Pattern(r"(?:NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY))*)\Z", 2)  # re.IGNORECASE
# RFC 3461, 4.2: original-recipient-address = addr-type ";" xtext. RFC 6533, 3, has utf-8-address in the place of xtext.
_ORCPT: Final = Pattern(r"([A-Za-z0-9-]+);(.+)\Z", re.DOTALL)
_UTF_8_ADDRESS: Final = Pattern(r"(?:[!-<>-\[\]-~\x80-\xff]|\\x\{[0-9A-F]{2,6}\})*\Z")

#: RFC 3461, 4.4 and 4.2: what a value may have at most.
_MAX_ENVID: Final = 100
_MAX_ORCPT: Final = 500
#: RFC 1870, 3: size-value = 1*20DIGIT
_MAX_SIZE_DIGITS: Final = 20

Check = Callable[["Config", str], str]


class Parameter(NamedTuple):
    """A parameter: the settings that it comes with, and what tells the name of the reply to a wrong value (none: it is good)."""

    extensions: tuple[str, ...]
    check: Check


def decode_xtext(text: str) -> str:
    """Return what an xtext stands for (RFC 3461, 4), one character per octet."""
    return re.sub(r"\+([0-9A-F]{2})", lambda match: chr(int(match[1], 16)), text)


def _size(config: "Config", value: str) -> str:
    """RFC 1870, 6.1."""
    if not (value.isascii() and value.isdigit()):
        return "bad_parameter"
    return "too_large" if len(value) > _MAX_SIZE_DIGITS or int(value) > config.limits.message else ""


def _body(config: "Config", value: str) -> str:
    """RFC 6152, 2; RFC 3030, 3."""
    known = ("7BIT", "8BITMIME", "BINARYMIME") if "binarymime" in config.offered else ("7BIT", "8BITMIME")
    return "" if value.upper() in known else "bad_parameter"


def _without_value(_config: "Config", value: str) -> str:
    """RFC 6531, 3.4."""
    return "bad_parameter" if value else ""


def _ret(_config: "Config", value: str) -> str:
    """RFC 3461, 4.3."""
    return "" if value.upper() in ("FULL", "HDRS") else "bad_parameter"


def _envid(_config: "Config", value: str) -> str:
    """RFC 3461, 4.4."""
    return "" if value and len(value) <= _MAX_ENVID and _XTEXT.match(value) else "bad_parameter"


def _notify(_config: "Config", value: str) -> str:
    """RFC 3461, 4.1."""
    return "" if _NOTIFY.match(value) else "bad_parameter"


def _orcpt(_config: "Config", value: str) -> str:
    """RFC 3461, 4.2."""
    match = _ORCPT.match(value)
    if match is None or len(value) > _MAX_ORCPT:
        return "bad_parameter"
    if match[1].lower() == "utf-8":
        return "" if _UTF_8_ADDRESS.match(match[2]) and _is_utf_8(match[2]) else "bad_parameter"
    return "" if _XTEXT.match(match[2]) else "bad_parameter"


def _is_utf_8(octets: str) -> bool:
    try:
        octets.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _auth(_config: "Config", value: str) -> str:
    """RFC 4954, 5: an xtext, or ``<>`` (which is one)."""
    return "" if value and _XTEXT.match(value) else "bad_parameter"


PARAMETERS: Final[dict[str, dict[str, Parameter]]] = {
    "MAIL": {
        "SIZE": Parameter(("size",), _size),
        "BODY": Parameter(("eightbitmime", "binarymime"), _body),
        "SMTPUTF8": Parameter(("smtputf8",), _without_value),
        "RET": Parameter(("dsn",), _ret),
        "ENVID": Parameter(("dsn",), _envid),
        "AUTH": Parameter(("auth",), _auth),
    },
    "RCPT": {
        "NOTIFY": Parameter(("dsn",), _notify),
        "ORCPT": Parameter(("dsn",), _orcpt),
    },
}


def parse(config: "Config", verb: str, text: str) -> tuple[Mapping[str, str], str]:
    """Read the parameters behind a path.

    Returns the parameters, and the name of the reply when something is wrong with them: the empty string for nothing.
    """
    known = PARAMETERS[verb]
    found: dict[str, str] = {}
    for word in text.split(" "):
        if not word:
            continue
        name, equals, value = word.partition("=")
        name = name.upper()
        parameter = known.get(name)
        if parameter is None or config.offered.isdisjoint(parameter.extensions):
            if config.profile.loose_paths:
                continue
            return NO_PARAMETERS, "unknown_parameter"
        if name in found or (equals and not value):
            return NO_PARAMETERS, "bad_parameter"
        if problem := parameter.check(config, value):
            return NO_PARAMETERS, problem
        found[name] = value
    return found, ""
