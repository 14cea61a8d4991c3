"""The clock and the ids that drivers inject into the core."""

import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ALPHANUMERIC = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_BYTE_TO_ALPHANUMERIC = bytes(_ALPHANUMERIC[value % len(_ALPHANUMERIC)] for value in range(256))

_last: tuple[int, str] = (-1, "")


def timestamp() -> str:
    """Return the local time as RFC 5322, 3.3, writes it, in English whatever the locale: ``Tue, 24 Nov 2026 09:00:00 +0100``."""
    global _last
    now = int(time.time())
    second, text = _last
    if second != now:
        local = time.localtime(now)
        minutes = local.tm_gmtoff // 60
        text = (
            f"{_DAYS[local.tm_wday]}, {local.tm_mday:02d} {_MONTHS[local.tm_mon - 1]} {local.tm_year}"
            f" {local.tm_hour:02d}:{local.tm_min:02d}:{local.tm_sec:02d}"
            f" {'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}{abs(minutes) % 60:02d}"
        )
        _last = now, text
    return text


_ids: list[str] = []  # drawn already: a system call costs more than an id


def new_id() -> str:
    """Return twelve random ASCII letters and digits, as the stock package names messages. For any thread."""
    try:
        return _ids.pop()
    except IndexError:
        letters = os.urandom(12 * 256).translate(_BYTE_TO_ALPHANUMERIC).decode("ascii")
        _ids.extend([letters[start : start + 12] for start in range(12, len(letters), 12)])
        return letters[:12]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ids.clear)  # else the child would name its messages as the parent does


def asctime(moment: "datetime") -> str:
    """Return a time as RFC 4155 writes it in an mbox, in English whatever the locale: ``Tue Nov 24 09:00:00 2026``."""
    weekday, month = _DAYS[moment.weekday()], _MONTHS[moment.month - 1]
    return f"{weekday} {month} {moment.day:02d} {moment:%H:%M:%S} {moment.year:04d}"


def time_of_day() -> str:
    """Return the local time as ``HH:MM:SS``, for a line of the log."""
    return time.strftime("%H:%M:%S")
