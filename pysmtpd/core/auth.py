"""AUTH: who is the client? (RFC 4954). The dialogs are those of :mod:`pysmtpd.core.mechanisms`.

What a client shows is looked up among the users a server was given; for one who is not among them, whoever validates users is
asked. A secret goes into that question and nowhere else: neither into the log nor into an error.
"""

import binascii
import hmac
import re
from functools import partial
from typing import Final

from pysmtpd.core.events import CheckUser, Refuse
from pysmtpd.core.grammar import Pattern
from pysmtpd.core.mechanisms import DIALOGS, Attempt, Server
from pysmtpd.core.session import Session

# RFC 4954, 4: AUTH mechanism [initial-response]; RFC 4422, 3.1: sasl-mech = 1*20mech-char
_AUTH: Final = Pattern(r"AUTH +([A-Za-z0-9_-]{1,20})(?: +(\S+))?[ \t]*\Z", re.IGNORECASE)
# RFC 4954, 8: base64, strictly
_BASE64: Final = Pattern(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?\Z")


class Dialog:
    """One AUTH command, from its first challenge to its last reply."""

    def __init__(self, session: Session, mechanism: str) -> None:
        config = session.config
        self._session = session
        self._mechanism = mechanism
        self._dialog = DIALOGS[mechanism](Server(config.users, config.hostname, config.new_nonce))

    def start(self, initial: str | None) -> None:
        """Say the first challenge, or take the client's initial response to it."""
        challenge = next(self._dialog)
        if initial is None:
            self._challenge(challenge)
        elif self._mechanism == "LOGIN" or not challenge:
            self._take("" if initial == "=" else initial)
        else:  # RFC 4954, 4: the server speaks first
            self._session.fail(self._session.config.replies.no_initial_response)

    def _challenge(self, octets: bytes) -> None:
        session = self._session
        session.out.append(b"334 %b\r\n" % binascii.b2a_base64(octets, newline=False))
        session.confidential = True
        session.prelude = self._line

    def _line(self, session: Session, line: str) -> None:
        """Take the next line: it is a response, not a command."""
        session.confidential = False
        if line == "*":
            session.fail(session.config.replies.auth_cancelled)
        else:
            self._take(line)

    def _take(self, response: str) -> None:
        replies = self._session.config.replies
        try:
            if not _BASE64.match(response):
                raise ValueError("not base64")
            challenge = self._dialog.send(binascii.a2b_base64(response))
        except StopIteration as end:
            self._decide(end.value)
        except ValueError:
            self._session.fail(replies.auth_undecodable)
        else:
            self._challenge(challenge)

    def _decide(self, attempt: Attempt) -> None:
        session = self._session
        config = session.config
        proven = attempt.proven
        if proven is None and attempt.username in config.users:
            known, shown = config.users[attempt.username], attempt.secret
            proven = hmac.compare_digest(known.encode("utf-8"), shown.encode("utf-8"))
        if attempt.identity not in ("", attempt.username):  # nobody acts for another here
            proven = False
        if proven is None and "user" in config.ask:
            question = CheckUser(attempt.username, attempt.secret, self._mechanism)
            refused = partial(self._refused, attempt)
            session.ask(question, config.replies.authenticated, partial(session.authenticated, attempt.username), refused)
        elif proven:
            session.out.append(config.replies.authenticated)
            session.authenticated(attempt.username)
        else:
            self._refused(attempt, Refuse())

    def _refused(self, attempt: Attempt, refusal: Refuse) -> None:
        session = self._session
        session.log("info", f"AUTH {self._mechanism} denied user {attempt.username}")
        reply = partial(_fail, session, refusal)
        if attempt.complaint:
            self._challenge(attempt.complaint)
            session.prelude = partial(_after_complaint, reply)
        else:
            reply()


def _fail(session: Session, refusal: Refuse) -> None:
    session.refuse(refusal, session.config.replies.not_authenticated)


def _after_complaint(reply: "partial[None]", session: Session, _line: str) -> None:
    session.confidential = False
    reply()


def auth(session: Session, line: str) -> None:
    """Handle an AUTH command."""
    config = session.config
    match = _AUTH.match(line)
    if match is None:
        session.fail(config.replies.syntax_error)  # which is not logged with the line: there may be a secret in it
    elif not session.secure and config.is_on("auth_require_tls"):
        session.fail(config.replies.encryption_needed)
    elif match[1].upper() not in config.mechanisms:
        session.fail(config.replies.unknown_mechanism)
    else:
        Dialog(session, match[1].upper()).start(match[2])
