"""`pysmtpd install-tcl`: puts the Tcl package where a tclsh finds it without TCLLIBPATH, and takes it away again.

What is put there is a pointer, not a copy: an index that reads the one inside the Python package. The engine is Python and has to
stay where it is anyway, and a copy would be of another version after the next upgrade. The pointer also names the Python to run.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from pysmtpd import location

#: The folder made, in one that tclsh searches.
FOLDER = "pysmtpd"
_INDEX = "pkgIndex.tcl"
#: How the pointer begins; what does not begin so is not ours to remove.
_MARK = "# Made by `pysmtpd install-tcl`"
_POINTER = (
    _MARK
    + """; `pysmtpd install-tcl --remove` takes it away.
# It points to where pysmtpd is installed, and names the Python that runs the engine.
if {![package vsatisfies [package provide Tcl] 8.6-]} {return}
namespace eval ::pysmtpd {variable python %(python)s}
apply {{dir} {
    if {[file readable [file join $dir pkgIndex.tcl]]} {
        source [file join $dir pkgIndex.tcl]
    } else {
        package forget smtpd
        package ifneeded smtpd 1.5 [list error "pysmtpd is no longer in $dir: install it again,\\
            then run \\"pysmtpd install-tcl\\", or take this away with \\"pysmtpd install-tcl --remove\\""]
    }
}} %(folder)s
"""
)
#: Prints where packages are searched, one folder a line, the places meant for packages first.
_ASK = """
fconfigure stdout -encoding utf-8
foreach folder [concat $tcl_pkgPath $auto_path] {
    if {$folder ne $tcl_library && ![string match //zipfs:* $folder]} {
        puts [file normalize $folder]
    }
}
"""
_CHECK = """
fconfigure stdout -encoding utf-8
package require smtpd
puts "smtpd [package present smtpd] (pysmtpd [::pysmtpd::version]), Tcl [info patchlevel]"
"""
_DEADLINE = 60


class InstallError(Exception):
    """Why it could not be done, for people."""


def run(options: argparse.Namespace) -> int:
    """Do what the command line says, and print what was done. Raises InstallError."""
    folder = Path(options.dir).absolute() if options.dir is not None else None
    if options.remove:
        for removed in remove(folder, options.tclsh):
            print(f"removed {removed}")
        return 0
    made = install(folder, options.tclsh)
    print(f"installed {made}")
    report = check(made, options.tclsh)
    print(report)
    return 0


def install(folder: Path | None, tclsh: str) -> Path:
    """Put the pointer into a folder, or into the first of those tclsh searches that can be written; return its own folder.

    Raises InstallError.
    """
    try:
        target = location.tcl_path()
    except FileNotFoundError as error:
        raise InstallError(str(error)) from None
    text = _POINTER % {"python": tcl_word(sys.executable), "folder": tcl_word(target.as_posix())}
    home = (folder if folder is not None else _writable(searched(tclsh), tclsh)) / FOLDER
    index = home / _INDEX
    if index.exists() and not _is_ours(index):
        raise InstallError(f"{index} is not ours: name another folder with --dir")
    try:
        home.mkdir(parents=True, exist_ok=True)
        index.write_text(text, encoding="ascii")
    except OSError as error:
        raise InstallError(f"cannot write {index}: {error.strerror or error}") from None
    return home


def remove(folder: Path | None, tclsh: str) -> list[Path]:
    """Take the pointer out of a folder, or out of all that tclsh searches; return the folders it was in. Raises InstallError."""
    looked = [folder] if folder is not None else searched(tclsh)
    found = [place / FOLDER / _INDEX for place in looked if _is_ours(place / FOLDER / _INDEX)]
    if not found:
        raise InstallError(f"nothing to remove in {', '.join(map(str, looked))}")
    for index in found:
        try:
            index.unlink()
            index.parent.rmdir()
        except OSError as error:
            raise InstallError(f"cannot remove {error.filename or index}: {error.strerror or error}") from None
    return [index.parent for index in found]


def check(home: Path, tclsh: str) -> str:
    """Return what tclsh says it has now, or what to do so that it finds the package. Raises InstallError where that fails."""
    if shutil.which(tclsh) is None:
        return f"not tried: there is no {tclsh} here"
    if home.parent not in searched(tclsh):
        return f"{tclsh} does not search {home.parent}: put it on TCLLIBPATH, or on auto_path in the script"
    return _evaluate(tclsh, _CHECK).strip()


def searched(tclsh: str) -> list[Path]:
    """Return the folders in which a tclsh looks for packages, each once. Raises InstallError."""
    return list(dict.fromkeys(Path(line) for line in _evaluate(tclsh, _ASK).splitlines()))


def _evaluate(tclsh: str, script: str) -> str:
    # What TCLLIBPATH adds is not there when it is not set.
    environment = {name: value for name, value in os.environ.items() if name not in ("TCLLIBPATH", "PYSMTPD_PYTHON")}
    if shutil.which(tclsh) is None:
        raise InstallError(f"there is no {tclsh} on PATH: name one with --tclsh, or a folder with --dir")
    try:
        result = subprocess.run(  # noqa: S603 # the user's own tclsh
            [tclsh],
            input=script + "exit\n",
            env=environment,
            capture_output=True,
            encoding="utf-8",
            timeout=_DEADLINE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InstallError(f"{tclsh} does not answer: {error}") from None
    if result.returncode or result.stderr:
        raise InstallError(f"{tclsh} says: {result.stderr.strip() or f'exit code {result.returncode}'}")
    return result.stdout


def _writable(folders: Iterable[Path], tclsh: str) -> Path:
    """Return the first folder that can be written, or made."""
    folders = list(folders)
    for folder in folders:
        standing = next((place for place in (folder, *folder.parents) if place.exists()), None)
        if standing is not None and standing.is_dir() and os.access(standing, os.W_OK | os.X_OK):
            return folder
    places = ", ".join(map(str, folders))
    raise InstallError(
        f"none of the folders that {tclsh} searches can be written ({places}): be root, or name a folder with --dir"
    )


def _is_ours(index: Path) -> bool:
    try:
        return index.read_bytes().startswith(_MARK.encode())
    except OSError:
        return False


def tcl_word(text: str) -> str:
    """Return a text as one word of a Tcl script, in ASCII whatever is in it. Raises InstallError for what is no text."""
    escaped = "".join(_escaped(character) for character in text)
    return escaped or "{}"


def _escaped(character: str) -> str:
    if character.isascii() and (character.isalnum() or character in "_@%+=:,./~-"):
        return character
    code = ord(character)
    if 0xD800 <= code < 0xE000:
        raise InstallError("the path to pysmtpd, or to its Python, is not valid text: move it")
    if not character.isascii() or not character.isprintable():
        return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return f"\\{character}"
