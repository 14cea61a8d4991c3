"""One lap: `python -m fuzz.lap FOLDER PLACE SEED RUNS LONGEST`, so many inputs that atheris chooses. The campaign starts it.

Only the session that plays an input whole is traced, in a copy of the core: tracing makes code twice as slow, and the other
sessions would not tell the fuzzer more. Nor would the modules that work out settings, which would take longer than a session.
Branches are traced, comparisons are not: what the core compares with is in the dictionary, fuzz/mutation.py.
"""

import importlib
import signal
import sys
from pathlib import Path
from types import FrameType, ModuleType

import atheris
from atheris.import_hook import HookManager

from fuzz import target
from fuzz.counts import counts_in
from fuzz.seeds import FOUND

#: The copy's name, and what of it is not traced.
COPY = "traced"
UNTRACED = {f"{COPY}.{module}" for module in ("target", "config", "settings", "profile", "sequence")}
PATIENCE = 10.0  # seconds of processor time for one input, at least; a process that is stopped meanwhile is not slow


def traced_target(folder: Path) -> ModuleType:
    """Copy the target and the core, and load them so that the core tells atheris which way it goes."""
    copy = folder / COPY
    copy.mkdir(parents=True, exist_ok=True)
    source = Path(target.__file__)
    modules = [*(source.parents[1] / "pysmtpd" / "core").glob("*.py"), source]
    for file in modules:
        (copy / file.name).write_text(file.read_text().replace("pysmtpd.core", COPY))
    sys.path.insert(0, str(folder))
    with HookManager({COPY}, UNTRACED, enable_loader_override=False, trace_dataflow=False):
        for file in modules:  # all of them: a session imports some when it needs them
            importlib.import_module(COPY if file.stem == "__init__" else f"{COPY}.{file.stem}")
    return sys.modules[f"{COPY}.target"]


def main(folder: Path, place: int, seed: int, runs: int, longest: int) -> None:
    """Play the inputs. Does not return: the fuzzing engine ends the process."""
    whole = traced_target(folder / f"process{place}").whole
    counts = counts_in(folder)
    before = -1

    def play(data: bytes) -> None:
        target.run(data, whole)
        counts[place] += 1

    def look(_signal: int, _frame: FrameType | None) -> None:
        nonlocal before
        assert counts[place] != before, f"one input takes more than {PATIENCE} seconds"
        before = counts[place]

    signal.signal(signal.SIGVTALRM, look)
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE, PATIENCE)
    words = [f"-runs={runs}", f"-seed={seed}", f"-max_len={longest}", f"-dict={folder}/words", f"-artifact_prefix={FOUND}/"]
    # What takes less time is chosen more often. `look` is the time-out; the engine's own, by the clock, are a day, for ever.
    words += ["-entropic_scale_per_exec_time=1", "-timeout=86400", "-report_slow_units=86400"]
    atheris.Setup([sys.argv[0], *words, str(folder / "corpus")], play)
    atheris.Fuzz()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
