"""Our package in Tcl 9, which tools/tcl9.sh puts where no system has one: the tcltest suite, and every transcript.

Tcl 9 reads strict encodings, knows no `~` and no octal 0755, and words some errors in another way.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tclsh import ROOT, environment

TCLSH = ROOT / ".tcl9" / "tclsh9"
#: Scripts that cannot agree there: one asks for Tcl 8 by its version; Tcl 9's `socket` words a bad port otherwise.
NOT_THERE = {"examples/tcl_smtpd", "scripts/public_commands"}

pytestmark = pytest.mark.skipif(not TCLSH.exists(), reason="no Tcl 9 could be had: sh tools/tcl9.sh .tcl9 says why")


def test_the_suite_passes(tmp_path):
    suite = Path(__file__).with_name("smtpd.test")
    result = subprocess.run(
        [TCLSH, suite], env=environment(PYSMTPD_PYTHON=sys.executable), cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    skipped = dict(re.findall(r"^\s+(\d+)\s+(\w+)$", result.stdout, re.MULTILINE))
    assert set(skipped.values()) <= {"stock", "threads"}
    assert re.search(r"Passed\s+1\d\d\s+.*Failed\s+0\s", result.stdout)


def test_the_transcripts_agree():
    command = [sys.executable, "-m", "compat", "-t", "tclsh-bare", "--tclsh", str(TCLSH)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    statuses = dict(re.findall(r"^(\w[\w/]*)\s+(ok|DIFF|pending|n\.a\.)$", result.stdout, re.MULTILINE))
    assert len(statuses) > 100, result.stdout + result.stderr
    assert {name for name, status in statuses.items() if status == "DIFF"} <= NOT_THERE, result.stdout


def test_it_is_tcl_9_indeed(tmp_path):
    script = tmp_path / "version.tcl"
    script.write_text("package require smtpd; puts [list $tcl_version [package present smtpd] [package present mime]]")
    result = subprocess.run([TCLSH, script], env=environment(), capture_output=True, text=True, timeout=60)
    assert re.fullmatch(r"9\.\d 1\.5 1\.7\.0\.1a0\n", result.stdout), result.stdout + result.stderr
