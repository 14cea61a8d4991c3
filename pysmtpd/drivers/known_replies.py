"""What the engine would reply, told to Tcl beforehand: lines that it has seen before need no turn of their own to it.

A client in lock-step says the same lines again and again, and the way to the engine and back costs more than what is done there.
So Tcl has a table: of a session's standing (:attr:`pysmtpd.core.Session.standing`, a number here) and a line that came before,
the reply and the standing after it. What Tcl has replied to by it, the engine hears with the next line that is not in the table,
and before anybody looks at the session, or changes the settings; what it then says the client has already, and it is dropped.
Every entry is the engine's own experience: it replied so, and nothing else happened. Tcl knows no SMTP.

A session has a standing from its greeting on, and a line that ends it may be in the table, too: of an ordinary client's, the
engine then hears with its message. A line is put into the table when it has come twice. There is an end to what is kept, whatever
clients send.

With the question for a message Tcl is told the reply to a yes, and the standing then. Of commands that have come behind the
message, in one go, it is told the replies, too, where they have come before in the same standing: so the client has them as soon
as the script's callback returns. That it has returned the engine hears as it hears of lines; at once where it was a no, or where
the callback has done anything that the engine has to know first.
"""

import re
from typing import TYPE_CHECKING, Final

from pysmtpd.core import Session
from pysmtpd.core.data import Body

if TYPE_CHECKING:
    from pysmtpd.drivers.tcl import Live, Outcome

#: In place of a standing: the session has ended, and Tcl closes the connection.
ENDED: Final = -2

#: Standings, lines noted, lines told, and replies to what came behind a message, at most.
CAPACITY: Final = 1_000
#: Octets of commands behind a message.
_LONGEST: Final = 1_024
#: One line, with nothing in it that would look different in Tcl.
_LINE: Final = re.compile(rb"[ -~]{1,510}\r\n")


class KnownReplies:
    """The table's other half: what has been told to Tcl, and what may be."""

    def __init__(self) -> None:
        self._serial = 0
        self._standings: dict[tuple[object, ...], int] = {}
        self._noted: set[tuple[int, bytes]] = set()
        self._told: set[tuple[int, bytes]] = set()
        self._behind: dict[tuple[int, bytes], bytes] = {}

    def forget(self) -> None:
        """The settings are others from now on. No number is ever used again."""
        self._standings.clear()
        self._noted.clear()
        self._told.clear()
        self._behind.clear()

    def settle(self, live: "Live") -> int:
        """Note what standing a session has now that what came has been handled, all but replies said; return its number."""
        session = live.session
        live.standing = self.number(session.standing) if session.body is None else 0
        return live.standing

    def learn(self, before: int, line: bytes, live: "Live", outcome: "Outcome") -> tuple[int, bytes, bytes, int] | None:
        """Return an exchange if it is to be told to Tcl: standing, line, reply, next standing, which may be ``ENDED``.

        Arguments:
            before: the standing in which ``line`` was received; 0 for none.
            line: what the client sent: one line, if it is.
            live: the session, settled.
            outcome: what has come of the line: the engine's own reply, or something else.
        """
        match outcome:
            case bytes(reply):
                after = live.standing
            case ["write", bytes(reply), "close", _]:
                after = ENDED
            case _:
                return None
        return (before, line, reply, after) if before and reply and self.is_new(before, line, live.session, after) else None

    def once_accepted(self, live: "Live") -> tuple[int, bool, bytes]:
        """Return what is to be known with the question for a message: the standing once it is accepted, 0 for none; whether
        there are more replies to come, to what has come behind the message; and those if they are known."""
        session = live.session
        standing = self.number(session.standing_once_delivered)
        live.behind = None  # what came behind a message that was refused is nothing to learn from
        if not session.has_input:
            return standing, False, b""
        if not standing or session.input_size > _LONGEST:
            return 0, True, b""
        commands = session.input
        replies = self._behind.get((standing, commands), b"")
        live.behind = standing, commands, replies
        return 0, True, replies

    def note_behind(self, standing: int, data: bytes, replies: bytes) -> None:
        """Note the replies to commands that had come behind a message, which was all that happened then."""
        if standing and replies and len(data) <= _LONGEST and data.endswith(b"\n"):
            if len(self._behind) >= CAPACITY:
                self._behind.clear()
            self._behind[standing, data] = replies

    def number(self, standing: tuple[object, ...] | None) -> int:
        """Return the number of a standing; 0 for none."""
        if standing is None:
            return 0
        number = self._standings.get(standing)
        if number is None:
            if len(self._standings) >= CAPACITY:
                return 0
            self._serial = number = self._serial + 1
            self._standings[standing] = number
        return number

    def is_new(self, before: int, data: bytes, session: Session, after: int) -> bool:
        """Tell whether an exchange is to be told to Tcl.

        Arguments:
            before: the standing in which ``data`` was received; not 0.
            data: what the client sent: one line, if it is.
            session: the session, which has handled it without an event.
            after: its standing now.
        """
        if not after and not (isinstance(session.body, Body) and not session.errors):
            return False
        entry = before, data
        if entry in self._told or not _LINE.fullmatch(data) or len(self._told) >= CAPACITY:
            return False
        if entry in self._noted:
            self._noted.discard(entry)
            self._told.add(entry)
            return True
        if len(self._noted) >= CAPACITY:
            self._noted.clear()
        self._noted.add(entry)
        return False
