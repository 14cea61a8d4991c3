"""The server in a thread of its own: what api.py does not show."""

import socket

import pytest
from smtp_client import Client

from pysmtpd.server import Server


@pytest.fixture
def server():
    made = Server()
    yield made
    made.stop()


def test_all_interfaces_are_ipv4_and_ipv6(server):
    port = server.start("", 0).getsockname()[1]
    with Client(("127.0.0.1", port)) as client:
        client.expect(220)
    if socket.has_dualstack_ipv6():
        with socket.create_connection(("::1", port), timeout=10) as client:
            assert client.recv(4) == b"220 "


def test_a_client_over_ipv4_on_both_has_an_ipv4_address(server):
    seen = []
    server.configure({"validate_host": seen.append})
    port = server.start("", 0).getsockname()[1]
    with Client(("127.0.0.1", port)) as client:
        assert "[127.0.0.1]" in client.hello().text
    assert seen == ["127.0.0.1"]


@pytest.mark.parametrize("address", ["0", "127.0.0.1", "localhost"])
def test_addresses_of_ipv4(server, address):
    sock = server.start(address, 0)
    with Client(("127.0.0.1", sock.getsockname()[1])) as client:
        assert client.expect(220).text.startswith(f"{address} ESMTP pysmtpd; ")


def test_two_servers_have_their_own_options(server):
    other = Server()
    try:
        server.configure({"banner": "one"})
        other.configure({"banner": "two"})
        for each, banner in ((server, "one"), (other, "two")):
            with Client(each.start("127.0.0.1", 0).getsockname()) as client:
                assert f" {banner}; " in client.expect(220).text
    finally:
        other.stop()


def test_stop_and_start_many_times(server):
    for _ in range(20):
        with Client(server.start("127.0.0.1", 0).getsockname()) as client:
            client.expect(220)
        server.stop()


def test_log_lines_go_to_stderr_without_controls(server, capfd):
    server.configure({"loglevel": "debug"})
    with Client(server.start("127.0.0.1", 0).getsockname()) as client:
        client.hello()
        client.command("NOOP \x1b[31m\x00", 250)
        client.quit()
    server.stop()
    errors = capfd.readouterr().err
    assert r"smtpd debug] received: NOOP \x1b[31m\x00" in errors
    assert "smtpd notice] smtpd service started on" in errors
    assert "\x1b" not in errors
