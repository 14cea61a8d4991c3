"""The mail catcher seen from outside: what it prints, what stays on the disk, how it ends, and what it says when it cannot start."""

import json
import mailbox
import os
import select
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import threading

import pexpect
import pytest
from served import Served, command, environment
from smtp_client import DEADLINE, Client

from pysmtpd.certificates import CA, LOCALHOST

STORES = ("maildir", "mbox", "jsonl")


def refused_to_start(*words, **options):
    """Run the command where it must not start; return its exit code and the one line it says."""
    result = subprocess.run(command(*words), env=environment(), capture_output=True, text=True, timeout=DEADLINE, **options)
    assert result.stdout == ""
    assert result.stderr.startswith("pysmtpd serve: ")
    assert result.stderr.count("\n") == 1
    return result.returncode, result.stderr


def stored(path, kind):
    """Return the bodies in a store, sorted."""
    if not path.exists():
        return []
    if kind == "jsonl":
        return sorted(json.loads(line)["content"].split("\r\n\r\n")[1].strip() for line in path.read_text().splitlines())
    box = mailbox.Maildir(path) if kind == "maildir" else mailbox.mbox(path)
    try:
        return sorted(mail.get_payload().strip() for mail in box)
    finally:
        box.close()


def numbered(number):
    return f"Subject: number {number}\r\n\r\nbody {number}\r\n"


# What it prints


def test_each_message_is_printed_as_it_comes():
    with Served() as server:
        assert server.send(body="From: A <a@example.org>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nHello\r\n").code == 250
        printed = [server.line() for _ in range(6)]
        assert "<a@example.org> -> <b@example.org>" in printed[0]
        assert "from client.example [127.0.0.1]" in printed[0]
        assert printed[1:] == ["From: A <a@example.org>\n", "Subject: Grüße\n", "\n", "Hello\n", "\n"]
        assert server.end() == (0, "", "")


def test_raw_prints_the_octets_that_came():
    body = "Subject: x\r\n\r\n\x1b[31mred\r\n.dot\r\n"
    process = subprocess.Popen(
        command("-l", "127.0.0.1:0", "--raw", "--once", 1), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    port = int(process.stderr.readline().rpartition(b":")[2])
    with Client(("127.0.0.1", port)) as client:
        client.hello()
        client.mail(body=body.replace("\r\n.dot", "\r\n..dot"))
        client.quit()
    assert process.communicate(timeout=DEADLINE) == (body.encode(), b"")


def test_quiet_prints_nothing_and_the_port_can_go_to_a_pipe():
    with subprocess.Popen(
        command("-l", "127.0.0.1:0", "-q", "--once", 1, "--port-file", "/dev/stderr"),
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        with Client(("127.0.0.1", int(process.stderr.readline()))) as client:
            client.hello()
            assert client.mail().code == 250
            client.quit()
        assert process.communicate(timeout=DEADLINE) == ("", "")
    assert process.returncode == 0


def test_the_port_can_go_to_an_open_file(tmp_path):
    path = tmp_path / "port"
    path.write_text("# ")
    words = command("-l", "127.0.0.1:0", "--once", 1, "--port-file", "/dev/fd/3")
    with subprocess.Popen(
        ["sh", "-c", f'exec "$@" 3>>{path}', "sh", *words], env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        port = int(process.stdout.readline().rpartition(":")[2])
        assert path.read_text() == f"# {port}\n"
        with Client(("127.0.0.1", port)) as client:
            client.hello()
            assert client.mail().code == 250
            client.quit()
        process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
    assert path.read_text() == f"# {port}\n"


def on_a_terminal(*words, **variables):
    """Run the command on a terminal; return what the terminal gets for one hostile mail."""
    shell = pexpect.spawn(sys.executable, ["-m", "pysmtpd", "serve", "-l", "127.0.0.1:0", "--once", "1", *words],
                          env=environment(**variables), encoding="utf-8", timeout=DEADLINE)  # fmt: skip
    shell.expect(r"listening on 127\.0\.0\.1:(\d+)")
    with Client(("127.0.0.1", int(shell.match[1]))) as client:
        client.hello()
        client.mail(body="Subject: a\x1b]0;title\x07b\r\n\r\n\x1b[2Jgone \x9b31m \u202e\r\n".encode())
        client.quit()
    shell.expect(pexpect.EOF)
    shell.close()
    assert shell.exitstatus == 0
    return shell.before


def test_colours_are_for_terminals_and_clients_bring_none():
    seen = on_a_terminal()
    assert "\x1b[36mSubject:\x1b[0m a\\x1b]0;title\\x07b\r\n" in seen
    assert "\\x1b[2Jgone" in seen
    assert set(seen.split("\x1b")[1:][0][:1]) == {"["}
    assert not {"\x07", "\x9b", "\u202e"} & set(seen)
    assert "\x1b[2J" not in seen


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_can_be_declined(variables):
    assert "\x1b" not in on_a_terminal(**variables)


def test_raw_is_raw_on_a_terminal_too():
    assert "\x1b[2Jgone" in on_a_terminal("--raw")


def test_a_reader_that_goes_away_ends_it_and_loses_nothing(tmp_path):
    with Served("--jsonl", tmp_path / "box") as server:
        server.process.stdout.close()
        assert server.send().code == 250
        server.process.stdout = None
        code, _, errors = server.rest()
        assert (code, errors) == (1, "pysmtpd serve: standard output is closed\n")
    assert stored(tmp_path / "box", "jsonl") == ["hello"]


def test_without_a_standard_output_it_stores_all_the_same(tmp_path):
    """As under a supervisor that closes it."""
    port_file, box = tmp_path / "port", tmp_path / "box"
    os.mkfifo(port_file)
    words = command("-l", "127.0.0.1:0", "--port-file", port_file, "--jsonl", box, "--once", 1)
    process = subprocess.Popen(["sh", "-c", 'exec "$@" >&-', "sh", *words], env=environment(), stderr=subprocess.PIPE, text=True)
    reader = os.open(port_file, os.O_RDONLY | os.O_NONBLOCK)
    assert select.select([reader], [], [], DEADLINE)[0]
    with Client(("127.0.0.1", int(os.read(reader, 99)))) as client:
        client.hello()
        assert client.mail().code == 250
        client.quit()
    assert process.communicate(timeout=DEADLINE) == (None, "")
    assert process.returncode == 0
    assert stored(box, "jsonl") == ["hello"]


# Where it listens


def test_the_port_file_is_there_while_it_runs(tmp_path):
    path = tmp_path / "port"
    with Served("--port-file", path) as server:
        assert path.read_text() == f"{server.port}\n"
        assert server.end()[0] == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_ipv6():
    with Served(listen="[::1]:0") as server:
        assert server.where.startswith("[::1]:")
        with socket.create_connection(("::1", server.port), DEADLINE) as client:
            assert client.recv(4) == b"220 "


def test_a_unix_socket_is_there_while_it_runs(tmp_path):
    path = tmp_path / "socket"
    with Served("--port-file", tmp_path / "port", listen=f"unix:{path}") as server:
        assert server.where == f"unix:{path}"
        assert (tmp_path / "port").read_text() == f"unix:{path}\n"
        with smtplib.LMTP(str(path)) as client:  # which takes a path, and says LHLO first
            assert client.docmd("EHLO", "x")[0] == 250
        assert server.end()[0] == 0
    assert not path.exists()


@pytest.mark.parametrize("locale", [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"LC_ALL": "C.UTF-8"}])
def test_names_that_are_no_text_are_names_whatever_the_locale(tmp_path, locale):
    """A socket, a Maildir and a port file whose names are octets that no encoding has."""
    folder = os.fsencode(tmp_path)
    path, maildir, port_file = folder + b"/\xff\xc3\xa9", folder + b"/mail\xff", folder + b"/port\xe9"
    words = [b"-l", b"unix:" + path, b"--maildir", maildir, b"--port-file", port_file, b"--once", b"1"]
    with subprocess.Popen([*command(), *words], env={**environment(), **locale}, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline().startswith(b"pysmtpd serve: listening on unix:" + folder)
        with open(port_file, "rb") as file:
            assert file.read() == b"unix:" + path + b"\n"
        with Client(os.fsdecode(path)) as client:
            client.hello()
            assert client.mail().code == 250
            client.quit()
        process.stdout.read()
        assert process.wait(DEADLINE) == 0
    assert len(os.listdir(maildir + b"/new")) == 1


def test_over_tls():
    with Served("--tls", "--require-tls", "-s", 5000) as server, smtplib.SMTP(server.host, server.port) as client:
        context = ssl.create_default_context(cafile=CA)
        assert client.ehlo()[0] == 250
        assert (client.esmtp_features["size"], client.has_extn("starttls")) == ("5000", True)
        assert client.docmd("MAIL", "FROM:<>")[0] == 530
        client._host = "localhost"
        client.starttls(context=context)
        assert client.sendmail("a@example.org", ["b@example.org"], "Subject: x\n\nsecret\n") == {}
        assert server.line()
    with (
        Served("--tls", "implicit", "--certfile", LOCALHOST.certfile, "--keyfile", LOCALHOST.keyfile) as server,
        smtplib.SMTP_SSL("localhost", server.port, context=context) as client,
    ):
        assert client.noop()[0] == 250


def test_logging_in():
    with Served("--user", "anna:secret", "--require-auth") as server, smtplib.SMTP(server.host, server.port) as client:
        client.ehlo()
        assert client.docmd("MAIL", "FROM:<>")[0] == 530
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("anna", "wrong")
        client.login("anna", "secret")
        assert client.docmd("MAIL", "FROM:<>")[0] == 250


def test_a_port_in_use_is_said_with_what_to_do():
    with Served() as server:
        code, said = refused_to_start("-l", server.where)
    assert code == 1
    assert server.where.rpartition(":")[2] in said
    assert "in use" in said
    assert "-l HOST:PORT" in said


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["-l", "127.0.0.1:99999"], 2, "99999"),
        (["-l", "::1:25"], 2, "[::1]:2525"),
        (["-l", "no.such.host.invalid:0"], 1, "no.such.host.invalid"),
        (["--profile", "rfc821"], 2, "rfc5321"),
        (["--once", "0"], 2, "--once"),
        (["--workers", "x"], 2, "--workers"),
        (["--handler", "no_such_module:f"], 2, "no_such_module"),
        (["--handler", "json:no_such"], 2, "no_such"),
        (["--callbacks", "json"], 2, "deliver"),
        (["-o", "banner"], 2, "NAME=VALUE"),
        (["-o", "no_such=1"], 2, "no_such"),
        (["-c", "my.Handler"], 2, "--handler"),
        (["stray"], 2, "stray"),
        (["--maildir", "a", "--mbox", "b"], 2, "--mbox"),
        (["--user", "secret"], 2, "NAME:SECRET"),
        (["-s", "big"], 2, "size_limit"),
        (["-o", "idle_timeout=x"], 2, "idle_timeout"),
        (["--tls", "yes"], 2, "starttls"),
        (["-o", "request=x"], 2, "request"),
        (["--certfile", "/no/such.pem"], 2, "/no/such.pem"),
        (["-l", "unix:/"], 2, "unix:/"),
        (["-l", "unix:/no/such/folder/socket"], 1, "/no/such/folder/socket"),
        (["--mbox", "/"], 1, "/"),
        (["--maildir", "/dev/null"], 1, "/dev/null"),
        (["-l", "127.0.0.1:0", "--port-file", "/no/such/folder/port"], 1, "/no/such/folder/port"),
        (["-l", "127.0.0.1:0", "--port-file", "/dev/full"], 1, "/dev/full"),
        (["--port-file", ""], 2, "--port-file"),
        (["--maildir", ""], 2, "--maildir"),
        (["--mbox", ""], 2, "--mbox"),
        (["--jsonl", ""], 2, "--jsonl"),
        (["--jsonl", "/dev/stdout"], 1, "/dev/stdout: not a regular file"),
        (["--mbox", "/dev/null"], 1, "/dev/null: not a regular file"),
        (["-c", "Mailbox", "box", "--jsonl", "x"], 2, "--jsonl"),
        (["-c", "Mailbox", ""], 2, "must be a path"),
        (["--certfile", ""], 2, "--certfile"),
        (["--once", "9" * 20], 2, "--once"),
        (["-l", "127.0.0.1:0", "-o", "keep=on"], 2, "keep"),
        (["-l", "127.0.0.1:0", "-o", "port=1"], 2, "port"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(words, code, said, tmp_path):
    result, line = refused_to_start(*words, cwd=tmp_path)
    assert result == code
    assert said in line


def test_a_port_file_that_cannot_be_had_leaves_nothing_behind(tmp_path):
    no_room = 'ulimit -f 0; exec "$@"'
    words = command("-l", "127.0.0.1:0", "--port-file", tmp_path / "port")
    result = subprocess.run(
        ["sh", "-c", no_room, "sh", *words], env=environment(), capture_output=True, text=True, timeout=DEADLINE
    )
    assert (result.returncode, result.stderr) == (1, f"pysmtpd serve: {tmp_path / 'port'}: File too large\n")
    assert list(tmp_path.iterdir()) == []


def test_a_unix_socket_that_cannot_be_had_is_not_said_to_be_a_port(tmp_path):
    path = tmp_path / "socket"
    path.touch()
    code, said = refused_to_start("-l", f"unix:{path}")
    assert code == 1
    assert "in use" in said
    assert "-l unix:PATH" in said
    assert "HOST:PORT" not in said


@pytest.mark.parametrize("words", [[], ["--workers", 2]])
def test_a_standard_output_that_takes_nothing_is_one_line(words):
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            command("-l", "127.0.0.1:0", *words),
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=DEADLINE,
        )
    assert (result.returncode, result.stderr) == (1, "pysmtpd serve: standard output is closed\n")


# What it does with messages


@pytest.mark.parametrize("kind", STORES)
def test_what_was_accepted_is_on_the_disk_even_if_it_is_killed(kind, tmp_path):
    with Served(f"--{kind}", tmp_path / "box") as server:
        with server.connect() as client:
            client.hello()
            for number in range(5):
                assert client.mail(body=numbered(number)).code == 250
            server.process.kill()
        assert stored(tmp_path / "box", kind) == [f"body {number}" for number in range(5)]
    with Served(f"--{kind}", tmp_path / "box") as server:
        server.send(body=numbered(5))
    assert stored(tmp_path / "box", kind) == [f"body {number}" for number in range(6)]


def test_a_handler_is_called_and_may_refuse(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import pysmtpd\n"
        "def deliver(sender, recipients, lines):\n"
        "    if 'no' in lines: raise pysmtpd.Refused(451, 'later')\n"
        "    print('handled', sender, recipients, lines[-1], flush=True)\n"
    )
    with Served("--handler", "mine:deliver", "--jsonl", "box", folder=tmp_path) as server:
        assert server.send(body="Subject: x\r\n\r\nno\r\n").code == 451
        assert server.send(body="Subject: x\r\n\r\nyes\r\n").code == 250
        assert server.line() == "handled <a@example.org> ['<b@example.org>'] yes\n"
        assert stored(tmp_path / "box", "jsonl") == ["yes"]


@pytest.mark.parametrize("kind", STORES)
def test_a_handler_that_goes_to_another_folder_leaves_the_store_where_it_is(kind, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "mine.py").write_text(
        "import os\ndef handle(*mail): os.chdir(os.path.join(os.path.dirname(__file__), 'elsewhere'))\n"
    )
    with Served(f"--{kind}", "box", "--port-file", "port", "--handler", "mine:handle", folder=tmp_path) as server:
        assert [server.send().code, server.send().code] == [250, 250]
        assert server.end()[0] == 0
    assert len(stored(tmp_path / "box", kind)) == 2
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert not (tmp_path / "port").exists()


def test_a_handler_is_the_delivery_whatever_the_module_of_callbacks_has(tmp_path):
    (tmp_path / "mine.py").write_text("def deliverMIME(mail): raise ValueError\ndef handle(*mail): print('handled')\n")
    with Served("--callbacks", "mine", "--handler", "mine:handle", folder=tmp_path) as server:
        assert server.send().code == 250
        assert server.line() == "handled\n"


def test_a_module_of_callbacks_and_options(tmp_path):
    (tmp_path / "mine.py").write_text("def validate_recipient(address):\n    assert address != 'x@y.z'\n")
    with Served("--callbacks", "mine", "-o", "banner=hello there", folder=tmp_path) as server, server.connect() as client:
        assert " hello there;" in client.expect(220).text
        client.command("EHLO x", 250)
        client.command("MAIL FROM:<>", 250)
        client.command("RCPT TO:<x@y.z>", 553)
        client.command("RCPT TO:<y@y.z>", 250)


def test_the_other_profile():
    with Served("--profile", "tcllib-1.5") as server, server.connect() as client:
        assert "tcllib smtpd 1.5" in client.expect(220).text


def test_messages_are_not_kept_in_memory():
    with Served("--once", 60) as server:
        reader = threading.Thread(target=server.process.stdout.read)
        reader.start()
        with server.connect() as client:
            client.hello()
            sizes = []
            for _ in range(60):
                client.mail(body="Subject: x\r\n\r\n" + "much\r\n" * 100_000)
                sizes.append(_memory(server.process.pid))
        reader.join()
    assert sizes[-2] - sizes[10] < 15_000  # of 29,000 that came meanwhile


def _memory(process):
    """Return the kilobytes that a process holds."""
    with open(f"/proc/{process}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def test_as_users_of_aiosmtpd_and_smtpd_know_it(tmp_path):
    with Served("-n", "-u", "-c", "aiosmtpd.handlers.Mailbox", tmp_path / "box") as server:
        server.send()
    assert stored(tmp_path / "box", "maildir") == ["hello"]
    with Served("-n", "-c", "DebuggingServer", "127.0.0.1:0", listen="127.0.0.1:1") as server:
        server.send()
        assert "<b@example.org>" in server.line()
    with Served("-dd") as server:
        server.send()
        code, _, errors = server.end()
        assert code == 0
        assert "received: MAIL FROM" in errors


# How it ends


@pytest.fixture
def on_a_terminal_that_may_end():
    """Whoever runs the tests may do so under nohup."""
    inherited = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, inherited)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.usefixtures("on_a_terminal_that_may_end")
def test_a_signal_ends_it_clients_or_not(number, workers):
    with Served("--workers", workers) as server, server.connect() as client:
        client.hello()
        client.command("MAIL FROM:<a@example.org>", 250)
        assert server.end(number) == (0, "", "")
        client.rest()


@pytest.mark.parametrize("words", [[], ["--workers", 2]])
def test_the_end_of_a_terminal_does_not_end_it_under_nohup(words):
    inherited = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        server = Served(*words)
    finally:
        signal.signal(signal.SIGHUP, inherited)
    with server:
        server.process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(0.3)
        assert server.send().code == 250
        assert server.end()[0] == 0


def test_a_signal_before_all_have_come_can_be_told_from_success():
    with Served("--once", 2) as server:
        server.send()
        assert server.end(signal.SIGTERM)[0] == 128 + signal.SIGTERM
    with Served("--once", 2) as server:
        assert server.end(signal.SIGINT)[0] == 128 + signal.SIGINT


@pytest.mark.parametrize("workers", [1, 3])
def test_once_takes_as_many_as_that_and_no_more(workers, tmp_path):
    with Served("--once", 3, "--workers", workers, "--jsonl", tmp_path / "box") as server:
        with server.connect() as client, server.connect() as other:
            client.hello()
            other.hello()
            assert [client.mail(body=numbered(number)).code for number in range(3)] == [250, 250, 250]
            assert other.mail(body=numbered(3)).code == 421
            client.quit()
        assert server.rest()[0] == 0
    assert stored(tmp_path / "box", "jsonl") == ["body 0", "body 1", "body 2"]


def test_a_client_that_stays_does_not_hold_up_the_end():
    with Served("--once", 1) as server, server.connect() as client:
        client.hello()
        assert client.mail().code == 250
        assert server.rest()[0] == 0
        client.rest()


# More processes


@pytest.mark.parametrize("kind", STORES)
def test_workers_share_a_store_and_standard_output(kind, tmp_path):
    with Served("--workers", 3, f"--{kind}", tmp_path / "box") as server:
        printed = []
        reader = threading.Thread(target=lambda: printed.extend(iter(server.line, "")))
        reader.start()

        def send(name):
            with server.connect() as client:
                client.hello()
                for number in range(10):
                    assert client.mail(body=numbered(f"{name}{number}") + "line\r\n" * 3000).code == 250
                client.quit()

        clients = [threading.Thread(target=send, args=(name,)) for name in "abcdef"]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        server.process.terminate()
        reader.join()
    wanted = sorted(f"body {name}{number}" for name in "abcdef" for number in range(10))
    assert sorted(body.splitlines()[0] for body in stored(tmp_path / "box", kind)) == wanted
    assert sorted(line.strip() for line in printed if line.startswith("body")) == wanted
    blocks = "".join(printed).split("Subject: ")[1:]
    assert [block.count("line\n") for block in blocks] == [3000] * 60  # none inside another


def test_a_worker_that_is_killed_is_replaced_and_the_rest_goes_on():
    with Served("--workers", 2) as server:
        [first, _] = _children(server.process.pid)
        os.kill(first, signal.SIGKILL)
        said = server.process.stderr.readline()
        assert f"worker {first} was ended by signal 9: another one takes its place" in said
        assert server.send().code == 250
        assert len(_children(server.process.pid)) == 2
        assert server.end()[0] == 0


def test_a_worker_that_fails_ends_it_with_an_exit_code_of_its_own(tmp_path):
    (tmp_path / "mine.py").write_text("import os\ndef validate_sender(_): os._exit(70)\n")
    with Served("--workers", 2, "--callbacks", "mine", folder=tmp_path) as server, server.connect() as client:
        client.hello()
        client.send("MAIL FROM:<a@example.org>\r\n")
        assert client.rest() == b""
        assert server.rest()[0] == 70


def test_workers_end_with_their_parent():
    with Served("--workers", 2) as server:
        children = _children(server.process.pid)
        server.process.kill()
        assert server.process.stdout.read() == ""  # at its end only when the last of them has closed it
        assert len(children) == 2


def _children(process):
    with open(f"/proc/{process}/task/{process}/children") as children:
        return [int(child) for child in children.read().split()]
