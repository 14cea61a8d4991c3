"""The conformance suite as tests: every transcript and every script on every target; `python -m compat` shows them as a table."""

import re
import sys
from dataclasses import replace

import pytest
from tclsh import ROOT

import compat
from compat import ledger, play, scripts
from compat.fuzz import campaign, known, shrink
from compat.fuzz.sessions import Session, Setup, unsafe_for_stock
from compat.targets import ALL_TARGETS, TARGETS, add_server
from compat.transcript import Rule, load_all
from pysmtpd.core.profile import QUIRKS


@pytest.fixture(scope="session")
def results():
    return {(result.name, result.target): result for result in compat.run()}


@pytest.mark.parametrize("target", compat.TARGETS)
@pytest.mark.parametrize("name", compat.names())
def test_conforms(results, name, target):
    result = results[name, target]
    assert result.status != "DIFF", result.diff()


@pytest.mark.parametrize("target", compat.WITHOUT_TCLLIB)
def test_conforms_without_tcllib(target):
    differences = [result.diff() for result in compat.run([target]) if result.status == "DIFF"]
    assert not differences, "\n".join(differences)


@pytest.mark.parametrize("target", [target for target in compat.TARGETS if target != "stock"])
def test_clients_that_send_octet_by_octet_see_no_difference(target):
    sessions = [name for name in compat.names() if name not in scripts.CASES]
    differences = [result.diff() for result in compat.run([target], sessions, piece=1) if result.status == "DIFF"]
    assert not differences, "\n".join(differences)


@pytest.mark.parametrize("target", compat.TARGETS)
def test_clients_that_pipeline_see_no_difference(target):
    sessions = [name for name in compat.names() if name not in scripts.CASES]
    differences = [result.diff() for result in compat.run([target], sessions, pipeline=True) if result.status == "DIFF"]
    assert not differences, "\n".join(differences)


#: What a script may put in the place of the package's own, so that all goes through it, or that lines are read one by one.
PROCEDURES = {
    "wrapped": """
foreach name {Puts service uid timestamp initializeState} {
    rename ::smtpd::$name ::smtpd::original_$name
    proc ::smtpd::$name args "uplevel 1 \\[list ::smtpd::original_$name {*}\\$args\\]"
}
""",
    "traced": """
rename ::smtpd::accept ::smtpd::original_accept
proc ::smtpd::accept {channel args} {
    original_accept $channel {*}$args
    trace add variable ::smtpd::state_$channel write ::traced
}
proc traced args {}
""",
    "reading": """
lappend ::smtpd::commands XREAD
proc ::smtpd::XREAD {channel line} {
    gets $channel
    Puts $channel "250 read"
}
""",
}


@pytest.mark.parametrize("target", ["tclsh", "tkinter"])
@pytest.mark.parametrize(("kind", "piece"), [("wrapped", 0), ("traced", 0), ("reading", 0), ("reading", 1)])
def test_procedures_of_a_scripts_own_make_no_difference(kind, piece, target, tmp_path, monkeypatch):
    program = tmp_path / "compat" / "server.tcl"
    program.parent.mkdir()
    (tmp_path / "pysmtpd").symlink_to(ROOT / "pysmtpd")  # where it finds certificates
    require = "package require smtpd\n"
    program.write_text((ROOT / "compat" / "server.tcl").read_text().replace(require, require + PROCEDURES[kind], 1))
    monkeypatch.setitem(ALL_TARGETS, kind, replace(TARGETS[target], name=kind, script=program, like=target))
    sessions = [name for name in compat.names() if name not in scripts.CASES]
    differences = [result.diff() for result in compat.run([kind], sessions, piece=piece) if result.status == "DIFF"]
    assert not differences, "\n".join(differences)


def test_a_server_program_of_somebody_elses_can_take_part():
    name = add_server([sys.executable, str(ROOT / "compat" / "server.py")], like="python")
    statuses = {result.name: result.status for result in compat.run([name], ["noop", "refuse_deliver", "scripts/procs"])}
    assert statuses == {"noop": "ok", "refuse_deliver": "ok", "scripts/procs": "n.a."}


def test_the_ledger_names_only_what_there_is():
    assert ledger.dangling(compat.names()) == []


def test_ledger_and_transcripts_name_each_other():
    named = {(entry, name) for entry, shown in ledger.entries().items() for name in shown if name != ledger.SUITE}
    naming = {(entry, transcript.name) for transcript in load_all() for entry in transcript.quirks}
    assert named == naming


def test_the_quirks_of_the_ledger_are_those_of_the_profile():
    assert ledger.entries("Quirks").keys() == set(QUIRKS)


def test_the_quirks_are_few():
    """A difference from the stock package is an exception: these are all, with and without a switch."""
    assert len(ledger.entries("Quirks")) + len(ledger.entries("Fixed")) <= 25


def test_the_fuzzer_excuses_only_what_the_ledger_names():
    assert {entry.name for entry in known.ENTRIES} <= ledger.entries().keys()


@pytest.mark.parametrize("quirk", QUIRKS)
def test_the_transcripts_of_a_quirk_show_it(quirk, monkeypatch):
    """Each of them differs from the stock package once the quirk is off: it is what the transcript shows."""
    monkeypatch.setattr(play, "DEADLINE", 0.5)  # replies that differ may be missing: no need to wait long for them
    results = compat.run(["python"], sorted(ledger.entries()[quirk]), without=quirk)
    assert {result.name for result in results if result.status != "DIFF"} == set()


def test_random_sessions_differ_nowhere_outside_the_ledger():
    """A few of what `make fuzz` plays by the hundred thousand; always the same ones, as far as the time reaches."""
    tallies = list(campaign.run(seed=1, sessions=1500, jobs=2, seconds=8))
    findings = [finding for tally in tallies for finding in tally.findings]
    assert sum(tally.sessions for tally in tallies) >= 50
    assert not findings, "\n".join(f"--seed 1 --only {found.number}: {found.target}: {found.first}" for found in findings)


@pytest.mark.parametrize(
    ("validated", "line", "unsafe"),
    [
        (False, b"NOOP", False), (True, b"MAIL FROM:<a@b.example>", False), (True, b"MAIL FROM:Name <a@b.example> X=1", False),
        (False, b"N?OP", True), (False, b"[x] y", True), (False, b"text\n* y", True),
        (False, b"MAIL FROM:<a;b@b.example>", False), (True, b"MAIL FROM:<a;b@b.example>", True), (True, b"rcpt  to:<$a@b.example>", True),
        (True, b"RCPT TO:<a b@b.example>", True), (True, b"RCPT TO:<a\nb@b.example>", True),
    ],
)  # fmt: skip
def test_what_stock_might_evaluate_is_not_played_to_it(validated, line, unsafe):
    rules = (Rule("validate_sender", None, "accept", "", ""),) if validated else ()
    assert unsafe_for_stock(Setup(rules), Session((b"EHLO x\r\n", line + b"\r\n"), lockstep=True)) is unsafe


def test_a_difference_shrinks_to_what_it_needs(monkeypatch, tmp_path):
    unknown = "ehlo_address_literal"
    monkeypatch.setattr(known, "ENTRIES", tuple(entry for entry in known.ENTRIES if entry.name != unknown))
    monkeypatch.setattr(shrink, "BUDGET", 4.0)
    what = Session(
        (b"NOOP\r\n", b"HELP MAIL\r\n", b"EHLO [127.0.0.1]\r\n", b"MAIL FROM:<a@b.example>\r\n", b"QUIT\r\n"), lockstep=False
    )
    smallest = shrink.shrink(Setup((Rule("deliver", None, "accept", "", ""),), banner="b"), what, "python")
    path = shrink.write(tmp_path, "found", *smallest, "a literal")
    assert not smallest[0].rules
    text = path.read_text()
    assert "EHLO [" in text
    assert "S: 501" in text  # what stock said
    assert not re.search("NOOP|HELP|MAIL|QUIT", text)
