"""The patterns: the fast path takes only what both readings take, and makes the same of it."""

import re

import pytest
from engine import EVERYTHING, PROFILE_NAMES, Driver, config
from hypothesis import given, settings
from hypothesis import strategies as st

from pysmtpd.core import CheckRecipient, CheckSender, grammar
from pysmtpd.core.grammar import Pattern

NOTHING = Pattern(r"(?!)")

atoms = st.text("abcXYZ019!#$%&'*+/=?^_`{|}~-", min_size=1, max_size=6)
labels = st.from_regex(r"[A-Za-z0-9]+(-+[A-Za-z0-9]+){0,2}", fullmatch=True)
plain_paths = st.builds(
    lambda local, domain: f"<{local}@{domain}>",
    st.lists(atoms, min_size=1, max_size=3).map(".".join),
    st.lists(labels, min_size=1, max_size=3).map(".".join),
)
near_paths = st.builds(
    lambda path, place, piece: path[:place] + piece + path[place:],
    plain_paths,
    st.integers(0, 12),
    st.sampled_from(["", ".", "@", "-", "_", " ", "(c)", '"', "[", "<", ">", ",", ":", ";", "\\", "é", "\x00", "\t"]),
)
parameters = st.sampled_from(
    ["", "", " SIZE=1", " size=99", " BODY=8BITMIME", " X=Y", " SIZE=999999999999", " ", " SIZE=1 BODY=7BIT", " SIZE", " SIZE=1 "]
)
gaps = st.sampled_from(["", "", " ", "  "])


def reading(profile, verb, line):
    """Return what a session makes of a line: replies, questions, and its state."""
    driver = Driver(config(profile, EVERYTHING))
    driver.feed(b"EHLO x\r\n")
    if verb == "RCPT":
        driver.feed(b"MAIL FROM:<a@b>\r\n")
    reply = driver.said(line.encode("latin-1", "replace") + b"\r\n")
    session = driver.session
    asked = driver.of_type(CheckSender) + driver.of_type(CheckRecipient)
    return reply, asked, session.sender, session.recipients, session.options, session.seen


@pytest.mark.parametrize("profile", PROFILE_NAMES)
@pytest.mark.parametrize("verb", ["MAIL", "RCPT"])
@settings(max_examples=250, deadline=None)
@given(path=st.one_of(plain_paths, near_paths), gap=gaps, tail=parameters)
def test_the_fast_path_changes_nothing(profile, verb, path, gap, tail):
    line = f"{verb} {'FROM' if verb == 'MAIL' else 'TO'}:{gap}{path}{tail}"
    fast = reading(profile, verb, line)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grammar, "PLAIN_MAIL", NOTHING)
        patch.setattr(grammar, "PLAIN_RCPT", NOTHING)
        assert reading(profile, verb, line) == fast


@settings(max_examples=100)
@given(path=plain_paths)
def test_plain_paths_do_take_the_fast_path(path):
    assert grammar.PLAIN_MAIL.match(f"MAIL FROM:{path}")
    assert grammar.PLAIN_RCPT.match(f"rcpt to: {path} X=1")


def test_a_pattern_is_compiled_when_first_used():
    pattern = Pattern("a+", re.IGNORECASE)
    assert "match" not in pattern.__dict__
    assert pattern.match("AAb")[0] == "AA"
    assert "match" in pattern.__dict__
    assert [found[0] for found in pattern.finditer("aba")] == ["a", "a"]


@pytest.mark.parametrize(
    ("name", "taken"),
    [("a", True), ("a-b.c_d", True), ("\xe9", True), ("[::1]", True), ("[a b]", False), ("a b", False), ("a/b", False), ("", False), ("a:b", False)],
)  # fmt: skip
def test_names_that_hello_takes(name, taken):
    assert bool(grammar.HELLO.match(f"EHLO {name}")) is taken


@pytest.mark.parametrize("line", ["GET /", "HELO HTTP/1.1", "get / HTTP/1.1", "NOOP x HTTP/1.1 x", "MAIL FROM:<a@b>"])
def test_lines_that_are_no_http_request(line):
    assert not grammar.HTTP_REQUEST.match(line)
