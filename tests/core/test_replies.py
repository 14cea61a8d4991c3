"""Replies: whatever a text holds, what goes out is one well-formed reply."""

import unicodedata

import pytest
from engine import codes
from hypothesis import given
from hypothesis import strategies as st

from pysmtpd.core.replies import STANDARD, STOCK, LastReply, free_reply, one_line, shown_path, wire


@given(text=st.text(max_size=80))
def test_any_text_makes_one_well_formed_reply(text):
    assert codes(free_reply("554", text)) == [554]


@given(text=st.text(max_size=80))
def test_any_text_makes_one_line_of_a_log(text):
    assert not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in one_line(text))


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("plain", b"451 plain\r\n"),
        ("", b"451 \r\n"),
        ("a\nb", b"451-a\r\n451 b\r\n"),
        ("a\r\nb\rc", b"451-a\r\n451-b\r\n451 c\r\n"),
        ("a\n", b"451 a\r\n"),
        ("a\n\nb\n\n", b"451-a\r\n451-\r\n451 b\r\n"),
        ("\n", b"451 \r\n"),
        ("caf\xe9 \u20ac", b"451 caf? ?\r\n"),
        ("\x1b[1mbold\x7f\0", b"451 [1mbold?\r\n"),
        ("4.2.2 a\nb\n4.2.2 c", b"451-4.2.2 a\r\n451-4.2.2 b\r\n451 4.2.2 c\r\n"),  # RFC 2034, 4
        ("4.2 a\nb", b"451-4.2 a\r\n451 b\r\n"),
    ],
)
def test_line_breaks_become_continuation_lines(text, reply):
    assert free_reply("451", text) == reply


def test_what_was_a_control_character_can_be_seen_in_the_log():
    assert one_line("a\r\nb\x1b\0\tc") == r"a\x0d\x0ab\x1b\x00 c"
    assert one_line("a\u202eb\ud800\u2028") == r"a\u202eb\ud800\u2028"


@given(text=st.text("ab \u20ac\n", min_size=500, max_size=2000))
def test_what_is_too_long_for_a_line_goes_on_in_the_next(text):
    reply = free_reply("554", text)
    assert codes(reply) == [554]
    assert max(map(len, reply.splitlines(keepends=True))) <= 512
    said = b"".join(line[4:] for line in reply.split(b"\r\n"))
    assert said.rstrip() == text.replace("\n", "").replace("\u20ac", "?").encode().rstrip()


def test_what_goes_on_in_the_next_line_has_the_status_code_again():
    """RFC 2034, 4."""
    replies = free_reply("554", "5.7.1 " + "x" * 1000).splitlines(keepends=True)
    assert [reply[:10] for reply in replies] == [b"554-5.7.1 ", b"554 5.7.1 "]
    assert max(map(len, replies)) <= 512


def test_a_path_too_long_to_be_named_is_cut():
    assert shown_path("<a@b>") == "<a@b>"
    assert shown_path(f"<{'a' * 1000}@b>") == f"<{'a' * 251}...>"


def test_a_line_goes_out_in_ascii():
    assert wire("250 \xe9") == b"250 ?\r\n"


@pytest.mark.parametrize("replies", [STOCK, STANDARD])
def test_every_fixed_reply_is_well_formed(replies):
    fixed = {name: getattr(replies, name) for name in dir(replies) if isinstance(getattr(replies, name), bytes)}
    assert len(fixed) > 10
    for name, reply in fixed.items():
        assert len(codes(reply)) == 1, name


def test_both_dialects_have_the_same_texts_with_the_same_placeholders():
    names = [name for name in dir(STOCK) if not name.startswith("_")]
    assert names == [name for name in dir(STANDARD) if not name.startswith("_")]
    for name in names:
        assert type(getattr(STOCK, name)) is type(getattr(STANDARD, name)), name


def test_a_reply_is_made_anew_only_when_something_in_it_changes():
    last = LastReply()
    first = last.with_values("250 {a}", {"a": "x"}, b"250 END\r\n")
    assert first == b"250 x\r\n250 END\r\n"
    assert last.with_values("250 {a}", {"a": "x"}, b"250 END\r\n") is first
    assert last.with_values("250 {a}", {"a": "y"}, b"250 END\r\n") == b"250 y\r\n250 END\r\n"
    assert last.with_values("251 {a}", {"a": "y"}) == b"251 y\r\n"
