"""The core's invariant, as fuzz/target.py states it, over the corpus, hypothesis' inputs, and a bounded run of the fuzzer."""

import re
import subprocess
import sys
from itertools import islice

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tclsh import ROOT

from fuzz.counts import counts_in
from fuzz.mutation import HEADER, WORDS, inputs
from fuzz.seeds import FOUND, seeds
from fuzz.target import Settings, play, run
from pysmtpd.core import Session
from pysmtpd.core.lines import LineBuffer

CORPUS = sorted((ROOT / "fuzz" / "corpus").iterdir())

headers = st.binary(min_size=HEADER, max_size=HEADER)
streams = st.one_of(
    st.lists(st.sampled_from(WORDS), max_size=12).map(b"".join),
    st.lists(st.one_of(st.sampled_from(WORDS), st.binary(max_size=20)), max_size=8).map(b"".join),
    st.binary(max_size=80),
)


@pytest.mark.parametrize("case", CORPUS, ids=lambda file: file.name)
def test_what_was_found_once_holds(case):
    run(case.read_bytes(), in_every_way=True)


def test_the_invariant_holds_for_every_transcript():
    assert len(seeds()) > 150
    for seed in seeds():
        run(seed, in_every_way=True)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(header=headers, stream=streams)
def test_the_invariant_holds_for_any_settings_and_bytes(header, stream):
    run(header + stream, in_every_way=True)


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


#: Settings under which every question is put, by the standard's profile, and where none is.
ASKING, SILENT = b"\x3f".rjust(HEADER, b"\0"), b"\x01".rjust(HEADER, b"\0")


def seen(inputs, **options):
    """Return how many of these inputs fail."""
    count = 0
    for data in inputs:
        try:
            run(data, **options)
        except AssertionError:
            count += 1
    return count


def test_every_input_is_cut(monkeypatch):
    """What waits for the end of its line is lost."""
    monkeypatch.setattr(LineBuffer, "give_back", lambda self, data, *, ready: None)
    assert seen(SILENT + b"NOOP %d\r\n" % number for number in range(50)) == 50


def test_every_input_is_answered_late(monkeypatch):
    """What comes while a question is open is lost."""
    original = Session.receive
    monkeypatch.setattr(Session, "receive", lambda self, data: None if self._open else original(self, data))
    assert seen(ASKING + b"NOOP %d\r\n" % number for number in range(50)) == 50


def test_a_fraction_is_cut_everywhere_and_what_is_new_to_the_fuzzer_always(monkeypatch):
    """An octet that comes by itself, in the middle of a line, is lost."""
    original = LineBuffer.feed
    monkeypatch.setattr(LineBuffer, "feed", lambda self, data, limit: None if data == b"O" else original(self, data, limit))
    short = [SILENT + b"NOOP %d\r\n" % number for number in range(400)]
    longer = [data + b"NOOP %050d\r\n" % 0 for data in short]
    assert seen(short) == 400
    assert 400 / 32 < seen(longer) < 400 / 8
    assert seen(longer, in_every_way=True) == 400


def test_the_same_input_is_the_same_session():
    for data in islice(inputs(7, []), 20):
        first, second = (play(Settings(data[:HEADER]), [data[HEADER:]]) for _ in range(2))
        assert first == second


@pytest.fixture
def guided(tmp_path):
    """Return what runs the coverage-guided fuzzer, in one process, and returns what it says."""
    pytest.importorskip("atheris", reason="tools/setup.sh found no atheris for this Python")

    def fuzz(inputs):
        words = ["--inputs", str(inputs), "--processes", "1", "--folder", str(tmp_path)]
        result = subprocess.run([sys.executable, "-m", "fuzz", *words], cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert result.returncode == 0, result.stderr[-4000:]
        return result.stdout

    return fuzz


def test_the_coverage_guided_fuzzer_runs(guided):
    before = set(FOUND.glob("*"))  # of a run by hand, perhaps
    said = guided(3_000)
    assert "3,000 inputs, the invariant holds" in said
    branches, corpus = map(int, re.search(r"(\d+) branches, (\d+) in the corpus", said).groups())
    assert branches > 600, "it does not see all of what is covered"
    assert corpus > len(seeds()), "nothing new was reached"
    assert set(FOUND.glob("*")) == before


def test_the_coverage_guided_fuzzer_goes_on_where_it_was_cut_off(guided, tmp_path):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "one").write_bytes(bytes(HEADER) + b"NOOP\r\n")
    counts_in(tmp_path)[3] = 9_000
    assert re.search(r" 9,[2-3]\d\d of 9,200 inputs", guided(9_200))
