"""Stores: what stands in them, that it stays, and that a store which fails loses nothing and leaves nothing behind."""

import base64
import json
import mailbox
import os
import resource
import smtplib
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from datetime import UTC, datetime

import pytest
from smtp_client import Client

import pysmtpd
from pysmtpd.core.replies import STANDARD, STOCK
from pysmtpd.core.tls import TlsFacts
from pysmtpd.message import Message
from pysmtpd.stores import JsonLines, Maildir, Mbox, put

KINDS = {"maildir": Maildir, "mbox": Mbox, "jsonl": JsonLines}
TRACE = "Return-Path: <a@example.org>\nReceived: from client [127.0.0.1]\n\tby host with pysmtpd\n\tid ID1; now"
WHEN = datetime(2026, 11, 24, 9, 0, 0, 123456, UTC)


def message(
    content=b"Subject: x\r\n\r\nhello\r\n", sender="a@example.org", recipients=("b@example.org", "c@example.org"), **more
):
    return Message(sender, recipients, content, ("127.0.0.1", 4711), "client", "ID1", WHEN, **more)


def bodies(path, kind):
    """Return the bodies of all messages in a store, as another program reads them."""
    if kind == "jsonl":
        return [json.loads(line)["content"].replace("\r\n", "\n").partition("\n\n")[2] for line in path.read_text().splitlines()]
    return sorted(mail.get_payload() for mail in mails(path, kind))


def mails(path, kind):
    with closing(mailbox.Maildir(path) if kind == "maildir" else mailbox.mbox(path)) as box:
        return list(box)


@pytest.fixture(params=list(KINDS))
def kind(request):
    return request.param


@pytest.fixture
def path(tmp_path, kind):
    return tmp_path / kind


@pytest.fixture
def store(path, kind):
    return KINDS[kind](path)


@contextmanager
def files_limited_to(octets):
    """Have every write beyond a file size fail: what a full disk does, half-way through a message."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_messages_can_be_read_by_other_programs(store, path, kind):
    for number in range(3):
        store.add(message(b"Subject: x\r\n\r\nbody %d\r\n" % number), TRACE)
    assert [body.strip() for body in bodies(path, kind)] == ["body 0", "body 1", "body 2"]


def test_a_store_that_is_there_is_added_to(store, path, kind):
    store.add(message(), TRACE)
    KINDS[kind](path).add(message(), TRACE)
    assert len(bodies(path, kind)) == 2


def test_threads_and_processes_share_a_store(path, kind, store):
    program = (
        "import sys; from datetime import UTC, datetime; from pysmtpd.message import Message; from pysmtpd import stores\n"
        "store = getattr(stores, sys.argv[1])(sys.argv[2])\n"
        "for n in range(20):\n"
        "    content = b'Subject: x\\r\\n\\r\\n' + sys.argv[3].encode() + b'-%d\\r\\n' % n + b'line\\r\\n' * 5000\n"
        "    store.add(Message('a@b', ('c@d',), content, ('127.0.0.1', 1), 'x', 'ID', datetime.now(UTC)), 'Return-Path: <a@b>')\n"
    )
    command = [sys.executable, "-c", program, KINDS[kind].__name__, str(path)]
    others = [subprocess.Popen([*command, str(number)]) for number in range(2)]

    def add(name):
        for number in range(20):
            store.add(message(f"Subject: x\r\n\r\n{name}-{number}\r\n".encode() + b"line\r\n" * 5000), TRACE)

    threads = [threading.Thread(target=add, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.wait(60) for process in others] == [0, 0]
    found = [body.split("\n")[0] for body in bodies(path, kind)]
    assert sorted(found) == sorted(f"{name}-{number}" for name in ("0", "1", "a", "b") for number in range(20))
    assert all(body.count("line") == 5000 for body in bodies(path, kind))


def test_a_message_that_does_not_fit_leaves_nothing_behind(store, path, kind):
    store.add(message(), TRACE)
    before = path.read_bytes() if path.is_file() else sorted(path.rglob("*"))
    with files_limited_to(3000), pytest.raises(OSError, match="File too large"):
        store.add(message(b"Subject: x\r\n\r\n" + b"much\r\n" * 1000), TRACE)
    assert (path.read_bytes() if path.is_file() else sorted(path.rglob("*"))) == before
    store.add(message(), TRACE)
    assert [body.strip() for body in bodies(path, kind)] == ["hello", "hello"]


def test_what_a_crash_left_half_written_harms_no_other_message(store, path, kind):
    store.add(message(), TRACE)
    if kind == "maildir":
        (path / "tmp" / "1.M2P3Q4.host").write_bytes(b"Subject: half")
    else:
        with path.open("ab") as file:
            file.write(b"From x\nSubject: half" if kind == "mbox" else b'{"id": "ha')
    store.add(message(b"Subject: x\r\n\r\nlast\r\n"), TRACE)
    found = [body.strip() for body in bodies(path, kind)]
    assert found == (["", "hello", "last"] if kind == "mbox" else ["hello", "last"])


def test_a_line_without_an_end_that_is_not_ours_is_left_alone(tmp_path):
    (tmp_path / "notes").write_text("my notes")
    JsonLines(tmp_path / "notes").add(message(), TRACE)
    notes, line = (tmp_path / "notes").read_text().splitlines()
    assert notes == "my notes"
    assert json.loads(line)["id"] == "ID1"


@pytest.mark.parametrize(
    "content",
    [b"", b"no header at all\r\n", b"\r\nbody only\r\n", b"Subject: x\r\n", b"From here on\r\n", b"\xff\x00\r\n", b"a\nb\rc\r\n"],
)
def test_odd_messages_are_one_message_each(store, path, kind, content):
    store.add(message(content), TRACE)
    store.add(message(b"Subject: next\r\n\r\nnext\r\n"), TRACE)
    if kind == "jsonl":
        first = json.loads(path.read_text().splitlines()[0])
        assert content == (first["content"].encode() if "content" in first else base64.b64decode(first["content_base64"]))
    else:
        assert [mail["Return-Path"] for mail in mails(path, kind)] == ["<a@example.org>"] * 2


def test_a_mailbox_has_the_trace_header_and_the_recipients_and_lf(tmp_path):
    Maildir(tmp_path / "box").add(message(), TRACE)
    [file] = (tmp_path / "box" / "new").iterdir()
    assert file.read_text() == f"{TRACE}\nX-RcptTo: b@example.org,\n\tc@example.org\nSubject: x\n\nhello\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list((tmp_path / "box" / "tmp").iterdir()) == []


def test_from_in_an_mbox_is_quoted_so_that_it_can_be_undone(tmp_path):
    Mbox(tmp_path / "box").add(message(b"Subject: x\r\n\r\nFrom here\r\n>From there\r\nand From\r\n", sender=""), TRACE)
    text = (tmp_path / "box").read_text()
    assert text.startswith("From MAILER-DAEMON Tue Nov 24 09:00:00 2026\nReturn-Path: ")
    assert text.endswith("\n\n>From here\n>>From there\nand From\n\n")


def test_json_has_the_envelope_and_the_exact_octets(tmp_path):
    content = "Subject: Grüße\r\n\r\nbare\nlf \x1b[0m\r\n".encode()
    JsonLines(tmp_path / "box").add(message(content), TRACE)
    assert json.loads((tmp_path / "box").read_bytes()) == {
        "id": "ID1",
        "time": "2026-11-24T09:00:00.123+00:00",
        "sender": "a@example.org",
        "recipients": ["b@example.org", "c@example.org"],
        "peer": ["127.0.0.1", 4711],
        "helo": "client",
        "protocol": "SMTP",
        "content": content.decode(),
    }
    assert (tmp_path / "box").read_bytes().isascii()


def test_json_has_the_circumstances_where_there_are_any(tmp_path):
    more = {
        "parameters": {"SIZE": "9", "SMTPUTF8": ""},
        "recipient_parameters": [{"NOTIFY": "NEVER"}, {}],
        "protocol": "ESMTPSA",
        "tls": TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256, None),
        "user": "anna",
    }
    JsonLines(tmp_path / "box").add(message(**more), TRACE)
    record = json.loads((tmp_path / "box").read_bytes())
    assert {name: record[name] for name in more} == {**more, "tls": {"version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384"}}


def test_addresses_beyond_ascii_are_stored_as_they_were_sent(tmp_path):
    Mbox(tmp_path / "box").add(
        message(sender="jörg@example.org", recipients=["€@example.org"], parameters={"SMTPUTF8": ""}), TRACE
    )
    assert (tmp_path / "box").read_bytes().startswith("From jörg@example.org ".encode())
    assert "X-RcptTo: €@example.org\n".encode() in (tmp_path / "box").read_bytes()
    Maildir(tmp_path / "dir").add(message(recipients=["j\xf6rg@example.org"]), TRACE)
    [file] = (tmp_path / "dir" / "new").iterdir()
    assert b"X-RcptTo: j\xf6rg@example.org\n" in file.read_bytes()


def test_octets_that_are_no_lines_are_left_alone(tmp_path):
    content = b"Content-Type: image/x\r\nContent-Transfer-Encoding: binary\r\n\r\n\r\n\n\r\0"
    Maildir(tmp_path / "dir").add(message(content, parameters={"BODY": "BINARYMIME"}), TRACE)
    [file] = (tmp_path / "dir" / "new").iterdir()
    assert file.read_bytes().endswith(b"\n" + content)


def test_an_mbox_that_a_mail_program_has_locked_is_waited_for(tmp_path, monkeypatch):
    path = tmp_path / "box"
    store = Mbox(path)
    reader = subprocess.Popen(
        [sys.executable, "-c", "import fcntl, sys\nwith open(sys.argv[1], 'r+') as f: fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); input()", path],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    reader.stdout.readline()
    monkeypatch.setattr("pysmtpd.stores._LOCK_PATIENCE", 0)
    with pytest.raises(OSError, match="locked by another program"):
        store.add(message(), TRACE)
    assert path.read_bytes() == b""
    monkeypatch.undo()
    adding = threading.Thread(target=store.add, args=(message(), TRACE))
    adding.start()
    reader.communicate(b"\n")
    adding.join()
    assert bodies(path, "mbox") == ["hello\n"]


def test_a_place_that_cannot_be_used_is_known_at_once(tmp_path, kind):
    (tmp_path / "file").write_text("")
    wrong = tmp_path / "file" / "box" if kind == "maildir" else tmp_path
    with pytest.raises(OSError, match=r"Not a directory|Is a directory"):
        KINDS[kind](wrong)


def test_what_goes_wrong_is_said_with_a_code_and_in_the_log():
    class Broken:
        def __init__(self, error):
            self.error = error

        def add(self, message, trace):
            raise self.error

    said = []
    for error, code in (
        (OSError(28, "No space left on device"), 452),
        (PermissionError(13, "Permission denied"), 451),
        (ZeroDivisionError("oops"), 451),
        (SystemExit("bye"), 451),
        (pysmtpd.Refused(550, "no"), 550),
    ):
        assert put(Broken(error), message(), TRACE, STOCK, said.append).code == code
    assert put(Broken(OSError(28, "full")), message(), TRACE, STANDARD, said.append).text == "4.3.1 Insufficient system storage"
    assert said[0] == "cannot store message ID1: [Errno 28] No space left on device"
    assert "oops" in said[2]


def test_a_server_stores_before_it_says_yes(store, path, kind):
    with pysmtpd.Server(store=store) as server, Client(server.addr) as client:
        client.hello()
        assert client.mail().code == 250
        assert [body.strip() for body in bodies(path, kind)] == ["hello"]
        assert len(server.messages) == 1


def test_a_server_whose_store_fails_says_so_goes_on_and_loses_nothing(store, path, kind, capfd):
    with pysmtpd.Server(store=store, keep=False) as server, Client(server.addr) as client:
        client.hello()
        with files_limited_to(3000):
            reply = client.mail(body="Subject: x\r\n\r\n" + "much\r\n" * 1000)
        assert (reply.code, reply.text) == (452, "4.3.1 Insufficient system storage")
        assert client.mail().code == 250
        assert server.messages == []
    assert "cannot store message" in capfd.readouterr().err
    assert [body.strip() for body in bodies(path, kind)] == ["hello"]


def test_a_maildir_whose_folder_is_gone_is_451(tmp_path):
    store = Maildir(tmp_path / "box")
    with pysmtpd.Server(store=store, loglevel="none") as server:
        os.rename(tmp_path / "box", tmp_path / "elsewhere")
        with smtplib.SMTP(*server.addr) as client, pytest.raises(smtplib.SMTPDataError) as refused:
            client.sendmail("a@example.org", ["b@example.org"], "Subject: x\n\nhello\n")
        assert refused.value.smtp_code == 451
        os.rename(tmp_path / "elsewhere", tmp_path / "box")
        with smtplib.SMTP(*server.addr) as client:
            assert client.sendmail("a@example.org", ["b@example.org"], "Subject: x\n\nhello\n") == {}
        assert len(list((tmp_path / "box" / "new").iterdir())) == 1
