"""Command lines out of bytes, seen through a session: framing, and the limit on a line's length."""

import time
import tracemalloc

import pytest
from engine import Driver, config, lines
from hypothesis import given, settings
from hypothesis import strategies as st

UNKNOWN = b"500 5.5.2 Command not recognized"
TOO_LONG = b"500 5.5.6 Line too long"


def replies(chunks, limit):
    made = config()
    made.limits.command_line = limit
    driver = Driver(made)
    driver.output = b""
    for chunk in chunks:
        driver.feed(chunk)
    return lines(driver.output)


@settings(max_examples=400, deadline=None)
@given(stream=st.text("ab\r\n", max_size=60).map(str.encode), size=st.integers(1, 7), limit=st.integers(1, 12))
def test_chunks_do_not_matter(stream, size, limit):
    whole = replies([stream], limit)
    assert replies([stream[start : start + size] for start in range(0, len(stream), size)], limit) == whole
    terminated = stream.split(b"\r\n")[:-1]
    expected = [TOO_LONG if len(line) > limit else UNKNOWN for line in terminated]
    assert whole[: len(expected)] == expected
    # What is over the limit and has no end yet is told at once, or with its end; but once, and in its place.
    assert whole[len(expected) :] in ([], [TOO_LONG])


@pytest.mark.parametrize("ending", [b"\n", b"\r", b"\n\r", b"\r\r", b"\0", b"\x85"])
def test_nothing_but_crlf_ends_a_line(ending):
    assert replies([b"NOPE" + ending + b"NOPE\r\n"], 100) == [UNKNOWN]
    assert replies([b"NOPE" + ending + b"NOPE"], 100) == []


def test_a_line_without_end_is_refused_once_and_not_kept():
    driver = Driver(config())
    chunk = b"x" * 65536
    tracemalloc.start()
    try:
        for _ in range(512):
            driver.feed(bytes(chunk))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert lines(driver.output)[1:] == [TOO_LONG]
    assert peak < 2_000_000
    driver.feed(b"\r\n")
    assert driver.code(b"NOOP") == 250


def test_a_line_in_single_octets_is_linear():
    def cost(size):
        driver = Driver(config())
        start = time.thread_time()
        for _ in range(size):
            driver.feed(b"x")
        driver.feed(b"\r\n")
        return time.thread_time() - start

    small, large = (min(cost(size) for _ in range(3)) for size in (8_000, 128_000))
    assert large < 32 * small + 0.25
