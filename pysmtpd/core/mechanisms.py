"""The SASL mechanisms of AUTH, as dialogs: what the server says, what it makes of the answers. No base64, no replies.

Each is a generator: it yields challenges, is sent responses, and returns an :class:`Attempt` in the end. Where the client speaks
first, the first challenge is empty. What cannot be read raises ValueError.

Imported with the first AUTH command: ``hashlib`` and ``hmac`` are slow to load.
"""

import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Generator, Mapping
from typing import Final, NamedTuple

from pysmtpd.core.grammar import Pattern

#: RFC 7677, 4: at least this many.
_ITERATIONS: Final = 4096

# RFC 7628, 3.1; the older form of XOAUTH2 is the same without the header of RFC 5801 in front.
_BEARER: Final = Pattern(r"Bearer +([!-~]+)\Z", re.IGNORECASE)
# RFC 5802, 7: client-first-message = gs2-header client-first-message-bare
_SCRAM_FIRST: Final = Pattern(r"([ny],(?:a=([^,]+))?,)(n=([^,]+),r=([!-+\x2d-~]+)(?:,.*)?)\Z")
_SCRAM_FINAL: Final = Pattern(r"(c=([A-Za-z0-9+/=]+),r=([!-+\x2d-~]+)(?:,.*)?),p=([A-Za-z0-9+/=]+)\Z")


class Attempt(NamedTuple):
    """What a client has shown for itself."""

    username: str
    secret: str  #: the password or token; empty where only a proof was shown
    proven: bool | None = None  #: whether the proof held; None where the secret has to be looked at
    identity: str = ""  #: whom the client wants to act for; empty for itself
    complaint: bytes = b""  #: a last challenge when the attempt has failed; the client's answer to it does not matter

    def __repr__(self) -> str:
        return f"Attempt({self.username!r})"


class Server(NamedTuple):
    """What a mechanism may know of the server."""

    users: Mapping[str, str]
    hostname: str
    nonce: Callable[[], str]


Dialog = Generator[bytes, bytes, Attempt]


def _text(octets: bytes) -> str:
    return octets.decode("utf-8")  # UnicodeDecodeError is a ValueError


def _plain(_server: Server) -> Dialog:
    """RFC 4616: message = [authzid] NUL authcid NUL passwd."""
    response = yield b""
    identity, username, secret = _text(response).split("\0")
    return Attempt(username, secret, identity=identity)


def _login(_server: Server) -> Dialog:
    """As draft-murchison-sasl-login describes it: two prompts, whose words clients do not read."""
    username = _text((yield b"Username:"))
    secret = _text((yield b"Password:"))
    return Attempt(username, secret)


def _cram_md5(server: Server) -> Dialog:
    """RFC 2195."""
    challenge = f"<{server.nonce()}@{server.hostname}>".encode("ascii", "replace")
    username, _, digest = _text((yield challenge)).rpartition(" ")
    if not username:
        raise ValueError("no digest")
    known = server.users.get(username)
    wanted = hmac.new((known or "").encode("utf-8"), challenge, hashlib.md5).hexdigest()
    return Attempt(
        username, "", known is not None and hmac.compare_digest(wanted.encode("ascii"), digest.lower().encode("utf-8"))
    )


def _scram_sha_256(server: Server) -> Dialog:
    """RFC 5802 and RFC 7677, without channel binding."""
    first = _SCRAM_FIRST.match(_text((yield b"")))
    if first is None:
        raise ValueError("no client-first-message")
    header, identity, bare, name, client_nonce = first.groups("")
    username = name.replace("=2C", ",").replace("=3D", "=")
    nonce = client_nonce + server.nonce()
    salt = server.nonce().encode("ascii")
    server_first = f"r={nonce},s={_base64(salt)},i={_ITERATIONS}"
    final = _SCRAM_FINAL.match(_text((yield server_first.encode("ascii"))))
    if final is None or final[3] != nonce or binascii.a2b_base64(final[2]) != header.encode("utf-8"):
        raise ValueError("no client-final-message")
    known = server.users.get(username)
    salted = hashlib.pbkdf2_hmac("sha256", (known or "").encode("utf-8"), salt, _ITERATIONS)
    signed = f"{bare},{server_first},{final[1]}".encode()
    key = _hmac(salted, b"Client Key")
    signature = _hmac(hashlib.sha256(key).digest(), signed)
    proof = bytes(one ^ other for one, other in zip(key, signature, strict=True))
    proven = known is not None and hmac.compare_digest(proof, binascii.a2b_base64(final[4]))
    if proven:
        yield b"v=" + _base64(_hmac(_hmac(salted, b"Server Key"), signed)).encode("ascii")
    return Attempt(username, "", proven, identity)


def _xoauth2(_server: Server) -> Dialog:
    """As Google and Microsoft describe it: base64("user=" {User} "^Aauth=Bearer " {Access Token} "^A^A")."""
    fields = _fields((yield b""))
    return Attempt(fields["user"], _token(fields), complaint=b'{"status":"401","schemes":"bearer","scope":"mail"}')


def _oauthbearer(_server: Server) -> Dialog:
    """RFC 7628, 3.1: the header of RFC 5801 names the user."""
    response = yield b""
    header, _, rest = response.partition(b"\x01")
    parts = _text(header).split(",")
    if len(parts) != 3 or parts[0] not in ("n", "y") or not parts[1].startswith("a="):
        raise ValueError("no gs2-header with a user")
    username = parts[1][2:].replace("=2C", ",").replace("=3D", "=")
    return Attempt(username, _token(_fields(rest)), complaint=b'{"status":"invalid_token"}')


def _fields(octets: bytes) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in _text(octets).split("\x01") if pair]
    found = {name: value for name, equals, value in pairs if equals}
    if "auth" not in found:
        raise ValueError("no auth field")
    found.setdefault("user", "")
    return found


def _token(fields: Mapping[str, str]) -> str:
    match = _BEARER.match(fields["auth"])
    if match is None:
        raise ValueError("no bearer token")
    return str(match[1])


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _base64(octets: bytes) -> str:
    return binascii.b2a_base64(octets, newline=False).decode("ascii")


#: By the names in ``pysmtpd.core.settings.MECHANISMS``.
DIALOGS: Final[Mapping[str, Callable[[Server], Dialog]]] = {
    "SCRAM-SHA-256": _scram_sha_256,
    "CRAM-MD5": _cram_md5,
    "PLAIN": _plain,
    "LOGIN": _login,
    "XOAUTH2": _xoauth2,
    "OAUTHBEARER": _oauthbearer,
}
