"""Settings: profiles, extensions, log levels, the farewell."""

import pytest
from engine import config

from pysmtpd.core import RFC5321, TCLLIB_1_5
from pysmtpd.core.config import LOG_LEVELS


def test_a_profile_brings_banner_extensions_and_replies():
    made = config("rfc5321")
    assert (made.banner, made.software, dict(made.extensions)["SIZE"]) == ("pysmtpd", "pysmtpd", "268435456")
    made.use_profile(TCLLIB_1_5)
    assert (made.banner, made.software) == ("tcllib smtpd 1.5", "tcllib smtpd (1.5)")
    assert made.extension_lines == b"250-SIZE 0\r\n250-8BITMIME\r\n"
    made.use_profile(RFC5321)
    assert made.banner == "pysmtpd"


def test_extensions_are_listed_in_order_and_end_without_blanks():
    made = config()
    made.extensions = {"X": "", "Y": "1 2"}
    assert made.extension_lines == b"250-X\r\n250-Y 1 2\r\n"
    assert made.extensions == {"X": "", "Y": "1 2"}


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
