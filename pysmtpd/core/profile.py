"""Profiles: the named places where the stock package and RFC 5321 part, and which side a server takes.

Each quirk is a field of :class:`Profile` and has its entry in ``compat/LEDGER.md``. What no profile does any more, because
it is unsafe or refuses a valid client outright, is not a quirk and has no switch: the ledger lists it as fixed.
"""

from typing import NamedTuple


class Profile(NamedTuple):
    """A set of quirks with a name. Every quirk is true where the stock package's behaviour is kept."""

    name: str
    stock_replies: bool  #: the stock package's reply texts and EHLO list, no enhanced status codes
    mail_before_hello: bool  #: MAIL is taken before HELO or EHLO
    hello_once: bool  #: a second HELO or EHLO is 503, even after RSET
    transaction_any_order: bool  #: a second MAIL replaces the reverse-path, RCPT may come before MAIL; else 503
    loose_paths: bool  #: paths are read as mime::parseaddress reads them, and parameters are ignored
    recipients_accumulate: bool  #: the envelope outlives the delivery: a second message goes to all recipients so far
    bare_newline_ends_data: bool  #: LF, CR and CRLF all end a line in DATA; one of two leading dots goes, never a lone one

    def with_quirks(self, **quirks: bool) -> "Profile":
        """Return this profile with single quirks switched.

        Raises ValueError naming the quirk that does not exist, and the ones that do.
        """
        for name in quirks:
            if name not in QUIRKS:
                raise ValueError(f"unknown quirk {name!r}: must be one of {', '.join(QUIRKS)}")
        return self._replace(**quirks)  # type: ignore[arg-type] # mypy cannot see that name is not among them


QUIRKS = Profile._fields[1:]

TCLLIB_1_5 = Profile("tcllib-1.5", **dict.fromkeys(QUIRKS, True))
RFC5321 = Profile("rfc5321", **dict.fromkeys(QUIRKS, False))
PROFILES = {profile.name: profile for profile in (TCLLIB_1_5, RFC5321)}


def profile_named(name: str) -> Profile:
    """Return the profile of this name.

    Raises ValueError naming the profiles there are.
    """
    try:
        return PROFILES[name]
    except KeyError:
        raise ValueError(f"unknown profile {name!r}: must be one of {', '.join(PROFILES)}") from None
