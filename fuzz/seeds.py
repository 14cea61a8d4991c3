"""What the fuzzer begins with: the corpus, and what clients say in compat/transcripts. Where it puts what it finds."""

from pathlib import Path

HERE = Path(__file__).resolve().parent
FOUND = HERE / "found"
LONGEST = 2_000  # octets of an input


def seeds() -> list[bytes]:
    """The corpus, and the client's lines of every transcript under both profiles."""
    found = [file.read_bytes() for file in sorted((HERE / "corpus").iterdir())]
    for file in sorted((HERE.parent / "compat" / "transcripts").glob("*.txt")):
        lines = [line[3:] for line in file.read_text().splitlines() if line.startswith("C: ")]
        session = "\r\n".join([*lines, ""]).encode("latin-1", "replace")
        found += [bytes(7) + b"\0" + session, bytes(7) + b"\xff" + session]
    return [seed for seed in found if len(seed) <= LONGEST]
