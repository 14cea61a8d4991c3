"""Parameters of MAIL and RCPT: each extension's own, what they may be, and that they go with their extension."""

import pytest
from engine import Driver, config

from pysmtpd.core.parameters import PARAMETERS, decode_xtext, parse


def code_of(verb, parameters, **chosen):
    """Return the code that a command with these parameters gets."""
    made = config()
    made.choose(chosen)
    driver = Driver(made)
    driver.feed(b"EHLO x\r\n")
    if verb == "RCPT":
        assert driver.code(b"MAIL FROM:<a@b>") == 250
    start = b"MAIL FROM:<a@b> " if verb == "MAIL" else b"RCPT TO:<c@d> "
    return driver.code(start + parameters.encode("latin-1"))


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ("SIZE=0", 250), ("SIZE=1000", 250), ("SIZE=1001", 552), ("SIZE=" + "9" * 21, 552), ("SIZE=1k", 501), ("SIZE", 501), ("SIZE=\xb2", 501),
        ("SIZE=1 SIZE=1", 501), ("size=1", 250),
    ],
)  # fmt: skip
def test_size(parameters, code):
    """RFC 1870, 6.1: more than the server takes is refused before it is sent."""
    assert code_of("MAIL", parameters, size_limit=1000) == code


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ("BODY=7BIT", 250),
        ("BODY=8BITMIME", 250),
        ("body=8bitmime", 250),
        ("BODY=BINARYMIME", 250),
        ("BODY=8BIT", 501),
        ("BODY", 501),
    ],
)
def test_body(parameters, code):
    """RFC 6152, 2; RFC 3030, 3."""
    assert code_of("MAIL", parameters) == code


def test_binarymime_goes_with_chunking():
    """RFC 3030, 3: without BDAT there is no way to send it."""
    assert code_of("MAIL", "BODY=BINARYMIME", chunking=False) == 501
    assert code_of("MAIL", "BODY=BINARYMIME", binarymime=False) == 501


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ("RET=FULL", 250), ("RET=hdrs", 250), ("RET=BODY", 501), ("RET", 501), ("RET=FULL RET=FULL", 501),
        ("ENVID=QQ314159", 250), ("ENVID=a+2Bb", 250), ("ENVID=a+b", 501), ("ENVID=a+2b", 501), ("ENVID=a=b", 501), ("ENVID=" + "x" * 100, 250),
        ("ENVID=" + "x" * 101, 501), ("ENVID", 501),
    ],
)  # fmt: skip
def test_ret_and_envid(parameters, code):
    """RFC 3461, 4.3 and 4.4."""
    assert code_of("MAIL", parameters) == code


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ("NOTIFY=NEVER", 250), ("NOTIFY=SUCCESS,FAILURE,DELAY", 250), ("notify=success", 250), ("NOTIFY=NEVER,SUCCESS", 501), ("NOTIFY=", 501),
        ("NOTIFY=SOMETIMES", 501), ("NOTIFY=SUCCESS,", 501), ("NOTIFY=NEVER NOTIFY=NEVER", 501),
        ("ORCPT=rfc822;Bob@example.com", 250), ("ORCPT=rfc822;a+2Bb@c", 250), ("ORCPT=Bob@example.com", 501), ("ORCPT=rfc822;", 501),
        ("ORCPT=rfc822;a+b@c", 501), ("ORCPT=;a@b", 501), ("ORCPT=rfc822;" + "x" * 493, 250), ("ORCPT=rfc822;" + "x" * 494, 501),
        ("ORCPT=utf-8;\xc3\xa9@b", 250), ("ORCPT=utf-8;\xe9@b", 501), ("ORCPT=utf-8;\\x{E9}@b", 250), ("ORCPT=utf-8;\\x{e9}@b", 501), ("ORCPT=rfc822;\xc3\xa9@b", 501),
    ],
)  # fmt: skip
def test_notify_and_orcpt(parameters, code):
    """RFC 3461, 4.1 and 4.2; RFC 6533, 3."""
    assert code_of("RCPT", parameters) == code


@pytest.mark.parametrize(("parameters", "code"), [("SMTPUTF8", 250), ("SMTPUTF8=yes", 501), ("smtputf8", 250)])
def test_smtputf8(parameters, code):
    """RFC 6531, 3.4: it has no value."""
    assert code_of("MAIL", parameters) == code


VALUES = {
    "SIZE": "=1",
    "BODY": "=8BITMIME",
    "SMTPUTF8": "",
    "RET": "=FULL",
    "ENVID": "=x",
    "NOTIFY": "=NEVER",
    "ORCPT": "=rfc822;a@b",
}


@pytest.mark.parametrize(("verb", "name"), [(verb, name) for verb in PARAMETERS for name in PARAMETERS[verb] if name != "AUTH"])
def test_a_parameter_is_unknown_without_its_extensions(verb, name):
    """RFC 5321, 4.1.1.11: 555."""
    off = dict.fromkeys(PARAMETERS[verb][name].extensions, False)
    assert code_of(verb, name + VALUES[name]) == 250
    assert code_of(verb, name + VALUES[name], **off) == 555


def test_unknown_parameters_are_refused_by_ours_and_ignored_by_the_stock_dialect():
    assert parse(config(), "MAIL", "X=1") == ({}, "unknown_parameter")
    assert parse(config("tcllib-1.5"), "MAIL", "X=1 and whatever") == ({}, "")


def test_values_are_kept_as_sent():
    assert parse(config(), "MAIL", "size=10  Body=8BitMime") == ({"SIZE": "10", "BODY": "8BitMime"}, "")


@pytest.mark.parametrize(("text", "plain"), [("", ""), ("abc", "abc"), ("a+2Bb+3D", "a+b="), ("+C3+A9", "\xc3\xa9")])
def test_an_xtext_is_decoded(text, plain):
    """RFC 3461, 4."""
    assert decode_xtext(text) == plain
