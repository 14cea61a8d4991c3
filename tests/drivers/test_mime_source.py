"""What parts are read from; how the whole of it compares with tcllib is in test_tcl_mime.py."""

import pytest

from pysmtpd.drivers.mime_source import FileSource, LineSource, unfolded
from pysmtpd.drivers.mime_words import MimeError

TEXT = "preamble\n--b\none\n--bc\n--b\r\ntwo\r\n--b--\nepilogue"


def sources(text):
    return [LineSource(text.split("\n")), FileSource(text, 0, len(text))]


@pytest.mark.parametrize("source", sources("A: 1\nB: 2\n\tmore\r\n and more\r\nC: 3\n\nbody\n"), ids=["string", "file"])
def test_fields_are_unfolded_and_the_rest_is_left(source):
    assert list(unfolded(source)) == ["A: 1", "B: 2\n\tmore\n and more", "C: 3"]
    assert source.rest()[1:] == ("body\n", 5)


def test_parts_of_a_string_end_before_the_line_end():
    found = [(piece.rest()[1], doubtful) for piece, doubtful in sources(TEXT)[0].pieces("b", "multipart/x")]
    assert found == [("one\n--bc", False), ("two", False)]


def test_parts_of_a_file_end_before_the_line_end():
    found = [(piece.rest()[1], doubtful) for piece, doubtful in sources(TEXT)[1].pieces("b", "multipart/x")]
    assert found == [("one\n--b", False), ("two\r", False)]  # as long as the line end of the boundary itself


def test_a_string_without_its_last_boundary_is_an_error_and_a_file_a_guess():
    text = "--b\nA: 1\n\none\n"
    with pytest.raises(MimeError, match="end-of-string encountered while parsing multipart/x"):
        list(sources(text)[0].pieces("b", "multipart/x"))
    [(piece, doubtful)] = sources(text)[1].pieces("b", "multipart/x")
    assert doubtful
    assert list(unfolded(piece)) == ["A: 1"]


def test_a_stretch_of_a_file_ends_where_it_is_told():
    source = FileSource("A: 1\nB: 2\n", 0, 5)
    assert list(unfolded(source)) == ["A: 1"]
