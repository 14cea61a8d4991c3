"""The driver with a thread of its own: threads, forks, the end of the program."""

import os
import subprocess
import sys
import threading
import time

import pytest
from smtp_client import DEADLINE, Client
from tclsh import environment

from pysmtpd import Server


def python(program, *arguments):
    """Run a program to its end; return its exit code, output and errors."""
    result = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program, *arguments],
        env=environment(), capture_output=True, text=True, timeout=3 * DEADLINE,
    )  # fmt: skip
    return result.returncode, result.stdout, result.stderr


def test_it_needs_no_asyncio():
    program = (
        "import sys, smtplib, pysmtpd\n"
        "with pysmtpd.Server() as server:\n"
        "    with smtplib.SMTP(*server.addr) as client: client.sendmail('a@b', ['c@d'], 'x')\n"
        "print(len(server.messages), {'asyncio', 'ssl', 'concurrent.futures', 'logging', 'tkinter'} & set(sys.modules) - {'ssl'})\n"
    )
    assert python(program) == (0, "1 set()\n", "")


def test_servers_without_number_start_and_stop_in_threads_of_their_own():
    before = threading.active_count()
    descriptors = len(os.listdir("/proc/self/fd"))
    failures = []

    def use():
        try:
            for _ in range(10):
                with Server() as server, Client(server.addr) as client:
                    client.hello()
                    assert client.mail().code == 250
                    assert len(server.messages) == 1
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=use) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert threading.active_count() == before
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_start_and_stop_from_many_threads_at_once():
    server = Server()
    outcomes = []

    def start():
        try:
            server.start()
            outcomes.append("started")
        except RuntimeError:
            outcomes.append("running already")

    for work in (start, server.stop, server.close):
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()
    assert sorted(outcomes) == ["running already"] * 7 + ["started"]


def test_without_a_thread_nothing_is_left_open(monkeypatch):
    def fail(_):
        raise RuntimeError("can't start new thread")

    descriptors = os.listdir("/proc/self/fd")
    server = Server()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError, match="new thread"):
            server.start()
    assert os.listdir("/proc/self/fd") == descriptors
    with server, Client(server.addr) as client:
        client.hello()


def test_stop_waits_for_no_callback():
    entered, go_on = threading.Event(), threading.Event()

    def check(_):
        entered.set()
        assert go_on.wait(DEADLINE)

    with Server(validate_sender=check) as server, Client(server.addr) as client:
        client.hello()
        client.send("MAIL FROM:<a@b>\r\n")
        assert entered.wait(DEADLINE)
        address = server.addr
        server.stop()
        with pytest.raises(ConnectionRefusedError):
            Client(address)
        go_on.set()
        client.expect(250)


def test_close_waits_for_the_callback_that_runs_and_its_client_is_answered():
    entered, go_on, closed = threading.Event(), threading.Event(), threading.Event()

    def deliver(*_):
        entered.set()
        assert go_on.wait(DEADLINE)

    with Server(deliver=deliver) as server, Client(server.addr) as client:
        client.hello()
        client.command("MAIL FROM:<a@b>", 250)
        client.command("RCPT TO:<a@b>", 250)
        client.command("DATA", 354)
        client.send(".\r\n")
        assert entered.wait(DEADLINE)
        thread = threading.Thread(target=lambda: (server.close(), closed.set()))
        thread.start()
        assert not closed.is_set()
        go_on.set()
        client.expect(250, 421)
        client.expect_end()
        thread.join(DEADLINE)
        assert closed.is_set()
    assert len(server.messages) == 1


def test_close_in_a_callback_answers_its_client_and_ends_the_server():
    before = threading.active_count()
    with Server() as server:
        server.configure({"deliver": lambda *_: server.close()})
        address = server.addr
        with Client(address) as client, Client(address) as other:
            other.hello()
            client.hello()
            assert client.mail().code == 250
            for each in (client, other):
                each.expect(421)
                each.expect_end()
        with pytest.raises(ConnectionRefusedError):
            Client(address)
    assert server.wait_stopped(DEADLINE)
    for thread in threading.enumerate():
        if thread.name == "pysmtpd":
            thread.join(DEADLINE)
    assert threading.active_count() == before
    assert len(server.messages) == 1
    with server, Client(server.addr) as client:
        client.hello()


def test_close_and_start_in_a_callback_begin_anew():
    with Server() as server, Client(server.addr) as client:
        started = threading.Event()

        def deliver(*_):
            server.close()
            server.start()
            started.set()

        server.configure({"deliver": deliver})
        client.hello()
        assert client.mail().code == 250
        assert started.is_set()
        client.expect(421)
        client.expect_end()
        server.configure({"deliver": None})
        with Client(server.addr) as other:
            other.hello()
            assert other.mail().code == 250
            other.quit()


def test_a_callback_that_takes_its_time_elsewhere_keeps_only_its_own_client_waiting():
    from concurrent.futures import ThreadPoolExecutor

    go_on = threading.Event()
    with ThreadPoolExecutor() as pool, Server(deliver=lambda *_: pool.submit(go_on.wait, DEADLINE)) as server:
        with Client(server.addr) as client, Client(server.addr) as other:
            client.hello()
            client.send("MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nDATA\r\n.\r\nNOOP\r\nQUIT\r\n")
            client.expect(250, 250, 354)
            other.hello()
            other.command("NOOP", 250)
            assert server.messages == []
            go_on.set()
            client.expect(250, 250, 221)
            client.expect_end()
        assert len(server.messages) == 1


def test_a_coroutine_that_comes_out_of_a_plain_function_refuses_and_leaves_no_warning(recwarn):
    async def deliver():
        pass

    with Server(deliver=lambda *_: deliver()) as server, Client(server.addr) as client:
        client.hello()
        reply = client.mail()
    assert reply.code == 554
    assert "await" in reply.text
    assert list(recwarn) == []


def test_the_child_of_a_fork_has_no_server_and_the_parents_goes_on():
    program = """
import os, smtplib, pysmtpd
with pysmtpd.Server() as server:
    address = server.addr
    client = smtplib.SMTP(*address, timeout=5)
    child = os.fork()
    if not child:
        try:
            server.port
        except RuntimeError:
            server.close()
            with pysmtpd.Server() as own:
                with smtplib.SMTP(*own.addr, timeout=5) as second: second.sendmail('a@b', ['c@d'], 'x')
                os._exit(40 + len(own.messages) + len(server.messages))
        os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    client.sendmail('a@b', ['c@d'], 'x')
    client.quit()
    with smtplib.SMTP(*address, timeout=5) as second: second.sendmail('a@b', ['c@d'], 'x')
    print(status, len(server.messages))
"""
    assert python(program) == (0, "41 2\n", "")


@pytest.mark.parametrize("ending", ["pass", "sys.exit(3)", "raise KeyboardInterrupt", "server.close()", "server.stop()"])
def test_a_program_ends_with_a_server_running_and_a_client_connected(ending):
    program = (
        "import sys, socket, pysmtpd\n"
        "server = pysmtpd.Server(); server.start()\n"
        "client = socket.create_connection(server.addr)\n"
        f"print(client.recv(3))\ntry: {ending}\nfinally: client.close()\n"
    )
    code, output, errors = python(program)
    assert output == "b'220'\n"
    assert code == {"sys.exit(3)": 3, "raise KeyboardInterrupt": -2}.get(ending, 0)
    assert errors == "" or errors.splitlines()[-1] == "KeyboardInterrupt"


def test_a_program_that_ends_tells_its_clients():
    program = "import sys, pysmtpd\nprint(pysmtpd.start('127.0.0.1', 0).getsockname()[1], flush=True)\nsys.stdin.read()"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        with Client(("127.0.0.1", int(process.stdout.readline()))) as client:
            client.hello()
            process.stdin.close()
            client.expect(421)
            client.expect_end()
        assert process.wait(DEADLINE) == 0


@pytest.mark.parametrize("callback", ["threading.Event().wait()", "time.sleep(60)", "os._exit(0)", "sys.exit(5)"])
def test_a_program_ends_while_a_callback_runs(callback):
    program = f"""
import os, socket, sys, threading, time, pysmtpd
entered = threading.Event()
def check(ip):
    print('entered', flush=True)
    entered.set()
    {callback}
server = pysmtpd.Server(validate_host=check)
server.start()
client = socket.create_connection(server.addr)
entered.wait(10)
client.close()
"""
    assert python(program) == (0, "entered\n", "")


def test_a_failure_of_ours_costs_one_client_its_connection():
    with Server() as server, Client(server.addr) as client, Client(server.addr) as other:
        client.hello()
        other.hello()
        server._loop.service.log = None
        server.configure({"loglevel": "debug"})
        client.send("NOOP\r\n")
        client.expect_end()
        server.configure({"loglevel": "warn"})
        assert other.mail().code == 250


def test_what_a_callback_has_taken_is_answered_before_the_goodbye_though_more_was_sent_ahead():
    taken = []

    def deliver(*_):
        time.sleep(0.015)
        taken.append(1)
        if len(taken) == 5:
            server.close()

    mail = b"MAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\nSubject: x\r\n\r\nhi\r\n.\r\n"
    server = Server(deliver=deliver)
    server.start()
    with Client(server.addr) as client:
        client.hello()
        client.send(mail * 20)
        replies = client.rest()
    assert replies.endswith(b"closing transmission channel\r\n")
    assert replies.count(b"accepted") == len(server.messages) == len(taken) < 20
