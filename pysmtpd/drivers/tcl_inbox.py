"""The messages kept for a Tcl script, and what it asks of them: ``tcl/inbox.tcl`` has the other end. One is a dictionary."""

from pysmtpd.core import Deliver, Session
from pysmtpd.core.record import record
from pysmtpd.inbox import Inbox, Wanted
from pysmtpd.message import Message


class TclInbox:
    """Keeps what is accepted."""

    def __init__(self) -> None:
        self._inbox = Inbox()
        self._came = 0

    def observe(self, session: Session) -> None:
        """Have a session that begins recorded, and its messages kept."""
        self._inbox.observe(session, self._keep)

    def join(self, session: Session) -> None:
        """Have the messages kept that come from now on in a session that has begun. Its first half missing, it is not shown."""
        record(session, self._keep)

    def _keep(self, event: Deliver) -> None:
        self._came += 1
        self._inbox.add(Message.of(event))

    def run(self, command: str, *words: str) -> object:
        """Do what Tcl asks for.

        Arguments:
            command: ``came``: how many have come so far, ever; ``find``: those that fit; ``missing``: the text of a failure;
                ``unwelcome``: the text of the other one; ``transcript``; ``clear``.
            words: of ``find`` and the failures: forward-path, reverse-path and part of the subject, each with a dash before it,
                or empty where nothing is asked; then, of ``missing``, what was found, in words.
        """
        match command:
            case "came":
                return self._came
            case "find":
                return [as_dictionary(message) for message in self._fitting(*words)]
            case "missing":
                *asked, outcome = words
                return self._inbox.missing(_wanted(*asked), outcome)
            case "unwelcome":
                return self._inbox.unwelcome(_wanted(*words), self._fitting(*words))
            case "transcript":
                return self._inbox.transcript()
            case "clear":
                self._inbox.clear()
                return None
            case _:
                raise ValueError(f'no command "{command}" of an inbox')

    def _fitting(self, *asked: str) -> list[Message]:
        wanted = _wanted(*asked)
        return [message for message in self._inbox.messages() if not wanted.reasons(message)]


def _wanted(*asked: str) -> Wanted:
    to, sender, subject = (text[1:] if text else None for text in asked)
    return Wanted(to, sender, subject)


def as_dictionary(message: Message) -> dict[str, object]:
    """Return a message as a Tcl script sees it; names are those of the session's state where it has them."""
    return {
        "from": message.sender,
        "to": message.recipients,
        "subject": message.subject,
        "text": message.text,
        "html": message.html,
        "links": message.links,
        "attachments": [
            {"name": part.get_filename() or "", "type": part.get_content_type(), "content": part.get_payload(decode=True) or b""}
            for part in message.attachments
        ],
        "content": message.content,
        "helo": message.helo,
        "client_addr": message.peer[0],
        "client_port": message.peer[1],
        "protocol": message.protocol,
        "user": message.user or "",
        "id": message.id,
        "time": int(message.time.timestamp()),
    }
