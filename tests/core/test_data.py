"""Bodies: where they end, and that dots come back exactly."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pysmtpd.core.data import AnyNewlineBody, Content, CrlfBody

LIMIT = 1 << 20

body_lines = st.lists(
    st.one_of(
        st.sampled_from([b"", b".", b"..", b".x", b"...", b"x", b"x.", b"\x00", b"\xff."]),
        st.binary(max_size=8).filter(lambda line: b"\r" not in line and b"\n" not in line),
    ),
    max_size=12,
)
chunk_sizes = st.integers(1, 9)


def collect(body, stream, size):
    """Feed a stream in chunks; return the index behind the end of the body, -1 for none."""
    for start in range(0, len(stream), size):
        end = body.feed(stream[start : start + size], 0)
        if end >= 0:
            return start + end
    return -1


def stuffed(lines):
    """Return lines as a client sends them (RFC 5321, 4.5.2), with the end of data."""
    return b"".join((b"." + line if line.startswith(b".") else line) + b"\r\n" for line in lines) + b".\r\n"


@settings(max_examples=400)
@given(lines=body_lines, size=chunk_sizes)
def test_dots_come_back_exactly(lines, size):
    body = CrlfBody(LIMIT)
    stream = stuffed(lines)
    assert collect(body, stream + b"QUIT\r\n", size) == len(stream)
    assert b"".join(body.take()) == b"".join(line + b"\r\n" for line in lines)


@settings(max_examples=400)
@given(lines=body_lines, size=chunk_sizes, ends=st.sampled_from([b"\r\n", b"\n", b"\r"]))
def test_dots_come_back_exactly_with_any_line_end(lines, size, ends):
    body = AnyNewlineBody(LIMIT)
    stream = stuffed(lines).replace(b"\r\n", ends)
    end = collect(body, stream + b"QUIT", size)
    assert stream[:end] in (stream, stream[:-1])  # an LF that is to come belongs to its CR
    assert b"".join(body.take()) == b"".join(line + b"\n" for line in lines)


def test_a_lone_leading_dot_goes_under_rfc5321_and_stays_in_the_stock_reading():
    strict, loose = CrlfBody(LIMIT), AnyNewlineBody(LIMIT)
    stream = b".a\r\nb\r\n.c\r\n.\r\n"
    assert collect(strict, stream, 100) == len(stream)
    assert b"".join(strict.take()) == b"a\r\nb\r\nc\r\n"
    assert collect(loose, stream, 100) == len(stream) - 1
    assert b"".join(loose.take()) == b".a\nb\n.c\n"


@pytest.mark.parametrize("kind", [CrlfBody, AnyNewlineBody])
def test_an_empty_body(kind):
    body = kind(LIMIT)
    assert collect(body, b".\r\n", 1) > 0
    assert b"".join(body.take()) == b""


@pytest.mark.parametrize("kind", [CrlfBody, AnyNewlineBody])
@settings(max_examples=200)
@given(stream=st.text("\r\n.x", max_size=30).map(str.encode), size=chunk_sizes)
def test_chunks_do_not_matter(kind, stream, size):
    whole, chunked = kind(LIMIT), kind(LIMIT)
    assert collect(chunked, stream, size) == collect(whole, stream, 1000)
    assert b"".join(chunked.take()) == b"".join(whole.take()) if collect(kind(LIMIT), stream, 1000) >= 0 else True


def lines_one_by_one(stream, line_end):
    """Read a body as slowly and plainly as can be: the lines up to the lone dot, or None where there is none."""
    *lines, _rest = re.split(line_end, stream)
    return lines[: lines.index(b".")] if b"." in lines else None


@settings(max_examples=1000)
@given(stream=st.text("\r\n.x", max_size=40).map(str.encode), size=chunk_sizes)
def test_a_body_is_what_its_lines_are_one_by_one(stream, size):
    body = CrlfBody(LIMIT)
    lines = lines_one_by_one(stream, rb"\r\n")
    assert (collect(body, stream, size) >= 0) is (lines is not None)
    assert lines is None or b"".join(body.take()) == b"".join(line.removeprefix(b".") + b"\r\n" for line in lines)

    body = AnyNewlineBody(LIMIT)
    lines = lines_one_by_one(stream, rb"\r\n|\r|\n")
    assert (collect(body, stream, size) >= 0) is (lines is not None)
    assert lines is None or b"".join(body.take()) == b"".join((line[1:] if line[:2] == b".." else line) + b"\n" for line in lines)


@settings(max_examples=400)
@given(stream=st.text("\r\n.x", max_size=40).map(str.encode), size=chunk_sizes, room=st.integers(-2, 2))
def test_the_dots_that_stuffing_added_do_not_count(stream, size, room):
    """RFC 1870, 3."""
    lines = lines_one_by_one(stream + b"\r\n.\r\n", rb"\r\n")
    message = b"".join(line.removeprefix(b".") + b"\r\n" for line in lines)
    body = CrlfBody(len(message) + room)
    assert collect(body, stream + b"\r\n.\r\n", size) >= 0
    assert body.oversize is (room < 0)


def test_of_dots_that_do_not_count_a_third_more_than_the_limit_is_kept():
    body = CrlfBody(3000)
    for _ in range(5000):
        assert body.feed(b"..\r\n", 0) == -1
        assert len(body._as_sent(ended=False)) <= 4010
    assert body.oversize


@pytest.mark.parametrize("kind", [CrlfBody, AnyNewlineBody])
def test_over_the_limit_nothing_is_kept_and_the_end_is_found(kind):
    body = kind(1000)
    for _ in range(100):
        assert body.feed(b"x" * 100, 0) == -1
    assert body.oversize
    assert body.feed(b"\r\n.\r\n", 0) > 0
    assert len(b"".join(body.take())) < 1000


def test_a_message_as_text_and_as_lines():
    crlf = Content("Return-Path: <a>\nX: é", [b"one\r\ntw", b"o\nthree\r\n"], b"\r\n")
    assert crlf.text() == b"Return-Path: <a>\nX: \xe9\none\ntwo\nthree"
    assert crlf.lines() == ["Return-Path: <a>", "X: é", "one", "two", "three"]
    assert Content("T: x", [], b"\r\n").lines() == ["T: x"]
    assert Content("T: x", [b"\n"], b"\n").lines() == ["T: x", ""]
    assert Content("T: x", [bytes(range(128, 256)) + b"\n"], b"\n").lines()[1] == "".join(map(chr, range(128, 256)))


@settings(max_examples=300)
@given(
    trace=st.sampled_from(["", "T: x", "Return-Path: <a>\nX: \xe9"]),
    pieces=st.lists(st.text("ab\r\n\xe9\0", max_size=6).map(lambda text: text.encode("latin-1")), max_size=8),
    newline=st.sampled_from([b"\n", b"\r\n"]),
    size=st.integers(1, 12),
)
def test_the_lines_in_pieces_are_those_of_the_text(trace, pieces, newline, size):
    content = Content(trace, pieces, newline)
    found = list(content.lines_in_pieces(size))
    assert b"\n".join(found) == content.text()
    assert [line for piece in found for line in piece.split(b"\n")] == content.text().split(b"\n") or not content.text()


@pytest.mark.parametrize("kind", [CrlfBody, AnyNewlineBody])
def test_the_log_sees_the_lines_as_they_were_sent(kind):
    body = kind(LIMIT)
    assert collect(body, b"a\r\n..b\r\n\r\n.\r\n", 2) > 0
    assert body.lines_as_sent(ended=True) == ["a", "..b", ""]
