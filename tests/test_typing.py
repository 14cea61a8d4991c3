"""Programs that use the public names pass the strictest type check."""

import subprocess
import sys

from tclsh import ROOT


def test_a_program_that_uses_the_public_names():
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "tests/typing/public.py"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert (result.returncode, result.stdout) == (0, "")
