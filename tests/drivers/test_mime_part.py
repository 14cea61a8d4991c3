"""One MIME part: its type read as tcllib reads it, its fields, the encoding that fits its body."""

import tkinter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pysmtpd.drivers.mime_part import (
    Part,
    all_fields,
    decoded,
    encoded,
    file_size,
    parse_content_type,
    pieces,
    read_file,
    take_field,
    transfer_encoding,
)
from pysmtpd.drivers.mime_words import MimeError


@pytest.fixture(scope="module")
def tcllib():
    interpreter = tkinter.Tcl()
    interpreter.eval("package require mime")
    return interpreter.tk


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.sampled_from(["text", "/", "plain", ";", "a", "=", '"q;x"', '"', "(c)", "(", " ", "message", "\\", "[", "b"]),
        max_size=12,
    ).map("".join)
)
def test_content_types_are_read_as_tcllib_reads_them(tcllib, text):
    tcllib.eval("unset -nocomplain ::mime::probe; set ::errorInfo {}; set ::errorCode NONE")
    try:
        content, params = tcllib.splitlist(tcllib.call("mime::parsetype", "probe", text))
    except tkinter.TclError:
        theirs = None
    else:
        words = [str(word) for word in tcllib.splitlist(params)]
        theirs = str(content), tuple(zip(words[::2], words[1::2], strict=True))
    assert parse_content_type(text) == theirs


def leaf(content, body, **attributes):
    part = Part()
    part.content, part.body, part.kind = content, body, "string"
    for name, value in attributes.items():
        setattr(part, name, value)
    return part


@pytest.mark.parametrize(
    ("content", "body", "encoding"),
    [
        ("text/plain", "short\n", ""), ("text/plain", "x" * 77, "quoted-printable"), ("text/plain", "\xe9", ""), ("text/plain", ".x", "quoted-printable"),
        ("text/plain", "From x", "quoted-printable"), ("text/plain", "x ", "quoted-printable"), ("image/png", "x", "base64"),
        ("application/x", "x\r", "base64"), ("application/x", "x", ""), ("message/rfc822", "\xe9" * 99, ""),
    ],
)  # fmt: skip
def test_the_encoding_fits_the_body(content, body, encoding):
    assert transfer_encoding(leaf(content, body)) == encoding
    assert encoded(leaf(content, body)) == body  # of a part that was read, as it is
    made = leaf(content, body, canonical=True)
    assert decoded(encoding, encoded(made)) == body


def test_a_charset_beyond_latin_wants_base64():
    assert transfer_encoding(leaf("text/plain", "\xc3\xa9", params=(("charset", "UTF-8"),))) == "base64"
    assert transfer_encoding(leaf("text/plain", "\xe9", params=(("charset", "ISO-8859-1"),))) == ""
    assert transfer_encoding(leaf("text/plain", "\xe9", params=(("charset", "ISO-8859-15"),))) == "base64"


def test_fields_keep_their_spelling_and_order():
    part = leaf("text/plain", "")
    for line in ("Subject: one", "X-Y: a", "x-y:  b ", "MIME-Version: 1.1"):
        take_field(part, line)
    assert list(all_fields(part))[:4] == [("MIME-Version", "1.1"), ("Subject", "one"), ("X-Y", "a"), ("X-Y", "b")]
    with pytest.raises(MimeError, match="improper line in header: none"):
        take_field(part, "none")


def test_an_encoding_that_is_none_is_named():
    with pytest.raises(MimeError, match='"odd"'):
        transfer_encoding(leaf("text/plain", "", encoding="odd"))


def test_pieces_end_with_lines_and_lose_nothing():
    text = ("x" * 50 + "\n") * 300 + "y" * 9000
    found = list(pieces(text))
    assert "".join(found) == text
    assert all(len(piece) <= 4096 for piece in found)
    assert found[0].endswith("\n")


def test_a_file_that_cannot_be_read_is_named_as_the_script_did(tmp_path):
    with pytest.raises(MimeError, match='couldn\'t open "data": no such file or directory'):
        read_file(str(tmp_path / "data"), "data")
    with pytest.raises(MimeError, match='could not read "data": no such file or directory'):
        file_size(str(tmp_path / "data"), "data")
