"""VRFY: is this a mailbox? Whoever validates recipients knows; without them, nobody does (RFC 5321, 3.5 and 7.3)."""

from functools import partial
from typing import Final

from pysmtpd.core import grammar
from pysmtpd.core.events import CheckRecipient, Refuse
from pysmtpd.core.replies import free_reply
from pysmtpd.core.session import Session

#: RFC 6531, 3.7.4.2: what may follow the mailbox.
_SMTPUTF8: Final = " SMTPUTF8"


def vrfy(session: Session, line: str) -> None:
    """Handle a VRFY command: RFC 5321, 4.1.1.6, vrfy = "VRFY" SP String CRLF."""
    mailbox = line[len("VRFY") :].strip(" \t")
    if not mailbox:
        session.syntax_error(line, "VRFY")
        return
    if mailbox[-len(_SMTPUTF8) :].upper() == _SMTPUTF8:
        mailbox = mailbox[: -len(_SMTPUTF8)].rstrip(" ")
    replies = session.config.replies
    path = grammar.RCPT.match(f"RCPT TO:<{mailbox.removeprefix('<').removesuffix('>')}>")
    if path is None or not path[1].isascii() or "recipient" not in session.config.ask:
        session.out.append(replies.cannot_verify)
        return
    address = path[1]
    verified = replies.verified.format(address=address)
    accepted = free_reply(verified[:3], verified[4:])
    if address.partition("@")[0].lower() == "postmaster":  # who is always welcome (4.5.1)
        session.out.append(accepted)
        return
    session.asking = f"<{address}>", "", line
    session.ask(CheckRecipient(address), accepted, _nothing, partial(_refused, session))


def _nothing() -> None:
    """The reply has been given."""


def _refused(session: Session, refusal: Refuse) -> None:
    session.mailbox_refused(refusal)
