"""The order of commands: what a session has seen, and which verb asks for what, as one table (RFC 5321, 4.1.4)."""

from collections.abc import Callable
from typing import Final, NamedTuple

# What a session has seen so far; bits, so that a rule is one comparison.
GREETED: Final = 1  # HELO or EHLO
SENDER: Final = 2  # MAIL, accepted
RECIPIENT: Final = 4  # RCPT, accepted
ENCRYPTED: Final = 8  # STARTTLS, accepted
AUTHENTICATED: Final = 16  # AUTH, accepted
CHUNKED: Final = 32  # BDAT, and more of it is to come
#: What outlives a mail transaction.
LASTING: Final = GREETED | ENCRYPTED | AUTHENTICATED


class Rule(NamedTuple):
    """A condition, and what is said when it does not hold."""

    bit: int
    wanted: bool  #: whether the bit must be set, or must not
    reply: str  #: a name in :class:`~pysmtpd.core.replies.Replies`
    log: str = ""  #: the line for the log, at level debug
    unless: str = ""  #: the quirk, or the setting, that lifts the rule
    only_with: str = ""  #: the quirk, or the setting, that brings the rule in


_HELLO_ONCE: Final = (Rule(GREETED, False, "bad_sequence", "{verb} received out of sequence.", only_with="hello_once"),)
_AUTH_FIRST: Final = Rule(AUTHENTICATED, True, "auth_first", only_with="auth_required")

SEQUENCE: Final[dict[str, tuple[Rule, ...]]] = {
    "HELO": _HELLO_ONCE,
    "EHLO": _HELLO_ONCE,
    "LHLO": _HELLO_ONCE,
    "MAIL": (
        _AUTH_FIRST,
        Rule(GREETED, True, "hello_first", unless="mail_before_hello"),
        Rule(SENDER, False, "nested_mail", unless="transaction_any_order"),
    ),
    "RCPT": (Rule(SENDER, True, "mail_first", unless="transaction_any_order"),),
    "DATA": (Rule(SENDER, True, "no_sender", "DATA"), Rule(RECIPIENT, True, "no_recipient", "DATA")),
    "RSET": (),
    "NOOP": (),
    "QUIT": (),
    "HELP": (),
    "STARTTLS": (Rule(ENCRYPTED, False, "bad_sequence"),),
    "BDAT": (),  # a chunk is read in any case, and then answered
    "VRFY": (_AUTH_FIRST,),
    "EXPN": (_AUTH_FIRST,),
    "AUTH": (  # RFC 4954, 4
        Rule(GREETED, True, "hello_first"),
        Rule(AUTHENTICATED, False, "bad_sequence"),
        Rule(SENDER, False, "nested_mail"),
    ),
}

#: Where TLS is required, these are taken without it all the same (RFC 3207, 4, and what does no harm). A chunk is read first.
IN_THE_CLEAR: Final = frozenset({"HELO", "EHLO", "LHLO", "RSET", "NOOP", "QUIT", "HELP", "STARTTLS", "BDAT"})
_TLS_FIRST: Final = Rule(ENCRYPTED, True, "tls_required")


def rules_under(on: Callable[[str], bool], *, tls_required: bool = False) -> dict[str, tuple[Rule, ...]]:
    """Return the table with just the rules that hold; and, where it is required, TLS before all else.

    ``on`` tells whether a quirk, or a setting, is on.
    """
    table = {verb: tuple(rule for rule in rules if _holds(rule, on)) for verb, rules in SEQUENCE.items()}
    if tls_required:
        table.update({verb: (_TLS_FIRST, *rules) for verb, rules in table.items() if verb not in IN_THE_CLEAR})
    return table


def _holds(rule: Rule, on: Callable[[str], bool]) -> bool:
    if rule.unless and on(rule.unless):
        return False
    return not rule.only_with or on(rule.only_with)
