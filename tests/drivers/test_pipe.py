"""The child of a stock tclsh: what happens when it is killed, cannot start, or when its tclsh goes."""

import os
import signal

import pytest
from tclsh import TclError, run, wait_gone

DELIVER = "proc deliver {s r d} {puts [list delivered $s]; flush stdout}; smtpd::configure -deliver deliver -banner {own banner}"
MODULE = (
    "import os\ndef process(): return os.getpid()\ndef deliver(sender, recipients, data): print('python', sender, flush=True)\n"
)


@pytest.fixture
def module(tmp_path):
    (tmp_path / "mine.py").write_text(MODULE)
    return tmp_path


def test_the_child_is_killed_and_its_clients_get_421_and_the_next_is_served(serve_stock):
    server = serve_stock(DELIVER)
    clients = [server.client() for _ in range(3)]
    for client in clients:
        client.hello()
    clients[0].command("MAIL FROM:<a@b>", 250)
    clients[1].send("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nhalf")
    clients[1].expect(250, 250, 354)
    [child] = server.children()
    os.kill(child, signal.SIGKILL)
    for client in clients:
        client.expect(421)
        client.expect_end()
        client.close()
    with server.client() as client:
        assert "own banner" in client.expect(220).text
        client.command("EHLO x", 250)
        assert client.mail().code == 250
        client.quit()
    assert server.wait_printed("delivered") == "delivered <a@example.org>"
    [fresh] = server.children()
    assert fresh != child
    server.wait_until("info vars ::smtpd::state_*", "")
    assert "engine has ended" in " ".join(server.printed)


def test_the_child_is_killed_with_nobody_connected(serve_stock, module):
    server = serve_stock("smtpd::configure -deliver {::pysmtpd::call mine:deliver}")
    for _ in range(3):
        [child] = server.children()
        os.kill(child, signal.SIGKILL)
        wait_gone(child)
        with server.client() as client:
            client.hello()
            assert client.mail().code == 250
    server.wait_for(lambda: server.printed.count("python <a@example.org>") == 3)


def test_a_stopped_child_is_given_up_and_a_fresh_one_serves(serve_stock):
    server = serve_stock(DELIVER + "; set ::pysmtpd::link::pulse 50", noisy=True)
    [child] = server.children()
    with server.client() as client:
        client.hello()
        os.kill(child, signal.SIGSTOP)
        client.send("NOOP\r\n")
        client.expect(421)
        client.expect_end()
    wait_gone(child)
    with server.client() as client:
        client.hello()
        assert client.mail().code == 250
    assert "has been stopped" in " ".join(server.printed)


def test_settings_that_change_while_the_child_is_stopped_go_to_a_fresh_one(serve_stock):
    server = serve_stock("set ::pysmtpd::link::pulse 50", noisy=True)
    [child] = server.children()
    os.kill(child, signal.SIGSTOP)
    server.eval("smtpd::configure -banner {a new one}")
    with server.client() as client:
        client.expect(220)
        client.command("EHLO client.example.com", 250)
    wait_gone(child)


def test_the_child_is_killed_while_a_callback_of_the_script_runs(serve_stock):
    server = serve_stock("proc v address {puts waiting; flush stdout; vwait ::on}; smtpd::configure -validate_sender v")
    with server.client() as client:
        client.hello()
        client.send("MAIL FROM:<a@b>\r\nNOOP\r\n")
        server.wait_printed("waiting")
        [child] = server.children()
        os.kill(child, signal.SIGKILL)
        client.expect(421)
        client.expect_end()
    server.eval("set on 1; smtpd::configure -validate_sender {}")
    with server.client() as client:
        client.hello()
        assert client.mail().code == 250


def test_the_child_is_killed_by_the_callback_it_runs(serve_stock, module):
    (module / "fatal.py").write_text(
        "import os, signal\ndef deliver(*_): os.kill(os.getpid(), signal.SIGKILL)\ndef die(): os._exit(5)\n"
    )
    server = serve_stock("smtpd::configure -deliver {::pysmtpd::call fatal:deliver}")
    with server.client() as client:
        client.hello()
        assert client.mail().code == 421
        client.expect_end()
    with pytest.raises(TclError, match="Python engine"):
        server.eval("::pysmtpd::call fatal:die")
    server.eval("smtpd::configure -deliver {}")
    with server.client() as client:
        client.hello()
        assert client.mail().code == 250


def test_a_stopped_child_does_not_stop_the_script(serve_stock):
    server = serve_stock(DELIVER)
    with server.client() as client:
        client.hello()
        [child] = server.children()
        os.kill(child, signal.SIGSTOP)
        client.send("NOOP\r\n")
        assert server.eval("expr 6 * 7") == "42"
        with server.client() as other:
            assert server.eval("expr 6 * 7") == "42"
            os.kill(child, signal.SIGCONT)
            other.hello()
        client.expect(250)


def test_what_was_accepted_is_said_before_the_421(serve_stock, module):
    """The child dies in the second of two pipelined mails: the first one was taken, and its client must know."""
    (module / "second.py").write_text(
        "import os, signal\ncount = 0\n"
        "def deliver(*_):\n    global count\n    count += 1\n    if count == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
    )  # fmt: skip
    server = serve_stock("smtpd::configure -deliver {::pysmtpd::call second:deliver}")
    mail = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\n"
    with server.client() as client:
        client.hello()
        client.send(mail + mail)
        client.expect(250, 250, 354, 250, 250, 250, 354, 421)
        client.expect_end()


@pytest.mark.parametrize("python", ["/no/such/python", "/bin/false", "/etc/passwd", "no-such-python-on-the-path"])
def test_a_python_that_is_none_is_an_error_of_start_that_names_it(tmp_path, python):
    script = """
    package require smtpd
    puts [catch {smtpd::start 127.0.0.1 0} message settings]
    puts $message
    puts [dict get $settings -errorcode]
    puts [info exists ::smtpd::options(socket)]
    puts [catch {smtpd::start 127.0.0.1 0} message]
    """
    result = run(tmp_path, script, PYSMTPD_PYTHON=python)
    failed, message, code, listening, again = result.stdout.splitlines()
    assert (failed, listening, again) == ("1", "0", "1")
    assert python in message
    assert "PYSMTPD_PYTHON" in message
    assert code == "PYSMTPD ENGINE"


@pytest.mark.parametrize("does", ["cat >/dev/null", "sleep 600", "yes"])
def test_a_python_that_never_answers_is_an_error_of_start_and_is_ended(tmp_path, does):
    silent = tmp_path / "silent"
    silent.write_text(f"#!/bin/sh\nexec {does}\n")
    silent.chmod(0o755)
    script = (
        "package require smtpd; set ::pysmtpd::link::patience 300; puts [catch {smtpd::start 127.0.0.1 0} message]; puts $message"
    )
    failed, message = run(tmp_path, script, PYSMTPD_PYTHON=str(silent)).stdout.splitlines()  # at its end when no process has it
    assert failed == "1"
    assert str(silent) in message


def test_a_callbacks_module_that_is_none_is_an_error_of_start(tmp_path):
    script = "package require smtpd; puts [catch {smtpd::start 127.0.0.1 0} message]; puts $message"
    failed, message = run(tmp_path, script, PYSMTPD_CALLBACKS="no_such_module_here").stdout.splitlines()
    assert failed == "1"
    assert "no_such_module_here" in message
    assert "the working directory" in message


def test_tclsh_is_killed_and_the_child_is_gone(serve_stock):
    server = serve_stock(DELIVER, noisy=True)
    [child] = server.children()
    with server.client() as client:
        client.hello()
        server.kill()
        wait_gone(child)


def test_tclsh_is_killed_while_a_python_callback_never_returns(serve_stock, module):
    (module / "slow.py").write_text(
        "import threading\ndef deliver(*_):\n    print('waiting', flush=True)\n    threading.Event().wait()\n"
    )
    server = serve_stock("smtpd::configure -deliver {::pysmtpd::call slow:deliver}", noisy=True)
    [child] = server.children()
    with server.client() as client:
        client.hello()
        client.send("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r\n")
        server.wait_printed("waiting")
        server.kill()
        wait_gone(child)


@pytest.mark.parametrize(
    ("ending", "code"),
    [("exit 3", 3), ("", 0), ("error oops", 1), ("smtpd::stop; exit 0", 0), ("close stdin; close stderr; exit 5", 5)],
)
def test_however_a_script_ends_the_child_ends(tmp_path, module, ending, code):
    script = f"package require smtpd; smtpd::start 127.0.0.1 0; puts [::pysmtpd::call mine:process]; flush stdout; {ending}"
    result = run(tmp_path, script)
    assert result.returncode == code
    wait_gone(int(result.stdout))


def test_nothing_is_started_by_package_require_alone(serve_stock, tmp_path):
    script = "package require smtpd; puts [llength [read [open /proc/[pid]/task/[pid]/children]]]"
    assert run(tmp_path, script).stdout == "0\n"


def test_what_callbacks_print_and_read_does_not_disturb_the_frames(serve_stock, module):
    (module / "noise.py").write_text(
        "import os, sys\n"
        "def deliver(*_):\n"
        "    os.write(1, b'raw output\\n')\n"
        "    os.system('echo from a child')\n"
        "    sys.stdout.write('with\\nline breaks\\u20ac\\n')\n"
        "    assert sys.stdin.read() == ''\n"
    )  # fmt: skip
    server = serve_stock("smtpd::configure -deliver {::pysmtpd::call noise:deliver}", noisy=True)
    with server.client() as client:
        client.hello()
        assert client.mail().code == 250
        client.quit()
    server.wait_printed("line breaks\u20ac")
    assert "raw output" in server.errors()
    assert "from a child" in server.errors()


def test_a_client_does_not_run_ahead_of_a_slow_child(serve_stock, module):
    """What a client sends while a Python callback holds the child up waits in its own connection, not in our memory."""
    (module / "gate.py").write_text(
        "import os\ndef hold(*_):\n    print('held', flush=True)\n    with open('gate') as gate: gate.read()\n"
    )
    os.mkfifo(module / "gate")
    server = serve_stock("smtpd::configure -validate_sender {::pysmtpd::call gate:hold}")
    with server.client() as client:
        client.hello()
        client.send("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n")
        server.wait_printed("held")
        sent, stuck = client.send_until_stuck(b"x" * 998 + b"\r\n", limit=60_000_000)
        assert stuck, f"{sent} octets were taken"
        (module / "gate").write_text("")
        client.expect(250, 250, 354)
        client.send(b"\r\n.\r\n" if sent % 1000 == 0 else (b"x" * 998 + b"\r\n")[sent % 1000 :] + b".\r\n")
        client.expect(250)


def test_mails_that_are_sent_faster_than_they_are_delivered_wait_with_their_client(serve_stock):
    server = serve_stock("smtpd::configure -profile rfc5321 -deliver count\nproc count args {after 1; incr ::delivered}")
    mail = b"MAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\nSubject: x\r\n\r\nhello\r\n.\r\n"
    with server.client(receive_buffer=4096) as client:
        client.hello()
        sent, stuck = client.send_until_stuck(mail, limit=40_000_000)
        assert stuck, f"{sent} octets were taken"
        with server.client() as other:
            other.hello()
            assert other.mail().code == 250
