"""The laws of the design, each as a check: who imports whom, what never stands in the Tcl files, and that tests mirror the source."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tclsh import ROOT, environment

SOURCE = ROOT / "pysmtpd"
CORE = sorted((SOURCE / "core").glob("*.py"))
TCL = sorted((ROOT / "tcl").glob("*.tcl"))
FORBIDDEN_IN_CORE = {
    "asyncio", "datetime", "os", "random", "secrets", "select", "selectors", "socket", "ssl", "subprocess", "sys", "threading", "_thread", "time",
    "tkinter", "_tkinter",
}  # fmt: skip


def imported(file):
    """Return the modules a file imports anywhere in it, in full."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def test_the_scan_of_imports_sees_them_all(tmp_path):
    file = tmp_path / "sample.py"
    file.write_text("import os.path\nfrom a import b as c\ndef f():\n    import time\nif 0:\n    from pysmtpd import drivers\n")
    assert imported(file) == {"os.path", "a", "a.b", "time", "pysmtpd", "pysmtpd.drivers"}


@pytest.mark.parametrize("file", CORE, ids=[file.stem for file in CORE])
def test_the_core_does_no_input_or_output_and_knows_no_driver(file):
    names = imported(file)
    # Law 8: TLS is part of the core's byte pipeline. ssl.MemoryBIO has no socket in it; certificates are read when they are set.
    allowed = {"ssl"} if file.name == "tls.py" else set()
    assert not {name.partition(".")[0] for name in names} & (FORBIDDEN_IN_CORE - allowed)
    ours = {name for name in names if name.partition(".")[0] == "pysmtpd"}
    assert all(name.startswith("pysmtpd.core") for name in ours)


def test_the_core_opens_no_files():
    for file in CORE:
        called = {
            node.func.id
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not called & {"open", "print", "input", "eval", "exec", "__import__"}, file


def test_loading_the_core_loads_nothing_forbidden():
    assert not modules_after("import pysmtpd.core") & (FORBIDDEN_IN_CORE - {"os", "sys", "time", "_thread"} | {"pysmtpd.drivers"})


def modules_after(program):
    """Return the modules that a fresh Python has loaded after a program."""
    result = subprocess.run(
        [sys.executable, "-S", "-c", f"{program}; import sys; print(*sys.modules)"],
        env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(result.stdout.split())


def test_importing_pysmtpd_loads_nothing_slow():
    slow = {"asyncio", "dataclasses", "email", "inspect", "logging", "socket", "ssl", "threading", "tkinter", "typing_extensions"}
    loaded = modules_after("import pysmtpd")
    assert "pysmtpd.api" in loaded
    assert not loaded & slow


def test_the_child_of_tclsh_loads_nothing_slow():
    slow = {"asyncio", "dataclasses", "email", "inspect", "logging", "socket", "ssl", "threading", "tkinter"}
    loaded = modules_after("import pysmtpd.drivers.pipe")
    assert "pysmtpd.core.session" in loaded
    assert not loaded & slow


def commands(script):
    """Return the first words of all commands in a Tcl script, nested ones included, comments left out: roughly, and never too few."""
    code = "\n".join(line for line in script.splitlines() if not line.lstrip().startswith("#"))
    return re.findall(r"(?:^|[\[{;\n])[ \t]*:{0,2}([A-Za-z_]\w*)", code)


def test_the_scan_of_commands_sees_nested_ones():
    assert {"eval", "subst", "uplevel"} <= set(commands("if {1} {eval $x}\nset y [subst $z]\n# exec\nfoo; ::uplevel 1 a\n"))
    assert "exec" not in commands("# exec\n   # eval x")


@pytest.mark.parametrize("file", TCL, ids=[file.stem for file in TCL])
def test_no_tcl_file_evaluates_text(file):
    # Words of our own; and [tailcall] takes words, never text.
    script = file.read_text().replace("uplevel 1 [list namespace current]", "")
    assert not set(commands(script)) & {"eval", "subst", "uplevel"}


@pytest.mark.parametrize("file", TCL, ids=[file.stem for file in TCL])
def test_no_tcl_file_knows_the_grammar(file):
    """One engine answers the wire: no regular expressions, and no reply texts, on the Tcl side."""
    text = "\n".join(line for line in file.read_text().splitlines() if not line.lstrip().startswith("#"))
    assert "regexp" not in text
    assert not re.search(r'["{ ](?:220|221|250|354|421|50[0-4]|55[0-4])[ -]', text)


#: Modules that hold nothing to test by itself.
WITHOUT_TESTS = {"__init__.py", "__main__.py", "version.py"}


def test_every_module_has_its_tests_and_every_test_its_module():
    modules = {file.relative_to(SOURCE) for file in SOURCE.rglob("*.py") if file.name not in WITHOUT_TESTS}
    tests = {file.relative_to(ROOT / "tests") for file in (ROOT / "tests").rglob("test_*.py")}
    mirrored = {module.with_name(f"test_{module.name}") for module in modules}
    assert mirrored <= tests, f"without tests: {sorted(map(str, mirrored - tests))}"
    # What spans modules: the laws, the conformance suite, what is shown to users, and what is written in Tcl.
    alone = {
        Path("test_laws.py"),
        Path("test_compat.py"),
        Path("test_benchmarks.py"),
        Path("test_manual.py"),
        Path("test_fuzz.py"),
        Path("test_soak.py"),
        Path("test_budgets.py"),
        Path("test_docs.py"),
        Path("test_examples.py"),
        Path("test_typing.py"),
        Path("drivers/test_hardening.py"),
    }
    spanning = alone | {test for test in tests if test.parts[0] in ("tcl", "hardening", "clients")}
    assert tests - mirrored <= spanning, f"tests of no module: {sorted(map(str, tests - mirrored - spanning))}"
