"""Options as Python gives them: names and values checked, all or none taken."""

import pytest

from pysmtpd.callbacks import CALLBACK_OPTIONS, ConfigurationError
from pysmtpd.core import Config
from pysmtpd.core.profile import QUIRKS
from pysmtpd.core.settings import SETTINGS
from pysmtpd.options import OPTIONS, Options, read
from pysmtpd.tls_options import TLS_OPTIONS


@pytest.fixture
def options():
    return Options(Config(lambda: "now", lambda: "ID", "host.example"))


def test_every_option_can_be_read(options):
    assert {name: options.get(name) for name in options.names() if name not in TLS_OPTIONS} == {
        **dict.fromkeys(CALLBACK_OPTIONS),
        **dict.fromkeys(QUIRKS, False),
        **{name: setting.ours for name, setting in SETTINGS.items()},
        "profile": "rfc5321",
        "banner": "pysmtpd",
        "loglevel": "warn",
        "serveraddr": "",
    }


@pytest.mark.parametrize("name", ["banner", "-banner"])
def test_names_go_with_and_without_dash(options, name):
    options.set({name: "hello"})
    assert options.get(name) == options.get("banner") == options.config.banner == "hello"


def test_callbacks_are_set_and_taken_away(options):
    options.set({"deliver": print, "validate_host": len})
    assert options.get("deliver") is print
    assert options.config.ask == {"deliver", "host"}
    options.set({"deliver": None})
    options.set({"validate_host": ""})
    assert options.config.ask == frozenset()
    assert options.get("deliver") is None


def test_the_profile_brings_its_banner_unless_one_is_given(options):
    options.set({"profile": "tcllib-1.5"})
    assert options.get("banner") == "tcllib smtpd 1.5"
    options.set({"banner": "mine", "profile": "rfc5321"})
    assert options.get("banner") == "mine"


def test_a_quirk_can_be_named_beside_the_profile_in_any_order(options):
    options.set({"recipients_accumulate": False, "profile": "tcllib-1.5"})
    assert options.get("recipients_accumulate") is False
    assert options.get("loose_paths") is True


def test_what_was_chosen_stays_when_the_profile_changes(options):
    options.set({"size_limit": 5, "hello_once": True, "error_limit": 7})
    options.set({"profile": "tcllib-1.5"})
    options.set({"profile": "rfc5321"})
    assert (options.get("size_limit"), options.get("hello_once"), options.get("error_limit")) == (5, True, 7)
    assert options.config.limits.message == 5


def test_what_the_stock_dialect_does_not_have_is_off_unless_chosen(options):
    options.set({"profile": "tcllib-1.5"})
    assert (options.get("error_limit"), options.get("idle_timeout"), options.get("pipelining")) == (0, 0, False)
    options.set({"pipelining": True, "idle_timeout": 60})
    assert list(options.config.extensions) == ["SIZE", "8BITMIME", "PIPELINING"]
    assert options.config.limits.idle == 60


def test_a_quirk_leaves_the_banner(options):
    options.set({"banner": "mine"})
    options.set({"hello_once": True})
    assert options.get("banner") == "mine"


def test_the_server_address_falls_back_to_the_host(options):
    options.set({"serveraddr": "mx.example"})
    assert options.config.server_address == "mx.example"
    options.set({"serveraddr": ""})
    assert options.config.server_address == "host.example"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"nope": 1}, ["nope", "must be one of deliver, deliverMIME"]),
        ({"-nope": 1}, ["-nope", "must be one of"]),
        ({"deliver": 5}, ["deliver", "5", "function"]),
        ({"deliver": "text"}, ["deliver", "'text'", "function"]),
        ({"banner": 5}, ["banner", "5", "string"]),
        ({"banner": None}, ["banner", "None", "string"]),
        ({"banner": "two\r\nlines"}, ["banner", r"two\r\nlines", "single line"]),
        ({"serveraddr": "a\0"}, ["serveraddr", "single line"]),
        ({"profile": "rfc821"}, ["profile", "rfc821", "tcllib-1.5, rfc5321"]),
        ({"profile": 5}, ["profile", "5", "one of tcllib-1.5, rfc5321"]),
        ({"loglevel": "loud"}, ["loglevel", "loud", "debug"]),
        ({"size_limit": 0}, ["size_limit", "0", "a number from 1 up"]),
        ({"size_limit": "1"}, ["size_limit", "'1'", "a number from 1 up"]),
        ({"size_limit": True}, ["size_limit", "True", "a number from 1 up"]),
        ({"error_limit": -1}, ["error_limit", "-1", "0 for no limit"]),
        ({"idle_timeout": float("nan")}, ["idle_timeout", "nan", "a number of seconds"]),
        ({"pipelining": "on"}, ["pipelining", "'on'", "True or False"]),
        ({"auth_users": {"a": ""}}, ["auth_users", "user names and their secrets"]),
        ({"auth_users": [("a", "b")]}, ["auth_users", "list", "user names and their secrets"]),
        ({"auth_mechanisms": ["GSSAPI"]}, ["auth_mechanisms", "GSSAPI", "SCRAM-SHA-256"]),
        ({"hello_once": 1}, ["hello_once", "1", "True or False"]),
        ({"hello_once": "yes"}, ["hello_once", "'yes'", "True or False"]),
    ],
)
def test_what_is_refused_is_named_with_its_value_and_what_is_allowed(options, values, said):
    with pytest.raises(ConfigurationError) as caught:
        options.set(values)
    assert all(part in str(caught.value) for part in said), str(caught.value)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("profile", "rfc5321", "rfc5321"),
        ("banner", "hello", "hello"),
        ("size_limit", "1000", 1000),
        ("idle_timeout", "0", 0),
        ("idle_timeout", "0.5", 0.5),
        ("pipelining", "0", False),
        ("pipelining", "Yes", True),
        ("loose_paths", "off", False),
        ("auth_users", "anna secret {b c} d", {"anna": "secret", "b c": "d"}),
        ("auth_mechanisms", "plain LOGIN", ("PLAIN", "LOGIN")),
    ],
)
def test_a_value_is_read_from_text(name, text, value):
    assert read(name, text) == value


@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("size_limit", "many", "a number from 1 up"),
        ("size_limit", "0", "a number"),
        ("pipelining", "2", "0 or 1"),
        ("profile", "", "tcllib-1.5, rfc5321"),
    ],
)
def test_text_that_stands_for_no_value_is_named_with_what_is_allowed(name, text, allowed):
    with pytest.raises(ConfigurationError, match=f'{name} is "{text}": must be .*{allowed}'):
        read(name, text)


def test_no_error_shows_a_secret(options):
    with pytest.raises(ConfigurationError) as caught:
        options.set({"auth_users": {"anna": "hush", "bob": 5}})
    assert "hush" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="auth_users is something else: must be user names and their secrets"):
        read("auth_users", "anna hush bob")


def test_every_option_says_what_it_is_for():
    assert all(option.purpose and "\n" not in option.purpose for option in OPTIONS.values())


def test_one_refused_value_leaves_all_as_they_were(options):
    before = {name: options.get(name) for name in options.names()}
    with pytest.raises(ConfigurationError):
        options.set({"banner": "x", "deliver": print, "profile": "tcllib-1.5", "loglevel": "loud"})
    assert {name: options.get(name) for name in options.names()} == before


def test_an_unknown_name_cannot_be_read(options):
    with pytest.raises(ConfigurationError, match='unknown option "nope": must be one of'):
        options.get("nope")


@pytest.mark.parametrize("value", [[["PLAIN"]], [{}], [None]])
def test_mechanisms_that_are_no_names_are_named(options, value):
    with pytest.raises(ConfigurationError, match="auth_mechanisms is"):
        options.set({"auth_mechanisms": value})
