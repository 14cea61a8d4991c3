"""Addresses, held against tcllib's own mime::parseaddress, over generated text."""

import shutil
import tkinter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pysmtpd.core.address import parse_mailboxes, parse_path, split_path

HOST = "host.example"
KEYS = ("address", "comment", "domain", "error", "group", "local", "memberP", "phrase", "route")
#: The lexemes before which mime puts quotes around a phrase.
SPECIALS = ';,<>:.()@"[]'


@pytest.fixture(scope="module")
def tcllib():
    """Return a function that reads addresses with tcllib's mime, whose idea of this host is ours."""
    interpreter = tkinter.Tcl()
    try:
        interpreter.eval("package require mime")
    except tkinter.TclError:
        pytest.fail("the differential test needs tcllib (Debian: apt install tcllib)")
    interpreter.eval(
        f"rename info stock_info; proc info args {{if {{$args eq {{hostname}}}} {{return {HOST}}}; uplevel 1 stock_info $args}}"
    )
    tk = interpreter.tk

    def parse(text):
        found = []
        for entry in tk.splitlist(tk.call("mime::parseaddress", text)):
            words = [str(word) for word in tk.splitlist(entry)]
            found.append({key: words[words[::2].index(key) * 2 + 1] for key in KEYS})
        return found

    return parse


def quoted(phrase):
    """Return a phrase as mime shows it: quotes around it off, and on again where it holds a special."""
    phrase = phrase.strip('"')
    return f'"{phrase}"' if any(special in phrase for special in SPECIALS) else phrase


def ours(text):
    return [
        {
            "address": box.address(HOST),
            "comment": box.comment,
            "domain": box.domain,
            "error": box.error,
            "group": box.group,
            "local": box.local,
            "memberP": "" if box.member is None else str(box.member),
            "phrase": quoted(box.phrase),
            "route": box.route,
        }
        for box in parse_mailboxes(text)
    ]


def same(text, tcllib):
    theirs = tcllib(text)
    mine = ours(text)
    for box in theirs:
        box["phrase"] = quoted(box["phrase"])
    assert mine == theirs, text


LEXEMES = [
    "a", "b.c", "user@host", "@", "@", "<", ">", "<", ">", ",", ";", ":", ".", "(c)", "(c(d)e)", "(", ")", '"q r"', '"', '"\\""', "[1.2]", "[", "]",
    "\\", " ", " ", "\t", "\n", "Name", "group:", "@r1,@r2:", "%", "{}", "$x", "[exit]", "é", "\xa0", "/PN=x/", "#", "*",
]  # fmt: skip
SHAPES = [
    "", "a", "a@b", "<a@b>", "Name <a@b>", "Some Name <a@b> (note)", "<@r:a@b>", "<@r,@s:a@b>", "g:a@b,c@d;", "g:;", "g:a;,b", '"x y"@z', "a@[1.2.3.4]",
    "a.b.c@d.e", "(c) a (d) @ (e) b (f)", "a@b@c", "A. N. Other <a@b>", "a@b,", ",a@b", ";a@b", "g:h:a@b;;", "<>", "< a@b >", "a b", "a@b c", "<a@b",
]  # fmt: skip
generated = st.one_of(
    st.lists(st.sampled_from(LEXEMES), max_size=9).map("".join),
    st.lists(st.sampled_from(SHAPES), max_size=3).map(",".join),
    st.tuples(st.sampled_from(SHAPES), st.integers(0, 30), st.sampled_from(LEXEMES)).map(
        lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] :]
    ),
)


@pytest.mark.parametrize("text", SHAPES)
def test_well_known_shapes_are_read_as_mime_reads_them(text, tcllib):
    same(text, tcllib)


@settings(max_examples=3000, deadline=None)
@given(text=generated)
def test_every_text_is_read_as_mime_reads_it(text, tcllib):
    same(text, tcllib)


def test_tcllib_is_there_to_compare_with():
    assert shutil.which("tclsh"), "the tests need a stock tclsh (Debian: apt install tcl tcllib)"


@pytest.mark.parametrize(
    ("text", "local", "domain", "error"),
    [
        ("<a@b>", "a", "b", ""),
        ("<a>", "a", "", ""),
        ("", "", "", "no address"),
        ("a@b,c@d", "", "", "more than one address"),
        ("a@b,", "a", "b", ""),
    ],
)
def test_a_path_is_one_address(text, local, domain, error):
    box = parse_path(text)
    assert (box.local, box.domain, box.error) == (local, domain, error)


def test_what_is_no_path_says_why():
    assert parse_path("<a@b").error == "expecting right-bracket (found end-of-input)"


def test_an_address_without_a_domain_gets_the_host():
    assert parse_path("user").address(HOST) == f"user@{HOST}"
    assert parse_path("").address(HOST) == ""


@pytest.mark.parametrize(
    ("argument", "path", "rest"),
    [
        ("<a@b>", "<a@b>", ""),
        ("<a@b> SIZE=1 BODY=7BIT ", "<a@b>", "SIZE=1 BODY=7BIT"),
        ("Name <a@b> X", "<a@b>", "X"),
        ("<a>b>c", "<a>b>", "c"),
        ("a@b", "", "a@b"),
        ("a@b> x", "a@b>", "x"),
        ("", "", ""),
    ],
)
def test_the_path_ends_at_the_last_bracket(argument, path, rest):
    assert split_path(argument) == (path, rest)
