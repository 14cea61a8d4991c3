"""The fixtures of the hardening tests: one harness, every driver."""

import pytest
from subject import DRIVERS, Subject


@pytest.fixture(scope="module", params=DRIVERS)
def driver(request):
    return request.param


@pytest.fixture(scope="module")
def running(driver, tmp_path_factory):
    """A server with the defaults of its language, for all tests of a module: each leaves it as it was, or fails."""
    subject = Subject(driver, tmp_path_factory.mktemp("server"))
    yield subject
    assert subject.end() == 0


@pytest.fixture
def server(running):
    """That server, with nothing delivered so far; it must have nothing to complain about afterwards."""
    running.reset()
    yield running
    assert running.complaints() == []


@pytest.fixture
def start(driver, tmp_path):
    """A function that starts a server of the test's own with options.

    Unless it is said to be doomed it must end as told, with nothing to complain about.
    """
    started = []

    def start(doomed=False, **options):
        subject = Subject(driver, tmp_path, **options)
        started.append((subject, doomed))
        return subject

    yield start
    for subject, doomed in started:
        complaints = subject.complaints()
        code = subject.end()
        assert doomed or (code, complaints) == (0, [])
