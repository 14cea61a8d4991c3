"""The sockets of the Python drivers, and selectors of every kind that wait for them."""

import os
import select
import selectors
from types import SimpleNamespace

import pytest
from smtp_client import Client

from pysmtpd import Server
from pysmtpd.drivers import sockets
from pysmtpd.drivers.sockets import READ, WRITE, SelectorPoller


@pytest.mark.parametrize("kind", [selectors.SelectSelector, selectors.PollSelector, selectors.EpollSelector])
def test_any_selector_will_do(monkeypatch, kind):
    monkeypatch.setattr(sockets, "new_poller", lambda: SelectorPoller(kind()))
    with Server() as server:
        with Client(server.addr, receive_buffer=4096) as stuck:
            stuck.expect(220)
            assert stuck.send_until_stuck(b"NOOP\r\n", limit=40_000_000)[1]
            with Client(server.addr) as client:
                client.hello()
                assert client.mail().code == 250
                client.quit()
        server.stop()
        server.start()
        with Client(server.addr) as client:
            client.hello()
            client.send("NOOP\r\n")
            client.end()
            client.expect(250)
            client.expect_end()
    assert len(server.messages) == 1


def test_a_poller_over_a_selector_speaks_as_epoll_does():
    reader, writer = os.pipe()
    ours, epoll = SelectorPoller(selectors.DefaultSelector()), select.epoll()
    for poller in (ours, epoll):
        poller.register(reader, READ)
        poller.register(writer, WRITE)
    assert ours.poll(None) == epoll.poll(None) == [(writer, WRITE)]
    os.write(writer, b"x")
    for poller in (ours, epoll):
        poller.modify(writer, 0)
        assert poller.poll(None) == [(reader, READ)]
        poller.modify(writer, WRITE)
        poller.unregister(reader)
        assert poller.poll(None) == [(writer, WRITE)]
        poller.close()
    os.close(reader)
    os.close(writer)


class Alone(sockets.Sockets):
    """One client, that goes on at once for some turns, and then never."""

    def __init__(self, turns):
        super().__init__(SimpleNamespace(live={object(): None}), SelectorPoller(selectors.DefaultSelector()))
        self.turns = turns
        self.tried = 0

    def serve_lone(self):
        self.tried += 1
        return self.tried <= self.turns


def test_a_client_that_goes_on_at_once_is_served_some_times_in_a_row():
    alone = Alone(turns=100)
    alone.meet_again()
    assert 1 < alone.tried < 20


def test_a_client_that_does_not_is_waited_for_more_and_more_seldom():
    alone = Alone(turns=0)
    for _ in range(10_000):
        alone.meet_again()
    assert 1 < alone.tried < 100
    alone.service.live[object()] = None
    tried = alone.tried
    for _ in range(1_000):
        alone.meet_again()
    assert alone.tried == tried
