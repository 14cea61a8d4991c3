"""The pytest plugin, in runs of pytest of its own."""

import subprocess
import sys

import pytest
from tclsh import environment

SEND = """
import smtplib
import pytest
import pysmtpd as package

def send(server, to="b@example.org", subject="hello"):
    with smtplib.SMTP(*server.addr) as client:
        client.sendmail("a@example.org", [to], f"Subject: {subject}\\n\\nbody\\n")
"""


@pytest.fixture
def suite(pytester):
    """A function that runs some tests, as a project of its own would; returns the result."""

    def run(tests, *arguments, ini="", fresh=False):
        pytester.makeini(
            f"[pytest]\naddopts = --strict-markers --strict-config -p no:cacheprovider -p no:hypothesispytest\n{ini}"
        )
        pytester.makepyfile(SEND + tests)
        return (pytester.runpytest_subprocess if fresh else pytester.runpytest_inprocess)(*arguments)

    return run


def test_the_server_of_a_test(suite):
    result = suite("""
def test_one(pysmtpd):
    assert isinstance(pysmtpd, package.Server)
    send(pysmtpd)
    [message] = pysmtpd.wait_for(to="b@example.org")
    assert message.subject == "hello"

def test_another(pysmtpd):
    assert pysmtpd.messages == []
""")
    result.assert_outcomes(passed=2)


def test_a_failure_shows_what_the_clients_did(suite):
    result = suite("""
@pytest.fixture
def sent(pysmtpd):
    send(pysmtpd, subject="in the set-up")

def test_call(pysmtpd):
    send(pysmtpd)
    assert 0

def test_setup(sent, request):
    request.getfixturevalue("broken")

@pytest.fixture
def broken():
    raise ValueError

def test_good(pysmtpd):
    send(pysmtpd)
""")
    result.assert_outcomes(passed=1, failed=2)
    text = result.stdout.str()
    assert text.count("pysmtpd: what the clients did") == 2
    assert text.count("C: (a message of 24 octets)") == 1
    result.stdout.fnmatch_lines(
        ["session 1 (127.0.0.1:*):", "S: 220 *", "C: ehlo *", "C: [mM]* [fF]*:<a@example.org>*", "S: 250 2.1.0 *"]
    )


def test_options_by_marker_and_setting(suite):
    result = suite(
        """
pytestmark = pytest.mark.pysmtpd(banner="of the module", size_limit=2000)

def test_module(pysmtpd):
    assert (pysmtpd.cget("banner"), pysmtpd.cget("size_limit"), pysmtpd.cget("idle_timeout")) == ("of the module", 2000, 7.5)

@pytest.mark.pysmtpd(banner="of the test")
def test_test(pysmtpd):
    assert (pysmtpd.cget("banner"), pysmtpd.cget("size_limit")) == ("of the test", 2000)

@pytest.mark.pysmtpd(tls="starttls")
def test_tls(pysmtpd):
    with smtplib.SMTP("localhost", pysmtpd.port) as client:
        client.starttls(context=pysmtpd.client_context())
        client.sendmail("a@example.org", ["b@example.org"], "x")
    assert pysmtpd.messages[0].tls.version.startswith("TLS")

def test_session(pysmtpd_session):
    assert (pysmtpd_session.cget("banner"), pysmtpd_session.cget("idle_timeout")) == ("of the project", 7.5)
""",
        ini="pysmtpd =\n    banner = of the project\n    idle_timeout = 7.5\n",
    )
    result.assert_outcomes(passed=4)


def test_what_is_wrong_is_named(suite):
    result = suite("""
@pytest.mark.pysmtpd(no_such=1)
def test_option(pysmtpd): ...

@pytest.mark.pysmtpd("x")
def test_argument(pysmtpd): ...
""")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines_random(['*unknown option "no_such"*', "*the marker pysmtpd takes keywords, not 'x'*"])
    suite("def test(pysmtpd): ...", ini="pysmtpd = banner").stdout.fnmatch_lines(
        ["*setting pysmtpd: 'banner' is no option: must be NAME = VALUE*"]
    )


SHARED = """
@pytest.fixture(scope="session")
def application(pysmtpd_session):
    return lambda subject: send(pysmtpd_session, subject=subject)

@pytest.mark.parametrize("number", range(6))
def test_each(application, pysmtpd_session, number):
    assert pysmtpd_session.messages == []
    application(f"number {number}")
    [message] = pysmtpd_session.wait_for()
    assert message.subject == f"number {number}"
    print("port", pysmtpd_session.port)
    assert len(pysmtpd_session.sessions) == 1
"""


def test_one_server_for_the_run_with_an_inbox_for_each_test(suite):
    result = suite(SHARED, "-s")
    result.assert_outcomes(passed=6)
    assert len({line for line in result.outlines if "port " in line}) >= 1
    assert len({line.split("port ")[1] for line in result.outlines if "port " in line}) == 1


def test_under_xdist_each_worker_has_its_own(suite):
    suite(SHARED, "-n", "2", fresh=True).assert_outcomes(passed=6)


def test_a_failure_under_xdist_shows_what_the_clients_did(suite):
    result = suite(SHARED + "    assert number != 3\n\ndef test_without(): assert 0\n", "-n", "2", fresh=True)
    result.assert_outcomes(passed=5, failed=2)
    assert result.stdout.str().count("pysmtpd: what the clients did") == 1


def test_where_no_test_asks_for_it_nothing_is_loaded(suite):
    result = suite(
        "import sys\ndef test_it(): assert 'pysmtpd.pytest_plugin' in sys.modules and 'pysmtpd.server' not in sys.modules\n",
        fresh=True,
    )
    result.assert_outcomes(passed=1)
    program = "import sys, pytest; before = set(sys.modules); import pysmtpd.pytest_plugin; print(*set(sys.modules) - before)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True
    ).stdout.split()
    assert "pysmtpd.pytest_plugin" in loaded
    slow = {"asyncio", "ssl", "email", "selectors", "socket", "threading", "pysmtpd.server", "pysmtpd.message"}
    assert not set(loaded) & slow


def test_what_a_test_has_received_goes_with_it(suite):
    suite("""
import gc, weakref
servers = []

@pytest.mark.parametrize("number", range(2))
def test_each(pysmtpd, number):
    send(pysmtpd)
    servers.append(weakref.ref(pysmtpd))

def test_nothing_is_left():
    gc.collect()
    assert [server() for server in servers] == [None, None]
""").assert_outcomes(passed=3)


def test_a_failure_shows_what_came_to_the_sessions_server_however_it_was_asked_for(suite):
    result = suite("""
def test_asks_by_name(request):
    send(request.getfixturevalue("pysmtpd_session"))
    assert 0

def test_does_not_ask(): assert 0
""")
    result.assert_outcomes(failed=2)
    assert result.stdout.str().count("pysmtpd: what the clients did") == 1
