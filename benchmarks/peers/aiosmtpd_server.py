"""aiosmtpd under measurement: its Controller, and a handler that keeps the message."""

import socket
from typing import Any

from aiosmtpd.controller import Controller
from reporting import Kept, serve_until_stdin_ends, server_context


class Handler:
    """Keeps the count and the last message."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 # aiosmtpd's name
        self.kept.keep(envelope.rcpt_tos, envelope.content)
        return "250 OK"


def main() -> None:
    kept = Kept()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]  # it cannot be told to take any
    controller = Controller(Handler(kept), hostname="127.0.0.1", port=port, data_size_limit=1 << 28, tls_context=server_context())
    controller.start()
    serve_until_stdin_ends(port, "aiosmtpd", kept.report)
    controller.stop()


if __name__ == "__main__":
    main()
