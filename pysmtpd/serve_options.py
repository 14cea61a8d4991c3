"""The options of `pysmtpd serve`: what the command line may say, and what it means."""

import argparse
import os
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from pysmtpd.callbacks import ConfigurationError, callbacks_in, find_callback

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 2525

_DIGITS: Final = 18  # of a number that processes count down together

_LEVELS: Final = ("warn", "info", "debug")

#: What users of aiosmtpd, and of the standard library's old smtpd, call their handlers.
_PRINTING: Final = frozenset({"Debugging", "DebuggingServer"})
_DISCARDING: Final = "Sink"
_MAILBOX: Final = "Mailbox"


class Address(NamedTuple):
    """Where to listen."""

    host: str  #: address or host name; empty for all interfaces; the path of a UNIX socket
    port: int  #: port number; 0 for a free one


def parse_address(text: str) -> Address:
    """Return what ``HOST:PORT`` or ``unix:PATH`` means. Host or port may be left out; an IPv6 address stands in brackets.

    Raises ArgumentTypeError saying what is allowed.
    """
    if text.startswith(("unix:", "/")):
        path = os.path.abspath(text.removeprefix("unix:"))
        if os.path.isdir(path):
            raise argparse.ArgumentTypeError(f"{text!r} is a folder: must be unix:PATH, with the path of a socket")
        return Address(path, 0)
    host, port = _split_address(text)
    if port is None:
        number = DEFAULT_PORT
    elif port.isascii() and port.isdigit() and int(port) <= 65535:
        number = int(port)
    else:
        raise argparse.ArgumentTypeError(f"port {port!r} in {text!r}: must be a number from 0 to 65535")
    return Address("" if host == "*" else host or DEFAULT_HOST, number)


def format_address(name: tuple[Any, ...]) -> str:
    """Return the name of an Internet socket as ``HOST:PORT``."""
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _split_address(text: str) -> tuple[str, str | None]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if bracket and not rest:
            return host, None
        if bracket and rest.startswith(":"):
            return host, rest[1:]
    elif text.isascii() and text.isdigit():
        return "", text
    elif text.count(":") < 2:
        host, colon, port = text.partition(":")
        return host, port if colon else None
    raise argparse.ArgumentTypeError(
        f"{text!r}: must be HOST:PORT, with an IPv6 address in brackets as in [::1]:2525, or unix:PATH"
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options of the command to its parser."""
    parser.set_defaults(fail=parser.error)
    parser.add_argument(
        "-l", "--listen", type=parse_address, default=Address(DEFAULT_HOST, DEFAULT_PORT), metavar="HOST:PORT",
        help=f"where to listen, {DEFAULT_HOST}:{DEFAULT_PORT} by default: port 0 is a free one, host * is all; or unix:PATH",
    )  # fmt: skip
    parser.add_argument("--profile", metavar="NAME", help="tcllib-1.5, or rfc5321 as by default")
    parser.add_argument("-s", "--size", metavar="OCTETS", help="the largest message that is taken")
    parser.add_argument(
        "-o", "--option", action="append", default=[], type=_assignment, metavar="NAME=VALUE",
        help="any other option of pysmtpd.configure: -o idle_timeout=60 -o pipelining=off",
    )  # fmt: skip
    _add_tls_arguments(parser)
    _add_auth_arguments(parser)
    _add_taking_arguments(parser)
    _add_ending_arguments(parser)
    _add_familiar_arguments(parser)


def _add_tls_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "encryption", "Without a certificate of your own, a test certificate for localhost is used."
    )
    group.add_argument(
        "--tls", nargs="?", const="starttls", metavar="MODE", help="starttls (this alone, too), implicit, or off as by default"
    )
    group.add_argument("--require-tls", action="store_true", help="take no mail in the clear")
    group.add_argument(
        "--certfile", "--tlscert", type=_path, metavar="FILE", help="a certificate chain (PEM); switches STARTTLS on"
    )
    group.add_argument("--keyfile", "--tlskey", type=_path, metavar="FILE", help="its key, where it is in a file of its own")


def _add_auth_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("logging in", "Other processes see command lines: use secrets for tests only.")
    group.add_argument(
        "--user", action="append", default=[], type=_user, metavar="NAME:SECRET", help="who may log in; may be given often"
    )
    group.add_argument("--require-auth", action="store_true", help="take no mail before the client has logged in")


def _add_taking_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what becomes of a message")
    stores = group.add_mutually_exclusive_group()
    stores.add_argument("--maildir", type=_path, metavar="DIR", help="store in a Maildir")
    stores.add_argument("--mbox", type=_path, metavar="FILE", help="store in an mbox file")
    stores.add_argument("--jsonl", type=_path, metavar="FILE", help="store as lines of JSON")
    group.add_argument(
        "--handler", metavar="MODULE:FUNCTION",
        help="a Python function that gets (sender, recipients, lines) before the message is stored; an exception refuses",
    )  # fmt: skip
    group.add_argument("--callbacks", metavar="MODULE", help="a Python module with deliver, validate_sender, ... in it")
    group.add_argument("--raw", action="store_true", help="print messages as they came, octet by octet")
    group.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")


def _add_ending_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the process")
    group.add_argument("--once", type=_positive, metavar="N", help="end, with exit code 0, when N messages have come")
    group.add_argument("--port-file", type=_path, metavar="FILE", help="write the port to a file, once clients can connect")
    group.add_argument("--workers", type=_positive, default=1, metavar="N", help="serve from N processes")


def _add_familiar_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("as users of aiosmtpd know them")
    group.add_argument("-d", "--debug", action="count", default=0, help="log to stderr; twice: every command")
    group.add_argument("-n", "--nosetuid", action="store_true", help="accepted: the user is never changed")
    group.add_argument("-u", "--smtputf8", action="store_true", help="accepted: offered anyway")
    group.add_argument(
        "-c", "--class", dest="handler_class", metavar="CLASS",
        help="Debugging (print: the default), Sink (neither print nor store), Mailbox DIR (as --maildir DIR)",
    )  # fmt: skip
    group.add_argument("words", nargs="*", metavar="WORD", help="the folder that -c Mailbox needs; HOST:PORT with -c Debugging")


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number above 0, of {_DIGITS} digits at most")
    return int(text)


def _path(text: str) -> str:
    if not text:  # a variable that is not set, say
        raise argparse.ArgumentTypeError("'': must be a path")
    return text


def _user(text: str) -> tuple[str, str]:
    name, colon, secret = text.partition(":")
    if not (name and colon and secret):
        raise argparse.ArgumentTypeError("must be NAME:SECRET")
    return name, secret


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r}: must be NAME=VALUE")
    return name, value


def apply_class(options: argparse.Namespace) -> None:
    """Put what ``-c`` and the words behind it say into the other options."""
    words = options.words
    name = (options.handler_class or "Debugging").rpartition(".")[2]
    if name == _MAILBOX and len(words) == 1:
        if options.maildir or options.mbox or options.jsonl:
            raise ConfigurationError(f"-c {name} {words[0]}: must be the only store, without --maildir, --mbox or --jsonl")
        options.maildir = _path(words[0])
    elif name == _DISCARDING and not words:
        options.quiet = True
    elif name in _PRINTING and len(words) <= 1 and options.handler_class:
        options.listen = parse_address(words[0]) if words else options.listen
    elif words or name not in _PRINTING:
        wanted = "must be Debugging [HOST:PORT], Sink or Mailbox DIR; your own code goes to --handler MODULE:FUNCTION"
        raise ConfigurationError(f"-c {' '.join([options.handler_class or '', *words])}: {wanted}")


def server_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options of the server itself, as ``pysmtpd.Server`` takes them. Raises ConfigurationError."""
    values = {name: _read(name, text) for name, text in [*_named_options(options).items(), *options.option]}
    if options.debug:
        values["loglevel"] = _LEVELS[min(options.debug, len(_LEVELS) - 1)]
    if options.user:
        values["auth_users"] = dict(options.user)
    if options.require_auth:
        values["auth_required"] = True
    if options.require_tls:
        values["require_tls"] = True
    if (options.certfile or options.require_tls) and "tls" not in values:
        values["tls"] = "starttls"
    if options.callbacks is not None:
        values.update(callbacks_in(options.callbacks))
    if options.handler is not None:
        values.pop("deliverMIME", None)  # it would be asked instead
        values["deliver"] = find_callback(options.handler)
    if options.require_auth and not (values.get("auth_users") or "validate_user" in values):
        raise ConfigurationError(
            "--require-auth: nobody can log in: must have --user NAME:SECRET too, or --callbacks with validate_user"
        )
    return values


def _named_options(options: argparse.Namespace) -> Mapping[str, str]:
    """Return what was said with an option of the command's own."""
    said = {
        "profile": options.profile,
        "size_limit": options.size,
        "tls": options.tls,
        "certfile": options.certfile,
        "keyfile": options.keyfile,
    }
    return {name: text for name, text in said.items() if text is not None}


def _read(name: str, text: str) -> Any:
    """Return the value that a text stands for. A name that is no option keeps its text: the server says so."""
    from pysmtpd.options import FLAG, OPTIONS, read
    from pysmtpd.tls_options import TLS_OPTIONS, TlsOptions

    if name in OPTIONS:
        return read(name, text)
    if name in TLS_OPTIONS and isinstance(TlsOptions().get(name), bool):
        try:
            return FLAG.read(text)
        except ValueError:
            raise ConfigurationError(f"{name} is {text!r}: must be on or off") from None
    return text
