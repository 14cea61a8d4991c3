"""The table of settings: each extension has its switch, and the stock dialect has none of ours."""

from pysmtpd.core.settings import EXTENSIONS, SETTINGS


def test_every_extension_has_a_setting_and_needs_one_that_exists():
    for name, extension in EXTENSIONS.items():
        assert name in SETTINGS
        assert extension.needs in ("", *SETTINGS)
        assert extension.clear or extension.secure


def test_no_extension_of_ours_is_on_in_the_stock_dialect():
    assert {name for name in EXTENSIONS if SETTINGS[name].stock} == {"auth"}  # which needs users, and they have to be named
