"""Fixtures for the drivers: what holds for one of them holds for the others."""

import pytest
from python_server import KINDS


@pytest.fixture(params=KINDS)
def make(request):
    """A function that makes a server with options, not started, driven by each driver for Python in turn."""
    made = []

    def make(*arguments, **options):
        server = KINDS[request.param](*arguments, **options)
        made.append(server)
        return server

    yield make
    for server in made:
        server.end()


@pytest.fixture
def running(make):
    """A function that starts such a server and returns its address."""
    return lambda **options: make(**options).start().getsockname()
