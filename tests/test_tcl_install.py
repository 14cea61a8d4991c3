"""`pysmtpd install-tcl`, with a tclsh that searches folders of ours: put there, found, used, taken away."""

import os
import shutil
import subprocess
import sys

import pytest
from test_cli import ROOT, command

from pysmtpd.tcl_install import InstallError, tcl_word

SERVE = """
package require smtpd
proc got {from to lines} {puts "$from $to [lindex $lines end]"; smtpd::stop}
smtpd::configure -deliver got
set port [lindex [fconfigure [smtpd::start 127.0.0.1 0] -sockname] 2]
set client [socket 127.0.0.1 $port]
fconfigure $client -buffering line -translation crlf
foreach line {{HELO me} {MAIL FROM:<a@b.c>} {RCPT TO:<d@e.f>} DATA {} hello .} {puts $client $line}
vwait smtpd::stopped
"""


@pytest.fixture
def shell(tmp_path):
    """Return a tclsh that searches the folders `first`, which is a file, and `second`, and tcllib's."""
    (tmp_path / "first").write_text("not a folder")
    program = tmp_path / "bin" / "my tclsh"
    program.parent.mkdir()
    prelude = tmp_path / "prelude.tcl"
    prelude.write_text(
        f"set tcl_pkgPath [list {{{tmp_path}/first}} {{{tmp_path}/second}}]\n"
        "set auto_path [list $tcl_library {*}$tcl_pkgPath /usr/share/tcltk]\n"
        "if {$argc} {set argv [lassign $argv script]; source $script; exit}\n"
        "while {[gets stdin line] >= 0} {append text $line \\n}\nnamespace eval :: $text\n"
    )
    program.write_text(f'#!/bin/sh\nexec tclsh "{prelude}" "$@"\n')
    program.chmod(0o755)
    return str(program)


def use(shell, tmp_path, script=SERVE):
    file = tmp_path / "use.tcl"
    file.write_text(script)
    variables = {name: value for name, value in os.environ.items() if name not in ("TCLLIBPATH", "PYTHONPATH", "PYSMTPD_PYTHON")}
    return subprocess.run([shell, str(file)], env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=30)


def test_it_is_put_where_tclsh_finds_it_and_used_with_the_python_it_came_from(tmp_path, shell):
    result = command("install-tcl", "--tclsh", shell)
    assert (result.returncode, result.stderr) == (0, "")
    first, second = result.stdout.splitlines()
    assert first == f"installed {tmp_path}/second/pysmtpd"
    assert second.startswith("smtpd 1.5 (pysmtpd ")
    used = use(shell, tmp_path)
    assert (used.stdout, used.stderr) == ("<a@b.c> <d@e.f> hello\n", "")
    asked = use(
        shell,
        tmp_path,
        "package require -exact smtpd 1.5; puts [lindex [::pysmtpd::link::Python] 0]; puts [package ifneeded smtpd 1.5]",
    )
    assert asked.stdout.splitlines()[0] == sys.executable
    assert str(ROOT) in asked.stdout.splitlines()[1]


def test_it_can_be_put_there_twice_and_is_taken_away_whole(tmp_path, shell):
    for _ in range(2):
        assert command("install-tcl", "--tclsh", shell).returncode == 0
    result = command("install-tcl", "--remove", "--tclsh", shell)
    assert (result.returncode, result.stdout) == (0, f"removed {tmp_path}/second/pysmtpd\n")
    assert list((tmp_path / "second").iterdir()) == []
    assert "pysmtpd" not in use(shell, tmp_path, "package require smtpd; puts [info commands ::pysmtpd::version]").stdout
    result = command("install-tcl", "--remove", "--tclsh", shell)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("pysmtpd install-tcl: nothing to remove in ")
    assert str(tmp_path / "second") in result.stderr


def test_a_folder_can_be_named(tmp_path, shell):
    folder = tmp_path / "else where"
    result = command("install-tcl", "--dir", str(folder), "--tclsh", shell)
    assert result.returncode == 0
    assert "does not search" in result.stdout
    assert "TCLLIBPATH" in result.stdout
    used = use("tclsh", tmp_path, f"lappend auto_path {{{folder}}}\n{SERVE}")
    assert used.stdout == "<a@b.c> <d@e.f> hello\n"
    assert command("install-tcl", "--dir", str(folder), "--remove").returncode == 0
    assert list(folder.iterdir()) == []


def test_without_a_tclsh_a_folder_must_be_named(tmp_path):
    result = command("install-tcl", "--tclsh", "no-such-tclsh")
    assert result.returncode == 1
    assert "no-such-tclsh" in result.stderr
    assert "--dir" in result.stderr
    result = command("install-tcl", "--tclsh", "no-such-tclsh", "--dir", str(tmp_path))
    assert result.returncode == 0
    assert "not tried" in result.stdout


def test_what_is_not_ours_is_left_alone(tmp_path, shell):
    index = tmp_path / "second" / "pysmtpd" / "pkgIndex.tcl"
    index.parent.mkdir(parents=True)
    index.write_text("# somebody's own\n")
    for words in (["--tclsh", shell], ["--remove", "--tclsh", shell]):
        result = command("install-tcl", *words)
        assert result.returncode == 1
        assert result.stderr.count("\n") == 1
    assert index.read_text() == "# somebody's own\n"


def test_where_nothing_can_be_written_the_error_lists_the_folders(tmp_path, shell):
    (tmp_path / "second").write_text("not a folder either")
    text = (tmp_path / "prelude.tcl").read_text().replace("/usr/share/tcltk", "")
    (tmp_path / "prelude.tcl").write_text(text)
    result = command("install-tcl", "--tclsh", shell)
    assert result.returncode == 1
    assert str(tmp_path / "second") in result.stderr
    assert "--dir" in result.stderr


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    result = command("install-tcl", "--dir", str(tmp_path / "file"))
    assert result.returncode == 1
    assert str(tmp_path / "file") in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_tclsh_that_fails_is_quoted(tmp_path):
    program = tmp_path / "tclsh"
    program.write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    program.chmod(0o755)
    result = command("install-tcl", "--tclsh", str(program))
    assert result.returncode == 1
    assert "broken" in result.stderr


def test_after_pysmtpd_has_gone_the_error_says_what_to_do(tmp_path, shell):
    copy = tmp_path / "site"
    shutil.copytree(ROOT / "pysmtpd", copy / "pysmtpd", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tcl", copy / "tcl")
    assert command("install-tcl", "--tclsh", shell, root=copy, cwd=copy).returncode == 0
    shutil.rmtree(copy)
    result = use(shell, tmp_path, "puts [catch {package require smtpd} said]; puts $said")
    assert result.stdout.startswith("1\n")
    assert "install-tcl --remove" in result.stdout
    assert str(copy) in result.stdout


@pytest.mark.parametrize(
    "text", ["/plain/path", "/two words", "/br{ace", "/a}b", "/b\\s", "/$x[exit]", '/;"#', "/é\u20ac\U0001d11e", "a\tb\nc", ""]
)
def test_any_path_is_one_word(text):
    word = tcl_word(text)
    assert word.isascii()
    script = f"set path {word}\nputs -nonewline [binary encode hex [encoding convertto utf-8 $path]]"
    result = subprocess.run(["tclsh"], input=script, capture_output=True, text=True, check=True)
    expected = text.encode().hex()
    if text.isascii() or max(text) < "\U00010000":
        assert result.stdout == expected
    else:
        assert result.stdout.startswith(expected[:10])  # Tcl 8.6 has no characters beyond U+FFFF


def test_a_path_that_is_no_text_is_refused():
    with pytest.raises(InstallError, match="not valid text"):
        tcl_word("/a\udcff")
