"""The clock and the ids."""

import os
import re
import subprocess
import sys
import threading
import time
import types
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest

from pysmtpd import clock


@pytest.fixture
def zone(monkeypatch):
    """A function that puts the process into a time zone, at a moment."""

    def move(name, moment):
        monkeypatch.setenv("TZ", name)
        time.tzset()
        monkeypatch.setattr(clock.time, "time", lambda: moment)
        monkeypatch.setattr(clock, "_last", (-1, ""))

    yield move
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("name", "moment", "text"),
    [
        ("UTC0", 0, "Thu, 01 Jan 1970 00:00:00 +0000"),
        ("UTC0", 1795510800.9, "Tue, 24 Nov 2026 09:00:00 +0000"),
        ("XST-5:45", 1795510800, "Tue, 24 Nov 2026 14:45:00 +0545"),
        ("NST3:30", 1767223800, "Wed, 31 Dec 2025 20:00:00 -0330"),
        ("XST-14", 1767196800, "Thu, 01 Jan 2026 06:00:00 +1400"),
        ("XST12", 1767225600, "Wed, 31 Dec 2025 12:00:00 -1200"),
        ("XST0:30", 1767225600, "Wed, 31 Dec 2025 23:30:00 -0030"),
        ("CET-1CEST,M3.5.0,M10.5.0/3", 1782900000, "Wed, 01 Jul 2026 12:00:00 +0200"),
    ],
)
def test_the_time_is_written_as_rfc_5322_wants_it(zone, name, moment, text):
    zone(name, moment)
    assert clock.timestamp() == text
    assert parsedate_to_datetime(text).timestamp() == int(moment)
    assert clock.time_of_day() == time.strftime("%H:%M:%S")


def test_each_second_has_its_own_text(zone):
    zone("UTC0", 100)
    first = clock.timestamp()
    assert clock.timestamp() == first
    clock.time.time = lambda: 101
    assert clock.timestamp() != first


def test_ids_are_twelve_letters_and_digits_and_never_the_same():
    ids = [clock.new_id() for _ in range(2000)]
    assert len(set(ids)) == 2000
    assert all(re.fullmatch("[A-Za-z0-9]{12}", id_) for id_ in ids)


def test_the_time_of_an_mbox_is_in_english_whatever_the_locale():
    assert clock.asctime(datetime(2026, 3, 1, 9, 5, 7, tzinfo=UTC)) == "Sun Mar 01 09:05:07 2026"


def test_ids_are_for_any_thread(monkeypatch):
    """Servers in several threads share them: one draws random octets while another comes for an id."""
    entered, go_on = threading.Event(), threading.Event()

    def urandom(size):
        if not entered.is_set():
            entered.set()
            assert go_on.wait(10)
        return os.urandom(size)

    clock._ids.clear()
    monkeypatch.setattr(clock, "os", types.SimpleNamespace(urandom=urandom))
    drawn = []
    thread = threading.Thread(target=lambda: drawn.append(clock.new_id()))
    thread.start()
    assert entered.wait(10)
    drawn.append(clock.new_id())
    go_on.set()
    thread.join()
    assert len(set(drawn)) == 2


def test_the_child_of_a_fork_draws_others():
    program = (
        "import os\nfrom pysmtpd import clock\nclock.new_id()\nreader, writer = os.pipe()\n"
        "if not os.fork():\n    os.write(writer, ' '.join(clock.new_id() for _ in range(100)).encode())\n    os._exit(0)\n"
        "theirs = set(os.read(reader, 65536).decode().split())\n"
        "print(len(theirs), len(theirs & {clock.new_id() for _ in range(1000)}))\n"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "100 0\n"
