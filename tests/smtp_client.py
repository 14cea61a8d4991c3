"""A raw SMTP client: sends the octets it is told to, reads replies strictly, and waits for nothing longer than a deadline."""

import re
import select
import socket

DEADLINE = 10.0

_REPLY_LINE = re.compile(rb"([2-5]\d\d)([ -])([\t\x20-\x7e]{0,506})\r\n")


class Reply:
    """One reply: its code, and the text of its lines."""

    def __init__(self, code: int, lines: list[str]) -> None:
        self.code = code
        self.lines = lines

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def __repr__(self) -> str:
        return f"<{self.code} {self.text!r}>"


class Client:
    """One connection.

    Arguments:
        address: host and port, or the path of a UNIX socket.
        receive_buffer: octets the kernel keeps for us at most, for clients that do not read.
    """

    def __init__(self, address, receive_buffer=None):
        local = isinstance(address, str)
        self.socket = socket.socket(socket.AF_UNIX if local else socket.AF_INET)
        self.socket.settimeout(DEADLINE)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if not local:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.socket.connect(address)
        except OSError:
            self.socket.close()
            raise
        self._received = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """End the connection with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def end(self):
        """End our side, and go on reading."""
        self.socket.shutdown(socket.SHUT_WR)

    def send(self, data):
        """Send octets as they are; a text as Latin-1."""
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def _line(self):
        while b"\n" not in self._received:
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionError(f"the server closed the connection; unfinished: {self._received!r}")
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        return line + b"\n"

    def reply(self):
        """Read one reply, checking its form."""
        lines = []
        while True:
            raw = self._line()
            match = _REPLY_LINE.fullmatch(raw)
            assert match, f"malformed reply line {raw!r}"
            lines.append(match[3].decode("ascii"))
            if match[2] == b" ":
                return Reply(int(match[1]), lines)

    def expect(self, *codes):
        """Read one reply per code; return the last."""
        for code in codes:
            reply = self.reply()
            assert reply.code == code, f"expected {code}, got {reply}"
        return reply

    def command(self, line, *codes):
        """Send a line; read its reply, or the replies with these codes."""
        self.send((line if isinstance(line, bytes) else line.encode("latin-1")) + b"\r\n")
        return self.expect(*codes) if codes else self.reply()

    def hello(self):
        """Read the greeting and say EHLO."""
        self.expect(220)
        return self.command("EHLO client.example", 250)

    def mail(self, sender="<a@example.org>", recipients=("<b@example.org>",), body="Subject: x\r\n\r\nhello\r\n"):
        """Send one mail; return the last reply."""
        self.command(f"MAIL FROM:{sender}", 250)
        for recipient in recipients:
            self.command(f"RCPT TO:{recipient}", 250)
        self.command("DATA", 354)
        self.send((body if isinstance(body, bytes) else body.encode("latin-1")) + b".\r\n")
        return self.reply()

    def quit(self):
        self.command("QUIT", 221)
        self.expect_end()

    def expect_end(self):
        """Read on: there must be nothing but the end."""
        assert self.rest() == b""

    def rest(self):
        """Read to the end; return it all. A reset is an end, too."""
        rest = bytearray(self._received)
        self._received = b""
        try:
            while data := self.socket.recv(1 << 20):
                rest += data
        except ConnectionResetError:
            pass
        return bytes(rest)

    def send_until_stuck(self, piece, limit, patience=0.5):
        """Send ``piece`` again and again and read nothing, until the server takes no more or the limit is passed.

        Returns the octets sent, and whether the server stopped taking them.
        """
        self.socket.setblocking(False)
        sent = 0
        stuck = False
        block = piece * max(1, 65536 // len(piece))
        offset = 0
        while sent < limit and not stuck:
            try:
                count = self.socket.send(block[offset:])
                sent += count
                offset = (offset + count) % len(block)
            except BlockingIOError:
                stuck = not select.select([], [self.socket], [], patience)[1]
        self.socket.setblocking(True)
        self.socket.settimeout(DEADLINE)
        return sent, stuck
