"""A server for clients that other people wrote, and how one of their commands is run."""

import os
import subprocess

import pytest
from smtp_client import DEADLINE

import pysmtpd


@pytest.fixture
def serve():
    """A function that starts a server with options; it ends with the test."""
    started = []

    def start(**options):
        server = pysmtpd.Server(**options)
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.close()


@pytest.fixture
def run(tmp_path):
    """A function that runs a command to its end, in an empty folder and home; it must succeed. Returns its output."""

    def command(*words, input=None, **variables):
        environment = {**os.environ, "HOME": str(tmp_path), "LC_ALL": "C.UTF-8", "EMAIL": "a@example.org", **variables}
        result = subprocess.run(
            list(map(str, words)),
            env=environment, cwd=tmp_path, input=input, capture_output=True, text=True, timeout=3 * DEADLINE,
        )  # fmt: skip
        assert result.returncode == 0, f"{words}: {result.stdout}{result.stderr}"
        return result.stdout + result.stderr

    return command
