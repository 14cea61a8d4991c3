"""What a client did that the standards would have it do otherwise, seen from a session's record. The server may have said no."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from pysmtpd.core.faults import address_in

if TYPE_CHECKING:
    from pysmtpd.core.record import Entry

#: Commands that a client has to wait for the reply to, before it says more (RFC 2920, 3.1; RFC 3207, 4; RFC 4954, 4).
_WAITED_FOR: Final = frozenset({"EHLO", "DATA", "VRFY", "EXPN", "NOOP", "QUIT", "STARTTLS", "AUTH"})
_SPACED: Final = re.compile(r"(?:MAIL FROM|RCPT TO): ", re.IGNORECASE)
_BARE_PATH: Final = re.compile(r"(?:MAIL FROM|RCPT TO):\s*[^<\s]", re.IGNORECASE)
_ANY_LINE_END: Final = re.compile(r"[\r\n]")
#: RFC 5321, 4.5.3.1.4, with its line end; parameters of extensions may make it longer.
_LONGEST: Final = 512


def remarks_on(entries: "Iterable[Entry]") -> list[str]:
    """Return the remarks on a session, each once, in order of appearance; with the section that says what should be.

    Arguments:
        entries: as :class:`pysmtpd.core.record.Record` keeps them, from the beginning of the session.
    """
    reader = _Reader()
    for entry in entries:
        reader.read(entry)
    reader.end()
    return list(dict.fromkeys(reader.remarks))


class _Reader:
    """Reads a session from its beginning."""

    def __init__(self) -> None:
        self.remarks: list[str] = []
        self._pending = ""  # the verb the client has not had a reply to
        self._greeted = False  # the greeting was sent
        self._said: list[str] = []  # verbs
        self._pipelining = False
        self._recipients: list[str] = []
        self._left = False

    def read(self, entry: "Entry") -> None:
        """Take the next entry."""
        match entry:
            case bytes():
                self._greeted = True
                self._pipelining = self._pipelining or b"250-PIPELINING" in entry or b"250 PIPELINING" in entry
                self._pending = ""
            case str() if not entry.startswith("("):
                self._command(entry)
            case str() | int():  # a message, or what came in its place
                if self._pending == "DATA":
                    self.remarks.append("the message was sent before the reply to DATA (RFC 5321, 3.3)")
                self._pending = "."
            case _:
                self._left = True

    def end(self) -> None:
        """The session is over, as far as it is known."""
        if self._left and "QUIT" not in self._said:
            self.remarks.append("left without QUIT (RFC 5321, 4.1.1.10)")
        if "HELO" in self._said and "EHLO" not in self._said:
            self.remarks.append("HELO, and no EHLO before it (RFC 5321, 3.2)")

    def _command(self, line: str) -> None:
        verb = line.partition(" ")[0].upper()
        self._timing(verb)
        if verb == "MAIL":
            self._recipients.clear()
            if not {"EHLO", "HELO", "LHLO"} & set(self._said):
                self.remarks.append("MAIL before EHLO (RFC 5321, 4.1.4)")
        self._writing(line)
        if verb == "RCPT":
            self._recipient(line)
        self._said.append(verb)
        self._pending = verb

    def _timing(self, verb: str) -> None:
        if not self._greeted:
            self.remarks.append(f"{verb} before the greeting (RFC 5321, 3.1)")
        elif self._pending in _WAITED_FOR:
            self.remarks.append(f"{verb} before the reply to {self._pending} (RFC 2920, 3.1)")
        elif self._pending and not self._pipelining:
            self.remarks.append(f"{verb} before the reply to what came before: PIPELINING was not offered (RFC 2920, 3.1)")

    def _writing(self, line: str) -> None:
        if _ANY_LINE_END.search(line):
            self.remarks.append("CR or LF alone in a command (RFC 5321, 2.3.8)")
        if _SPACED.match(line):
            self.remarks.append("a space behind the colon of MAIL FROM or RCPT TO (RFC 5321, 3.3)")
        if _BARE_PATH.match(line):
            self.remarks.append("a path without its angle brackets (RFC 5321, 4.1.2)")
        if len(line) + 2 > _LONGEST:
            self.remarks.append(f"a command of more than {_LONGEST} octets (RFC 5321, 4.5.3.1.4)")

    def _recipient(self, line: str) -> None:
        address = address_in(line)
        if address and address in self._recipients:
            self.remarks.append("a recipient named twice in one transaction")
        self._recipients.append(address)
