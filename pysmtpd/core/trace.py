"""The trace header a message gets on arrival (RFC 5321, 4.4): Return-Path and Received, as lines."""

from pysmtpd.core.config import Config


def trace_lines(config: Config, sender: str, domain: str, client: str, message_id: str) -> tuple[str, ...]:
    """Return the trace header.

    ``sender`` is the reverse-path in its brackets, ``domain`` the name given to HELO (empty when there was none),
    ``client`` the client's IP address. The words are the stock package's in every profile; only ``config.software`` differs.
    """
    return (
        f"Return-Path: {sender}",
        f"Received: from {domain} [{client}]",
        f"\tby {config.hostname} with {config.software}",
        f"\tid {message_id}; {config.timestamp()}",
    )
