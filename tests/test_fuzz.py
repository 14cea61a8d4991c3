"""The core's invariant, as fuzz/target.py states it, over the corpus, hypothesis' inputs, and a bounded run of the fuzzer."""

import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tclsh import ROOT

from fuzz.__main__ import seeds
from fuzz.mutation import HEADER, WORDS, inputs
from fuzz.target import Settings, play, run
from pysmtpd.core import Session

CORPUS = sorted((ROOT / "fuzz" / "corpus").iterdir())

headers = st.binary(min_size=HEADER, max_size=HEADER)
streams = st.one_of(
    st.lists(st.sampled_from(WORDS), max_size=12).map(b"".join),
    st.lists(st.one_of(st.sampled_from(WORDS), st.binary(max_size=20)), max_size=8).map(b"".join),
    st.binary(max_size=80),
)


@pytest.mark.parametrize("case", CORPUS, ids=lambda file: file.name)
def test_what_was_found_once_holds(case):
    run(case.read_bytes())


def test_the_invariant_holds_for_every_transcript():
    assert len(seeds()) > 150
    for seed in seeds():
        run(seed)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(header=headers, stream=streams)
def test_the_invariant_holds_for_any_settings_and_bytes(header, stream):
    run(header + stream)


def test_the_invariant_holds_for_random_sessions():
    for data in islice(inputs(2026, seeds()), 3000):
        run(data)


@pytest.mark.parametrize("breakage", ["no reply", "two replies", "an exception", "a bare line feed"])
def test_the_invariant_sees_a_broken_core(monkeypatch, breakage):
    """A check that never fails proves nothing."""
    original = Session._command

    def broken(self, line):
        if breakage == "no reply":
            return
        if breakage == "an exception":
            raise KeyError(line)
        original(self, line)
        self.out.append(b"250 OK\r\n" if breakage == "two replies" else b"250 a\nb\r\n")

    monkeypatch.setattr(Session, "_command", broken)
    with pytest.raises((AssertionError, KeyError)):
        run(bytes(HEADER) + b"NOOP\r\n")


def test_the_same_input_is_the_same_session():
    for data in islice(inputs(7, []), 20):
        first, second = (play(Settings(data[:HEADER]), [data[HEADER:]]) for _ in range(2))
        assert first == second


def test_the_coverage_guided_fuzzer_runs():
    pytest.importorskip("atheris", reason="tools/setup.sh found no atheris for this Python")
    found = Path(ROOT, "fuzz", "found")
    before = set(found.glob("crash-*"))  # of a run by hand, perhaps
    result = subprocess.run(
        [sys.executable, "-m", "fuzz", "--inputs", "400"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert "stat::number_of_executed_units" in result.stderr
    assert "no interesting inputs" not in result.stderr, "it does not see what is covered"
    assert set(found.glob("crash-*")) == before
