"""The asyncio driver: callbacks that are awaited, in event loops of all kinds."""

import asyncio
import concurrent.futures
import threading

import pytest
from python_server import InLoop, InProactor, InUvloop
from smtp_client import DEADLINE, Client

from pysmtpd import Refused


@pytest.fixture(params=[InLoop, InUvloop, InProactor], ids=["asyncio", "uvloop", "proactor"])
def make(request):
    """A function that makes a server with options, not started."""
    made = []

    def make(**options):
        made.append(request.param(**options))
        return made[-1]

    yield make
    for server in made:
        server.end()


def test_coroutine_functions_are_callbacks(make):
    seen = []

    async def check(address):
        await asyncio.sleep(0)
        seen.append(address)

    async def deliver(sender, recipients, lines):
        await asyncio.sleep(0)
        seen.append(lines[-1])

    made = make(validate_host=check, validate_sender=check, validate_recipient=check, deliver=deliver)
    with Client(made.start().getsockname()) as client:
        client.hello()
        assert client.mail().code == 250
        client.quit()
    assert seen == ["127.0.0.1", "a@example.org", "b@example.org", "hello"]
    assert len(made.server.messages) == 1


@pytest.mark.parametrize(
    "error",
    [SystemExit(1), KeyboardInterrupt(), ZeroDivisionError("x"), Refused(451, "later"), asyncio.CancelledError(), TimeoutError()],
    ids=lambda error: type(error).__name__,
)
def test_whatever_an_awaited_callback_raises_refuses_and_the_loop_lives(make, error):
    async def deliver(*_):
        await asyncio.sleep(0)
        raise error

    with Client(make(deliver=deliver).start().getsockname()) as client:
        client.hello()
        for _ in range(2):
            assert client.mail().code == (451 if isinstance(error, Refused) else 554)
        client.quit()


def test_replies_keep_their_order_while_a_callback_is_awaited_and_nobody_else_waits(make):
    go_on = []

    async def check(address):
        event = asyncio.Event()
        go_on.append((asyncio.get_running_loop(), event))
        await event.wait()

    address = make(validate_sender=check).start().getsockname()
    with Client(address) as client, Client(address) as other:
        client.hello()
        client.send("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n")
        other.hello()
        other.command("NOOP", 250)
        loop, event = go_on[0]
        loop.call_soon_threadsafe(event.set)
        client.expect(250, 250, 354, 250, 221)
        client.expect_end()


def test_a_client_that_leaves_meanwhile_harms_nobody(make):
    entered, go_on = threading.Event(), threading.Event()

    async def check(address):
        entered.set()
        await asyncio.to_thread(go_on.wait, DEADLINE)

    made = make(validate_sender=check)
    address = made.start().getsockname()
    with Client(address) as client:
        client.hello()
        client.send("MAIL FROM:<a@b>\r\n")
        assert entered.wait(DEADLINE)
        client.reset()
    with Client(address) as other:
        other.hello()
        go_on.set()
        other.command("MAIL FROM:<a@b>", 250)
        other.quit()


def test_anything_that_can_be_awaited_will_do(make):
    with concurrent.futures.ThreadPoolExecutor() as pool:

        def deliver(sender, *_):
            if sender == "<thread@b>":
                return pool.submit(int, "1")
            if sender == "<refused@b>":
                return pool.submit(int, "x")
            return asyncio.ensure_future(asyncio.sleep(0))

        made = make(deliver=deliver)
        with Client(made.start().getsockname()) as client:
            client.hello()
            assert client.mail("<thread@b>").code == 250
            assert client.mail("<future@b>").code == 250
            assert "invalid literal" in client.mail("<refused@b>").text
            client.quit()
    assert [message.sender for message in made.server.messages] == ["thread@b", "future@b"]


@pytest.mark.parametrize("error", [StopIteration(), concurrent.futures.CancelledError(), SystemExit(1)], ids=repr)
def test_whatever_ends_a_future_of_a_thread_refuses(make, error):
    def deliver(*_):
        future = concurrent.futures.Future()
        future.set_exception(error)
        return future

    with Client(make(deliver=deliver).start().getsockname()) as client:
        client.hello()
        assert client.mail().code == 554
        client.quit()


def test_a_callback_that_somebody_cancels_refuses(make):
    async def deliver(*_):
        asyncio.current_task().cancel()
        await asyncio.sleep(3600)

    made = make(deliver=deliver)
    with Client(made.start().getsockname()) as client:
        client.hello()
        assert client.mail().text == "5.0.0 Transaction failed: CancelledError"
        client.quit()


def test_close_cancels_callbacks_that_are_awaited(make):
    entered, cancelled = threading.Event(), []

    async def deliver(*_):
        entered.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    made = make(deliver=deliver)
    with Client(made.start().getsockname()) as client:
        client.hello()
        client.send("MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nDATA\r\n.\r\n")
        client.expect(250, 250, 354)
        assert entered.wait(DEADLINE)
        made.close()
        client.expect(421)
        client.expect_end()
    assert cancelled == [True]
    assert made.server.messages == []


def test_a_client_that_never_stops_keeps_nobody_out(make):
    seen, seen_by_host, others = [], [], []

    def check(address):
        """What the first client sends next is there whenever somebody looks."""
        seen.append(address)
        if len(seen) == 1:
            others.append(Client(where))
        if len(seen) < 1000:
            client.send("RCPT TO:<more@example.org>\r\n")

    made = make(validate_host=lambda _: seen_by_host.append(len(seen)), validate_recipient=check, recipient_limit=2000)
    where = made.start().getsockname()
    with Client(where) as client:
        client.hello()
        client.command("MAIL FROM:<a@example.org>", 250)
        client.send("RCPT TO:<first@example.org>\r\n")
        client.expect(*[250] * 1000)
        with others[0] as other:
            other.hello()
    assert seen_by_host[1] < 200


class LoopAhead(asyncio.SelectorEventLoop):
    """An event loop with a time of its own, as those have that make tests of timers fast."""

    def time(self):
        return super().time() + 1e6


class InLoopAhead(InLoop):
    """A server in it."""

    new_loop = LoopAhead


def test_nobody_is_idle_by_the_time_of_the_event_loop():
    made = InLoopAhead(idle_timeout=60)

    async def sweep():
        made.server._hub._sweep()

    with Client(made.start().getsockname()) as client:
        client.hello()
        made.do(sweep())
        client.command("NOOP", 250)
        client.quit()
    made.end()
