"""The settings of a server that have a name of their own: what each is by default, and which extensions they offer.

A default may depend on the dialect: where the quirk ``stock_replies`` holds, a server does what the stock package does unless
it is told otherwise. How a value is written and checked is the business of :mod:`pysmtpd.options`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple


class Setting(NamedTuple):
    """A setting's value where nothing was chosen."""

    ours: Any
    stock: Any


class Extension(NamedTuple):
    """A service extension, offered in EHLO and taken while its setting is true."""

    keyword: str  #: what EHLO lists
    rfc: int
    verbs: tuple[str, ...] = ()  #: the commands it brings
    needs: str = ""  #: a setting without which it is not offered
    clear: bool = True  #: whether it is offered while the connection is in clear text
    secure: bool = True  #: whether it is offered while it is encrypted


#: Setting -> the extension it offers, in the order in which EHLO lists them.
EXTENSIONS: Final[dict[str, Extension]] = {
    "pipelining": Extension("PIPELINING", 2920),
    "eightbitmime": Extension("8BITMIME", 6152),
    "size": Extension("SIZE", 1870),
    "smtputf8": Extension("SMTPUTF8", 6531, needs="eightbitmime"),
    "chunking": Extension("CHUNKING", 3030, ("BDAT",)),
    "binarymime": Extension("BINARYMIME", 3030, needs="chunking"),
    "dsn": Extension("DSN", 3461),
    "auth": Extension("AUTH", 4954, ("AUTH",)),
    "enhancedstatuscodes": Extension("ENHANCEDSTATUSCODES", 2034),
    "vrfy": Extension("VRFY", 5321, ("VRFY",)),
    "expn": Extension("EXPN", 5321, ("EXPN",)),
    "help": Extension("HELP", 5321),
}

#: The mechanisms of AUTH, in the order in which EHLO lists them; whether one needs the user's secret itself to check a proof.
MECHANISMS: Final[Mapping[str, bool]] = MappingProxyType(
    {"SCRAM-SHA-256": True, "CRAM-MD5": True, "PLAIN": False, "LOGIN": False, "XOAUTH2": False, "OAUTHBEARER": False}
)
_NO_USERS: Final[Mapping[str, str]] = MappingProxyType({})

SETTINGS: Final[dict[str, Setting]] = {
    "size_limit": Setting(268_435_456, 268_435_456),
    "line_limit": Setting(131_072, 131_072),
    "recipient_limit": Setting(100_000, 100_000),
    "error_limit": Setting(100, 0),
    "idle_timeout": Setting(300, 0),
    **{name: Setting(True, False) for name in EXTENSIONS},
    "auth": Setting(True, True),  # offered where there is somebody to log in
    "auth_users": Setting(_NO_USERS, _NO_USERS),
    "auth_mechanisms": Setting(tuple(MECHANISMS), tuple(MECHANISMS)),
    "auth_required": Setting(False, False),
    "auth_require_tls": Setting(False, False),
    "expn": Setting(False, False),
    "lmtp": Setting(False, False),
    "proxy": Setting(False, False),
}
