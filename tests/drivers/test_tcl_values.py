"""Python values as Tcl reads them: held against a real interpreter."""

import tkinter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pysmtpd.drivers.tcl_values import array_order, list_element, list_elements, tcl_value


@pytest.fixture(scope="module")
def tcl():
    return tkinter.Tcl()


tricky = st.one_of(
    st.text(
        st.sampled_from(list('{}[]$";\\# \t\n\r\v\f\x00\x01ab#~*-+\x85\xa0é\u20ac\u2028\u3000\ufeff\U0001d11e0x')), max_size=8
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
TRICKY = [
    "",
    "#",
    "#a",
    "a#",
    "{",
    "}",
    "{}",
    "\\",
    "\\\\",
    "a\\",
    "{a",
    "a}",
    '"',
    '"a',
    "a b",
    "\n",
    "\x00",
    "a\x00b",
    "[exit]",
    "$x",
    ";",
    "\\n",
    "{\\",
    "}{",
]


def elements_of(tcl, text):
    """Return the elements Tcl finds; counted and taken one by one, as a script would."""
    tcl.call("set", "taken", text)
    take = "index {lindex $::taken $index}"
    return [str(tcl.call("apply", take, index)) for index in range(int(tcl.eval("llength $taken")))]


@pytest.mark.parametrize("text", TRICKY)
def test_a_tricky_text_is_one_element(tcl, text):
    assert elements_of(tcl, list_element(text)) == [text]
    assert elements_of(tcl, "before " + list_element(text) + " after") == ["before", text, "after"]


@settings(max_examples=500, deadline=None)
@given(texts=st.lists(tricky, max_size=5))
@example(["#", "{", "\x00"])
def test_a_list_of_texts_comes_back(tcl, texts):
    assert elements_of(tcl, tcl_value(texts)) == texts


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(tricky.filter(lambda text: "\x00" not in text), max_size=5))
def test_splitlist_sees_the_same(tcl, texts):
    assert list(tcl.tk.splitlist(tcl_value(texts))) == texts


@settings(max_examples=200, deadline=None)
@given(value=st.dictionaries(tricky, st.lists(tricky, max_size=3), max_size=3))
def test_a_dictionary_of_lists_comes_back(tcl, value):
    tcl.call("set", "value", tcl_value(value))
    assert int(tcl.eval("dict size $value")) == len(value)
    for key, texts in value.items():
        tcl.call("set", "key", key)
        assert elements_of(tcl, tcl.call("apply", "{} {dict get $::value $::key}")) == texts


@settings(max_examples=200, deadline=None)
@given(text=tricky)
def test_an_element_is_data_in_a_script_too(tcl, text):
    """Quoting is good enough for a list that is used as a command."""
    tcl.call("set", "value", tcl_value(["list", text]))
    assert elements_of(tcl, tcl.call("apply", "{} {{*}$::value}")) == [text]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "1"),
        (False, "0"),
        (5, "5"),
        (-1.5, "-1.5"),
        ("a b", "a b"),
        (b"\xff\x00", "\xff\x00"),
        (bytearray(b"x"), "x"),
        (["a b", None], "{a b} {}"),
        (("a", ["b", "c d"]), "a b\\ \\{c\\ d\\}"),
        ({"k": 1}, "k 1"),
        ([], ""),
    ],
)
def test_values_have_their_texts(value, text):
    assert tcl_value(value) == text


def test_anything_else_is_what_str_makes_of_it():
    class Thing:
        def __str__(self):
            return "a thing"

    assert tcl_value(Thing()) == "a thing"
    assert tcl_value([Thing()]) == "{a thing}"


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("", []), ("  a b\tc\n", ["a", "b", "c"]), ("{a b} c", ["a b", "c"]), ("{a {b c}} {}", ["a {b c}", ""]), ('"a b" c', ["a b", "c"]),
        ("a\\ b", ["a b"]), ("{a\\}b}", ["a\\}b"]), ("\\n\\x41\\u00e9\\101", ["\nAéA"]), ('"a\\"b"', ['a"b']), ("a{b", ["a{b"]),
    ],
)  # fmt: skip
def test_a_list_is_read(text, elements):
    assert list_elements(text) == elements


@pytest.mark.parametrize("text", ["{a", '"a', "{a}b", '"a"b'])
def test_what_is_no_list_says_why(text):
    with pytest.raises(ValueError, match="list"):
        list_elements(text)


@given(st.lists(st.text()))
def test_what_is_written_is_read(elements):
    assert list_elements(tcl_value(elements)) == elements


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=6), max_size=60, unique=True))
def test_the_order_is_that_of_array_get(tcl, names):
    order = "{names} {foreach name $names {set found($name) {}}; set order {}; foreach {name value} [array get found] {lappend order $name}; return $order}"
    assert array_order(names) == [str(name) for name in tcl.tk.splitlist(tcl.call("apply", order, tuple(names)))]


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\udc7f\udd00"])
def test_half_a_character_is_no_reason_to_die(tcl, text):
    """Neither tkinter nor UTF-8 takes it. What stands for an octet that is no text stays: file names have such."""
    shown = "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)
    assert tcl_value(text) == shown
    assert tcl.call("set", "value", tcl_value([text])) == shown
    assert tcl_value("a\udcffb") == "a\udcffb"
