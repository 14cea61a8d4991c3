"""The order of commands: what a session has seen, and which verb asks for what, as one table (RFC 5321, 4.1.4)."""

from typing import Final, NamedTuple

from pysmtpd.core.profile import Profile

# What a session has seen so far; bits, so that a rule is one comparison.
GREETED: Final = 1  # HELO or EHLO
SENDER: Final = 2  # MAIL, accepted
RECIPIENT: Final = 4  # RCPT, accepted


class Rule(NamedTuple):
    """A condition, and what is said when it does not hold."""

    bit: int
    wanted: bool  #: whether the bit must be set, or must not
    reply: str  #: a name in :class:`~pysmtpd.core.replies.Replies`
    log: str = ""  #: the line for the log, at level debug
    unless: str = ""  #: the quirk that lifts the rule
    only_with: str = ""  #: the quirk that brings the rule in


_HELLO_ONCE: Final = (Rule(GREETED, False, "bad_sequence", "{verb} received out of sequence.", only_with="hello_once"),)

SEQUENCE: Final[dict[str, tuple[Rule, ...]]] = {
    "HELO": _HELLO_ONCE,
    "EHLO": _HELLO_ONCE,
    "MAIL": (
        Rule(GREETED, True, "hello_first", unless="mail_before_hello"),
        Rule(SENDER, False, "nested_mail", unless="transaction_any_order"),
    ),
    "RCPT": (Rule(SENDER, True, "mail_first", unless="transaction_any_order"),),
    "DATA": (Rule(SENDER, True, "no_sender", "DATA"), Rule(RECIPIENT, True, "no_recipient", "DATA")),
    "RSET": (),
    "NOOP": (),
    "QUIT": (),
    "HELP": (),
}


def rules_under(profile: Profile) -> dict[str, tuple[Rule, ...]]:
    """Return the table with just the rules that hold under a profile."""
    return {verb: tuple(rule for rule in rules if _holds(rule, profile)) for verb, rules in SEQUENCE.items()}


def _holds(rule: Rule, profile: Profile) -> bool:
    if rule.unless and getattr(profile, rule.unless):
        return False
    return not rule.only_with or bool(getattr(profile, rule.only_with))
