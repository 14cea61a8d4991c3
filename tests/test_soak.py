"""A few seconds of the endurance trial, and that its books would show what is lost, doubled or made up."""

import subprocess
import sys

from tclsh import ROOT

from soak.clients import Books


def test_a_few_seconds_with_faults_lose_double_and_leave_nothing():
    result = subprocess.run(
        [sys.executable, "-m", "soak", "--seconds", "6"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stdout + result.stderr
    for driver in ("Server", "tclsh", "tkinter"):
        assert f"{driver}: " in result.stdout
    assert result.stdout.count("nothing lost, nothing doubled, nothing left") == 3
    assert "killed" in result.stdout


def test_the_books_balance_only_when_every_message_is_where_it_should_be():
    books = Books()
    accepted, refused, cut_off = (books.name(kind) for kind in ("plain", "refuse", "abandoned"))
    books.settle(accepted, 250)
    books.settle(refused, 554)
    assert books.errors([accepted]) == []
    assert books.errors([accepted, cut_off]) == []
    assert books.errors([cut_off]) == [f"lost: {accepted}"]
    assert books.errors([accepted, accepted]) == [f"stored 2 times: {accepted}"]
    assert books.errors([accepted, refused]) == [f"refused and stored: {refused}"]
    assert books.errors([accepted, "plain-99"]) == ["never sent: plain-99"]
