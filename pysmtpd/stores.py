"""Where received messages are put so that they stay: a Maildir, an mbox file, a file of JSON lines.

One rule holds for all: when :meth:`Store.add` returns, the message is on the disk, whole, and so is the directory entry that
leads to it; the client is told 250 only then. When it raises, nothing of the message is left in the store. Threads and
processes may add to the same store at the same time.

The standard library's ``mailbox`` is for reading: it imports the package ``email``, does not put directories on the disk, reads a
whole mbox before it appends to it, and quotes ``From`` in a way that cannot be undone.
"""

import errno
import os
import re
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from pysmtpd.callbacks import Refused, text_of
from pysmtpd.clock import asctime
from pysmtpd.core import Accept, Refuse, Verdict
from pysmtpd.core.replies import Replies

if TYPE_CHECKING:
    from pysmtpd.message import Message

#: What the system says when there is no room left: the client is told 452, and 451 for anything else.
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_LOCK_PATIENCE: Final = 5.0  # seconds
_READABLE_BY_OWNER: Final = 0o600
_LINE_START: Final = b'{"id": "'


class Store(Protocol):
    """What a server puts its messages into. Write your own: one method."""

    def add(self, message: "Message", trace: str) -> None:
        """Keep a message, for good. Raises anything at all when it cannot: the client is then told so, and will try again.

        Arguments:
            message: the message as the client sent it.
            trace: the trace header (RFC 5321, 4.4) that stands before it in a mailbox, lines joined by LF, none after the last.
        """


def put(store: Store, message: "Message", trace: str, replies: Replies, log: Callable[[str], None]) -> Verdict:
    """Put a message into a store; return what the client is to be told: yes, 452 where there is no room, else 451.

    Arguments:
        replies: the texts that go with the codes.
        log: what takes a line that says what went wrong.
    """
    try:
        store.add(message, trace)
    except Refused as refusal:
        return Refuse(refusal.text, refusal.code)
    except BaseException as error:  # as with callbacks: a SystemExit of somebody's code is not the end of the server
        log(f"cannot store message {message.id}: {text_of(error)}")
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            return Refuse(replies.store_full, 452)
        return Refuse(replies.store_failed, 451)
    return Accept()


class Maildir:
    """A folder with a file for each message: written in ``tmp``, moved to ``new``.

    Arguments:
        path: the folder; it is made, with its three subfolders, where it is missing.

    Raises OSError when it cannot be made or written to.
    Source: https://cr.yp.to/proto/maildir.html
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()  # a handler may go to another folder
        self._host = re.sub(r"[/:\s]", "_", socket.gethostname())
        self._numbers = count(1)
        for name in ("tmp", "new", "cur"):
            folder = self.path / name
            folder.mkdir(parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        _sync_folder(self.path)
        _sync_folder(self.path.parent)

    def add(self, message: "Message", trace: str) -> None:
        """Keep a message. Raises OSError."""
        name = self._unique_name()
        draft = self.path / "tmp" / name
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _READABLE_BY_OWNER)
        try:
            try:
                _write(file, _mailbox_text(message, trace))
                os.fsync(file)
            finally:
                os.close(file)
            os.rename(draft, self.path / "new" / name)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        try:
            _sync_folder(self.path / "new")
        except OSError:
            (self.path / "new" / name).unlink(missing_ok=True)
            raise

    def _unique_name(self) -> str:
        """Return a name that no other process, nor thread, of this host takes: time, process, count."""
        seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        return f"{seconds}.M{nanoseconds // 1000:06d}P{os.getpid()}Q{next(self._numbers)}.{self._host}"


class Mbox:
    """One file that holds all messages, each behind a ``From`` line (``mboxrd``: that quoting can be undone).

    It is locked with ``lockf`` while written to, as mail programs do. Nothing locks it on Windows.

    Arguments:
        path: the file; it is made where it is missing.

    Raises OSError when it cannot be made or written to.
    Source: RFC 4155; https://www.loc.gov/preservation/digital/formats/fdd/fdd000385.shtml
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()  # a handler may go to another folder
        _try_to_append(self.path)

    def add(self, message: "Message", trace: str) -> None:
        """Keep a message. Raises OSError, also when another program has held its lock for seconds."""
        sender = re.sub(r"\s", "-", message.sender) or "MAILER-DAEMON"
        head = f"From {sender} {asctime(message.time)}\n"
        text = re.sub(rb"^(>*From )", rb">\1", _mailbox_text(message, trace), flags=re.MULTILINE)
        with _appending(self.path) as file, _locked_for_readers(file):
            _append(file, _gap(file, b"\n\n") + _path_octets(message, head) + text + (b"\n" if text.endswith(b"\n") else b"\n\n"))


class JsonLines:
    """A file with one line of JSON for each message.

    ``id``, ``time`` (ISO 8601, UTC), ``sender``, ``recipients``, ``peer`` (address and port), ``helo``, ``protocol``; where there
    are any ``tls`` (version, cipher), ``user``, ``parameters`` and ``recipient_parameters``; and the exact octets of the message:
    as ``content`` where they are UTF-8, else as ``content_base64``. A last line that a crash cut off is taken away
    by the next message: no client was told that it is there.

    Arguments:
        path: the file; it is made where it is missing.

    Raises OSError when it cannot be made or written to.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()  # a handler may go to another folder
        _try_to_append(self.path)

    def add(self, message: "Message", trace: str) -> None:
        """Keep a message. Raises OSError."""
        line = json_line(message)
        with _appending(self.path) as file:
            _cut_torn_line(file)
            _append(file, _gap(file, b"\n") + line)


def _cut_torn_line(file: int) -> None:
    """Take away a last line of ours that has no end."""
    size = start = os.fstat(file).st_size
    tail = b""
    while start > 0 and b"\n" not in tail:
        length = min(start, 65_536)
        start -= length
        tail = os.pread(file, length, start) + tail
        if tail.endswith(b"\n"):
            return
    torn = tail.rpartition(b"\n")[2]
    if torn.startswith(_LINE_START) or (torn and _LINE_START.startswith(torn)):
        os.ftruncate(file, size - len(torn))


def json_line(message: "Message") -> bytes:
    """Return the line of JSON for a message, line end included: in ASCII, whatever the message holds."""
    from json import dumps

    record: dict[str, Any] = {
        "id": message.id,
        "time": message.time.isoformat(timespec="milliseconds"),
        "sender": message.sender,
        "recipients": list(message.recipients),
        "peer": list(message.peer),
        "helo": message.helo,
        "protocol": message.protocol,
    }
    if message.tls is not None:
        record["tls"] = {"version": message.tls.version, "cipher": message.tls.cipher}
    if message.user is not None:
        record["user"] = message.user
    if message.parameters:
        record["parameters"] = message.parameters
    if any(message.recipient_parameters):
        record["recipient_parameters"] = message.recipient_parameters
    try:
        record["content"] = message.content.decode("utf-8")
    except UnicodeDecodeError:
        from base64 import b64encode

        record["content_base64"] = b64encode(message.content).decode("ascii")
    return dumps(record).encode("ascii") + b"\n"


# What a mailbox holds

_HEADER_FIELD: Final = re.compile(rb"[!-9;-~]+[ \t]*:|\r?\n")


def _mailbox_text(message: "Message", trace: str) -> bytes:
    """Return a message as mailboxes hold it: trace header and recipients first, lines ended by LF unless it is binary."""
    recipients = ",\n\t".join(message.recipients)
    content = message.content
    if message.parameters.get("BODY", "").upper() != "BINARYMIME":  # RFC 3030: its octets are not lines
        content = content.replace(b"\r\n", b"\n")
    gap = b"" if not content or _HEADER_FIELD.match(content) else b"\n"  # a body without any header
    return b"%b\nX-RcptTo: %b\n%b%b" % (trace.encode("latin-1", "replace"), _path_octets(message, recipients), gap, content)


def _path_octets(message: "Message", path: str) -> bytes:
    """Return a path as its client sent it: in UTF-8 with SMTPUTF8 (RFC 6531), else one octet for each character."""
    return path.encode("utf-8" if "SMTPUTF8" in message.parameters else "latin-1", "replace")


# Files


def _try_to_append(path: Path) -> None:
    """Raise OSError unless messages can be added to a file. A pipe or a device keeps nothing, and nothing can be taken back."""
    with _appending(path) as file:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))


@contextmanager
def _appending(path: Path) -> Iterator[int]:
    """Open a file to add to it, nobody else of our own doing so; a file that was missing is on the disk."""
    flags = os.O_RDWR | os.O_APPEND
    try:
        file = os.open(path, flags)
    except FileNotFoundError:
        file = os.open(path, flags | os.O_CREAT, _READABLE_BY_OWNER)
        _sync_folder(path.parent)
    try:
        _lock(file)
        yield file
    finally:
        os.close(file)  # releases the locks


def _lock(file: int) -> None:
    """Wait for our own turn: ``flock`` tells threads apart, and is held for a moment only."""
    with suppress(ImportError):  # Windows
        from fcntl import LOCK_EX, flock

        flock(file, LOCK_EX)


@contextmanager
def _locked_for_readers(file: int) -> Iterator[None]:
    """Hold the lock that mail programs use. Raises OSError when somebody else holds it for long: a server cannot wait."""
    try:
        from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, lockf
    except ImportError:  # Windows
        yield
        return
    deadline = time.monotonic() + _LOCK_PATIENCE
    while True:
        try:
            lockf(file, LOCK_EX | LOCK_NB)
            break
        except OSError as error:
            if time.monotonic() > deadline:
                raise OSError(error.errno, "the file is locked by another program") from error
            time.sleep(0.01)
    try:
        yield
    finally:
        lockf(file, LOCK_UN)


def _gap(file: int, end: bytes) -> bytes:
    """Return what is missing for the file to end with ``end``: after a crash in the middle of a message, say."""
    size = os.fstat(file).st_size
    if size == 0:
        return b""
    there = os.pread(file, len(end), max(0, size - len(end)))
    if there.endswith(end):
        return b""
    return end[1:] if there.endswith(end[:1]) else end


def _append(file: int, data: bytes) -> None:
    """Write to the end of a file, and to the disk: all of it, or nothing."""
    size = os.fstat(file).st_size
    try:
        _write(file, data)
        os.fsync(file)
    except BaseException:
        os.ftruncate(file, size)
        raise


def _write(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def _sync_folder(path: Path) -> None:
    """Put a folder's entries on the disk."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
