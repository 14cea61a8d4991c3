"""The settings of a server that have a name of their own: what each is by default, and which extensions they offer.

A default may depend on the dialect: where the quirk ``stock_replies`` holds, a server does what the stock package does unless
it is told otherwise. How a value is written and checked is the business of :mod:`pysmtpd.options`.
"""

from typing import Final, NamedTuple


class Setting(NamedTuple):
    """A setting's value where nothing was chosen."""

    ours: int | bool
    stock: int | bool


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
    "enhancedstatuscodes": Extension("ENHANCEDSTATUSCODES", 2034),
    "vrfy": Extension("VRFY", 5321, ("VRFY",)),
    "expn": Extension("EXPN", 5321, ("EXPN",)),
    "help": Extension("HELP", 5321),
}

SETTINGS: Final[dict[str, Setting]] = {
    "size_limit": Setting(268_435_456, 268_435_456),
    "line_limit": Setting(131_072, 131_072),
    "recipient_limit": Setting(100_000, 100_000),
    "error_limit": Setting(100, 0),
    "idle_timeout": Setting(300, 0),
    **{name: Setting(True, False) for name in EXTENSIONS},
    "expn": Setting(False, False),
    "lmtp": Setting(False, False),
}
