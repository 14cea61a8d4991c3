"""The patterns a command line is matched with, each under the rule it implements.

Lines are text here: one character per byte (Latin-1). What the stock package reads with Tcl's regular expressions is
spelled out in Tcl's own character classes, which are not Python's: ``\\w`` and ``\\s`` differ above ASCII.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final


class Pattern:
    """A regular expression that is compiled when first used: most servers never use most of them.

    Arguments:
        source: the expression.
        flags: as for ``re.compile``.
    """

    match: Callable[..., re.Match[Any] | None]
    search: Callable[..., re.Match[Any] | None]
    finditer: Callable[..., Iterator[re.Match[Any]]]

    def __init__(self, source: str | bytes, flags: int = 0) -> None:
        self._source = source
        self._flags = flags

    def __getattr__(self, name: str) -> object:
        compiled = re.compile(self._source, self._flags)
        self.match, self.search, self.finditer = compiled.match, compiled.search, compiled.finditer
        return self.__dict__[name]


# Tcl 8.6: \w is a letter, a decimal digit or an underscore; \s what [string is space] accepts.
_TCL_WORD: Final = r"A-Za-z0-9_\xaa\xb5\xba\xc0-\xd6\xd8-\xf6\xf8-\xff"
_TCL_SPACE: Final = r"\t-\r \x85\xa0"
#: What [string trim] takes off by default.
TCL_TRIM: Final = "\t\n\v\f\r \x00\x85\xa0"

#: The verb: what stands before the first white space, as Tcl's [split] sees it.
VERB: Final = Pattern(r"[^ \t\r\n]*")

#: An HTTP request line (RFC 9112, 3): method SP request-target SP HTTP-version. A browser's POST is not a mail session.
HTTP_REQUEST: Final = Pattern(r"[A-Z]{3,10} \S+ HTTP/\d\.\d\s*\Z")
#: What begins one that is too long to be read: the methods that a page can have a browser send anywhere.
HTTP_METHOD: Final = Pattern(rb"(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|TRACE|CONNECT) ")
HTTP_METHOD_LENGTH: Final = 8

#: Controls that never belong in a name or a path (RFC 5321, 4.1.2 admits none); stock lets them forge trace headers.
CONTROLS: Final = Pattern(r"[\x00\r\n\x1b]")
#: The same of an international path, where they are characters and not octets: no text that is exchanged has them (RFC 5198, 2).
C1_CONTROLS: Final = Pattern(r"[\x80-\x9f]")

# RFC 5321, 4.1.1.1: helo = "HELO" SP Domain CRLF; ehlo = "EHLO" SP ( Domain / address-literal ) CRLF.
# Stock takes any run of word characters, dots and dashes; address literals (4.1.3) are ours.
HELLO: Final = Pattern(rf"(?:HELO|[EL]HLO)[{_TCL_SPACE}]+([-.{_TCL_WORD}]+|\[[0-9A-Za-z.:-]+\])[{_TCL_SPACE}]*\Z", re.IGNORECASE)
#: RFC 5321, 4.5.3.1.2: a domain name is at most 255 octets.
MAX_HELLO_NAME: Final = 255

# Nearly every path there is, in one match: <dot-string@domain> with at most one parameter. Both readings below take what this
# takes, and make the same of it; whatever it does not match goes to them.
_PLAIN_ATOMS: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_PLAIN_DOMAIN: Final = r"[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*(?:\.[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*)*"
PLAIN_MAIL: Final = Pattern(rf"MAIL FROM: ?(<(({_PLAIN_ATOMS})@{_PLAIN_DOMAIN})>)(?: ([A-Z0-9]+=[A-Z0-9]+))?\Z", re.IGNORECASE)
PLAIN_RCPT: Final = Pattern(rf"RCPT TO: ?(<(({_PLAIN_ATOMS})@{_PLAIN_DOMAIN})>)(?: ([A-Z0-9]+=[A-Z0-9]+))?\Z", re.IGNORECASE)

# An envelope as clients pipeline it (RFC 2920, 3.1), in one match, as far as it has come: nothing but such plain paths, none of
# them the postmaster's, and no parameters. Its lines, one by one, would come to the same.
_PLAIN_PATH: Final = f"<{_PLAIN_ATOMS}@{_PLAIN_DOMAIN}>"
_RECIPIENT: Final = rf"(?!<(?i:postmaster)@){_PLAIN_PATH}"
_RECIPIENTS: Final = rf"RCPT TO:({_RECIPIENT}(?:\r\nRCPT TO:{_RECIPIENT})*)\r\n"
ENVELOPE: Final = Pattern(rf"(RSET\r\n)?MAIL FROM:({_PLAIN_PATH})\r\n{_RECIPIENTS}(DATA\r\n)?".encode())
#: More of its recipients.
RECIPIENTS: Final = Pattern(_RECIPIENTS.encode())

# Stock: exactly one space between the words, then anything.
STOCK_MAIL: Final = Pattern(rf"MAIL FROM:[{_TCL_SPACE}]*(.*)\Z", re.IGNORECASE | re.DOTALL)
STOCK_RCPT: Final = Pattern(rf"RCPT TO:[{_TCL_SPACE}]*(.*)\Z", re.IGNORECASE | re.DOTALL)
# Stock: the topic counts only behind an upper case HELP; in lower case HELP lists the topics.
STOCK_HELP: Final = Pattern(rf"HELP[{_TCL_SPACE}]*([{_TCL_WORD}]+)?")

# RFC 5321, 4.1.2:
#   Dot-string = Atom *("."  Atom)             Quoted-string = DQUOTE *QcontentSMTP DQUOTE
#   sub-domain = Let-dig [Ldh-str]             address-literal = "[" ... "]"
#   A-d-l = At-domain *( "," At-domain )       Path = "<" [ A-d-l ":" ] Mailbox ">"
# Octets above 127 pass as they are (RFC 6531, 3.3, leaves them to UTF-8); an underscore in a domain is tolerated.
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\xff-]+"
_LOCAL: Final = rf'(?:{_ATOM}(?:\.{_ATOM})*|"(?:[\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\x20-\x7e])*")'
_DOMAIN: Final = (
    r"(?:[A-Za-z0-9_\x80-\xff](?:[A-Za-z0-9_\x80-\xff-]*[A-Za-z0-9_\x80-\xff])?"
    r"(?:\.[A-Za-z0-9_\x80-\xff](?:[A-Za-z0-9_\x80-\xff-]*[A-Za-z0-9_\x80-\xff])?)*"
    r"|\[[\x21-\x5a\x5e-\x7e]+\])"
)
_ROUTE: Final = rf"(?:@{_DOMAIN}(?:,@{_DOMAIN})*:)?"
# esmtp-value = 1*(%d33-60 / %d62-126); RFC 6531, 3.3, adds UTF-8. RFC 5321, 4.1.1: trailing white space is tolerated.
_PARAMETERS: Final = r"((?: +[A-Za-z0-9][A-Za-z0-9-]*(?:=[\x21-\x3c\x3e-\x7e\x80-\xff]+)?)*)[ \t]*"

# RFC 5321, 4.1.1.2: mail = "MAIL FROM:" Reverse-path [SP Mail-parameters] CRLF. Space after the colon is tolerated.
MAIL: Final = Pattern(rf"MAIL FROM: ?<(?:{_ROUTE}({_LOCAL}@{_DOMAIN})|)>{_PARAMETERS}\Z", re.IGNORECASE)
# RFC 5321, 4.1.1.3: rcpt = "RCPT TO:" ( "<Postmaster@" Domain ">" / "<Postmaster>" / Forward-path ) [SP Rcpt-parameters]
RCPT: Final = Pattern(rf"RCPT TO: ?<(?:{_ROUTE}({_LOCAL}@{_DOMAIN}|Postmaster))>{_PARAMETERS}\Z", re.IGNORECASE)
