"""The trace header a message gets on arrival (RFC 5321, 4.4): Return-Path and Received, as text."""

from typing import TYPE_CHECKING

from pysmtpd.core.config import Config

if TYPE_CHECKING:
    from pysmtpd.core.tls import TlsFacts


def trace_header(config: Config, sender: str, domain: str, client: str, message_id: str, tls: "TlsFacts | None" = None) -> str:
    """Return the trace header, its lines joined by LF, with none after the last.

    ``sender`` is the reverse-path in its brackets, ``domain`` the name given to HELO (empty when there was none),
    ``client`` the client's IP address, ``tls`` what was agreed on under TLS. The words are the stock package's in every profile;
    only ``config.software`` differs, and the version of TLS, which the stock package does not know.
    """
    encrypted = ""
    if tls is not None:
        version = "TLS1/SSL3" if config.profile.stock_replies else tls.version
        verified = "YES" if tls.peer_certificate and not config.profile.stock_replies else "NO"
        encrypted = f"\n\t(version={version} cipher={tls.cipher} bits={tls.bits} verify={verified})"
    return (
        f"Return-Path: {sender}\nReceived: from {domain} [{client}]\n"
        f"\tby {config.hostname} with {config.software}{encrypted}\n\tid {message_id}; {config.timestamp()}"
    )
