"""The Python servers under measurement: the public names, no Tcl. Speaks on stdin and stdout as server.tcl does.

python server.py Server       serve until stdin ends
python server.py aio.Server   likewise, in an event loop
python server.py startup      load the package, listen, leave
"""

import os
import sys
from collections import deque
from typing import Any

import pysmtpd
from pysmtpd.inbox import Inbox


class LastFew(Inbox):
    """Counts messages and keeps but the last few, so that a long run does not fill the memory."""

    def __init__(self) -> None:
        super().__init__()
        self.delivered = 0
        self._messages = deque(maxlen=8)  # type: ignore[assignment]

    def add(self, message: Any) -> None:
        self.delivered += 1
        super().add(message)

    def report(self) -> str:
        """Messages delivered, lines and recipients of the last one, its last line."""
        messages = self.messages()
        if not messages:
            return f"{self.delivered} 0 0 "
        lines = messages[-1].content.splitlines() or [b""]
        return f"{self.delivered} {len(lines)} {len(messages[-1].recipients)} {lines[-1].decode('latin-1')}"


def options() -> dict[str, Any]:
    """TLS where handshakes are measured."""
    folder = os.environ.get("BENCHMARK_TLS")
    return {"usetls": True, "certfile": f"{folder}/cert.pem", "keyfile": f"{folder}/key.pem"} if folder else {}


def serve() -> None:
    server = pysmtpd.Server(**options())
    server.inbox = kept = LastFew()
    with server:
        print(server.port, "pysmtpd", flush=True)
        for _question in sys.stdin:
            print(kept.report(), flush=True)


async def serve_in_loop() -> None:
    import asyncio

    import pysmtpd.aio

    server = pysmtpd.aio.Server(**options())
    server.inbox = kept = LastFew()
    async with server:
        print(server.port, "pysmtpd", flush=True)
        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def answer() -> None:
            if sys.stdin.readline():
                print(kept.report(), flush=True)
            else:
                loop.remove_reader(sys.stdin)
                ended.set_result(None)

        loop.add_reader(sys.stdin, answer)
        await ended


def main() -> None:
    what = sys.argv[1]
    if what == "aio.Server":
        import asyncio

        asyncio.run(serve_in_loop())
    elif what == "startup":
        pysmtpd.Server().start()
    else:
        serve()


if __name__ == "__main__":
    main()
