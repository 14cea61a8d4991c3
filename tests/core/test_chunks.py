"""BDAT: messages in chunks (RFC 3030)."""

import pytest
from engine import Driver, codes, config, play
from hypothesis import given
from hypothesis import strategies as st

from pysmtpd.core import Deliver, Refuse

OPEN = b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"


def driver(ask=("deliver",), **chosen):
    made = config(ask=ask)
    made.choose(chosen)
    return Driver(made)


def opened(**chosen):
    session = driver(**chosen)
    assert codes(session.said(OPEN)) == [250, 250, 250]
    return session


def contents(session):
    return [event.content.body for event in session.of_type(Deliver)]


def test_the_examples_of_the_rfc_in_one_segment():
    """RFC 3030, 4.2: pipelined chunks, the last one marked."""
    session = driver()
    said = session.said(OPEN + b"BDAT 5\r\nhelloBDAT 7\r\n world\nBDAT 0 LAST\r\nQUIT\r\n")
    assert codes(said) == [250, 250, 250, 250, 250, 250, 221]
    assert b"250 2.0.0 5 octets received\r\n" in said
    assert contents(session) == [b"hello world\n"]


@pytest.mark.parametrize("content", [b"", b".\r\n", b"a\r\n.\r\nQUIT\r\n", bytes(range(256)), b"no line end", b"\n.\n"])
def test_nothing_in_a_chunk_is_searched_for_or_changed(content):
    session = opened()
    assert codes(session.said(b"BDAT %d LAST\r\n%b" % (len(content), content))) == [250]
    assert contents(session) == [content]
    assert not session.closed


def test_a_body_without_a_last_line_end_loses_nothing_as_lines():
    session = opened()
    session.feed(b"BDAT 6 LAST\r\na\r\nbcd")
    assert session.of_type(Deliver)[0].content.lines()[-2:] == ["a", "bcd"]


def test_tiny_chunks_are_not_kept_one_by_one():
    session = opened()
    session.feed(b"BDAT 2\r\nxy" * 10_000 + b"BDAT 2\r\nz\n")
    assert len(session.session.chunks.parts) < 50
    session.feed(b"BDAT 0 LAST\r\n")
    assert contents(session) == [b"xy" * 10_000 + b"z\n"]


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=6), st.integers(1, 50))
def test_however_it_is_cut_the_message_is_the_same(chunks, piece):
    last = len(chunks) - 1
    commands = [b"BDAT %d%b\r\n%b" % (len(chunk), b" LAST" * (index == last), chunk) for index, chunk in enumerate(chunks)]
    whole = OPEN + b"".join(commands)
    settings = config(ask=["deliver"])
    session = play(settings, [whole[start : start + piece] for start in range(0, len(whole), piece)])
    assert contents(session) == [b"".join(chunks)]
    assert codes(session.output) == [220, 250, 250, 250] + [250] * len(chunks)


@pytest.mark.parametrize(
    "line", [b"BDAT", b"BDAT x", b"BDAT -1", b"BDAT 1 2", b"BDAT 1 FIRST", b"BDAT 1LAST", b"BDAT " + b"9" * 21]
)
def test_a_size_that_is_none_is_501(line):
    session = opened()
    assert session.code(line) == 501


@pytest.mark.parametrize(("before", "wanted"), [(b"EHLO x\r\n", [503]), (b"EHLO x\r\nMAIL FROM:<a@b>\r\n", [503])])
def test_a_chunk_out_of_sequence_is_read_and_refused(before, wanted):
    """RFC 3030, 2: its octets are no commands."""
    session = driver()
    session.feed(before)
    assert codes(session.said(b"BDAT 6 LAST\r\nQUIT\r\n")) == wanted
    assert not contents(session)
    assert not session.closed


def test_where_tls_is_required_a_chunk_in_the_clear_is_read_and_refused():
    """RFC 3030, 2, and RFC 3207, 4."""
    settings = config()
    settings.use_tls(None, required=True, offered=True)
    session = Driver(settings)
    assert codes(session.said(b"EHLO x\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")) == [250, 530, 250]


def test_from_a_host_that_was_refused_a_chunk_is_read_and_refused():
    session = Driver(config(ask=("host",)), lambda _question: Refuse("no"))
    assert codes(session.said(b"EHLO x\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")) == [503, 503, 503]
    assert codes(session.said(b"QUIT\r\n")) == [221]


def test_the_chunks_behind_a_refused_one_are_refused_too():
    session = opened(size_limit=10)
    said = session.said(b"BDAT 8\r\n12345678BDAT 3\r\nabcBDAT 4 LAST\r\nQUITNOOP\r\n")
    assert codes(said) == [250, 552, 503, 250]
    assert not contents(session)


def test_a_size_beyond_the_limit_is_refused_once_and_nothing_of_it_is_kept():
    session = opened(size_limit=1000)
    session.feed(b"BDAT 1000000 LAST\r\n")
    for _ in range(10):
        session.feed(b"x" * 100_000)
    assert codes(session.output)[-1] == 552
    assert session.code(b"NOOP") == 250


@pytest.mark.parametrize("line", [b"DATA", b"MAIL FROM:<a@b>", b"RCPT TO:<e@f>"])
def test_between_chunks_the_transaction_is_left_alone(line):
    """RFC 3030, 2: DATA among chunks is 503."""
    session = opened()
    assert codes(session.said(b"BDAT 2\r\nab")) == [250]
    assert session.code(line) == 503
    assert session.code(b"NOOP") == 250
    assert session.code(line) == 503
    assert codes(session.said(b"BDAT 1 LAST\r\nc")) == [250]
    assert contents(session) == [b"abc"]
    assert session.of_type(Deliver)[0].recipients == ("<c@d>",)


@pytest.mark.parametrize("line", [b"RSET", b"EHLO y"])
def test_a_reset_forgets_the_chunks(line):
    session = opened()
    session.feed(b"BDAT 2\r\nab")
    assert session.code(line) == 250
    assert codes(session.said(OPEN.partition(b"\r\n")[2])) == [250, 250]
    session.feed(b"BDAT 1 LAST\r\nc")
    assert contents(session) == [b"c"]


def test_data_after_a_message_in_chunks_is_an_ordinary_one():
    session = opened()
    session.feed(b"BDAT 1 LAST\r\nc")
    session.feed(OPEN + b"DATA\r\nx\r\n.\r\n")
    assert contents(session) == [b"c", b"x\r\n"]


def test_a_binary_message_comes_in_chunks_only():
    """RFC 3030, 3: DATA is 503 then."""
    session = driver()
    session.feed(b"EHLO x\r\nMAIL FROM:<a@b> BODY=BINARYMIME\r\nRCPT TO:<c@d>\r\n")
    assert session.code(b"DATA") == 503
    assert codes(session.said(b"BDAT 3 LAST\r\n\0\r\n")) == [250]
    assert session.of_type(Deliver)[0].envelope.body == "BINARYMIME"


def test_a_message_cut_off_in_a_chunk_is_not_delivered():
    session = opened()
    session.feed(b"BDAT 10 LAST\r\nabc")
    session.end()
    assert session.closed
    assert not contents(session)


def test_without_the_extension_there_is_no_bdat():
    session = driver(chunking=False)
    assert b"CHUNKING" not in session.said(b"EHLO x\r\n")
    assert session.code(b"BDAT 0 LAST") == 502


def test_many_small_chunks_cost_no_more_than_their_number():
    session = opened(recipient_limit=1)
    assert codes(session.said(b"BDAT 1\r\nx" * 20_000))[-1] == 250
    session.feed(b"BDAT 0 LAST\r\n")
    assert contents(session) == [b"x" * 20_000]


def test_a_chunk_that_ends_in_cr_leaves_the_lf_behind_it_where_it_is():
    """It belongs to the next command, whether it comes in the same segment or later."""
    stream = b"EHLO c.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nBDAT 2 LAST\r\nx\r\nNOOP\r\n"
    whole = play(config(), [stream])
    single = play(config(), [stream[place : place + 1] for place in range(len(stream))])
    assert whole.output == single.output
    assert codes(whole.output)[-2:] == [250, 500]
