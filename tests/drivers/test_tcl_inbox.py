"""The inbox behind Tcl's commands: what tests/tcl/test_tcl_inbox.py does not show."""

from datetime import UTC, datetime

import pytest

from pysmtpd.drivers.tcl_inbox import TclInbox, as_dictionary
from pysmtpd.message import Message


def test_attachments_are_dictionaries():
    text = (
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\ntext\r\n--x\r\nContent-Type: image/png\r\n"
        b'Content-Disposition: attachment; filename="a b.png"\r\nContent-Transfer-Encoding: base64\r\n\r\nAAE=\r\n--x--\r\n'
    )
    message = Message("", ["b@example.org"], text, ("127.0.0.1", 1), "x", "ID", datetime.now(UTC))
    assert as_dictionary(message)["attachments"] == [{"name": "a b.png", "type": "image/png", "content": b"\0\1"}]


def test_an_unknown_command_is_named():
    with pytest.raises(ValueError, match='no command "x"'):
        TclInbox().run("x")
