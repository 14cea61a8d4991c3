"""Certificates for tests: an authority that nobody trusts who was not told to, and leaves that are good or bad in one way each.

All keys are public. ``tools/certificates.sh`` makes the files anew.
"""

from pathlib import Path
from typing import NamedTuple


class Certificate(NamedTuple):
    """A certificate and its key: paths of PEM files, as ``ssl.SSLContext.load_cert_chain`` takes them."""

    certfile: str
    keyfile: str


def _named(name: str) -> Certificate:
    return Certificate(str(_FOLDER / f"{name}.pem"), str(_FOLDER / f"{name}.key"))


_FOLDER = Path(__file__).resolve().parent

#: PEM file of the authority that signed all of them but SELF_SIGNED.
CA = str(_FOLDER / "ca.pem")
LOCALHOST = _named("localhost")  #: good for localhost, 127.0.0.1 and ::1
EXPIRED = _named("expired")  #: the same, but it ended in 2020
WRONG_HOST = _named("wrong-host")  #: good, but for elsewhere.example
SELF_SIGNED = _named("self-signed")  #: as LOCALHOST, but signed by itself
CLIENT = _named("client")  #: for clients

#: Those for servers, by the names that the option ``certificate`` takes.
SERVER_CERTIFICATES = {
    "localhost": LOCALHOST,
    "expired": EXPIRED,
    "wrong-host": WRONG_HOST,
    "self-signed": SELF_SIGNED,
}
