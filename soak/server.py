"""The server for Python under endurance: STARTTLS, a Maildir. Answers each line on stdin with the number of live sessions."""

import sys

import pysmtpd
from pysmtpd import stores


def refuse_some(sender: str, recipients: list[str], data: list[str]) -> None:
    """Refuse what says that it is to be."""
    if any(line.startswith("Subject: refuse") for line in data[:20]):
        raise pysmtpd.Refused(554, "as it said")


def refuse_recipient(address: str) -> None:
    """Refuse whoever is called so."""
    if address.startswith("refuse"):
        raise pysmtpd.Refused(550, "as it said")


def main() -> None:
    store = stores.Maildir(sys.argv[1])
    options = {"deliver": refuse_some, "validate_recipient": refuse_recipient, "tls": "starttls"}
    with pysmtpd.Server(store=store, keep=False, **options) as server:
        print(server.port, flush=True)
        for _question in sys.stdin:
            print(len(server._service.live), flush=True)


if __name__ == "__main__":
    main()
