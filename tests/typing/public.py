"""The public names as a program uses them: mypy, strict, must find nothing wrong here. Never run."""

import re
import ssl
from email.message import EmailMessage
from typing import assert_type

import pysmtpd
from pysmtpd import Message, NotReceived, Refused, Server, aio


def deliver(sender: str, recipients: list[str], lines: list[str]) -> None:
    raise Refused(451, "later")


def use_server() -> list[Message]:
    with Server("127.0.0.1", 0, deliver=deliver, tls="starttls") as server:
        assert_type(server.host, str)
        assert_type(server.port, int)
        assert_type(server.addr, tuple[str, int])
        assert_type(server.url, str)
        assert_type(server.client_context(), ssl.SSLContext)
        with server.refuse(to=re.compile("full"), code=452, times=2) as fault:
            assert_type(fault.struck, int)
        server.drop("DATA").end()
        server.delay(0.5, "EHLO")
        server.configure({"banner": "x"})
        try:
            found = server.wait_for(to="a@b", subject=re.compile("x"), matching=lambda message: message.text, count=2, timeout=1)
        except NotReceived as error:
            print(error)
            raise
        server.expect_none(sender="a@b", timeout=0)
        for session in server.sessions:
            assert_type(session.lines, list[str])
        assert_type(server.transcript, str)
        server.clear()
    return found


def use_message(message: Message) -> None:
    assert_type(message.sender, str)
    assert_type(message.recipients, tuple[str, ...])
    assert_type(message.content, bytes)
    assert_type(message.parameters, dict[str, str])
    assert_type(message.recipient_parameters, tuple[dict[str, str], ...])
    assert_type(message.user, str | None)
    assert_type(message.links, list[str])
    assert_type(message.time.isoformat(), str)
    part: EmailMessage = message.attachments[0]
    print(part.get_filename(), message.email["Subject"], message.text, message.html, message.subject)
    message.save("mail.eml")


async def use_loop() -> None:
    async with aio.Server() as server:
        assert_type(await server.wait_for(to="a@b"), list[Message])
        await server.expect_none()


def use_module() -> None:
    pysmtpd.configure(deliver=deliver)
    pysmtpd.configure("-banner", "x")
    print(pysmtpd.start("127.0.0.1", 0).getsockname()[1])
    pysmtpd.stop()
    assert_type(pysmtpd.stopped.wait(1.0), bool)


def use_fixture(pysmtpd: Server) -> None:
    assert_type(pysmtpd.messages, list[Message])
