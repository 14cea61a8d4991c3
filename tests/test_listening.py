"""Where a server listens."""

import os
import re
import socket
from pathlib import Path

import pytest

from pysmtpd import ConfigurationError, Server
from pysmtpd.listening import adopt, host_of, listen, url_of


@pytest.mark.parametrize(
    ("name", "host", "url"),
    [
        (("127.0.0.1", 25), "127.0.0.1", "smtp://127.0.0.1:25"),
        (("0.0.0.0", 2525), "127.0.0.1", "smtp://127.0.0.1:2525"),
        (("::", 2525, 0, 0), "::1", "smtp://[::1]:2525"),
        ("/run/mail", "/run/mail", "unix:/run/mail"),
    ],
)
def test_an_address_reads_as_a_client_on_this_machine_needs_it(name, host, url):
    assert (host_of(name), url_of(name)) == (host, url)


def test_a_name_that_resolves_is_listened_on():
    with listen("localhost", 0) as listener:
        assert listener.getsockname()[0] in ("127.0.0.1", "::1")


@pytest.mark.parametrize("port", [-1, 65536, "25", None, True])
def test_a_port_that_is_none_is_named(port):
    with pytest.raises(ConfigurationError, match=f"port is {port!r}: must be a number from 0 to 65535"):
        listen("127.0.0.1", port)


@pytest.mark.parametrize("host", [None, Path("/run/mail"), b"127.0.0.1"])
def test_a_host_that_is_no_string_is_named(host):
    with pytest.raises(ConfigurationError, match=f"host is {re.escape(repr(host))}: must be a string"):
        listen(host, 0)


@pytest.mark.parametrize("host", ["\u00fc" * 70, "a\0b", "/run/a\0b", "\ud800"])
def test_what_no_host_can_be_called_cannot_be_had(host):
    with pytest.raises(OSError, match="cannot listen on "):
        listen(host, 0)


def test_replies_are_not_held_back_for_an_acknowledgement():
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connected, _ = listener.accept()
        with connected:
            assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_socket_file_that_nobody_listens_on_is_replaced(tmp_path):
    path = str(tmp_path / "mail")
    listen(path, 0).close()  # the file stays
    with listen(path, 0) as listener, socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        assert listener.getsockname() == path


def test_a_socket_file_in_use_stays_whose_it_is(tmp_path):
    path = str(tmp_path / "mail")
    with listen(path, 0), pytest.raises(OSError, match=f"cannot listen on {path}: .*in use"):
        listen(path, 0)


def test_a_file_that_is_no_socket_is_not_removed(tmp_path):
    path = tmp_path / "mail"
    path.write_text("precious")
    with pytest.raises(OSError, match="in use"):
        listen(str(path), 0)
    assert path.read_text() == "precious"


def test_the_file_of_a_unix_socket_goes_with_the_server(tmp_path):
    path = str(tmp_path / "mail")
    with Server(path):
        assert os.path.exists(path)
    assert not os.path.exists(path)


@pytest.mark.parametrize("given", [5, "socket", None])
def test_what_is_no_socket_is_named(given):
    with pytest.raises(ConfigurationError, match=f"sock is {given!r}: must be"):
        adopt(given)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_a_socket_that_is_not_bound_is_refused(family):
    """The system would have it listen on all interfaces."""
    with socket.socket(family) as given, pytest.raises(ConfigurationError, match="that is bound"):
        adopt(given)


def test_a_datagram_socket_and_a_closed_one_are_refused():
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams, pytest.raises(ConfigurationError, match="sock is"):
        adopt(datagrams)
    with pytest.raises(ConfigurationError, match="sock is"):
        adopt(datagrams)
