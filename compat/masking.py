"""What differs from run to run, turned into fixed words: dates, message ids, versions, the host's name, ports.

Every comparison in the suite goes through `mask`, on the expected and on the actual side; masking twice changes nothing.
"""

import re
import socket
from collections.abc import Iterable

_DATE = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} [-+]\d{4}"
_TCL_DATE = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} \d{2} \d{2}:\d{2}:\d{2} \S+ \d{4}"

# Each pattern names its context, so that a text of the same look elsewhere in a session is still compared.
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(_DATE), "DATE"),
    (re.compile(_TCL_DATE), "DATE"),
    (re.compile(r"\b[0-9A-Za-z]{12}(?= Message accepted)"), "ID"),
    (re.compile(r"(?<=id )[0-9A-Za-z]{12}(?=; DATE)"), "ID"),
    (re.compile(r"tcllib smtpd \(\d[\w.]*\)"), "tcllib smtpd (VERSION)"),
    (re.compile(r"tcllib smtpd \d[\w.]*(?=;)"), "tcllib smtpd VERSION"),
    (re.compile(r"cipher=[-\w]+ bits=\d+"), "cipher=CIPHER bits=BITS"),
    (re.compile(r"\[\d\d:\d\d:\d\d smtpd"), "[TIME smtpd"),
    (re.compile(r"\bsock[0-9a-f]{4,}\b"), "SOCKET"),
    (re.compile(r"(?<=127\.0\.0\.1:)\d{2,5}\b"), "PORT"),
    # A log line names a session by its channel in Tcl, by its address where there are no channels.
    (re.compile(r"(?<= on )127\.0\.0\.1:PORT\b"), "SOCKET"),
    (re.compile(r"(?<=listening on port )\d+"), "PORT"),
    # MIME boundaries and message ids that clients make up.
    (re.compile(r"(?<=Message-ID: )<.*>"), "<ID>"),
    (re.compile(r"(?<==_)[-=_.\w]{8,}"), "BOUNDARY"),
)


def mask(line: str, hosts: Iterable[str] = ()) -> str:
    """The line with every changing part replaced; `hosts` are the names this machine goes by."""
    for pattern, word in _RULES:
        line = pattern.sub(word, line)
    for host in {socket.gethostname(), *hosts} - {"", "localhost"}:
        line = re.sub(rf"(?<![-\w.]){re.escape(host)}(?![-\w])", "HOST", line)
    return line


def masked(lines: Iterable[str], hosts: Iterable[str] = ()) -> list[str]:
    """`mask` for each line."""
    known = tuple(hosts)
    return [mask(line, known) for line in lines]
