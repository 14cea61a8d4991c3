"""Frames round trip, however the pipe cuts them."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from pysmtpd.drivers import frames


def frame(operation, number, payload):
    return frames.HEADER.pack(len(payload), operation, number) + payload


some_frames = st.lists(st.tuples(st.integers(0, 255), st.integers(0, 2**32 - 1), st.binary(max_size=40)), max_size=8)


@given(sent=some_frames, sizes=st.lists(st.integers(1, 30), max_size=40))
def test_frames_come_back_in_any_chunks(sent, sizes):
    stream = b"".join(frame(*parts) for parts in sent)
    reader = frames.FrameReader()
    found = []
    position = 0
    for size in [*sizes, len(stream) + 1]:
        found += reader.feed(stream[position : position + size])
        position += size
    assert found == sent


def test_a_large_frame_in_small_pieces():
    payload = bytes(range(256)) * 4000
    stream = frame(frames.RECEIVE, 7, payload) + frame(frames.END, 8, b"")
    reader = frames.FrameReader()
    found = [one for start in range(0, len(stream), 1000) for one in reader.feed(stream[start : start + 1000])]
    assert found == [(frames.RECEIVE, 7, payload), (frames.END, 8, b"")]


@given(values=st.lists(st.text(max_size=20), max_size=6))
def test_texts_come_back(values):
    payload = b"".join(
        struct.pack(">I", len(text)) + text
        for text in (value.encode("utf-8", "surrogatepass") for value in values if value.isprintable())
    )
    assert frames.texts(payload) == [value for value in values if value.isprintable()]


def test_every_operation_has_its_own_number():
    numbers = [value for name, value in vars(frames).items() if name.isupper() and isinstance(value, int)]
    assert len(numbers) == len(set(numbers)) >= 16
