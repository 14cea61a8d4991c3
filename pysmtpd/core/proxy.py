"""The PROXY protocol, versions 1 and 2: who the client is, as a proxy in front of us says it before anything else.

As HAProxy's "The PROXY protocol" describes it. Who does not begin with a header of it is turned away: a server behind a proxy
must not let clients choose their own address.
"""

import ipaddress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pysmtpd.core.session import Session

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
#: Section 2.1: a line of version 1 has so many octets at most, its CRLF included.
_MAX_LINE: Final = 107
#: Octets that a version 2 header may have behind its first 16: addresses and what else proxies like to tell.
_MAX_REST: Final = 4096
_FAMILIES: Final = {"TCP4": 4, "TCP6": 6}
#: Section 2.2: address family and protocol -> octets of one address. All others leave the connection's own address.
_LENGTHS: Final = {0x11: 4, 0x21: 16}

#: A client's address and port; None where the header leaves those of the connection.
Source = tuple[str, int] | None


class _NoHeaderError(Exception):
    """What came is no header."""


class ProxyHeader:
    """Takes the header, and whatever came with it."""

    name: Final = "a PROXY header"

    def __init__(self) -> None:
        self._data = b""
        self._source: Source = None
        self._refused = False
        self._rest = b""

    def feed(self, data: bytes, start: int) -> int:
        """Take ``data[start:]``; return the end of it once the header is whole, or is none, and -1 before."""
        self._data += data[start:]
        try:
            end, self._source = read_header(self._data)
        except _NoHeaderError:
            self._refused = True
            return len(data)
        if end < 0:
            return -1
        self._rest = self._data[end:]
        return len(data)

    def received(self, session: "Session") -> None:
        """The header is there: the session begins."""
        if self._refused:
            session.log("warn", f"no PROXY header from {session.client}:{session.port}")
            session.out.append(session.config.replies.no_proxy_header)
            session.close("no PROXY header")
            return
        if self._source is not None:
            session.client, session.port = self._source
        session.begin()
        if self._rest:  # under implicit TLS these are its first records: whoever takes bytes now is to have them
            session.receive(self._rest)


def read_header(data: bytes) -> tuple[int, Source]:
    """Read the header at the start of ``data``.

    Returns its length, -1 when more has to come, and the client's address. Raises _NoHeaderError.
    """
    if data[: len(_SIGNATURE)] == _SIGNATURE[: len(data)]:
        return _version_2(data)
    if data[:6] == b"PROXY "[: len(data)]:
        return _version_1(data)
    raise _NoHeaderError


def _version_1(data: bytes) -> tuple[int, Source]:
    end = data.find(b"\r\n", 0, _MAX_LINE)
    if end < 0:
        if len(data) >= _MAX_LINE:
            raise _NoHeaderError
        return -1, None
    words = data[:end].decode("latin-1").split(" ")
    if words[1:2] == ["UNKNOWN"]:
        return end + 2, None
    if len(words) != 6 or words[1] not in _FAMILIES:
        raise _NoHeaderError
    family = _FAMILIES[words[1]]
    client, _ = (_address(word, family) for word in words[2:4])
    port, _ = (_port(word) for word in words[4:])
    return end + 2, (client, port)


def _address(word: str, family: int) -> str:
    try:
        address = ipaddress.ip_address(word)
    except ValueError:
        raise _NoHeaderError from None
    if address.version != family or "%" in word:
        raise _NoHeaderError
    return str(address)


def _port(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) <= 5 and int(word) <= 65535):
        raise _NoHeaderError
    return int(word)


def _version_2(data: bytes) -> tuple[int, Source]:
    if len(data) < 16:
        return -1, None
    version_and_command, family, size = data[12], data[13], int.from_bytes(data[14:16])
    if version_and_command not in (0x20, 0x21) or size > _MAX_REST:
        raise _NoHeaderError
    end = 16 + size
    length = _LENGTHS.get(family, 0)
    if size < 2 * length + 4 and length:
        raise _NoHeaderError
    if len(data) < end:
        return -1, None
    if version_and_command == 0x20 or not length:  # the proxy itself, or somebody without an IP address
        return end, None
    port_at = 16 + 2 * length
    return end, (str(ipaddress.ip_address(data[16 : 16 + length])), int.from_bytes(data[port_at : port_at + 2]))
