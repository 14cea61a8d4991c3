"""The benchmark runs: a short one over our own drivers, its report with figures, ratios and goals."""

import subprocess
import sys

from tclsh import ROOT


def run(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *words], cwd=ROOT, capture_output=True, text=True, timeout=120, **options
    )


def test_a_short_run_measures_every_driver_and_marks_goals(tmp_path):
    out = tmp_path / "RESULTS.md"
    targets, work = "stock,tclsh,tkinter,Server,canned", "lockstep1,bulk,greeting"
    result = run("--targets", targets, "--work", work, "--rounds", "1", "--seconds", "0.05", "--out", str(out))
    assert result.returncode == 0, result.stderr
    report = out.read_text()
    assert "Not measured" not in report, report
    for target in targets.split(","):
        assert report.count(f"| {target} | ") >= 4
    assert "meets" in report
    assert "against canned replies" in report


def test_an_unknown_target_or_work_is_named_with_what_there_is():
    for option in ("--targets", "--work"):
        result = run(option, "nothing")
        assert result.returncode == 2
        assert "unknown: nothing; must be of " in result.stderr
