"""The Python server under measurement: the public names, no Tcl. Speaks on stdin and stdout as server.tcl does.

python server.py           serve until stdin ends
python server.py startup   load the package, listen, leave
"""

import sys
from typing import Any

import pysmtpd


class Kept:
    """The count and the last message, as server.tcl's `keep` holds them."""

    def __init__(self) -> None:
        self.delivered = 0
        self.recipients: Any = ()
        self.data: Any = b""

    def deliver(self, sender: Any, recipients: Any, data: Any) -> None:
        self.delivered += 1
        self.recipients = recipients
        self.data = data

    def report(self) -> str:
        """Messages delivered, lines and recipients of the last one, its last line."""
        data = self.data
        lines = data.splitlines() if isinstance(data, str | bytes) else list(data)
        last = lines[-1] if lines else b""
        text = last.decode("latin-1") if isinstance(last, bytes) else str(last)
        return f"{self.delivered} {len(lines)} {len(self.recipients)} {text}"


def main() -> None:
    kept = Kept()
    pysmtpd.configure(deliver=kept.deliver)
    listener = pysmtpd.start("127.0.0.1", 0)
    if sys.argv[1:] == ["startup"]:
        return
    print(listener.getsockname()[1], "pysmtpd", flush=True)
    for _question in sys.stdin:
        print(kept.report(), flush=True)


if __name__ == "__main__":
    main()
