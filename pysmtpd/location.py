"""Where the Tcl side of the package stands, and how that is said to a Tcl interpreter.

A wheel carries the Tcl files in `pysmtpd/tcl`; a checkout, and an editable install of one, has them in `tcl/` beside
the package. Nothing here imports tkinter: `pysmtpd tcl-path` must answer on a Python that has none.
"""

import contextlib
import os
import re
import sys
from pathlib import Path

_INDEX = "pkgIndex.tcl"
_PLAIN_LIST_ELEMENT = re.compile(r"[\w@%+=:,./~-]+")
_BRACES_WOULD_MISLEAD = re.compile(r"[{}\\]")
_NEEDS_BACKSLASH = re.compile(r'([\s{}\[\]$";\\])')


def tcl_path(package: Path | None = None) -> Path:
    """Return the folder to put on TCLLIBPATH.

    Arguments:
        package: the folder of the Python package, if not this one.

    Raises:
        FileNotFoundError: the installation has lost its Tcl files.
    """
    package = Path(__file__).resolve().parent if package is None else package
    for folder in (package / "tcl", package.parent / "tcl"):
        if (folder / _INDEX).is_file():
            return folder
    raise FileNotFoundError(f"no {_INDEX} in {package / 'tcl'} or {package.parent / 'tcl'}: install pysmtpd again")


def as_tcl_list(folder: Path) -> str:
    """Return a folder as a Tcl list of one element, which is what TCLLIBPATH holds.

    A plain path stays as it is, one with spaces is put in braces, so that `TCLLIBPATH=$(pysmtpd tcl-path)` always works.
    """
    path = folder.as_posix()
    if _PLAIN_LIST_ELEMENT.fullmatch(path):
        return path
    if _BRACES_WOULD_MISLEAD.search(path):
        return _NEEDS_BACKSLASH.sub(r"\\\1", path)
    return "{" + path + "}"


def record_interpreter(folder: Path, package: Path | None = None) -> None:
    """Write down this Python in the file `interpreter` of a checkout's Tcl folder, where stock tclsh finds it.

    A wheel's folder lies inside the environment of its Python; a checkout's says nothing about which Python to run.
    Silent when the folder cannot be written: the Tcl side has other ways to find a Python.

    Arguments:
        folder: what tcl_path() returned.
        package: the folder of the Python package, if not this one.
    """
    package = Path(__file__).resolve().parent if package is None else package
    note = folder / "interpreter"
    if folder.parent == package or not sys.executable:
        return
    # Bytes of the file system encoding: a path need not be valid text.
    content = os.fsencode(sys.executable)
    with contextlib.suppress(OSError):
        if not note.is_file() or note.read_bytes() != content:
            _replace(note, content)


def _replace(file: Path, content: bytes) -> None:
    # In one step: a tclsh that starts at the same moment never reads half a path.
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        fresh.write_bytes(content)
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)
