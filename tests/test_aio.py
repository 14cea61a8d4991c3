"""The server in one's own event loop."""

import asyncio
import smtplib
import socket
import subprocess
import sys
import threading

import pytest
import uvloop
from python_server import LoopThatCannotWait
from smtp_client import DEADLINE
from tclsh import environment

import pysmtpd
from pysmtpd import NotReceived, aio


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop, LoopThatCannotWait], ids=["asyncio", "uvloop", "proactor"])
def run(request):
    """A function that runs a coroutine in a fresh event loop."""

    def run(coroutine):
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(coroutine)

    return run


def send(address, sender="a@example.org", body="Subject: x\r\n\r\nhello\r\n"):
    with smtplib.SMTP(*address, timeout=10) as client:
        client.sendmail(sender, ["b@example.org"], body)


def test_in_an_async_with_statement_it_listens_and_afterwards_nothing_is_left(run):
    async def main():
        async with pysmtpd.aio.Server() as server:
            await asyncio.to_thread(send, server.addr)
            address = server.addr
        with pytest.raises(RuntimeError, match="not listening"):
            server.port  # noqa: B018 # asking is the point
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address)
        assert len(asyncio.all_tasks()) == 1
        return server.messages

    assert [message.subject for message in run(main())] == ["x"]


def test_waiting_does_not_stop_the_loop(run):
    async def main():
        async with aio.Server() as server:
            waiting = asyncio.create_task(server.wait_for(to="b@example.org", count=2, timeout=10))
            for sender in ("one@b", "two@b"):
                await asyncio.to_thread(send, server.addr, sender)
            assert [message.sender for message in await waiting] == ["one@b", "two@b"]
            with pytest.raises(NotReceived, match="three@b"):
                await server.wait_for(sender="three@b", timeout=0.01)
            await server.expect_none(sender="three@b", timeout=0.01)
            with pytest.raises(NotReceived):
                await server.expect_none(sender="two@b", timeout=0.01)

    run(main())


def test_callbacks_run_in_the_loop_and_a_blocking_one_in_a_thread(run):
    threads = {}

    def check(address):
        threads["check"] = threading.current_thread()

    def store(sender, recipients, lines):
        threads["store"] = threading.current_thread()
        raise pysmtpd.Refused(451, "later")

    async def main():
        async with aio.Server(validate_sender=check, deliver=aio.in_thread(store)) as server:
            with pytest.raises(smtplib.SMTPDataError, match="451"):
                await asyncio.to_thread(send, server.addr, "late@b")

    run(main())
    assert threads["check"] is threading.main_thread()
    assert threads["store"] is not threading.main_thread()


def test_serve_forever_serves_until_it_is_cancelled(run):
    async def main():
        server = aio.Server()
        serving = asyncio.create_task(server.serve_forever())
        while not serving.done():
            await asyncio.sleep(0)
            try:
                address = server.addr
                break
            except RuntimeError:
                continue
        await asyncio.to_thread(send, address)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address)
        assert len(server.messages) == 1

    run(main())


def test_serve_forever_ends_when_the_server_is_closed(run):
    async def main():
        async with aio.Server() as server:
            serving = asyncio.create_task(server.serve_forever())
            await asyncio.to_thread(send, server.addr)
            await server.close()
            await serving

    run(main())


@pytest.mark.parametrize("method", ["stop", "close"])
def test_stop_and_close_in_a_callback(run, method):
    async def main():
        server = aio.Server()

        async def deliver(*_):
            result = getattr(server, method)()
            if result is not None:
                await result

        server.configure({"deliver": deliver})
        address = (await server.start()).getsockname()
        if method == "stop":
            await asyncio.to_thread(send, address)
        else:
            with pytest.raises(smtplib.SMTPException, match="421|closed"):
                await asyncio.to_thread(send, address)
        assert server.stopped()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address)
        await server.close()
        return len(server.messages)

    assert run(main()) == (1 if method == "stop" else 0)


@pytest.mark.parametrize("stop", [True, False])
def test_it_starts_again_where_its_event_loop_has_ended(run, stop):
    """As when each test has an event loop of its own, and nobody closes the server."""
    server = aio.Server()

    async def main():
        await server.start()
        await asyncio.to_thread(send, server.addr)
        if stop:
            server.stop()

    run(main())
    with pytest.raises(RuntimeError, match="not listening"):
        server.port  # noqa: B018 # asking is the point
    run(main())
    run(server.close())
    assert len(server.messages) == 2


def test_many_servers_in_one_loop(run):
    senders = [f"{number}@example.org" for number in range(50)]

    async def main():
        servers = [aio.Server(banner=f"number {number}") for number in range(50)]
        await asyncio.gather(*(server.start() for server in servers))
        await asyncio.gather(
            *(asyncio.to_thread(send, server.addr, sender) for server, sender in zip(servers, senders, strict=True))
        )
        await asyncio.gather(*(server.close() for server in servers))
        return [[message.sender for message in server.messages] for server in servers]

    assert run(main()) == [[sender] for sender in senders]


def test_a_blocking_callback_in_a_thread_lets_the_loop_go_on(run):
    go_on = threading.Event()

    async def main():
        async with aio.Server(deliver=aio.in_thread(lambda *_: go_on.wait(10))) as server:
            sending = asyncio.create_task(asyncio.to_thread(send, server.addr))
            assert server.messages == []
            go_on.set()
            await sending
            assert len(server.messages) == 1

    run(main())


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("left", ["a callback", "serve_forever", "wait_for"])
def test_it_starts_again_whatever_was_waited_for_in_an_event_loop_that_was_closed(new_loop, left):
    entered = asyncio.Event()

    async def deliver(*_):
        entered.set()
        await asyncio.Event().wait()

    async def begin():
        await server.start()
        if left == "a callback":
            server.configure({"deliver": deliver})
            client.connect(server.addr)
            client.sendall(b"HELO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\n")
            await entered.wait()
        else:
            tasks.append(asyncio.create_task(getattr(server, left)()))
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def again():
        server.configure({"deliver": None})
        async with server:
            await asyncio.to_thread(send, server.addr)

    server, tasks, loop = aio.Server(), [], new_loop()
    with socket.socket() as client:
        loop.run_until_complete(begin())
        loop.close()
        asyncio.run(again())
    assert len(server.messages) == 1


def test_the_child_of_a_fork_has_no_server_and_the_parents_goes_on():
    program = """
import asyncio, os, socket
from pysmtpd import aio

async def main():
    async with aio.Server() as server:
        address = server.addr
        child_end, parent_end = socket.socketpair()
        client = socket.create_connection(address)
        if not (child := os.fork()):
            parent_end.close()
            try:
                server.port
            except RuntimeError:
                child_end.send(b"none")
            child_end.recv(1)
            os._exit(0)
        child_end.close()
        client.setblocking(False)
        said = await asyncio.to_thread(parent_end.recv, 9)
        greeting = await asyncio.get_running_loop().sock_recv(client, 3)
    try:
        socket.create_connection(address)
    except ConnectionRefusedError:
        print(said, greeting)
    parent_end.close()
    os.waitpid(child, 0)

asyncio.run(main())
"""
    result = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, text=True, timeout=DEADLINE)
    assert (result.stdout, result.stderr) == ("b'none' b'220'\n", "")


def test_the_child_of_a_fork_may_close_the_server_and_start_it_for_itself():
    program = """
import asyncio, os
from pysmtpd import aio

async def greeting(server):
    reader, writer = await asyncio.open_connection(server.host, server.port)
    code = await reader.readexactly(3)
    writer.close()
    return code

async def anew():
    await closed.close()
    async with closed, served:
        print(await greeting(closed), await greeting(served), flush=True)

async def main():
    async with closed, served:
        if not (child := os.fork()):
            asyncio.run(anew())
            os._exit(0)
        os.waitpid(child, 0)
        print(await greeting(closed), await greeting(served))

closed, served = aio.Server(), aio.Server()
asyncio.run(main())
"""
    result = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, text=True, timeout=DEADLINE)
    assert (result.stdout, result.stderr) == ("b'220' b'220'\n" * 2, "")
