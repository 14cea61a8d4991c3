"""Scripts run with tcllib's mime and logger, and with ours in a Tcl that is kept from tcllib: they must print the same."""

import os
import subprocess

from smtp_client import DEADLINE
from tclsh import ROOT, environment, run

#: The value of TCLLIBPATH that gives ours, and hides tcllib.
BARE = f"{ROOT / 'tcl'} {ROOT / 'compat' / 'hide_tcllib'}"
#: Prints what each command of a list does: code, result, errorCode.
OUTCOMES = r"""
proc outcomes {commands} {
    foreach command $commands {
        set code [catch {uplevel #0 $command} result settings]
        set tokens [regsub -all {::mime::[0-9]+} $result TOKEN]
        set errorcode [expr {$code == 1 ? [dict get $settings -errorcode] : ""}]
        puts [list $command $code $tokens [expr {[lindex $errorcode 0] in {TCL POSIX} ? "NONE" : $errorcode}]]
    }
}
"""


def without_ours(folder, script):
    """Run a script in a stock tclsh that has tcllib and has never heard of us; return what it prints."""
    file = folder / "stock.tcl"
    file.write_text(script, encoding="utf-8")
    variables = {name: value for name, value in os.environ.items() if name != "TCLLIBPATH"}
    result = subprocess.run(
        ["tclsh", str(file)], env={**variables, "LC_ALL": "C.UTF-8"}, cwd=folder, capture_output=True, text=True, timeout=DEADLINE
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def with_ours(folder, script, shell):
    """Run a script in a Tcl that has us and no tcllib; return what it prints."""
    result = run(folder, script, shell, TCLLIBPATH=BARE)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


__all__ = ["BARE", "OUTCOMES", "environment", "with_ours", "without_ours"]
