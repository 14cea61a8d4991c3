"""The trace header."""

import re

import pytest
from engine import TIME, config

from pysmtpd.core.tls import TlsFacts
from pysmtpd.core.trace import trace_header


def test_the_stock_trace_header_says_who_from_where_when_and_what():
    assert trace_header(config("tcllib-1.5"), "<a@b>", "client.example", "192.0.2.1", "ID7").split("\n") == [
        "Return-Path: <a@b>",
        "Received: from client.example [192.0.2.1]",
        "\tby host.example with tcllib smtpd (1.5)",
        f"\tid ID7; {TIME}",
    ]


def test_ours_has_the_form_of_the_rfc():
    """RFC 5321, 4.4; RFC 3848."""
    assert trace_header(config(), "<a@b>", "client.example", "192.0.2.1", "ID7", None, "ESMTP").split("\n") == [
        "Return-Path: <a@b>",
        "Received: from client.example ([192.0.2.1])",
        "\tby host.example (pysmtpd) with ESMTP",
        f"\tid ID7; {TIME}",
    ]


@pytest.mark.parametrize(("certificate", "verified"), [(None, "NO"), ({"subject": ()}, "YES")])
def test_under_tls_it_says_what_was_agreed_on(certificate, verified):
    facts = TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256, certificate)
    header = trace_header(config(), "<>", "x", "192.0.2.1", "ID7", facts, "ESMTPS").split("\n")
    assert header[2:4] == [
        "\tby host.example (pysmtpd) with ESMTPS",
        f"\t(version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384 bits=256 verify={verified})",
    ]


def test_without_a_hello_there_is_no_name():
    assert trace_header(config("tcllib-1.5"), "<>", "", "::1", "x").startswith("Return-Path: <>\nReceived: from  [::1]\n")


def test_an_ipv6_address_is_a_literal():
    """RFC 5321, 4.1.3."""
    assert re.search(r"^Received: from x \(\[IPv6:::1\]\)$", trace_header(config(), "<>", "x", "::1", "x"), re.MULTILINE)
