"""The examples run, each as a project of its own."""

import subprocess
import sys

import pytest
from tclsh import ROOT, environment

EXAMPLES = sorted(folder.name for folder in (ROOT / "examples").iterdir() if any(folder.glob("test_*.py")))


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example(name):
    # With no setting of ours: the folder is the root of its own project.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", ".", "."]
    result = subprocess.run(command, cwd=ROOT / "examples" / name, env=environment(), capture_output=True, text=True, timeout=100)
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout
