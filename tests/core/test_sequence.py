"""The table of the order of commands."""

import pytest
from engine import config

from pysmtpd.core.config import STOCK_COMMANDS
from pysmtpd.core.profile import QUIRKS
from pysmtpd.core.replies import STANDARD, STOCK
from pysmtpd.core.sequence import SEQUENCE, rules_under
from pysmtpd.core.settings import EXTENSIONS, SETTINGS


def test_every_verb_has_its_line():
    brought = {verb for extension in EXTENSIONS.values() for verb in extension.verbs}
    assert set(SEQUENCE) == STOCK_COMMANDS | brought | {"LHLO", "STARTTLS"}


def test_rules_name_replies_and_quirks_that_there_are():
    for rules in SEQUENCE.values():
        for rule in rules:
            assert getattr(STOCK, rule.reply)[:4] in (b"503 ", b"530 ")
            assert getattr(STANDARD, rule.reply)[:10] in (b"503 5.5.1 ", b"530 5.7.0 ")
            assert {rule.unless, rule.only_with} <= {"", *QUIRKS, *SETTINGS}


@pytest.mark.parametrize(
    ("verb", "stock", "standard"),
    [("HELO", 1, 0), ("MAIL", 0, 2), ("RCPT", 0, 1), ("DATA", 2, 2), ("NOOP", 0, 0), ("QUIT", 0, 0)],
)
def test_how_many_rules_hold(verb, stock, standard):
    held = [len(rules_under(config(profile).is_on)[verb]) for profile in ("tcllib-1.5", "rfc5321")]
    assert held == [stock, standard]


def test_where_tls_is_required_it_comes_before_all_that_concerns_mail():
    rules = rules_under(config().is_on, tls_required=True)
    first = {verb for verb in rules if rules[verb][:1] and rules[verb][0].reply == "tls_required"}
    assert first == {"MAIL", "RCPT", "DATA", "VRFY", "EXPN", "AUTH"}  # and BDAT, once its chunk is read
