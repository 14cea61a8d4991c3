"""The steps of a server's TLS handshake, told as Tcl's tls package tells them: in OpenSSL's words for its states.

That package has them from a callback inside OpenSSL (SSL_CTX_set_info_callback(3)), which Python's ``ssl`` has not. It shows
each message, though, as it is read or written, and from these the states follow: there is one for each message.
"""

from collections import deque
from typing import Final, NamedTuple, TypeAlias

#: ``info``, what goes on, how, and a state or an alert; or just :data:`VERIFY`.
Step: TypeAlias = tuple[str, ...]

#: Stands where the client's certificates are looked at.
VERIFY: Final[Step] = ("verify",)

_BEFORE: Final = "before SSL initialization"
_OVER: Final = "SSL negotiation finished successfully"
_EARLY_DATA: Final = "TLSv1.3 early data"
_TICKET: Final = "SSLv3/TLS write session ticket"

# Content types of records, and types of messages (RFC 8446, B.1 and B.3; RFC 5246, A.1 and A.4).
_CHANGE_CIPHER_SPEC: Final = 20
_ALERT: Final = 21
_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_CERTIFICATE: Final = 11
_FINISHED: Final = 20
_KEY_UPDATE: Final = 24
_NO_RENEGOTIATION: Final = 100
_TLS_1_3: Final = 0x0304

#: What OpenSSL's state is called (SSL_state_string_long(3)) from the time a message is read or written, by the message's type.
_READ: Final = {
    _CLIENT_HELLO: "SSLv3/TLS read client hello",
    _CERTIFICATE: "SSLv3/TLS read client certificate",
    15: "SSLv3/TLS read certificate verify",
    16: "SSLv3/TLS read client key exchange",
    _FINISHED: "SSLv3/TLS read finished",
}
_WRITTEN: Final = {
    2: "SSLv3/TLS write server hello",
    4: _TICKET,
    8: "TLSv1.3 write encrypted extensions",
    _CERTIFICATE: "SSLv3/TLS write certificate",
    12: "SSLv3/TLS write key exchange",
    13: "SSLv3/TLS write certificate request",
    14: "SSLv3/TLS write server done",
    15: "TLSv1.3 write server certificate verify",
    _FINISHED: "SSLv3/TLS write finished",
    22: "SSLv3/TLS write certificate status",
}
#: The same for a KeyUpdate message.
_KEYS: Final = {"read": "TLSv1.3 read client key update", "write": "TLSv1.3 write server key update"}

#: Alerts (SSL_alert_desc_string_long(3)), by number. All others are unknown, to OpenSSL as well.
_ALERTS: Final = {
    0: "close notify",
    10: "unexpected_message",
    20: "bad record mac",
    21: "decryption failed",
    22: "record overflow",
    30: "decompression failure",
    40: "handshake failure",
    41: "no certificate",
    42: "bad certificate",
    43: "unsupported certificate",
    44: "certificate revoked",
    45: "certificate expired",
    46: "certificate unknown",
    47: "illegal parameter",
    48: "unknown CA",
    49: "access denied",
    50: "decode error",
    51: "decrypt error",
    60: "export restriction",
    70: "protocol version",
    71: "insufficient security",
    80: "internal error",
    90: "user canceled",
    100: "no renegotiation",
    110: "unsupported extension",
    111: "certificate unobtainable",
    112: "unrecognized name",
    113: "bad certificate status response",
    114: "bad certificate hash value",
    115: "unknown PSK identity",
    120: "no application protocol",
}


def alert_text(number: int) -> str:
    """Return what OpenSSL calls an alert."""
    return _ALERTS.get(number, "unknown")


class Check(NamedTuple):
    """What OpenSSL has found in checking one certificate of a client's."""

    depth: int  #: 0 for the client's own, 1 for that of who has signed it, and so on
    certificate: dict[str, str]  #: as Tcl's tls package has it: sha1_hash subject issuer notBefore notAfter serial certificate
    code: int  #: 0 where it is good, else OpenSSL's number for what is wrong with it
    text: str  #: OpenSSL's words for that


class Handshake:
    """The steps of one handshake that nobody has been told of yet."""

    __slots__ = ("_done", "_failed", "_over", "_state", "_version", "_writing", "steps")

    def __init__(self) -> None:
        #: What there is to tell.
        self.steps: deque[Step | Check] = deque([("info", "handshake", "start", _BEFORE)])
        self._state = _BEFORE
        self._version = 0
        self._writing = False
        self._done = False  # it is told to be done; which is not the end of it, under TLS 1.3
        self._over = False
        self._failed = False
        self._loop()

    def message(self, direction: str, version: int, content: int, kind: int) -> None:
        """A message has been read, and is about to be handled, or has been written.

        Arguments:
            direction: ``read`` or ``write``.
            version: that of the protocol, as on the wire.
            content: the record's type.
            kind: the message's type; an alert's description.
        """
        if self._failed or content not in (_CHANGE_CIPHER_SPEC, _ALERT, _HANDSHAKE):
            return
        if direction == "read":
            self.waits()
        if content == _ALERT:
            self.steps.append(("info", "alert", direction, alert_text(kind)))
        if self._over:
            self._message_later(direction, content, kind)
        if self._over or content == _ALERT:
            return
        self._loop()
        self._writing = direction == "write"
        if content == _CHANGE_CIPHER_SPEC:
            self._state = f"SSLv3/TLS {direction} change cipher spec"
            return
        if kind == _FINISHED and not self._writing and version != _TLS_1_3:
            # Those that are read are not shown; before this message there is always one.
            self._state = "SSLv3/TLS read change cipher spec"
            self._loop()
        self._version = version
        self._state = (_WRITTEN if self._writing else _READ).get(kind, "unknown state")
        if self._writing and self._state == _TICKET and version == _TLS_1_3 and not self._done:
            # Under TLS 1.3 tickets come behind the end of the handshake.
            self._tell_done(_TICKET)
        elif direction == "read" and kind == _CERTIFICATE:
            self.steps.append(VERIFY)

    def _message_later(self, direction: str, content: int, kind: int) -> None:
        """A message has been read or written after the handshake."""
        if content == _HANDSHAKE and kind == _KEY_UPDATE:
            self._loop(*(_OVER,) * (2 if direction == "read" else 1), _KEYS[direction])
            self._exit()
        elif content == _HANDSHAKE and kind == _CLIENT_HELLO:
            self.steps.append(("info", "handshake", "start", _OVER))
            self._loop(_OVER, _OVER)
        elif content == _ALERT and kind == _NO_RENEGOTIATION:  # the answer to that
            self._loop(_READ[_CLIENT_HELLO])
            self._tell_done(_OVER)
            self._exit()

    def waits(self) -> None:
        """It is the client's turn."""
        if self._writing and not self._over:
            self._writing = False
            if self._version == _TLS_1_3:
                self._loop()
                self._state = _EARLY_DATA
            self._loop()

    def succeeded(self) -> None:
        """The handshake is over."""
        self._loop()
        if not self._done:
            self._tell_done(_OVER)
        self._exit()
        self._over = True

    def failed(self, reason: str) -> None:
        """The handshake is over, and it came to nothing; or it was over already, and it is the connection that is broken."""
        if self._failed:
            return
        if self._over:
            reason = ""
        else:
            self.steps.append(("info", "accept", "exit", "error"))
        self.steps.append(("error", reason))
        self._over = self._failed = True

    def _loop(self, *states: str) -> None:
        self.steps += (("info", "accept", "loop", state) for state in states or (self._state,))

    def _exit(self) -> None:
        self.steps.append(("info", "accept", "exit", _OVER))

    def _tell_done(self, state: str) -> None:
        self._done = True
        self.steps.append(("info", "handshake", "done", state))


class _Untold(Handshake):
    """A handshake without anybody to tell: it has no steps."""

    __slots__ = ()

    def __init__(self) -> None:
        self.steps = deque(maxlen=0)

    def waits(self) -> None:
        """It is the client's turn."""

    def succeeded(self) -> None:
        """The handshake is over."""

    def failed(self, reason: str) -> None:
        """The handshake is over, and it came to nothing; or it was over already, and it is the connection that is broken."""


#: All of those, since they are alike.
UNTOLD: Final = _Untold()
