"""What was said in a session, kept for whoever looks into a failed test. Nothing here runs while nobody records.

A session that is recorded is one of another class: :func:`record` makes it so, and no other session has a line of
code for it. Commands and replies are kept as they pass, the last ones of them; a text is made of them when somebody asks.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pysmtpd.core.events import Deliver, Refuse, Verdict
from pysmtpd.core.faults import FaultySession
from pysmtpd.core.replies import one_line, without_secret
from pysmtpd.core.session import Session

if TYPE_CHECKING:
    from pysmtpd.core.data import Body
    from pysmtpd.core.session import Taker
    from pysmtpd.core.tls import Context, Stage

#: How many commands, replies and messages of a session are kept, the last ones.
MAX_ENTRIES: Final = 400
_TOO_MANY: Final = 2 * MAX_ENTRIES
#: How many characters of a command are kept: all of one that is no longer than RFC 5321, 4.5.3.1.4, has it.
MAX_LINE: Final = 510
#: How many octets of replies that were sent together are kept, the last ones.
MAX_REPLIES: Final = 8_192

#: A command, replies, the size of a message, the end of the client's side.
Entry: TypeAlias = str | bytes | int | None
_END: Final = None


class Record:
    """What was said in one session: ``str()`` of it is the transcript, ``C:`` and ``S:`` before each line.

    Secrets that AUTH carries are left out of it, messages are counted and not shown, control characters are escaped.

    Arguments:
        client: the client's IP address.
        port: the client's port.
    """

    __slots__ = ("client", "entries", "keep", "port")

    def __init__(self, client: str, port: int) -> None:
        self.client = client
        self.port = port
        #: A command as text, several taken in one step as octets in a tuple, replies as bytes, and so on.
        #: In a list, cut to the last ones now and then: most sessions are short, and an empty deque takes 700 octets.
        self.entries: list[Entry | tuple[bytes]] = []
        self.keep: Callable[[Deliver], None] | None = None  #: what is told of each message that is accepted, where no driver is

    def add_replies(self, replies: bytes) -> None:
        """Keep replies that are sent together."""
        entries = self.entries
        entries.append(replies[-MAX_REPLIES:])
        if len(entries) > _TOO_MANY:
            del entries[:-MAX_ENTRIES]

    @property
    def lines(self) -> list[str]:
        """The lines of the transcript, without line ends."""
        lines = []
        entries = self.entries[-MAX_ENTRIES:]  # in one step: the session may go on meanwhile
        if len(entries) == MAX_ENTRIES:
            lines.append("...")
        for entry in _apart(entries):
            match entry:
                case bytes():
                    replies = entry.decode("latin-1").removesuffix("\r\n").split("\r\n")
                    lines += [f"S: {one_line(reply)}" for reply in replies]
                case str():
                    lines.append(f"C: {_shown(entry)}")
                case int():
                    lines.append(f"C: (a message of {entry} octets)")
                case _:
                    lines.append("C: (end)")
        return lines

    @property
    def remarks(self) -> list[str]:
        """What the client did that the standards would have it do otherwise; nothing, of a session too long to be kept whole."""
        from pysmtpd.core.remarks import remarks_on

        entries = self.entries.copy()
        return remarks_on(_apart(entries)) if len(entries) < MAX_ENTRIES else []

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def __repr__(self) -> str:
        return f"<session with {self.client}:{self.port}, {len(self.entries)} entries>"


def _apart(entries: Iterable[Entry | tuple[bytes]]) -> Iterator[Entry]:
    """Return entries with the commands that were taken in one step one by one."""
    for entry in entries:
        if isinstance(entry, tuple):
            yield from _each(entry[0])
        else:
            yield entry


def _each(commands: bytes) -> list[str]:
    return [line if len(line) <= MAX_LINE else _cut(line) for line in commands.decode("latin-1").split("\r\n")]


def _cut(line: str) -> str:
    return f"{line[:MAX_LINE]}... ({len(line)} octets)"


def _shown(command: str) -> str:
    """Return a command fit to be seen, in UTF-8 if it is that."""
    return one_line(without_secret(command).encode("latin-1", "replace").decode("utf-8", "backslashreplace"))


def record(session: Session, keep: Callable[[Deliver], None] | None = None) -> Record:
    """Have a session recorded from now on; return the record.

    Arguments:
        session: the session.
        keep: what is told of each message that is accepted, where the driver does not do so.
    """
    session.record = made = Record(session.client, session.port)
    made.keep = keep
    recorded: Any = RecordedSession if keep is None else KeptSession
    session.__class__ = _encrypted(recorded) if session.secure else recorded
    return made


class RecordedSession(FaultySession):
    """A session that is recorded: what it does beside what it does anyway."""

    __slots__ = ()

    def begin(self) -> None:
        """Ask about the host, then greet: the client is known, be it from a proxy."""
        self.record.client, self.record.port = self.client, self.port
        super().begin()

    def _command(self, line: str) -> None:
        shown = "(secret)" if self.confidential else line
        self.record.entries.append(shown if len(shown) <= MAX_LINE else _cut(shown))
        faults = self.config.faults
        if faults is not None and faults.active:
            self._faulty_command(line)
        else:
            Session._command(self, line)

    def _envelope(self, data: bytes, start: int) -> int:
        faults = self.config.faults
        end = Session._envelope(self, data, start) if faults is None or not faults.active else 0
        if end:
            commands = data[start : end - 2]
            if len(commands) > MAX_REPLIES:
                self.record.entries.extend(_each(commands))
            else:
                self.record.entries.append((commands,))
        return end

    def _received(self, body: "Body | Taker") -> None:
        Session._received(self, body)
        asked = self._open
        if asked is not None and type(asked.question) is Deliver:
            self.record.entries.append(asked.question.content.size)
        else:
            self.record.entries.append(f"({getattr(body, 'name', 'a message')})")

    def receive_eof(self) -> None:
        """Take the end of the client's side."""
        if not self._closed:
            self.record.entries.append(_END)
        super().receive_eof()

    def take_output(self) -> bytes:
        """Return the reply bytes since the last call."""
        output = Session.take_output(self)
        if output:  # as Record.add_replies does, without a call: this is for every command
            entries = self.record.entries
            entries.append(output[-MAX_REPLIES:])
            if len(entries) > _TOO_MANY:
                del entries[:-MAX_ENTRIES]
        return output

    def _encrypt(self, context: "Context") -> None:
        plain: Any = type(self)
        super()._encrypt(context)
        self.__class__ = _encrypted(plain)


class KeptSession(RecordedSession):
    """A session that is recorded, and its messages kept, for a driver that does not do so."""

    __slots__ = ()

    def answer(self, verdict: Verdict, *, replied: bool = False) -> None:
        """Answer the open question."""
        question = self.question
        if replied:
            self.record.add_replies(self.acceptance)
        if self.record.keep is not None and isinstance(question, Deliver) and not isinstance(verdict, Refuse):
            self.record.keep(question)
        super().answer(verdict, replied=replied)


def _encrypted(plain: Any) -> Any:
    """Return the class of a recorded session under TLS. Made when first asked for, since TLS is slow to load."""
    if plain not in _made:
        from pysmtpd.core.tls import EncryptedSession

        class Encrypted(plain, EncryptedSession):  # type: ignore[misc] # one of the two above
            """A session under TLS that is recorded, in the clear."""

            __slots__ = ()

            _stage: "Stage"

            def take_output(self) -> bytes:
                """Return the records since the last call."""
                if self.tls is not None and self.out:
                    self.record.add_replies(b"".join(self.out))
                return EncryptedSession.take_output(self)

        _made[plain] = Encrypted
    return _made[plain]


_made: dict[Any, Any] = {}
