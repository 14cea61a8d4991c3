"""Endurance: clients of every sort against every driver, faults meanwhile, and the books balanced at the end."""

import sys
from pathlib import Path

# The raw client of the tests, and their way to run a Tcl script, serve here as well.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
