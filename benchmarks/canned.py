"""A responder with no server in it: an epoll loop that sends canned replies. What it reaches is the limit.

It reads just enough to stay in step (which line is DATA, where the body ends), keeps nothing, and answers a batch
of input with one write. No figure of a real server should come near what the generator reaches against this.
"""

import contextlib
import os
import select
import socket
import sys

END = b"\r\n.\r\n"
GREETING = b"220 canned\r\n"
HELLO = b"250-canned\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
GO_AHEAD = b"354 go ahead\r\n"
GOODBYE = b"221 goodbye\r\n"
OK = b"250 OK\r\n"
REPLIES = {b"EHLO": HELLO, b"DATA": GO_AHEAD, b"QUIT": GOODBYE}


class Peer:
    """One connection: are we in a body, and its last bytes so far (the end may come in two pieces)."""

    __slots__ = ("in_body", "sock", "tail")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.in_body = False
        self.tail = b""

    def answer(self, data: bytes) -> tuple[bytes, int]:
        """The replies to a batch of input, and how many messages ended in it."""
        replies = []
        ended = 0
        if self.in_body:
            rest = self.after_body(data)
            if rest is None:
                return b"", 0
            replies.append(OK)
            ended = 1
            data = rest
        else:
            data = self.tail + data
        *lines, self.tail = data.split(b"\r\n")
        replies.extend(REPLIES.get(line[:4], OK) for line in lines)
        self.in_body = bool(lines) and lines[-1] == b"DATA"
        if self.in_body:
            self.tail = b"\r\n"
        return b"".join(replies), ended

    def after_body(self, data: bytes) -> bytes | None:
        """What follows the end of the body, or None. Copies nothing but the seam between two reads."""
        end = (self.tail + data[:4]).find(END) - len(self.tail)
        if end < -len(self.tail):
            end = data.find(END)
            if end < 0:
                self.tail = (self.tail + data[-4:])[-4:]
                return None
        return data[end + len(END) :]


class Responder:
    """The loop: accept, read, answer; a line on stdin asks for the count, its end ends us."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.listener.setblocking(False)
        self.epoll = select.epoll()
        self.epoll.register(self.listener, select.EPOLLIN)
        self.epoll.register(sys.stdin, select.EPOLLIN)
        self.peers: dict[int, Peer] = {}
        self.delivered = 0

    def accept(self) -> None:
        sock, _address = self.listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self.peers[sock.fileno()] = Peer(sock)
        self.epoll.register(sock, select.EPOLLIN)
        sock.send(GREETING)

    def serve(self, descriptor: int) -> None:
        peer = self.peers[descriptor]
        data = b""
        with contextlib.suppress(ConnectionError):
            data = peer.sock.recv(262144)
        if not data:
            del self.peers[descriptor]
            peer.sock.close()
            return
        replies, ended = peer.answer(data)
        self.delivered += ended
        if replies:
            peer.sock.send(replies)

    def report(self) -> bool:
        """Answer one question from stdin; false when there are no more."""
        if not os.read(sys.stdin.fileno(), 4096):
            return False
        print(self.delivered, flush=True)
        return True

    def run(self) -> None:
        print(self.listener.getsockname()[1], "canned", flush=True)
        listening, asking = self.listener.fileno(), sys.stdin.fileno()
        while True:
            for descriptor, _event in self.epoll.poll():
                if descriptor == listening:
                    self.accept()
                elif descriptor != asking:
                    self.serve(descriptor)
                elif not self.report():
                    return


if __name__ == "__main__":
    Responder().run()
