"""The trace header a message gets on arrival (RFC 5321, 4.4): Return-Path and Received, as text."""

from pysmtpd.core.config import Config


def trace_header(config: Config, sender: str, domain: str, client: str, message_id: str) -> str:
    """Return the trace header, its lines joined by LF, with none after the last.

    ``sender`` is the reverse-path in its brackets, ``domain`` the name given to HELO (empty when there was none),
    ``client`` the client's IP address. The words are the stock package's in every profile; only ``config.software`` differs.
    """
    return (
        f"Return-Path: {sender}\nReceived: from {domain} [{client}]\n"
        f"\tby {config.hostname} with {config.software}\n\tid {message_id}; {config.timestamp()}"
    )
