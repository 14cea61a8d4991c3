"""Every reply text, by name, in the stock package's words and in ours, and the one place where a reply is made bytes.

Placeholders in braces are filled when the reply is made; texts that have none are bytes from the start.
"""

import re

#: An enhanced status code that leads a text (RFC 2034, 4).
_STATUS_CODE = re.compile(r"[245]\.\d{1,3}\.\d{1,3} ", re.ASCII)
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
#: What a terminal obeys, or breaks a line at, or writes backwards from; and halves of characters, which nothing can write.
_HARMFUL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
#: The same in a reply, where `wire` makes a question mark of all that is not ASCII.
_ASCII_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f]")


#: How long a line of a reply may be, its code and CRLF included (RFC 5321, 4.5.3.1.5), and how much of a path it shows.
_LONGEST_LINE = 512
_LONGEST_PATH = 256


def harmless(text: str) -> str:
    """Return a text without what a terminal would obey: such characters become ``\\xNN``. Tabs and line feeds stay."""
    return _HARMFUL.sub(lambda match: ascii(match[0])[1:-1] if match[0] > "\xff" else f"\\x{ord(match[0]):02x}", text)


def one_line(text: str) -> str:
    """Return ``text`` fit for one line of a log or a reply: control characters become ``\\xNN``."""
    return harmless(text.replace("\n", "\\x0a").replace("\t", " "))


def shown_path(path: str) -> str:
    """Return a path fit to be named in a reply: one too long for that is cut (RFC 5321, 4.5.3.1.3)."""
    path = one_line(path)
    return path if len(path) <= _LONGEST_PATH else f"{path[: _LONGEST_PATH - 4]}...>"


def without_secret(command: str) -> str:
    """Return a command as it may be shown: without the initial response of an AUTH (RFC 4954, 4)."""
    words = command.split(None, 2)
    if len(words) == 3 and words[0].upper() == "AUTH" and words[2] != "=":
        return f"{words[0]} {words[1]} (secret)"
    return command


def wire(reply: str) -> bytes:
    """Return one line as it goes out: ASCII, ``?`` for what is not (as the stock package's channel does), and CRLF."""
    return reply.encode("ascii", "replace") + b"\r\n"


def free_reply(code: str, text: str) -> bytes:
    """Return a well-formed reply from a text that may hold anything.

    Line breaks in ``text`` become continuation lines (RFC 5321, 4.2.1), and so does what is too long for one line; other control
    characters are dropped; DEL is a question mark, as in the stock package. An enhanced status code at the beginning leads each
    line (RFC 2034, 4).
    """
    lines = [_ASCII_CONTROL.sub("", line).replace("\x7f", "?") for line in _LINE_BREAK.split(text)]
    while len(lines) > 1 and not lines[-1].strip():
        lines.pop()
    status = match[0] if (match := _STATUS_CODE.match(lines[0])) else ""
    if status:
        lines = [line.removeprefix(status) for line in lines]
    room = _LONGEST_LINE - len(code) - len(status) - len(" \r\n")
    if any(len(line) > room for line in lines):
        lines = [line[start : start + room] for line in lines for start in range(0, len(line) or 1, room)]
    last = len(lines) - 1
    return b"".join(wire(f"{code}{'-' if index < last else ' '}{status}{line}") for index, line in enumerate(lines))


class LastReply:
    """A reply with values in it, kept for as long as they stay the same: clients of a test are alike, and come by the hundred."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: tuple[object, bytes] = None, b""

    def with_values(self, text: str, values: dict[str, str], more: bytes = b"") -> bytes:
        """Return a reply: the first line as a text with placeholders, their values, and the lines behind it."""
        made_of = text, values, more
        last, reply = self._last
        if last != made_of:
            reply = wire(text.format(**values)) + more
            self._last = made_of, reply
        return reply


class Replies:
    """The stock package's words. A text with placeholders is a string, one without is what goes on the wire; and so is what is
    said to each message, with ``%b`` for its id: that is faster."""

    greeting = "220 {server} {banner}; {timestamp}"
    hello = "250 {server} Hello {domain} [{client}], pleased to meet you"
    ehlo = "250-{server} Hello {domain} [{client}], pleased to meet you"
    ehlo_end = "250 Ready for mail."
    mail_ok = wire("250 OK")
    rcpt_ok = wire("250 OK")
    reset_ok = wire("250 OK")
    noop_ok = wire("250 OK")
    send_data = wire('354 Enter mail, end with "." on a line by itself')
    delivered = wire("250 %b Message accepted for delivery")
    delivered_to = "250 {recipient} {id} Message accepted for delivery"
    goodbye = "221 {server} Service closing transmission channel"
    help_line = "214-{line}"
    help_end = wire("214 End of HELP")
    help_unknown = '504 HELP topic "{topic}" unknown.'
    host_refused = "Access denied: {text}"
    mailbox_refused = wire("553 Requested action not taken: mailbox name not allowed")
    delivery_refused = "Transaction failed: {text}"
    store_full = "Insufficient system storage"
    store_failed = "Requested action aborted: cannot store the message"
    unknown_command = wire("500 Invalid command")
    not_implemented = "500 {verb} not implemented"
    local_error = wire("451 Requested action aborted: local error in processing")
    syntax_error = wire("501 Syntax error in parameters or arguments")
    bad_sequence = wire("503 bad sequence of commands")
    hello_first = wire("503 bad sequence of commands")
    nested_mail = wire("503 bad sequence of commands")
    mail_first = wire("503 bad sequence of commands")
    no_sender = wire("503 bad sequence: no sender specified")
    no_recipient = wire("503 bad sequence: no recipient specified")
    unknown_parameter = wire("555 MAIL FROM/RCPT TO parameters not recognized or not implemented")
    bad_parameter = wire("501 Syntax error in parameters or arguments")
    authenticated = wire("235 Authentication succeeded")
    not_authenticated = wire("535 Authentication credentials invalid")
    auth_first = wire("530 Authentication required")
    auth_cancelled = wire("501 Authentication cancelled")
    auth_undecodable = wire("501 Cannot decode the response")
    no_initial_response = wire("501 This mechanism takes no initial response")
    unknown_mechanism = wire("504 Authentication mechanism not offered")
    encryption_needed = wire("538 Encryption required for authentication")
    chunks_open = wire("503 bad sequence of commands")
    chunk_ok = "250 {size} octets received"
    verified = "250 <{address}>"
    cannot_verify = wire("252 Cannot VRFY user, but will accept message and attempt delivery")
    cannot_expand = wire("252 Cannot EXPN list, but will accept message and attempt delivery")
    not_ascii = wire("553 Requested action not taken: mailbox name not allowed")
    line_too_long = wire("500 Line too long")
    too_large = wire("552 Message exceeds the size limit")
    too_many_recipients = wire("452 Too many recipients")
    start_tls = wire("220 Ready to start TLS")
    tls_unavailable = wire("454 TLS not available due to temporary reason")
    tls_refused = "TLS not available: {text}"
    tls_required = wire("530 Must issue a STARTTLS command first")
    no_parameters = wire("501 Syntax error (no parameters allowed)")
    not_smtp = wire("421 This is an SMTP server, not an HTTP server")
    no_proxy_header = wire("421 PROXY header expected")
    too_many_errors = wire("421 Too many errors")
    idle = wire("421 Idle for too long")
    unavailable = "421 {server} Service not available, closing transmission channel"


class StandardReplies(Replies):
    """Ours: RFC 5321, 4.2.3, with the enhanced status codes of RFC 3463."""

    greeting = "220 {server} ESMTP {banner}; {timestamp}"
    hello = "250 {server} Hello {domain} [{client}]"
    ehlo = "250-{server} Hello {domain} [{client}]"
    mail_ok = wire("250 2.1.0 Sender OK")
    rcpt_ok = wire("250 2.1.5 Recipient OK")
    reset_ok = wire("250 2.0.0 OK")
    noop_ok = wire("250 2.0.0 OK")
    send_data = wire("354 End data with <CR><LF>.<CR><LF>")
    delivered = wire("250 2.0.0 %b Message accepted for delivery")
    delivered_to = "250 2.1.5 {recipient} {id} Message accepted for delivery"
    goodbye = "221 2.0.0 {server} Service closing transmission channel"
    help_line = "214-2.0.0 {line}"
    help_end = wire("214 2.0.0 End of HELP")
    help_unknown = '504 5.5.1 HELP topic "{topic}" unknown'
    host_refused = "5.7.1 Access denied: {text}"
    mailbox_refused = wire("553 5.1.3 Mailbox name not allowed")
    delivery_refused = "5.0.0 Transaction failed: {text}"
    store_full = "4.3.1 Insufficient system storage"
    store_failed = "4.3.0 Cannot store the message"
    unknown_command = wire("500 5.5.2 Command not recognized")
    not_implemented = "502 5.5.1 {verb} not implemented"
    local_error = wire("451 4.3.0 Local error in processing")
    syntax_error = wire("501 5.5.4 Syntax error in parameters or arguments")
    bad_sequence = wire("503 5.5.1 Bad sequence of commands")
    hello_first = wire("503 5.5.1 Send HELO or EHLO first")
    nested_mail = wire("503 5.5.1 A mail transaction is open already")
    mail_first = wire("503 5.5.1 Send MAIL first")
    no_sender = wire("503 5.5.1 Send MAIL first")
    no_recipient = wire("503 5.5.1 Send RCPT first")
    unknown_parameter = wire("555 5.5.4 Parameter not recognized")
    bad_parameter = wire("501 5.5.4 Syntax error in a parameter")
    authenticated = wire("235 2.7.0 Authentication succeeded")
    not_authenticated = wire("535 5.7.8 Authentication credentials invalid")
    auth_first = wire("530 5.7.0 Authentication required")
    auth_cancelled = wire("501 5.7.0 Authentication cancelled")
    auth_undecodable = wire("501 5.5.2 Cannot decode the response")
    no_initial_response = wire("501 5.7.0 This mechanism takes no initial response")
    unknown_mechanism = wire("504 5.5.4 Authentication mechanism not offered")
    encryption_needed = wire("538 5.7.11 Encryption required for authentication")
    chunks_open = wire("503 5.5.1 The last chunk has not come yet")
    chunk_ok = "250 2.0.0 {size} octets received"
    verified = "250 2.1.5 <{address}>"
    cannot_verify = wire("252 2.1.5 Cannot verify; will take the message and try")
    cannot_expand = wire("252 2.1.5 Cannot expand; will take the message and try")
    not_ascii = wire("553 5.6.7 An address that is not ASCII needs SMTPUTF8")
    line_too_long = wire("500 5.5.6 Line too long")
    too_large = wire("552 5.3.4 Message exceeds the size limit")
    too_many_recipients = wire("452 4.5.3 Too many recipients")
    start_tls = wire("220 2.0.0 Ready to start TLS")
    tls_unavailable = wire("454 4.7.0 TLS not available due to temporary reason")
    tls_refused = "4.7.0 TLS not available: {text}"
    tls_required = wire("530 5.7.0 Must issue a STARTTLS command first")
    no_parameters = wire("501 5.5.4 Syntax error (no parameters allowed)")
    not_smtp = wire("421 4.7.0 This is an SMTP server, not an HTTP server")
    no_proxy_header = wire("421 4.7.0 PROXY header expected")
    too_many_errors = wire("421 4.7.0 Too many errors")
    idle = wire("421 4.4.2 Idle for too long")
    unavailable = "421 4.3.2 {server} Service not available, closing transmission channel"


STOCK = Replies()
STANDARD = StandardReplies()


def without_status_codes() -> Replies:
    """Return our replies without the enhanced status codes (RFC 2034): for clients that are to do without."""
    # A status code stands first where the reply code is put before it later.
    code = re.compile(r"^(\d\d\d[ -]|)\d\.\d+\.\d+ ")
    plain = StandardReplies()
    for name, text in vars(StandardReplies).items():
        if isinstance(text, bytes):
            setattr(plain, name, code.sub(r"\1", text.decode("ascii")).encode("ascii"))
        elif not name.startswith("__"):
            setattr(plain, name, code.sub(r"\1", text))
    return plain
