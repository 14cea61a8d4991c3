"""Settings: profiles, extensions, log levels, the farewell."""

import re

import pytest
from engine import config

from pysmtpd.core import RFC5321, TCLLIB_1_5
from pysmtpd.core.config import LOG_LEVELS
from pysmtpd.core.replies import STANDARD
from pysmtpd.core.settings import EXTENSIONS


def test_a_profile_brings_banner_extensions_and_replies():
    made = config("rfc5321")
    assert (made.banner, made.software, dict(made.extensions)["SIZE"]) == ("pysmtpd", "pysmtpd", "268435456")
    made.use_profile(TCLLIB_1_5)
    assert (made.banner, made.software) == ("tcllib smtpd 1.5", "tcllib smtpd (1.5)")
    assert made.extension_lines[0] == b"250-SIZE 0\r\n250-8BITMIME\r\n250 Ready for mail.\r\n"
    made.use_profile(RFC5321)
    assert made.banner == "pysmtpd"


def test_a_script_has_its_own_list_of_extensions_in_the_stock_dialect():
    made = config("tcllib-1.5")
    made.extend({"X": "", "Y": "1 2"})
    assert made.extension_lines[0] == b"250-X\r\n250-Y 1 2\r\n250 Ready for mail.\r\n"
    assert made.extensions == {"X": "", "Y": "1 2"}


def test_what_a_script_adds_stands_behind_our_extensions():
    made = config()
    before = dict(made.extensions)
    made.extend({"SIZE": "0", "X": "1", "8BITMIME": ""})
    assert made.extensions == {**before, "X": "1"}
    assert made.extension_lines[0].endswith(b"\r\n250 X 1\r\n")


def test_every_extension_can_be_switched_off():
    made = config()
    made.choose(dict.fromkeys(EXTENSIONS, False))
    assert (made.extensions, made.extension_lines) == ({}, (b"", b""))


def test_in_the_stock_dialect_extensions_are_added_and_taken_away_by_name():
    made = config("tcllib-1.5")
    made.choose({"size": True, "eightbitmime": False, "pipelining": True})
    assert made.extensions == {"SIZE": "268435456", "PIPELINING": ""}


def test_without_the_extension_no_reply_has_an_enhanced_status_code():
    """RFC 2034."""
    made = config()
    made.choose({"enhancedstatuscodes": False})
    for name, text in vars(type(STANDARD)).items():
        if not name.startswith("__"):
            plain = getattr(made.replies, name)
            plain = plain.decode() if isinstance(plain, bytes) else plain
            assert not re.match(r"(\d\d\d )?\d\.\d+\.\d+", plain), name
            assert len(text) - len(plain) in (0, len("2.0.0 "), len("5.7.11 ")), name


def test_limits_and_quirks_are_chosen_by_name():
    made = config()
    made.choose(
        {"size_limit": 10, "line_limit": 20, "recipient_limit": 3, "error_limit": 4, "idle_timeout": 5, "loose_paths": True}
    )
    limits = made.limits
    assert (limits.message, limits.command_line, limits.recipients, limits.errors, limits.idle) == (10, 20, 3, 4, 5)
    assert made.extensions["SIZE"] == "10"
    assert made.profile.loose_paths
    made.choose({})
    assert limits.message == 268_435_456
    assert not made.profile.loose_paths
    with pytest.raises(ValueError, match="unknown profile 'x': must be one of tcllib-1.5, rfc5321"):
        made.choose({"profile": "x"})


def test_settings_of_one_server_do_not_touch_another():
    one, other = config("tcllib-1.5"), config("tcllib-1.5")
    one.help["X"] = ("text",)
    one.limits.recipients = 1
    assert "X" not in other.help
    assert other.limits.recipients == 100_000


@pytest.mark.parametrize("index", range(len(LOG_LEVELS)))
def test_levels_from_the_chosen_one_on_are_logged(index):
    made = config()
    made.log_to(LOG_LEVELS[index])
    assert [level for level in LOG_LEVELS if made.logs(level)] == list(LOG_LEVELS[index:])


def test_none_logs_nothing():
    made = config()
    made.log_to("none")
    assert not any(made.logs(level) for level in LOG_LEVELS)


def test_a_level_that_there_is_not_is_named_beside_those_there_are():
    made = config()
    with pytest.raises(ValueError, match="'loud': must be one of debug, .*emergency or none"):
        made.log_to("loud")
    assert made.log_level == "warn"


@pytest.mark.parametrize("profile", ["tcllib-1.5", "rfc5321"])
def test_the_farewell_is_421_and_names_the_server(profile):
    made = config(profile)
    made.server_address = "mx.example"
    farewell = made.unavailable()
    assert farewell.startswith(b"421 ")
    assert b"mx.example" in farewell
    assert farewell.endswith(b"\r\n")
