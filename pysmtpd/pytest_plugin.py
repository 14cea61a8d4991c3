"""The pytest plugin: a running server as a fixture, and what its clients did in the report of a test that fails.

Loaded by every run of pytest where this package is installed, so it imports nothing that no test has asked for.
"""

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from pysmtpd.server import Server

_SERVERS: Final = pytest.StashKey["list[Server]"]()
_SESSION_SERVER: Final = pytest.StashKey["Server"]()

_MARK: Final = "pysmtpd(**options): options of the server that the fixture pysmtpd starts, as pysmtpd.Server takes them"
_INI: Final = "options of all servers that fixtures start, as pysmtpd.Server takes them: a line NAME = VALUE each"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the setting ``pysmtpd``."""
    parser.addini("pysmtpd", _INI, type="linelist", default=[])


def pytest_configure(config: pytest.Config) -> None:
    """Add the marker ``pysmtpd``."""
    config.addinivalue_line("markers", _MARK)


@pytest.fixture
def pysmtpd(request: pytest.FixtureRequest) -> Iterator["Server"]:
    """A running ``pysmtpd.Server`` on a free port of 127.0.0.1, for this test alone.

    ``@pytest.mark.pysmtpd(tls="starttls", banner="...")`` gives it options; so does the setting ``pysmtpd``.
    """
    options = _settings(request.config)
    for mark in reversed(list(request.node.iter_markers("pysmtpd"))):
        if mark.args:
            raise pytest.UsageError(f"{request.node.nodeid}: the marker pysmtpd takes keywords, not {mark.args[0]!r}")
        options.update(mark.kwargs)
    with _started(options) as server:
        request.node.stash.setdefault(_SERVERS, []).append(server)
        yield server


@pytest.fixture(scope="session")
def pysmtpd_session(request: pytest.FixtureRequest) -> Iterator["Server"]:
    """A running ``pysmtpd.Server`` for all tests of the run; under pytest-xdist one for each worker, on a port of its own.

    Each test begins with no messages, no sessions and no faults in it.
    """
    with _started(_settings(request.config)) as server:
        request.config.stash[_SESSION_SERVER] = server
        yield server
        del request.config.stash[_SESSION_SERVER]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Empty the session's server, if there is one by now."""
    server = item.config.stash.get(_SESSION_SERVER, None)
    if server is not None:
        server.clear()
        server.faults.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what the clients did to the report of a test that failed. Its servers go with the last report."""
    report = yield
    if report.failed:
        for server in _servers_of(item):
            if transcript := server.transcript:
                report.sections.append(("pysmtpd: what the clients did", transcript))
    if report.when == "teardown" and _SERVERS in item.stash:
        del item.stash[_SERVERS]
    return report


def _servers_of(item: pytest.Item) -> "list[Server]":
    servers = item.stash.get(_SERVERS, None) or []
    shared = item.config.stash.get(_SESSION_SERVER, None)
    return servers if shared is None else [*servers, shared]


def _started(options: dict[str, Any]) -> "Server":
    from pysmtpd.server import Server

    return Server(**options)


def _settings(config: pytest.Config) -> dict[str, Any]:
    """Return the options that the setting ``pysmtpd`` gives. Raises UsageError for a line that is none."""
    options = {}
    for line in config.getini("pysmtpd"):
        name, equals, value = (part.strip() for part in line.partition("="))
        if not (name and equals):
            raise pytest.UsageError(f"setting pysmtpd: {line!r} is no option: must be NAME = VALUE")
        options[name] = _value(value)
    return options


def _value(text: str) -> Any:
    """Return a number, a truth value or the like; text that is no Python literal stands for itself."""
    from ast import literal_eval

    try:
        return literal_eval(text)
    except (ValueError, SyntaxError):
        return text
