"""The trace header a message gets on arrival (RFC 5321, 4.4): Return-Path and Received, as text."""

from typing import TYPE_CHECKING

from pysmtpd.core.config import Config

if TYPE_CHECKING:
    from pysmtpd.core.tls import TlsFacts


def trace_header(
    config: Config,
    sender: str,
    domain: str,
    client: str,
    message_id: str,
    tls: "TlsFacts | None" = None,
    protocol: str = "SMTP",
) -> str:
    """Return the trace header, its lines joined by LF, with none after the last.

    In the stock dialect the words are the stock package's; in ours they follow RFC 5321, 4.4.

    Arguments:
        config: the server's settings.
        sender: the reverse-path in its brackets.
        domain: the name given to HELO; empty when there was none.
        client: the client's IP address.
        message_id: the message's id.
        tls: what was agreed on under TLS.
        protocol: the name of the protocol (RFC 3848).
    """
    if config.profile.stock_replies:
        encrypted = ""
        if tls is not None:  # the stock package cannot tell the version
            encrypted = f"\n\t(version=TLS1/SSL3 cipher={tls.cipher} bits={tls.bits} verify=NO)"
        return (
            f"Return-Path: {sender}\nReceived: from {domain} [{client}]\n"
            f"\tby {config.hostname} with {config.software}{encrypted}\n\tid {message_id}; {config.timestamp()}"
        )
    encrypted = ""
    if tls is not None:
        verified = "YES" if tls.peer_certificate else "NO"
        encrypted = f"\n\t(version={tls.version} cipher={tls.cipher} bits={tls.bits} verify={verified})"
    literal = f"[IPv6:{client}]" if ":" in client else f"[{client}]"
    return (
        f"Return-Path: {sender}\nReceived: from {domain} ({literal})\n"
        f"\tby {config.hostname} ({config.software}) with {protocol}{encrypted}\n\tid {message_id}; {config.timestamp()}"
    )
