"""The command `pysmtpd`: its words, its usage errors, and which module does the work.

Each subcommand imports what it needs when it runs, so that `pysmtpd tcl-path` loads neither tkinter nor asyncio.
Errors are one line on stderr that starts with the command's name; the exit code is 2 for wrong usage, 1 for the rest.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

from pysmtpd.serve_options import add_arguments
from pysmtpd.version import __version__

_SHELLS = ("tclsh", "wish")
_SHELL_OPTIONS_WITH_VALUE = ("--callbacks",)
_COERCED = ("C.UTF-8", "C.utf8", "UTF-8")  # what Python may make of the locale C
_USAGE = 2
_FAILURE = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    A shell that has started ends the process itself, as tclsh does, and does not come back here.

    Arguments:
        argv: the words after the command's name; sys.argv's by default.

    Raises:
        SystemExit: code 2 for wrong usage, which was then said on stderr; code 0 after --help and --version.
    """
    words, script = _split_off_script(list(sys.argv[1:] if argv is None else argv))
    options = _parser().parse_args(words)
    options.script = script
    code: int = options.run(options)
    return code


class _Formatter(argparse.HelpFormatter):
    """Writes help as wide as the terminal. One is made for every argument; left to itself it loads shutil to ask for that."""

    def __init__(self, prog: str, **others: Any) -> None:
        super().__init__(prog, **{"width": _columns() - 2, **others})


def _columns() -> int:
    """Return the width of the terminal; 80 where there is none."""
    try:
        return int(os.environ["COLUMNS"])
    except (KeyError, ValueError):
        with suppress(OSError, ValueError, AttributeError):  # no terminal; no standard output
            return os.get_terminal_size(sys.__stdout__.fileno()).columns or 80  # type: ignore[union-attr]
    return 80


class _Parser(argparse.ArgumentParser):
    """Reports wrong usage in one line."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**{"formatter_class": _Formatter, **arguments})

    def error(self, message: str) -> NoReturn:
        self.exit(_USAGE, f"{self.prog}: {message} (try: {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="pysmtpd", description="An SMTP server for testing mail clients, shared by Python and Tcl.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_serve(commands)
    _add_shell(commands, "tclsh", "a tclsh inside Python, with the package smtpd ready to be required")
    _add_shell(commands, "wish", "the same with Tk")
    path = commands.add_parser(
        "tcl-path",
        allow_abbrev=False,
        help="print the folder to put on TCLLIBPATH",
        description="Print the folder to put on TCLLIBPATH, as a Tcl list: a path with spaces stands in braces. "
        "Use it as TCLLIBPATH=$(pysmtpd tcl-path).",
    )
    path.set_defaults(run=_print_tcl_path)
    _add_install_tcl(commands)
    return parser


def _add_install_tcl(commands: "argparse._SubParsersAction[_Parser]") -> None:
    install = commands.add_parser(
        "install-tcl",
        allow_abbrev=False,
        help="put the Tcl package where tclsh finds it without TCLLIBPATH",
        description="Put the Tcl package where tclsh finds it without TCLLIBPATH: an index that points to this installation and "
        "names this Python. Another smtpd that tclsh has, tcllib's, then gives way.",
    )
    install.add_argument("--dir", metavar="DIR", help="a folder that tclsh searches (default: the first that can be written)")
    install.add_argument("--tclsh", metavar="PROGRAM", default="tclsh", help="the tclsh meant (default: tclsh)")
    install.add_argument("--remove", action="store_true", help="take it away again")
    install.set_defaults(run=_install_tcl)


def _add_serve(commands: "argparse._SubParsersAction[_Parser]") -> None:
    purpose = "receive mail and print it: the mail catcher for a workstation"
    serve = commands.add_parser("serve", allow_abbrev=False, help=purpose, description=f"{purpose.capitalize()}.")
    serve.set_defaults(run=_serve)
    add_arguments(serve)


def _serve(options: argparse.Namespace) -> int:
    from pysmtpd import serve

    return serve.run(options)


def _add_shell(commands: "argparse._SubParsersAction[_Parser]", name: str, purpose: str) -> None:
    shell = commands.add_parser(
        name,
        allow_abbrev=False,
        help=purpose,
        usage=f"pysmtpd {name} [--callbacks MODULE] [--] [-encoding NAME] [SCRIPT [ARG ...]]",
        description=f"Run {purpose}. Behaves as {name} does: runs SCRIPT, or reads commands from standard input, with a "
        "prompt on a terminal. All words after SCRIPT belong to the script.",
    )
    shell.add_argument(
        "--callbacks",
        metavar="MODULE",
        help="Python module whose functions deliver, validate_sender, ... replace the callbacks that the script "
        "configures; found as from the current folder (also: PYSMTPD_CALLBACKS in the environment)",
    )
    shell.set_defaults(run=_run_shell, shell=name)


def _split_off_script(words: list[str]) -> tuple[list[str], list[str]]:
    """Cut a shell's command line before the script, so that argparse never sees the script's own options."""
    if words[:1] not in ([name] for name in _SHELLS):
        return words, []
    end = 1
    while end < len(words) and words[end].startswith("-") and words[end] != "-encoding":
        if words[end] == "--":
            return words[:end], words[end + 1 :]
        end += 2 if words[end] in _SHELL_OPTIONS_WITH_VALUE else 1
    return words[:end], words[end:]


def _give_locale_back() -> None:
    """Leave the locale as the process found it, before Tcl is loaded and asks for its encoding.

    Python turns the locale C into C.UTF-8 (PEP 538), for its children as well. Tcl would read scripts in UTF-8 then; in tclsh
    they are ISO 8859-1 where there is no other locale, as in a job of cron.
    """
    if os.environ.get("LC_CTYPE") not in _COERCED:
        return
    with suppress(OSError), open("/proc/self/environ", "rb") as file:
        found = dict(entry.partition(b"=")[::2] for entry in file.read().split(b"\0"))
        if found.get(b"LC_CTYPE") != os.environb[b"LC_CTYPE"]:
            import locale

            # What it was; and what it stays where the one of the environment does not exist.
            locale.setlocale(locale.LC_CTYPE, "C")
            os.environ.pop("LC_CTYPE")
            if b"LC_CTYPE" in found:
                os.environb[b"LC_CTYPE"] = found[b"LC_CTYPE"]


def _run_shell(options: argparse.Namespace) -> int:
    _give_locale_back()
    try:
        from pysmtpd import embedded
    except ImportError as error:
        if error.name not in ("tkinter", "_tkinter"):
            raise
        return _fail(options.shell, "this Python has no tkinter; on Debian and Ubuntu: apt install python3-tk")
    try:
        return embedded.run(options.script, callbacks=options.callbacks, with_tk=options.shell == "wish")
    except embedded.StartError as error:
        return _fail(options.shell, str(error))


def _print_tcl_path(options: argparse.Namespace) -> int:
    from pysmtpd import location

    try:
        folder = location.tcl_path()
    except FileNotFoundError as error:
        return _fail("tcl-path", str(error))
    location.record_interpreter(folder)
    try:
        with open(1, "wb", closefd=False) as stream:
            stream.write(os.fsencode(location.as_tcl_list(folder)) + b"\n")
    except OSError as error:
        return _fail("tcl-path", f"standard output: {error.strerror}")
    return 0


def _install_tcl(options: argparse.Namespace) -> int:
    from pysmtpd import tcl_install

    try:
        return tcl_install.run(options)
    except tcl_install.InstallError as error:
        return _fail("install-tcl", str(error))


def _fail(command: str, message: str) -> int:
    line = " ".join(message.split())
    print(f"pysmtpd {command}: {line}", file=sys.stderr)
    return _FAILURE
