"""Inputs without a fuzzing engine: sessions put together from what clients say, and seeds changed a little. Seeded.

Imports nothing of the core: whatever is fuzzed for its coverage must be loaded by the fuzzer.
"""

import random
from collections.abc import Iterator, Sequence

HEADER = 8  # octets of settings that an input begins with
WORDS = [
    b"EHLO c.example\r\n", b"HELO c\r\n", b"LHLO c\r\n", b"MAIL FROM:<a@b.example>\r\n", b"MAIL FROM:<>\r\n", b"MAIL FROM:<no@b>\r\n",
    b"MAIL FROM:<a@b> SIZE=10 BODY=8BITMIME SMTPUTF8\r\n", b"MAIL FROM:<a@b> RET=HDRS ENVID=x+20\r\n", b"MAIL FROM:<a@b> AUTH=<>\r\n",
    b"MAIL FROM:<a@b> BODY=BINARYMIME\r\n", b"RCPT TO:<c@d.example>\r\n", b"RCPT TO:<no@d>\r\n", b"RCPT TO:<Postmaster>\r\n",
    b"RCPT TO:<postmaster@d.example>\r\n", b"RCPT TO:<c@d> NOTIFY=NEVER ORCPT=rfc822;c@d\r\n", b'RCPT TO:<"q \\" [x] $y"@d>\r\n',
    b"RCPT TO:<\xc3\xa9@d>\r\n", b"DATA\r\n", b"DATA\r\n", b"DATA\r\n", b"text no text\r\n", b"\r\n.\r\n", b".\r\n", b"..\r\n", b".x\r\n", b"\n.\n", b"\r.\r",
    b"\r\n.\n", b"\n.\r\n", b"RSET\r\n", b"NOOP\r\n", b"NOOP x\r\n", b"HELP\r\n", b"HELP MAIL\r\n", b"VRFY a@b\r\n", b"EXPN list\r\n", b"QUIT\r\n",
    b"BDAT 5\r\nhello", b"BDAT 5 LAST\r\nhello", b"BDAT 0 LAST\r\n", b"BDAT 500\r\n", b"BDAT x\r\n", b"BDAT 99999999999999999999\r\n",
    b"AUTH PLAIN\r\n", b"AUTH PLAIN AHVzZXIAc2VjcmV0\r\n", b"AUTH LOGIN\r\n", b"dXNlcg==\r\n", b"c2VjcmV0\r\n", b"*\r\n", b"=\r\n",
    b"AUTH CRAM-MD5\r\n", b"AUTH SCRAM-SHA-256 biwsbj11c2VyLHI9eA==\r\n", b"AUTH XOAUTH2\r\n", b"STARTTLS\r\n", b"GET / HTTP/1.1\r\n", b"[x]*\r\n",
    b"\xff\xfe\x00\x1b", b"x" * 260, b"x" * 320, b"\r", b"\n", b"\r\n", b"", b" ", b"EHLO [127.0.0.1]\r\n", b"MAIL FROM:<" + b"(" * 50 + b">\r\n",
]  # fmt: skip
ENVELOPE = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"


def inputs(seed: int, corpus: Sequence[bytes]) -> Iterator[bytes]:
    """Inputs without end, the same for the same seed and corpus."""
    choose = random.Random(seed)  # noqa: S311 # repeatable on purpose
    while True:
        if corpus and choose.random() < 0.4:
            yield changed(choose.choice(corpus), choose)
        else:
            yield choose.randbytes(HEADER) + session(choose)


def session(choose: random.Random) -> bytes:
    """What a client might say, more or less in order."""
    parts = [b"EHLO c.example\r\n"] if choose.random() < 0.7 else []
    for _ in range(choose.randrange(10)):
        parts.append(ENVELOPE if choose.random() < 0.3 else choose.choice(WORDS))
    return b"".join(parts)


def changed(seed: bytes, choose: random.Random) -> bytes:
    """A seed with a few octets, words or stretches of it changed."""
    data = bytearray(seed)
    for _ in range(choose.randrange(1, 4)):
        place = choose.randrange(len(data) + 1)
        match choose.randrange(5):
            case 0:
                data[place:place] = choose.choice(WORDS)
            case 1:
                del data[place : place + choose.randrange(1, 12)]
            case 2:
                data[place : place + 1] = choose.randbytes(1)
            case 3:
                start = choose.randrange(len(data) + 1)
                data[place:place] = data[start : start + choose.randrange(40)]
            case 4:
                data[place:place] = choose.choice([b"\r", b"\n", b"\r\n", b".", b"\0", b" ", b"\x80"])
    return bytes(data)
