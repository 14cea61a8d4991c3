"""BDAT: messages in chunks of known size, taken as they come (RFC 3030). Nothing in them is searched for, or changed.

A chunk is read to its end whatever is to be said of it: a client that sends many at once must not have their octets taken for
commands.
"""

import re
from typing import Final

from pysmtpd.core.grammar import Pattern
from pysmtpd.core.sequence import CHUNKED, RECIPIENT, SENDER
from pysmtpd.core.session import Session

# RFC 3030, 2: bdat-cmd = "BDAT" SP chunk-size [ SP end-marker ] CR LF; chunk-size = 1*DIGIT; end-marker = "LAST"
_BDAT: Final = Pattern(r"BDAT +([0-9]{1,20})( +LAST)?[ \t]*\Z", re.IGNORECASE)


#: A piece of fewer octets is made one with what follows it: an object for each tiny chunk would take twenty times what is in it.
_SHORT: Final = 1_024


class Chunks:
    """The chunks of one message so far."""

    __slots__ = ("parts", "size")

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0  #: octets in them

    def add(self, parts: list[bytes]) -> None:
        """Add a chunk, in the parts that it came in."""
        kept = self.parts
        for part in parts:
            if kept and len(kept[-1]) < _SHORT:
                kept[-1] += part
            else:
                kept.append(part)
            self.size += len(part)


class Chunk:
    """One chunk on its way.

    Arguments:
        size: octets in it.
        last: whether the message ends with it.
        refusal: the reply when it is not welcome; nothing of it is kept then.
    """

    name: Final = "a chunk"

    def __init__(self, size: int, *, last: bool, refusal: bytes = b"") -> None:
        self._size = self._left = size
        self._last = last
        self._refusal = refusal
        self._parts: list[bytes] = []

    def feed(self, data: bytes, start: int) -> int:
        """Take ``data[start:]``; return the index just behind the end of the chunk, or -1 when it has not come yet."""
        end = min(start + self._left, len(data))
        self._left -= end - start
        if not self._refusal:
            self._parts.append(data[start:end])
        return -1 if self._left else end

    def received(self, session: Session) -> None:
        """The chunk has come whole: answer it."""
        if self._refusal:
            if self._last and session.recipients:
                session.fail_message(self._refusal)
            else:
                session.fail(self._refusal)
            session.reset()  # what is sent of this message from now on is out of sequence
            return
        chunks = session.chunks = session.chunks or Chunks()
        chunks.add(self._parts)
        if self._last:
            session.chunks = None
            session.seen &= ~CHUNKED
            session.message_received(chunks.parts, b"\r\n")
            return
        session.seen |= CHUNKED
        session.prelude = _among_chunks
        session.reply(session.config.replies.chunk_ok, size=str(self._size))


def bdat(session: Session, line: str, refusal: bytes = b"") -> None:
    """Handle a BDAT command: the chunk follows it. With a ``refusal``, a welcome one gets that for a reply."""
    match = _BDAT.match(line)
    if match is None:  # nobody knows how much follows
        session.syntax_error(line, "BDAT")
        return
    size = int(match[1])
    refusal = refusal_of(session, size) or refusal
    if not refusal and not session.seen & CHUNKED:
        session.begin_message()
    chunk = Chunk(size, last=bool(match[2]), refusal=refusal)
    if size:
        session.body = chunk
    else:
        chunk.received(session)


def refusal_of(session: Session, size: int) -> bytes:
    """Return the reply when a chunk of so many octets is not welcome."""
    replies = session.config.replies
    if session.access == "denied":
        return replies.bad_sequence
    if session.config.tls_required and not session.secure:
        return replies.tls_required
    if not session.seen & SENDER:
        return replies.no_sender
    if not session.seen & RECIPIENT:
        return replies.no_recipient
    if (session.chunks.size if session.chunks else 0) + size > session.config.limits.message:
        return replies.too_large
    return b""


def _among_chunks(session: Session, line: str) -> str | None:
    """Look at a command that comes before the last chunk: it must not touch the mail transaction (RFC 3030, 2)."""
    if not session.seen & CHUNKED:
        return line
    session.prelude = _among_chunks
    if line[:4].upper() in ("MAIL", "RCPT", "DATA"):
        session.fail(session.config.replies.chunks_open)
        return None
    return line
