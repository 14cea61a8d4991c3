"""The trace header."""

import pytest
from engine import TIME, config

from pysmtpd.core.trace import trace_header


@pytest.mark.parametrize(("profile", "software"), [("tcllib-1.5", "tcllib smtpd (1.5)"), ("rfc5321", "pysmtpd")])
def test_the_trace_header_says_who_from_where_when_and_what(profile, software):
    assert trace_header(config(profile), "<a@b>", "client.example", "192.0.2.1", "ID7").split("\n") == [
        "Return-Path: <a@b>",
        "Received: from client.example [192.0.2.1]",
        f"\tby host.example with {software}",
        f"\tid ID7; {TIME}",
    ]


def test_without_a_hello_there_is_no_name():
    assert trace_header(config(), "<>", "", "::1", "x").startswith("Return-Path: <>\nReceived: from  [::1]\n")
