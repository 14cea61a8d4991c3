"""The frames on the pipes between a stock tclsh and its Python child: ``tcl/link-pipe.tcl`` has the other end.

A frame is a header, payload length (4 octets, big-endian), operation (1), session number (4), and the payload. Texts in a
payload are UTF-8, each behind its length in 4 octets; reply bytes and message texts stand as they are.
"""

import struct
from typing import Final

HEADER: Final = struct.Struct(">IBI")
_overhead: Final = HEADER.size
_header: Final = HEADER.unpack_from
PAIR: Final = struct.Struct(">II")  #: the two numbers that CATCH_UP and REPLY begin with
MESSAGE_HEAD: Final = struct.Struct(">IIIIII")
_LENGTH: Final = struct.Struct(">I")

# From Tcl.
OPEN: Final = 1  # client, port, channel; "adopted" where the script has greeted the client
RECEIVE: Final = 2  # bytes from the client
END: Final = 3
REFUSE: Final = 4  # Tcl return code, result, errorCode: what the callback ended with
ACCEPT: Final = 9  # the callback returned, and the client has the reply that came with the question, or Tcl holds it back
FORGET: Final = 5
ASSIGN: Final = 6  # name, values
CONFIGURE: Final = 7  # settings; answered by RESULT
CALL: Final = 8  # function, arguments; answered by RESULT
COMMAND: Final = 10  # verb, line; or nothing, to ask again: answered by RESULT, how many questions were open before and are now
OPTION: Final = 11  # the name of an option of ours; answered by RESULT
EXPIRE: Final = 12  # the client has been silent for too long
SAY: Final = 13  # a line; answered by RESULT
OVERHEAR: Final = 29  # bytes from the client that a script has read by itself; answered by RESULT, what they said
LOOK: Final = 14  # a script looks at the state; answered by RESULT
CATCH_UP: Final = (
    15  # octets of what the client has its replies to already, standing then; that, as Live.hear takes it; then as RECEIVE
)

# To Tcl.
WRITE: Final = 16  # reply bytes
LOG: Final = 17  # a Tcl list: level, text
# A Tcl list: kind, changes of the state, reply to a yes, whether more replies follow, how many frames had come for the session,
# its standing after a yes, the replies that follow if they are known, address.
ASK: Final = 18
LINES: Final = 30  # the next lines of a large message, joined by LF; the question for it comes as ASK, without an address
# The same about a message. MESSAGE_HEAD: how many octets the changes, the reply and those that follow have, whether more follow,
# how many frames had come, the standing. Then those three, the first one a Tcl list; and the message's text.
ASK_DELIVER: Final = 19
HOLD: Final = 24  # reply bytes, to go out with the next ones, a question being put first
CLOSE: Final = 20
RESULT: Final = 21  # a Tcl list: ok and a value, or error, message, errorCode
PRINT: Final = 22  # text for the script's stdout
TLS: Final = 26  # as STATE; from now on the session is under TLS
STATE: Final = 25  # a Tcl list: what changed in the state
REPLY: Final = 27  # the number of frames that had come for the session, its standing; then as WRITE
KNOWN: Final = 28  # a Tcl list: standing, line, reply, next standing
TAKEN: Final = 23  # a large chunk has been used up
FULL: Final = 31  # much waits for the answer to a question: nothing more is to be read from the client
ROOM: Final = 32  # and now it may be


def texts(payload: bytes) -> list[str]:
    """Return the texts of a payload."""
    found = []
    position = 0
    while position < len(payload):
        (length,) = _LENGTH.unpack_from(payload, position)
        position += 4
        found.append(payload[position : position + length].decode("utf-8", "surrogateescape"))
        position += length
    return found


class FrameReader:
    """Cuts a stream into frames."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._needed = _overhead

    def feed(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """Take bytes; return the frames that are whole now: operation, session number, payload."""
        if self._parts:
            self._parts.append(data)
            self._size += len(data)
            if self._size < self._needed:
                return []
            data = b"".join(self._parts)
            self._parts.clear()
        found = []
        size = len(data)
        start = 0
        self._needed = _overhead
        while size - start >= _overhead:
            length, operation, number = _header(data, start)
            end = start + _overhead + length
            if end > size:
                self._needed = end - start
                break
            found.append((operation, number, data[start + _overhead : end]))
            start = end
        if start < size:
            self._parts.append(data[start:])
            self._size = size - start
        return found
