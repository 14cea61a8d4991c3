"""The PROXY protocol: headers of both versions, whole and in pieces, and what is none."""

import pytest
from engine import Driver, codes, config, play
from tls_client import TlsClient

from pysmtpd.certificates import LOCALHOST
from pysmtpd.core import CheckHost, Close, Deliver, Refuse
from pysmtpd.core.tls import TlsSettings, make_context

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 203.0.113.7 192.0.2.5 56324 25\r\n"
V2_IPV4 = SIGNATURE + b"\x21\x11\x00\x0c" + bytes([203, 0, 113, 7, 192, 0, 2, 5]) + (56324).to_bytes(2) + (25).to_bytes(2)
V2_IPV6 = (
    SIGNATURE
    + b"\x21\x21\x00\x24"
    + bytes.fromhex("20010db8" + "0" * 23 + "1" + "20010db8" + "0" * 23 + "2")
    + b"\xdc\x04\x00\x19"
)
V2_WITH_MORE = SIGNATURE + b"\x21\x11\x00\x13" + V2_IPV4[16:] + b"\x04\x00\x04abcd"
V2_LOCAL = SIGNATURE + b"\x20\x00\x00\x00"
V2_UNIX = SIGNATURE + b"\x21\x31\x00\xd8" + bytes(216)


def settings(ask=("host", "deliver")):
    made = config(ask=ask)
    made.choose({"proxy": True})
    return made


@pytest.mark.parametrize(
    ("header", "client"),
    [
        (V1, ("203.0.113.7", 56324)),
        (b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", ("2001:db8::1", 1)),
        (b"PROXY UNKNOWN\r\n", ("192.0.2.1", 1025)),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", ("192.0.2.1", 1025)),
        (V2_IPV4, ("203.0.113.7", 56324)),
        (V2_IPV6, ("2001:db8::1", 56324)),
        (V2_WITH_MORE, ("203.0.113.7", 56324)),
        (V2_LOCAL, ("192.0.2.1", 1025)),
        (V2_UNIX, ("192.0.2.1", 1025)),
    ],
)
@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_the_client_is_who_the_header_says(header, client, piece):
    data = header + b"EHLO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n"
    driver = play(settings(), [data[start : start + piece] for start in range(0, len(data), piece)])
    assert driver.of_type(CheckHost) == [CheckHost(client[0])]
    [delivery] = driver.of_type(Deliver)
    assert (delivery.envelope.client, delivery.envelope.port) == client
    assert f"Received: from me ([{'IPv6:' * (':' in client[0])}{client[0]}])" in delivery.content.trace
    assert codes(driver.output) == [220, 250, 250, 250, 354, 250, 221]


def test_nothing_is_said_before_the_header():
    driver = Driver(settings())
    driver.feed(V1[:-1])
    assert (driver.output, driver.events) == (b"", [])
    driver.feed(V1[-1:])
    assert codes(driver.output) == [220]


@pytest.mark.parametrize(
    "data",
    [
        b"EHLO me\r\n", b"\r\n\r\n\r\n", b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
        b"PROXY TCP4 ::1 ::1 1 2\r\n", b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", b"PROXY TCP4 1.2.3.400 1.2.3.4 1 2\r\n", b"PROXY TCP4 1.2.3.4 x 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 \xb2\r\n",
        b"PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n", b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n", b"PROXY TCP6 fe80::1%[exit] ::1 1 2\r\n", b"PROXY " + b"x" * 200,
        SIGNATURE + b"\x11\x11\x00\x0c" + bytes(12), SIGNATURE + b"\x22\x11\x00\x0c" + bytes(12), SIGNATURE + b"\x21\x11\x00\x0b" + bytes(11),
        SIGNATURE + b"\x21\x21\x00\x0c" + bytes(12), SIGNATURE + b"\x21\x11\xff\xff" + bytes(12), SIGNATURE[:-1] + b"X" + b"\x21\x11\x00\x0c", b"\0" * 20,
    ],
)  # fmt: skip
def test_what_is_no_header_is_turned_away(data):
    for pieces in ([data + b"MAIL FROM:<a@b>\r\n"], [data[index : index + 1] for index in range(len(data))]):
        driver = Driver(settings())
        for piece in pieces:
            driver.feed(piece)
        assert driver.output == b"421 4.7.0 PROXY header expected\r\n"
        assert driver.of_type(Close) == [Close("no PROXY header")]
        assert not driver.of_type(CheckHost)


def test_a_client_that_leaves_before_its_header_is_whole():
    driver = Driver(settings())
    driver.feed(V1[:20])
    driver.end()
    assert (driver.closed, driver.output) == (True, b"")


def test_a_host_may_be_refused_for_what_the_header_says():
    driver = Driver(settings(), lambda question: Refuse(f"not {question.address}"))
    driver.feed(V1 + b"HELO x\r\n")
    assert codes(driver.output) == [550, 503]
    assert b"not 203.0.113.7" in driver.output


def test_under_implicit_tls_the_header_comes_before_the_handshake():
    made = settings(ask=("host",))
    made.use_tls(make_context(TlsSettings(*LOCALHOST)), implicit=True)
    driver = Driver(made)
    driver.feed(V2_IPV4)
    client = TlsClient(driver).handshake()
    assert client.send(b"NOOP\r\n").endswith(b"250 2.0.0 OK\r\n")
    assert driver.of_type(CheckHost) == [CheckHost("203.0.113.7")]
