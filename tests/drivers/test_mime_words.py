"""Encodings of MIME text, held against tcllib's own commands."""

import tkinter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pysmtpd.drivers import mime_words
from pysmtpd.drivers.mime_words import MimeError


@pytest.fixture(scope="module")
def tcllib():
    """Return a function that evaluates a command of tcllib's mime; an error comes back as MimeError."""
    interpreter = tkinter.Tcl()
    interpreter.eval("package require mime")
    # As text: tkinter would make bytes of some results.
    interpreter.eval('proc texts {args} {set found {}; foreach word [{*}$args] {lappend found "=$word"}; return $found}')
    interpreter.eval('proc text {args} {return "=[{*}$args]"}')

    def call(*words, many=False):
        try:
            answer = interpreter.tk.call("texts" if many else "text", *words)
        except tkinter.TclError as error:
            raise MimeError(str(error)) from None
        return [str(word)[1:] for word in interpreter.tk.splitlist(answer)] if many else str(answer)[1:]

    call.interpreter = interpreter
    return call


def outcome(function, *arguments):
    try:
        return function(*arguments)
    except MimeError as error:
        return f"error: {error}"


octets = st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=200)
mail = st.lists(st.sampled_from([*'ab=.F \t\n\r_?\xe9\\[]{}$"', "From ", "x" * 30, "=3D", "=\n"]), max_size=30).map("".join)


@settings(max_examples=200, deadline=None)
@given(octets)
def test_base64_is_written_as_tcllib_writes_it(tcllib, text):
    assert mime_words.encode_base64(text) == tcllib("mime::base64", "-mode", "encode", "--", text)


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from(list("abQUJD+/=-_ \n!")), max_size=24))
@example("aGVsb")
@example("aGVsbG8=!!")
def test_base64_is_read_as_tcllib_reads_it(tcllib, text):
    assert outcome(mime_words.decode_base64, text) == outcome(tcllib, "mime::base64", "-mode", "decode", "--", text)


def test_a_character_that_is_no_octet_counts_for_its_lower_one():
    assert mime_words.octets("\xe9\u0141") == b"\xe9A"


@settings(max_examples=400, deadline=None)
@given(st.one_of(octets, mail))
@example("x" * 72 + "=" + "y")
@example("x" * 71 + "\xe9y")
def test_quoted_printable_is_written_as_tcllib_writes_it(tcllib, text):
    text = text.replace("\n.\n", "\n")  # tcllib loses the line end before the dot
    assert mime_words.encode_quoted_printable(text) == tcllib("mime::qp_encode", text)


def test_a_dot_alone_on_its_line_is_protected():
    text = "a\n.\nb"
    assert mime_words.encode_quoted_printable(text) == "a\n=2E\nb"
    assert mime_words.decode_quoted_printable("a\n=2E\nb") == text


@settings(max_examples=400, deadline=None)
@given(mail)
def test_quoted_printable_is_read_as_tcllib_reads_it(tcllib, text):
    assert mime_words.decode_quoted_printable(text) == tcllib("mime::qp_decode", text)


def ours_encoded(tcllib, charset, method, text, length):
    name = mime_words.charset_for_words(charset, method)
    tk = tcllib.interpreter.tk
    characters = [tk.call("encoding", "convertto", charset, character) for character in text]
    plain = [each.decode("latin-1") if isinstance(each, bytes) else each for each in characters]
    return mime_words.encode_words(name, method, str(length), *plain) if plain else ""


@settings(max_examples=300, deadline=None)
@given(
    st.text(st.sampled_from(list("ab _?=\t.\xe9\xfc\u20ac")), max_size=40),
    st.sampled_from(["utf-8", "iso8859-1", "iso8859-15", "ascii", "cp737", "nope"]),
    st.sampled_from(["base64", "quoted-printable", "7bit"]),
    st.integers(14, 80),
)
def test_words_are_written_as_tcllib_writes_them(tcllib, text, charset, method, length):
    theirs = outcome(tcllib, "mime::word_encode", charset, method, text, "-charset_encoded", "0", "-maxlength", str(length))
    if "\u20ac" in text and 12 <= length - len(charset) <= 16:
        return  # tcllib goes on for ever where a character does not fit
    assert outcome(ours_encoded, tcllib, charset, method, text, length) == theirs


WORDS = [
    "=?utf-8?Q?caf=C3=A9?=", "=?ISO-8859-1?q?a_b_?=", "=?utf-8?B?Y2Fmw6k=?=", "=?utf-8?x?y?=", "=?nope?q?y?=", "plain", "",
    "a =?utf-8?q?b?= =?utf-8?q?c?= d", "=?utf-8?q?b?=  ", "  =?utf-8?q?b?=", "=?latin1?Q?=E9?= and =?us-ascii?q?x?=", "=?utf-8?b?x?=", "=?a?b",
]  # fmt: skip


@pytest.mark.parametrize("text", WORDS)
def test_words_are_read_as_tcllib_reads_them(tcllib, text):
    theirs = outcome(lambda: tcllib("mime::word_decode", text, many=True))
    ours = outcome(mime_words.decode_word, text)
    assert (ours if isinstance(ours, str) else list(ours)) == theirs


@pytest.mark.parametrize("text", WORDS)
def test_fields_are_read_as_tcllib_reads_them(tcllib, text):
    def decode():
        pieces = mime_words.decode_field(text)
        tk = tcllib.interpreter.tk
        return "".join(
            str(tk.call("encoding", "convertfrom", encoding, piece)) if encoding else piece
            for encoding, piece in zip(pieces[::2], pieces[1::2], strict=True)
        )

    assert outcome(decode) == outcome(tcllib, "mime::field_decode", text)


def test_the_names_of_character_sets_are_tcllibs(tcllib):
    names = tcllib.interpreter.tk.splitlist(tcllib.interpreter.eval("array names ::mime::encodings"))
    assert len(names) > 60
    for name in names:
        assert mime_words.map_encoding(str(name)) == tcllib("mime::mapencoding", name)
    known = tcllib.interpreter.tk.splitlist(tcllib.interpreter.eval("array names ::mime::reversemap"))
    assert len(known) > 150
    for name in known:
        assert mime_words.reverse_map_encoding(str(name)) == tcllib("mime::reversemapencoding", name), name
    ours = set(mime_words._encodings)
    assert ours == {str(name) for name in known}


def test_a_boundary_is_one_of_its_own():
    first, second = mime_words.new_boundary(), mime_words.new_boundary()
    assert first != second
    assert len(first) < 70
