"""Profiles and their quirks."""

import pytest

from pysmtpd.core.profile import PROFILES, QUIRKS, RFC5321, TCLLIB_1_5, profile_named


def test_the_two_profiles_are_opposites():
    assert all(getattr(TCLLIB_1_5, quirk) for quirk in QUIRKS)
    assert not any(getattr(RFC5321, quirk) for quirk in QUIRKS)
    assert {name: profile_named(name) for name in PROFILES} == {"tcllib-1.5": TCLLIB_1_5, "rfc5321": RFC5321}


@pytest.mark.parametrize("quirk", QUIRKS)
def test_one_quirk_can_be_switched(quirk):
    switched = RFC5321.with_quirks(**{quirk: True})
    assert [name for name in QUIRKS if getattr(switched, name)] == [quirk]
    assert not getattr(RFC5321, quirk)


def test_a_quirk_that_there_is_not_is_named_beside_those_there_are():
    with pytest.raises(ValueError, match="'nope': must be one of stock_replies, .*bare_newline_ends_data"):
        RFC5321.with_quirks(nope=True)
    with pytest.raises(ValueError, match="unknown quirk 'name'"):
        RFC5321.with_quirks(name=True)


def test_a_profile_that_there_is_not_is_named_beside_those_there_are():
    with pytest.raises(ValueError, match="'rfc821': must be one of tcllib-1.5, rfc5321"):
        profile_named("rfc821")
