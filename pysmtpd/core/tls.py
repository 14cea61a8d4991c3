"""TLS as a stage between the connection and the session: records in, records out, no socket (RFC 3207, RFC 8314).

A :class:`~pysmtpd.core.session.Session` becomes an :class:`EncryptedSession` when STARTTLS is answered, or at its start where TLS
is implicit. So a session in the clear has no line of code for it, and no driver has any: they hand over what came, and send what
there is, as ever. This module is imported when the first client, or a certificate, asks for it: ``ssl`` is slow to load.
"""

import contextlib
import hashlib
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

from pysmtpd.core.events import Refuse, TlsReport, Verdict
from pysmtpd.core.handshake import VERIFY, Check, Handshake, Step, alert_for, alert_text, certificates_in, shows_certificates
from pysmtpd.core.session import Session

Context: TypeAlias = ssl.SSLContext

#: Attribute types by their short names (RFC 4514, 3, and OpenSSL's for those that are not there).
_SHORT_NAMES: Final = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "street",
    "userId": "UID",
}


class TlsFacts(NamedTuple):
    """What was agreed on in a handshake."""

    version: str  #: ``TLSv1.3``, ``TLSv1.2``
    cipher: str  #: the cipher suite, in OpenSSL's spelling
    bits: int  #: the length of the secret key
    peer_certificate: dict[str, Any] | None  #: the client's certificate as ``ssl.SSLSocket.getpeercert`` has it; None without


class TlsSettings(NamedTuple):
    """The certificate of a server, and what it asks of clients."""

    certfile: str  #: PEM file with the server's certificate, and those between it and the root
    keyfile: str = ""  #: PEM file with its private key; empty where that is in certfile
    password: str = ""  #: opens the private key
    cafile: str = ""  #: PEM file with the authorities that client certificates are checked against
    cadir: str = ""  #: directory with such authorities, named by hash (``openssl rehash``)
    cipher: str = ""  #: cipher suites for TLS 1.2, in OpenSSL's list format (ciphers(1))
    request: bool = False  #: ask clients for a certificate
    require: bool = False  #: refuse the handshake without one
    told: bool = False  #: there is somebody to tell of each step of a handshake
    #: Has a context take a client's certificate (DER), whatever is wrong with it. With it, no handshake fails for that: whether
    #: the session goes on is for those to say who are told.
    trust: Callable[[Context, bytes], None] | None = None
    #: Returns what OpenSSL finds in checking a client's certificates (DER) at a security level; without it, its verdict is told.
    judge: Callable[[Sequence[bytes], int], list[Check]] | None = None


#: What OpenSSL says of certificates with keys and signatures of another age...
_TOO_WEAK = ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK")
#: ...which test servers go on using, the one in tcllib's examples among them: taken at OpenSSL's own security level of old, where
#: the system has raised it. The protocols and the strength of the connection are not changed by that.
_OLD_CERTIFICATES = "DEFAULT:@SECLEVEL=1"


def make_context(settings: TlsSettings) -> Context:
    """Return the context of a server, for TLS 1.2 and 1.3.

    Raises ValueError that names the option, the file and what is wrong with it.
    """
    special = settings.told or settings.trust is not None
    context = (_ToldContext if special else ssl.SSLContext)(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # what systems have for a default differs
    # A client cannot have the server repeat handshakes for the price of a record.
    context.options |= ssl.OP_NO_RENEGOTIATION
    # Clients of a test server seldom come back to resume, and a ticket for it costs a tenth of a handshake. But something has to
    # follow the client's last flight: without TCP_NODELAY its first command waits until that is acknowledged, 40 ms.
    # Where each step is told, the steps are those of the stock package: two tickets.
    if not settings.told:
        context.num_tickets = 1
    _load_certificate(context, settings)
    if settings.cipher:
        try:
            context.set_ciphers(settings.cipher)
        except ssl.SSLError:
            raise ValueError(
                f'cipher is "{settings.cipher}": must be a list of OpenSSL cipher suites, with one for TLS 1.2'
            ) from None
    if settings.request or settings.require:
        context.verify_mode = ssl.CERT_REQUIRED if settings.require else ssl.CERT_OPTIONAL
        if settings.trust is None:
            _load_authorities(context, settings)
        else:
            context.verify_flags |= _PARTIAL_CHAIN | _NO_CHECK_TIME
            if settings.cafile or settings.cadir:  # what is wrong with them is to be said here, too
                _load_authorities(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), settings)
    if isinstance(context, _ToldContext):
        context.settings = settings
        context.sslobject_class = _ToldObject
        context._msg_callback = _show  # type: ignore[attr-defined] # not a public name: there since Python 3.8
    return context


#: X509_VERIFY_PARAM_set_flags(3): a certificate may be trusted by itself; when it begins and ends does not matter.
_PARTIAL_CHAIN = 0x80000
_NO_CHECK_TIME = 0x200000


class _ToldObject(ssl.SSLObject):
    """One end of a TLS connection whose handshake is told."""

    handshake: Handshake
    own: "_ToldContext"
    shown: list[bytes]


class _ToldContext(ssl.SSLContext):
    """A context for connections whose handshakes are told."""

    settings: TlsSettings

    def for_one(self) -> "_ToldContext":
        """Return one like it for a single connection: no client resumes a session, and what it trusts is that client alone."""
        try:
            return make_context(self.settings)  # type: ignore[return-value] # of the same settings: one of us
        except ValueError:  # the files are not there any more
            return self


def _show(connection: _ToldObject, direction: str, version: int, content: int, kind: int, data: bytes) -> None:
    """OpenSSL has read a message, and not looked at it yet, or has written one."""
    connection.handshake.message(direction, version, content, kind)
    if shows_certificates(direction, content, kind):
        connection.shown = certificates_in(data, version)
        trust = connection.own.settings.trust
        if connection.shown and trust is not None:
            with contextlib.suppress(OSError):  # ssl.SSLError is one. What is no certificate is OpenSSL's to refuse
                trust(connection.own, connection.shown[0])


def _load_certificate(context: Context, settings: TlsSettings) -> None:
    certificate, key = settings.certfile, settings.keyfile or settings.certfile
    try:  # by itself first: load_cert_chain does not say which of its files is the bad one
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(certificate)
    except OSError as error:
        raise ValueError(f'certfile is "{certificate}": {_reason(error, "must be a PEM file with a certificate")}') from None
    asked = False

    def password() -> str:
        nonlocal asked
        asked = True
        return settings.password

    try:
        try:
            context.load_cert_chain(certificate, key, password)
        except ssl.SSLError as error:
            if error.reason not in _TOO_WEAK:
                raise
            context.set_ciphers(_OLD_CERTIFICATES)
            context.load_cert_chain(certificate, key, password)
    except ssl.SSLError as error:
        problem = "must be a PEM file with a private key"
        if not settings.keyfile:
            problem += ", since keyfile is empty"
        if error.reason == "KEY_VALUES_MISMATCH":
            problem = f'is not the key of the certificate in "{certificate}"'
        elif asked:
            problem = "the password does not open it" if settings.password else "is encrypted, and no password is set"
        option = "keyfile" if settings.keyfile else "certfile"
        raise ValueError(f'{option} is "{key}": {problem}') from None
    except (OSError, ValueError) as error:
        raise ValueError(f'keyfile is "{key}": {_reason(error, "cannot be used")}') from None


def _load_authorities(context: Context, settings: TlsSettings) -> None:
    if not (settings.cafile or settings.cadir):
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        return
    for option, path in (("cafile", settings.cafile), ("cadir", settings.cadir)):
        if not path:
            continue
        try:
            context.load_verify_locations(**{option.replace("cadir", "capath"): path})
        except OSError as error:
            raise ValueError(f'{option} is "{path}": {_reason(error, "must hold certificates in PEM")}') from None


def _reason(error: Exception, otherwise: str) -> str:
    """Return what the system says about a file; ``otherwise`` where it was OpenSSL that did not like it."""
    if isinstance(error, ssl.SSLError):
        return otherwise
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _words(error: ssl.SSLError) -> str:
    """Return what OpenSSL says of an error, in its words."""
    return (error.reason or str(error)).replace("_", " ").lower()


class Stage:
    """One end of a TLS connection, in memory.

    Arguments:
        context: the server's.
        clear: bytes that go out before the first record: the reply to STARTTLS.
    """

    __slots__ = (
        "_clear",
        "_distrust_code",
        "_incoming",
        "_notified",
        "_object",
        "_outgoing",
        "distrust",
        "ended",
        "established",
        "handshake",
        "held",
        "problem",
        "refused",
    )

    def __init__(self, context: Context, clear: bytes) -> None:
        self._clear = clear
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        own = context.for_one() if isinstance(context, _ToldContext) else context
        self._object = own.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._notified = False
        self.handshake = Handshake()  #: what is told of it, where somebody is
        if isinstance(own, _ToldContext) and isinstance(self._object, _ToldObject):
            self._object.handshake = self.handshake
            self._object.own = own
            self._object.shown = []
        self.held = False  #: whether the end of the handshake is kept from the client
        self.refused = False  #: whether the client has been sent away
        self.established = False  #: whether the handshake is over
        self.ended = False  #: whether the client has ended its side with a close_notify
        self.problem = ""  #: why there will be nothing more, where it was not that
        self._distrust_code = 0
        self.distrust = ""  #: what is wrong with the client's certificate, where it was that

    def decrypt(self, data: bytes) -> bytes:
        """Take records; return what was in them. Goes on with the handshake meanwhile. Never raises."""
        found = []
        try:
            self._incoming.write(data)
            if not self.established:
                self._object.do_handshake()
                self.established = True
                self.handshake.succeeded()
            while self._incoming.pending or self._object.pending():  # else reading would only raise, which is slow
                chunk = self._object.read(65_536)
                if not chunk:
                    self.ended = True
                    break
                found.append(chunk)
        except ssl.SSLWantReadError:
            self.handshake.waits()
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError as error:
            self.problem = _words(error)
            self.distrust = getattr(error, "verify_message", "")
            self._distrust_code = getattr(error, "verify_code", 0)
            self.handshake.failed(self.problem)
        return b"".join(found)

    def end(self) -> None:
        """Take the end of the client's side, in the middle of a handshake."""
        self._incoming.write_eof()
        try:
            self._object.do_handshake()
        except ssl.SSLError as error:
            self.handshake.failed(_words(error))
        self._outgoing.read()  # an alert, which nobody waits for

    def encrypt(self, data: bytes, *, last: bool) -> bytes:
        """Return all that is to be sent, ``data`` at its end; after the ``last`` comes a close_notify."""
        try:
            view = memoryview(data)
            while view:
                view = view[self._object.write(view) :]
            if last and self.established and not self._notified:
                self._notified = True
                self._object.unwrap()
        except ssl.SSLError:  # among others: nothing can be said to a client that broke the connection off
            pass
        clear, self._clear = self._clear, b""
        return clear + self._outgoing.read()

    def facts(self) -> TlsFacts:
        """Return what was agreed on in the handshake."""
        cipher, _, bits = self._object.cipher() or ("", "", 0)
        return TlsFacts(self._object.version() or "", cipher, bits, self._object.getpeercert() or None)

    def refuse(self, code: int) -> str:
        """Send the client away after its handshake, for what is wrong with its certificate by OpenSSL's number.

        Returns the alert that says so; empty under TLS 1.3, where only OpenSSL itself could send one, and has not.
        """
        self._outgoing.read()  # the end of the handshake, and tickets to come back with
        self._notified = True
        self.refused = True
        if self._object.version() == "TLSv1.3":
            return ""
        alert = alert_for(code)
        self._clear = bytes((21, 3, 3, 0, 2, 2, alert))  # RFC 5246, 7.2: fatal; in the clear, as all it has had so far
        return alert_text(alert)

    def checks(self) -> list[Check]:
        """Return what has been found in checking the client's certificates."""
        if isinstance(self._object, _ToldObject):
            own = self._object.own
            if own.settings.judge is not None:
                return own.settings.judge(self._object.shown, own.security_level)
        chain = None
        with contextlib.suppress(AttributeError, ValueError):  # not a public name before Python 3.13
            chain = self._object._sslobj.get_verified_chain()  # type: ignore[attr-defined]
        found = [_as_in_tcl(certificate.get_info(), certificate.public_bytes(1)) for certificate in chain or ()]
        checks = [Check(depth, certificate, 0, "") for depth, certificate in enumerate(found)]
        if self.distrust and checks:
            checks[0] = checks[0]._replace(code=self._distrust_code, text=self.distrust)
        return checks[::-1]


def _as_in_tcl(certificate: dict[str, Any], pem: str) -> dict[str, str]:
    return {
        "sha1_hash": hashlib.sha1(ssl.PEM_cert_to_DER_cert(pem), usedforsecurity=False).hexdigest().upper(),
        "subject": _distinguished_name(certificate["subject"]),
        "issuer": _distinguished_name(certificate["issuer"]),
        "notBefore": certificate["notBefore"],
        "notAfter": certificate["notAfter"],
        "serial": certificate["serialNumber"],
        "certificate": pem,
    }


def _distinguished_name(name: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    """Return a name as a string: RFC 4514, 2.1 to 2.4."""
    parts = ["+".join(f"{_SHORT_NAMES.get(kind, kind)}={_escaped(value)}" for kind, value in part) for part in reversed(name)]
    return ",".join(parts)


def _escaped(value: str) -> str:
    text = "".join(
        f"\\{character}"
        if character in ',+"\\<>;'
        else _in_hexadecimal(character)
        if character < " " or character == "\x7f"
        else character
        for character in value
    )
    if text[:1] in (" ", "#"):
        text = "\\" + text
    return f"{text[:-1]}\\ " if len(text) > 1 and text.endswith(" ") else text


def _in_hexadecimal(character: str) -> str:
    return "".join(f"\\{octet:02X}" for octet in character.encode())


#: What there is to report of a handshake.
_Reports: TypeAlias = deque[Step | Check]


class EncryptedSession(Session):
    """A session under TLS."""

    __slots__ = ()

    _stage: Stage

    def receive(self, data: bytes) -> None:
        """Take bytes from the client: records, of the handshake first."""
        stage = self._stage
        if self._closed or stage.refused:
            return
        text = stage.decrypt(data)
        if self.tls is None and stage.established:
            self._agreed()
        if text and not stage.refused:
            super().receive(text)
        if stage.problem:
            self._broken(stage.problem)
        elif stage.ended:
            self.receive_eof()
            if self._open is None and not self.events:
                self._client_left()

    def overhear(self, data: bytes) -> bytes:
        """Take bytes from the client that a script has read by itself; return the first line of what was said, or its beginning.
        What was said behind it in one go waits to be handled as ever."""
        first, newline, rest = self._stage.decrypt(data).partition(b"\n")
        if rest:
            super().receive(rest)
        return first + newline

    def receive_eof(self) -> None:
        """Take the end of the client's side."""
        super().receive_eof()
        stage = self._stage
        if not stage.established and not stage.problem:
            stage.end()
            self._broken("the client left")

    def _agreed(self) -> None:
        """The handshake is over, and well."""
        stage = self._stage
        self.tls = stage.facts()
        bad = [check for check in stage.checks() if check.code] if self._open is not None and "tls" in self.config.ask else []
        if bad:  # and nobody can be asked now
            stage.refuse(bad[0].code)
            stage.problem, stage.distrust = "certificate verify failed", bad[0].text
            stage.held = True
        else:
            self._tell()

    def _broken(self, reason: str) -> None:
        """End a session whose client cannot be understood any more. Behind an open question it ends by itself."""
        self._eof = True
        if self._open is not None or self._closed:
            return
        what = "connection" if self._stage.established else "handshake"
        why = f"{reason}: {self._stage.distrust}" if self._stage.distrust else reason
        if "tls" not in self.config.ask:  # else it is for those who are told to log it
            self.log("error", f"TLS {what} with {self.client}:{self.port} failed: {why}")
        if self._stage.established:
            self.close("TLS failure")
        else:
            self._tell(over=True)

    def _tell(self, *, over: bool = False) -> None:
        """Report a handshake, where somebody listens; then go on, or close where it is all over."""
        reports: _Reports = deque()
        if "tls" in self.config.ask and self._open is None:
            for step in self._stage.handshake.steps:
                reports += self._stage.checks() if step == VERIFY else (step,)
            self._stage.held = not over
        self._report(reports, over)

    def _report(self, reports: _Reports, over: bool) -> None:
        if not reports:
            self._stage.held = False
            if over:
                self.close("TLS failure")
            return
        report = reports.popleft()
        go_on = partial(self._report, reports, over)
        if isinstance(report, Check):
            details = report.depth, report.certificate, 0 if report.code else 1, report.text
            self.ask(TlsReport("verify", self.name, details), b"", go_on, partial(self._distrusted, reports, over, report.code))
        else:
            option, *words = report
            self.ask(TlsReport(option, self.name, tuple(words)), b"", go_on, lambda _refusal: go_on())

    def _distrusted(self, reports: _Reports, over: bool, code: int, _refusal: Refuse) -> None:
        """Somebody does not like the client's certificate, and hears no more of it."""
        if over:  # neither does OpenSSL
            while reports and isinstance(reports[0], Check):
                reports.popleft()
        else:
            self.out.clear()
            reports = deque()
            if alert := self._stage.refuse(code):
                reports.append(("info", "alert", "write", alert))
            reports += ("info", "accept", "exit", "error"), ("error", "certificate verify failed")
        self._report(reports, over=True)

    def take_output(self) -> bytes:
        """Return the records since the last call. What is said in the course of the handshake waits for its end."""
        stage = self._stage
        if stage.held:
            return b""
        return stage.encrypt(super().take_output() if stage.established else b"", last=self._closed)

    @property
    def acceptance(self) -> bytes:
        """Empty: nobody but the stage can send a reply."""
        return b""

    def answer(self, verdict: Verdict, *, replied: bool = False) -> None:
        """Answer the open question. No driver can have replied already."""
        super().answer(verdict)
