"""The command's words: usage errors, the version, the folder for TCLLIBPATH, and what belongs to a script."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pysmtpd import location

ROOT = Path(__file__).resolve().parent.parent
DEADLINE = 30


def command(*words, root=ROOT, **options):
    """Run `python -m pysmtpd words...` on the package that stands in a folder."""
    environment = {**os.environ, "PYTHONPATH": str(root), **options.pop("env", {})}
    return subprocess.run(
        [sys.executable, "-m", "pysmtpd", *words],
        env=environment, cwd=options.pop("cwd", root), capture_output=True, text=True, timeout=DEADLINE, **options,
    )  # fmt: skip


@pytest.fixture
def lay_out(tmp_path):
    """Return a function that copies the package to a folder, with the Tcl files at a place beside or inside it."""

    def copy(name, tcl):
        root = tmp_path / name
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "pysmtpd", root / "pysmtpd", ignore=ignored)
        if tcl is not None:
            (root / tcl).mkdir()
            (root / tcl / "pkgIndex.tcl").write_text("package ifneeded pysmtpd_probe 1.0 {package provide pysmtpd_probe 1.0}\n")
        return root

    return copy


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "COMMAND"),
        (["serf"], "serf"),
        (["tclsh", "--callback", "m", "script.tcl"], "--callback"),
        (["tclsh", "--callbacks"], "--callbacks"),
        (["tclsh", "-x"], "-x"),
        (["wish", "-x"], "-x"),
        (["tcl-path", "extra"], "extra"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(words, said):
    result = command(*words)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("pysmtpd")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [["--help"], ["tclsh", "--help"], ["wish", "-h"], ["tcl-path", "--help"]])
def test_help_is_printed_on_stdout(words):
    result = command(*words)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("usage: pysmtpd")


def test_version():
    result = command("--version")
    assert result.returncode == 0
    name, version = result.stdout.split()
    assert name == "pysmtpd"
    assert version[0].isdigit()


def test_tcl_path_of_a_checkout_is_printed_alone_and_names_the_interpreter(lay_out):
    root = lay_out("checkout", "tcl")
    result = command("tcl-path", root=root)
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{root}/tcl\n", "")
    assert (root / "tcl" / "interpreter").read_text() == sys.executable


def test_tcl_path_corrects_the_interpreter_of_another_time(lay_out):
    root = lay_out("checkout", "tcl")
    (root / "tcl" / "interpreter").write_text("/somewhere/python")
    command("tcl-path", root=root)
    assert (root / "tcl" / "interpreter").read_text() == sys.executable
    assert sorted(file.name for file in (root / "tcl").iterdir()) == ["interpreter", "pkgIndex.tcl"]


def test_tcl_path_of_a_wheel_is_inside_the_package_and_left_alone(lay_out):
    root = lay_out("site-packages", "pysmtpd/tcl")
    result = command("tcl-path", root=root)
    assert (result.returncode, result.stdout) == (0, f"{root}/pysmtpd/tcl\n")
    assert [file.name for file in (root / "pysmtpd" / "tcl").iterdir()] == ["pkgIndex.tcl"]


def test_tcl_path_says_nothing_when_the_interpreter_cannot_be_written(lay_out):
    root = lay_out("checkout", "tcl")
    (root / "tcl" / "interpreter").mkdir()  # not even root writes a file here
    result = command("tcl-path", root=root)
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{root}/tcl\n", "")


def test_tcl_path_without_tcl_files_says_where_it_looked(lay_out):
    root = lay_out("broken", None)
    result = command("tcl-path", root=root)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("pysmtpd tcl-path: ")
    assert str(root) in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(("output", "reason"), [(">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")])
def test_tcl_path_that_cannot_be_printed_is_one_line(output, reason):
    script = f'exec "$0" -m pysmtpd tcl-path {output}'
    result = subprocess.run(["sh", "-c", script, sys.executable], cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE)
    assert (result.returncode, result.stderr) == (1, f"pysmtpd tcl-path: standard output: {reason}\n")


@pytest.mark.parametrize("name", ["plain", "two words", "br{ace", "back\\slash and space", "[exec] $x", "a;b", "é"])
def test_tcl_path_works_on_tcllibpath_whatever_the_folder_is_called(lay_out, tmp_path, name):
    root = lay_out(name, "tcl")
    (tmp_path / "probe.tcl").write_text("package require pysmtpd_probe\nputs [lindex $auto_path 0]\n")
    # -P, because the current folder, this checkout, would come before PYTHONPATH.
    script = 'TCLLIBPATH=$("$PYTHON" -P -m pysmtpd tcl-path) exec tclsh "$PROBE"'
    environment = {
        **os.environ,
        "PYTHON": sys.executable,
        "PYTHONPATH": str(root),
        "PROBE": str(tmp_path / "probe.tcl"),
        "LC_ALL": "C.UTF-8",
    }
    result = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, timeout=DEADLINE)
    assert (result.stdout, result.stderr) == (f"{root}/tcl\n", "")


def test_tcl_path_of_this_checkout():
    assert location.tcl_path() == ROOT / "tcl"


def test_tcl_path_loads_neither_tkinter_nor_asyncio(lay_out):
    program = (
        "import sys; from pysmtpd.cli import main; main(['tcl-path'])\n"
        "print(sorted({'tkinter', '_tkinter', 'asyncio', 'ssl', 'email'} & set(sys.modules)))"
    )
    root = lay_out("checkout", "tcl")
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(root)}, cwd=root, capture_output=True, text=True, timeout=DEADLINE,
    )  # fmt: skip
    assert result.stdout.splitlines()[1:] == ["[]"], result.stderr


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], []),
        ([], ["-x", "--callbacks", "none_such", "--", "-h", "--version", "two words", ""]),
        (["--"], ["-x"]),
        (["--", "-encoding", "utf-8"], ["-x"]),
        (["-encoding", "utf-8"], ["--help"]),
    ],
)
def test_all_words_after_the_script_are_its_own(tmp_path, before, after):
    script = tmp_path / "words.tcl"
    script.write_text("puts $argv0\nputs $argc\nforeach word $argv {puts <$word>}\n")
    result = command("tclsh", *before, str(script), *after)
    expected = [str(script), str(len(after)), *(f"<{word}>" for word in after)]
    assert (result.returncode, result.stdout.splitlines(), result.stderr) == (0, expected, "")


def test_without_tkinter_the_shell_says_what_to_install(tmp_path):
    (tmp_path / "tkinter.py").write_text("raise ModuleNotFoundError('No module named _tkinter', name='_tkinter')\n")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    result = command("tclsh", env={"PYTHONPATH": path}, cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("pysmtpd tclsh: ")
    assert "python3-tk" in result.stderr
    assert result.stderr.count("\n") == 1


def test_reading_the_command_line_loads_nothing_to_measure_the_terminal():
    program = "import sys; from pysmtpd import cli; cli._parser().parse_args(['serve', '-q']); print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not set(result.stdout.split()) & {"bz2", "shutil", "tempfile"}
