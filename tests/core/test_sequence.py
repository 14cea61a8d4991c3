"""The table of the order of commands."""

import pytest

from pysmtpd.core.config import STOCK_COMMANDS
from pysmtpd.core.profile import QUIRKS, RFC5321, TCLLIB_1_5
from pysmtpd.core.replies import STANDARD, STOCK
from pysmtpd.core.sequence import SEQUENCE, rules_under


def test_every_verb_has_its_line():
    assert set(SEQUENCE) == {*STOCK_COMMANDS, "STARTTLS"}


def test_rules_name_replies_and_quirks_that_there_are():
    for rules in SEQUENCE.values():
        for rule in rules:
            assert getattr(STOCK, rule.reply).startswith(b"503 ")
            assert getattr(STANDARD, rule.reply).startswith(b"503 5.5.1 ")
            assert {rule.unless, rule.only_with} <= {"", *QUIRKS}


@pytest.mark.parametrize(
    ("verb", "stock", "standard"),
    [("HELO", 1, 0), ("MAIL", 0, 2), ("RCPT", 0, 1), ("DATA", 2, 2), ("NOOP", 0, 0), ("QUIT", 0, 0)],
)
def test_how_many_rules_hold(verb, stock, standard):
    assert (len(rules_under(TCLLIB_1_5)[verb]), len(rules_under(RFC5321)[verb])) == (stock, standard)


def test_where_tls_is_required_it_comes_before_all_that_concerns_mail():
    rules = rules_under(RFC5321, tls_required=True)
    assert {verb for verb in rules if rules[verb][:1] and rules[verb][0].reply == "tls_required"} == {"MAIL", "RCPT", "DATA"}
