"""The engine behind our Tcl package mime, held against tcllib's mime itself over generated messages, addresses and arrays."""

import tkinter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pysmtpd.drivers.mime_words import MimeError
from pysmtpd.drivers.tcl_mime import MAX_DEPTH, Mime

HOST = "host.example"
#: What is asked about a part and, in turn, about its parts.
DESCRIBE = r"""
proc described {token} {
    set found {}
    foreach question {
        {mime::getheader $token} {mime::getheader $token -names} {mime::getheader $token Content-Transfer-Encoding}
        {mime::getproperty $token content} {mime::getproperty $token encoding} {mime::getproperty $token params} {mime::getsize $token}
        {mime::getbody $token}
    } {
        lappend found [list [catch $question result] [expr {[string match "can't read*" $result] ? "" : "=$result"}]]
    }
    if {![catch {mime::getproperty $token parts} parts]} {
        foreach part $parts {
            lappend found {*}[described $part]
        }
    }
    return $found
}
proc listed {args} {
    return "=[list {*}$args]"
}
proc reading {kind value} {
    if {[catch {mime::initialize -$kind $value} token]} {
        return [list $token]
    }
    try {
        set found [described $token]
        lappend found [list [catch {string map {\r\n \n} [mime::buildmessage $token]} result] =$result]
    } finally {
        mime::finalize $token
    }
    return $found
}
"""


@pytest.fixture(scope="module")
def tcllib():
    """Return an interpreter with tcllib's mime in it, and not ours."""
    interpreter = tkinter.Tcl()
    try:
        interpreter.eval("package require mime")
    except tkinter.TclError:
        pytest.fail("the differential test needs tcllib (Debian: apt install tcllib)")
    interpreter.eval(DESCRIBE)
    return interpreter.tk


def built(tk, token):
    """Return what tcllib makes of a part, lines ended with LF."""
    message = tk.call("mime::buildmessage", token)
    return (message if isinstance(message, bytes) else message.encode("latin-1")).decode().replace("\r\n", "\n")


def as_tcllib_says(tk, kind, value):
    found = tk.splitlist(tk.call("reading", kind, value))
    return [str(found[0])] if len(found) == 1 else [[str(word) for word in tk.splitlist(answer)] for answer in found]


def ours(tk, kind, value):
    """Return the same from our engine."""
    mime = Mime()
    try:
        mime.run("initialize", "T", "<id>", "/", f"-{kind}", value, "0")
    except MimeError as error:
        return [str(error)]

    def answer(operation, *arguments):
        try:
            result = mime.run(operation, *arguments)
        except MimeError as error:
            return ["1", f"={error}"]
        return ["0", result]

    def described(token):
        found = []
        for question in (
            ("getheader",), ("getheader", "-names"), ("getheader", "Content-Transfer-Encoding"),
            ("getproperty", "content"), ("getproperty", "encoding"), ("getproperty", "params"), ("getsize",), ("getbody",),
        ):  # fmt: skip
            code, result = answer(question[0], token, *question[1:])
            if code == "0":
                result = str(tk.call("listed", *result)) if isinstance(result, list) else f"={result}"
            if kind == "file" and question == ("getbody",) and code == "1" and "leaf" not in result:
                result = "=error"  # all that tcllib says
            found.append([code, result])
        code, parts = answer("getproperty", token, "parts")
        for part in parts if code == "0" else ():
            found += described(part)
        return found

    code, result = answer("message", "T")
    found = [*described("T"), [code, result if code == "1" else "=" + result.encode().decode("latin-1")]]
    mime.run("finalize", "T")
    assert not mime._parts
    return found


lines = st.sampled_from([
    "", "", "From: a@b", "X-Y :  z ", "Subject: caf\xe9", " folded", "\tfolded", "no colon", ": no name", "From someone",
    "Content-Type: text/plain", 'Content-Type: multipart/mixed; boundary="b"', "Content-Type: multipart/mixed; boundary=b; Charset=x (note)",
    "Content-Type: multipart/mixed", "Content-Type: message/rfc822", "Content-Type: image/png", "Content-Type: text/html; charset=utf-8; a=b; c=d",
    "content-type: application/x-y; name=\"two words\"", "Content-Type: text/plain; charset=iso-8859-1", "Content-Type: broken", "Content-MD5: x",
    "Content-Transfer-Encoding: base64", "Content-Transfer-Encoding: quoted-printable", "Content-Transfer-Encoding: 8bit", "Content-Transfer-Encoding: odd",
    "MIME-Version: 1.1", "--b", "--b", "--b--", "--bc", "body", "aGVsbG8=", "aGVsbG8", "caf=C3=A9=20 ", "soft=", ".dot", "x" * 80, "tab\t", "\x01\x7f", "8bit \xe9",
])  # fmt: skip
MESSAGES = st.lists(lines, max_size=14).map("\n".join)


@settings(max_examples=600, deadline=None)
@given(MESSAGES)
@example('Content-Type: multipart/mixed; boundary="b"\n\npre\n--b\nA: b\n\none\n--b\nContent-Type: image/png\n\nx\n--b--\npost')
@example('Content-Type: multipart/mixed; boundary="b"\n\n--b--\n')
@example("Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nQTogYgoKYm9keQ==")
def test_a_string_is_read_as_tcllib_reads_it(tcllib, text):
    assert ours(tcllib, "string", text) == as_tcllib_says(tcllib, "string", text)


@settings(max_examples=300, deadline=None)
@given(MESSAGES, st.sampled_from(["", "\n"]))
@example('Content-Type: multipart/mixed; boundary="b"\n\nContent-Type: message/rfc822\n--b--', "")
def test_a_file_is_read_as_tcllib_reads_it(tcllib, tmp_path_factory, text, end):
    file = tmp_path_factory.getbasetemp() / "message"
    file.write_bytes((text + end).encode("latin-1"))
    found, said = ours(tcllib, "file", str(file)), as_tcllib_says(tcllib, "file", str(file))
    if ["0", "=-1"] in said:  # a part of that size: tcllib writes what stands behind it in its place
        found.pop()
        said.pop()
    assert found == said


# What is written


def words_of(options):
    """Return options as the engine takes them: values that are lists with their elements."""
    words = []
    for option, value in options:
        elements = value if isinstance(value, tuple) else ()
        words += option, value if isinstance(value, str) else " ".join(value), str(len(elements)), *elements
    return words


CANONICAL = [
    [("-canonical", "text/plain"), ("-string", "plain\n")],
    [("-canonical", "Text/Plain"), ("-string", "caf\xe9\n.dot\nFrom me\nblank \ntab\t")],
    [("-canonical", "text/plain"), ("-param", ("charset", "utf-8")), ("-string", "\xc3\xa9")],
    [("-canonical", "text/plain"), ("-param", ("charset", "iso-8859-1")), ("-string", "\xe9" * 100)],
    [("-canonical", "text/plain"), ("-encoding", "quoted-printable"), ("-string", "caf\xe9 = " * 40 + " ")],
    [("-canonical", "text/html"), ("-encoding", "base64"), ("-string", "x" * 200)],
    [("-canonical", "application/x-y"), ("-string", "\r\n\x01"), ("-header", ("Subject", "a b")), ("-header", ("X", "1")), ("-header", ("x", "2"))],
    [("-canonical", "image/png"), ("-string", "\x89PNG" * 60), ("-header", ("Content-ID", "<mine>"))],
    [("-canonical", "text/plain"), ("-param", ("A", "1")), ("-param", ("b", "2")), ("-param", ("charset", "us-ascii")), ("-string", "")],
]  # fmt: skip


@pytest.mark.parametrize("options", CANONICAL, ids=range(len(CANONICAL)))
def test_a_made_part_is_written_as_tcllib_writes_it(tcllib, options):
    token = tcllib.call("mime::initialize", *(word for option in options for word in option))
    try:
        (theirs_id,) = tcllib.splitlist(tcllib.call("mime::getheader", token, "content-id"))
        theirs = built(tcllib, token)
    finally:
        tcllib.call("mime::finalize", token)
    mime = Mime()
    mime.run("initialize", "T", str(theirs_id), "/", *words_of(options))
    # tcllib says the transfer encoding twice; that is one of the things mended.
    head, separator, body = theirs.partition("\n\n")
    fields = head.split("\n")
    seen = [field for number, field in enumerate(fields) if field not in fields[:number] or field[0] == " "]
    assert mime.run("message", "T") == "\n".join(seen) + separator + body


def test_a_file_is_encoded_as_tcllib_encodes_it(tcllib, tmp_path):
    file = tmp_path / "data"
    file.write_bytes(bytes(range(256)) * 300)
    token = tcllib.call("mime::initialize", "-canonical", "application/octet-stream", "-file", str(file))
    theirs = built(tcllib, token)
    tcllib.call("mime::finalize", token)
    mime = Mime()
    mime.run("initialize", "T", "<id>", str(tmp_path), *words_of([("-canonical", "application/octet-stream"), ("-file", "data")]))
    assert mime.run("message", "T").partition("\n\n")[2] == theirs.partition("\n\n")[2]
    assert mime.run("getsize", "T") == 256 * 300


def test_a_made_multipart_can_be_read_again():
    """tcllib's cannot: it writes the boundary once more, on a line that is no field."""
    mime = Mime()
    for token, text in (("A", "one"), ("B", "two")):
        mime.run("initialize", token, "<id>", "/", *words_of([("-canonical", "text/plain"), ("-string", text)]))
    mime.run("initialize", "M", "<id>", "/", *words_of([("-canonical", "multipart/mixed"), ("-parts", ("A", "B"))]))
    mime.run("initialize", "R", "<id>", "/", *words_of([("-string", mime.run("message", "M"))]))
    assert mime.run("getproperty", "R", "content") == "multipart/mixed"
    assert [mime.run("getbody", part) for part in mime.run("getproperty", "R", "parts")] == ["one", "two"]
    mime.run("finalize", "M", "all")
    with pytest.raises(MimeError, match="no such variable"):
        mime.run("getbody", "A")


def test_header_lines_that_end_in_cr_lf_are_read_without_it():
    """tcllib puts a bracket in the place of the CR."""
    mime = Mime()
    mime.run("initialize", "T", "<id>", "/", "-string", "Subject: x\r\nContent-Type: text/html\r\n\r\nbody\r\n", "0")
    assert mime.run("getheader", "T", "subject") == ["x"]
    assert mime.run("getproperty", "T", "content") == "text/html"
    assert mime.run("getbody", "T") == "body\r\n"


@pytest.mark.parametrize(
    "options",
    [
        [], [("-canonical", "text/plain")], [("-string", "x"), ("-what", "y")], [("-file", "/no/such/file")],
        [("-canonical", "text/plain"), ("-file", "a"), ("-parts", "b")], [("-canonical", "text/plain"), ("-parts", ("x",))],
        [("-canonical", "multipart/x"), ("-encoding", "8bit"), ("-parts", ("x",))], [("-encoding", "odd"), ("-string", "x")],
        [("-encoding", "8bit"), ("-string", "")], [("-param", ("a", "b")), ("-string", "")], [("-header", ("a", "b")), ("-string", "")],
        [("-parts", ("a",))], [("-param", ("a",))], [("-param", ("a", "b")), ("-param", ("A", "c"))], [("-header", ("a", "b", "c"))],
        [("-header", ("Content-Type", "b"))], [("-header", ("content-transfer-encoding", "b"))], [("-header", ("MIME-Version", "b"))],
        [("-string", "Content-Type: multipart/x; boundary=\"\"\n\n")], [("-string", "Content-Type: multipart/x; boundary=\" \"\n\n")],
    ],
)  # fmt: skip
def test_wrong_options_have_tcllibs_words(tcllib, options):
    with pytest.raises(tkinter.TclError) as theirs:
        tcllib.call("mime::initialize", *(word for option in options for word in option))
    mime = Mime()
    with pytest.raises(MimeError) as ours:
        mime.run("initialize", "T", "<id>", "/", *words_of(options))
    assert str(ours.value) == str(theirs.value)
    assert not mime._parts


def test_fields_are_written_appended_to_and_deleted_as_in_tcllib(tcllib):
    steps = [
        ("Subject", "new", "write"), ("SUBJECT", "more", "append"), ("X", "y", "append"), ("x", "", "delete"), ("Z", "1", "write"),
        ("nope", "", "delete"), ("Subject", "", "what"), ("Content-Type", "text/html", "write"), ("Mime-Version", "1.0", "write"),
    ]  # fmt: skip
    token = tcllib.call("mime::initialize", "-string", "Subject: old\nX: x\n\nbody")
    mime = Mime()
    mime.run("initialize", "T", "<id>", "/", *words_of([("-string", "Subject: old\nX: x\n\nbody")]))
    for key, value, mode in steps:
        try:
            theirs = [str(word) for word in tcllib.splitlist(tcllib.call("mime::setheader", token, key, value, "-mode", mode))]
        except tkinter.TclError as error:
            theirs = str(error)
        try:
            ours = mime.run("setheader", "T", key, value, mode)
        except MimeError as error:
            ours = str(error)
        assert ours == theirs, (key, value, mode)
    assert mime.run("getheader", "T", "subject") == ["new", "more"]


def test_parts_may_be_nested_as_deep_as_is_said_and_no_deeper():
    def nested(depth):
        text = "A: b\n\nx"
        for number in range(depth):
            text = f"Content-Type: multipart/mixed; boundary=b{number}\n\n--b{number}\n{text}\n--b{number}--\n"
        return text

    mime = Mime()
    mime.run("initialize", "T", "<id>", "/", "-string", nested(300), "0")
    assert mime.run("getsize", "T") == 1
    mime.run("finalize", "T")
    with pytest.raises(MimeError, match="nested more than 400 deep|recursion"):
        mime.run("initialize", "T", "<id>", "/", "-string", nested(MAX_DEPTH + 1), "0")
    assert not mime._parts


def test_twenty_thousand_fields_are_read_at_once():
    mime = Mime()
    mime.run("initialize", "T", "<id>", "/", "-string", "".join(f"X-{n}: {n}\n" for n in range(20_000)) + "\nbody", "0")
    assert len(mime.run("getheader", "T", "-names")) == 20_000


# Addresses

ADDRESSES = [
    "a@b.c", "Anna <a@b.c>", '"Anna B." <a@b.c> (a note)', "a (the one) @ b", "<a@b.c>", "group: a@b, c@d;, e@f", "@r1,@r2:a@b", "a", '"q u"@x',
    "/G=Anna/S=Example/@x.y", "/PN=An.Example/S=E/@x", "/S=Example/O=x/@y", "a@b@c", "a b c", "", ",", ";", "(only a note)", "Anna.B <a@b>",
    "a@[1.2.3.4]", "a@b (unclosed", "=?utf-8?Q?x?= <a@b>", "caf\xe9 <a@b>", '"a@b" <c@d>',
]  # fmt: skip


@pytest.mark.parametrize("text", ADDRESSES)
def test_addresses_have_all_of_tcllibs_keys(tcllib, text):
    hostname = tcllib.call("info", "hostname")
    theirs = [[str(word) for word in tcllib.splitlist(box)] for box in tcllib.splitlist(tcllib.call("mime::parseaddress", text))]
    assert Mime().run("parseaddress", hostname, text) == theirs


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from(list('ab/G=SPN@<>,;:.()"\\[] \t')), max_size=16))
def test_odd_addresses_have_all_of_tcllibs_keys(tcllib, text):
    hostname = tcllib.call("info", "hostname")
    theirs = [[str(word) for word in tcllib.splitlist(box)] for box in tcllib.splitlist(tcllib.call("mime::parseaddress", text))]
    assert Mime().run("parseaddress", hostname, text) == theirs
