"""The tcltest suite smtpd.test, on tcllib's own package and on ours in both shells; and that it skips what the ledger names, no more."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tclsh import SHELLS, environment

from compat import ledger

SUITE = Path(__file__).with_name("smtpd.test")
#: Where it runs, and the constraint that must not hold there.
TARGETS = {"stock": "ours", "tclsh": "stock", "tkinter": "stock"}


@pytest.mark.parametrize("target", TARGETS)
def test_the_suite_passes(target, tmp_path):
    variables = environment(PYSMTPD_PYTHON=sys.executable)
    if target == "stock":
        del variables["TCLLIBPATH"]
    command = [*SHELLS["tclsh" if target == "stock" else target], str(SUITE)]
    result = subprocess.run(command, env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    total, passed, failed = re.search(r"Total\s+(\d+)\s+Passed\s+(\d+)\s+Skipped\s+\d+\s+Failed\s+(\d+)", result.stdout).groups()
    assert int(total) > 100
    assert failed == "0"
    skipped = {name: int(count) for count, name in re.findall(r"^\s+(\d+)\s+(\w+)$", result.stdout, re.MULTILINE)}
    assert set(skipped) == {TARGETS[target]}
    assert int(passed) + sum(skipped.values()) == int(total)


def test_each_constraint_names_its_entry_in_the_ledger():
    tests = re.split(r"(?m)^test ", SUITE.read_text("utf-8"))[1:]
    constrained = [test for test in tests if re.search(r"-constraints (ours|stock)", test)]
    assert constrained
    for test in constrained:
        entry = re.search(r"# ledger: (\w+)", test)
        assert entry, test.splitlines()[0]
        assert entry[1] in ledger.entries()


def test_a_child_interpreter_made_in_tkinter_finds_ours(tmp_path):
    script = """
        package require smtpd
        interp create child
        puts [child eval {package require smtpd; list [::pysmtpd::version] [lindex [fconfigure [smtpd::start 127.0.0.1 0] -sockname] 0]}]
        interp create -safe other
        exit
    """
    file = tmp_path / "script.tcl"
    file.write_text(script)
    variables = environment()
    del variables["TCLLIBPATH"], variables["PYSMTPD_PYTHON"]
    result = subprocess.run(
        [*SHELLS["tkinter"], str(file)], env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert result.stdout.split()[1:] == ["127.0.0.1"], result.stderr
