"""What the command line of `pysmtpd serve` means."""

import argparse

import pytest

from pysmtpd.callbacks import ConfigurationError
from pysmtpd.serve_options import Address, add_arguments, apply_class, parse_address, server_options


def parsed(*words):
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:25", "127.0.0.1", 25),
        ("localhost:0", "localhost", 0),
        ("localhost", "localhost", 2525),
        (":8025", "127.0.0.1", 8025),
        ("8025", "127.0.0.1", 8025),
        ("*:8025", "", 8025),
        ("0.0.0.0:8025", "0.0.0.0", 8025),
        ("[::1]:8025", "::1", 8025),
        ("[::]", "::", 2525),
        ("unix:/run/x", "/run/x", 0),
        ("/run/x", "/run/x", 0),
    ],
)
def test_addresses(text, host, port):
    assert parse_address(text) == Address(host, port)
    assert parsed("-l", text).listen == Address(host, port)


@pytest.mark.parametrize(
    "text", ["::1", "::1:25", "[::1", "[::1]x", "[::1]25", "host:port", "host:", "host:-1", "host:65536", "host:²"]
)
def test_what_is_no_address_is_refused_with_what_is_allowed(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"must be a number from 0 to 65535|must be HOST:PORT"):
        parse_address(text)


def test_by_default_it_is_the_workstation_only():
    assert parsed().listen == Address("127.0.0.1", 2525)


def test_options_of_the_server():
    options = parsed("--profile", "tcllib-1.5", "-d", "-o", "banner=a=b", "--handler", "json:dumps")
    assert {name: value for name, value in server_options(options).items() if not callable(value)} == {
        "banner": "a=b",
        "profile": "tcllib-1.5",
        "loglevel": "info",
    }
    assert server_options(parsed("-s", "100", "-o", "pipelining=off", "-o", "request=on", "--certfile", "x")) == {
        "size_limit": 100,
        "pipelining": False,
        "request": True,
        "certfile": "x",
        "tls": "starttls",
    }
    assert server_options(parsed("--user", "anna:a:b", "--user", "bert:c", "--require-auth", "-o", "auth_mechanisms=plain")) == {
        "auth_users": {"anna": "a:b", "bert": "c"},
        "auth_required": True,
        "auth_mechanisms": ("PLAIN",),
    }
    assert server_options(parsed("--tls"))["tls"] == "starttls"
    assert server_options(parsed("-ddd"))["loglevel"] == "debug"
    assert server_options(parsed()) == {}
    assert server_options(options)["deliver"].__name__ == "dumps"


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        (["-c", "aiosmtpd.handlers.Mailbox", "box"], {"maildir": "box"}),
        (["-c", "aiosmtpd.handlers.Sink"], {"quiet": True}),
        (["-c", "aiosmtpd.handlers.Debugging"], {}),
        (["-c", "DebuggingServer", "localhost:1025"], {"listen": Address("localhost", 1025)}),
        ([], {}),
    ],
)
def test_handlers_by_the_names_they_have_elsewhere(words, changed):
    options = parsed(*words)
    before = dict(vars(options))
    apply_class(options)
    assert {name: value for name, value in vars(options).items() if before[name] != value} == changed


@pytest.mark.parametrize(
    "words", [["-c", "Mailbox"], ["-c", "Sink", "x"], ["-c", "mine.Handler"], ["x"], ["-c", "Debugging", "a:1", "b"]]
)
def test_other_handlers_are_refused_with_the_way_to_use_ones_own(words):
    with pytest.raises(ConfigurationError, match="--handler MODULE:FUNCTION"):
        apply_class(parsed(*words))


def test_who_requires_a_login_says_who_can_log_in(tmp_path, monkeypatch):
    with pytest.raises(ConfigurationError, match="--require-auth.*--user NAME:SECRET"):
        server_options(parsed("--require-auth"))
    (tmp_path / "door.py").write_text("def validate_user(name, secret): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert server_options(parsed("--require-auth", "--callbacks", "door"))["auth_required"]
