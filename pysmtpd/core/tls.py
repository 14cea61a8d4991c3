"""TLS as a stage between the connection and the session: records in, records out, no socket (RFC 3207, RFC 8314).

A :class:`~pysmtpd.core.session.Session` becomes an :class:`EncryptedSession` when STARTTLS is answered, or at its start where TLS
is implicit. So a session in the clear has no line of code for it, and no driver has any: they hand over what came, and send what
there is, as ever. This module is imported when the first client, or a certificate, asks for it: ``ssl`` is slow to load.
"""

import contextlib
import hashlib
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from pysmtpd.core.events import TlsReport, Verdict
from pysmtpd.core.handshake import UNTOLD, VERIFY, Check, Handshake
from pysmtpd.core.session import Session

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


_Context = TypeVar("_Context", bound=ssl.SSLContext)


class Examination(Protocol):
    """A handshake that stops where OpenSSL has checked a certificate of the client's."""

    def go_on(self, answer: bool | None = None, /) -> Check | None:
        """Begin, or go on with whether it is taken. Returns the next check, None at the end; raises what the handshake raises."""


class Examiner(Protocol):
    """Lets others have the last word on the certificates of clients."""

    def new_context(self, kind: type[_Context], mode: ssl.VerifyMode, /) -> _Context:
        """Return a new context for a server, whose handshakes can be examined."""

    def forget_sessions(self) -> None:
        """Let no client of that context come back to a session of before, and hide its certificate thus."""

    def begin(self, handshake: Callable[[], object], /) -> Examination:
        """Return a handshake that is examined."""


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
    #: Has those who are told decide on each certificate; without it, OpenSSL does, and its verdict is told.
    examiner: Examiner | None = None


class Context(ssl.SSLContext):
    """The context of a server. It brings the rest of this module to the sessions, which do not import it."""

    def encrypt(self, session: Session, clear: bytes) -> None:
        """Have a session go on under TLS, behind bytes that go out before the first record: the reply to STARTTLS."""
        session._stage = Stage(self, clear)
        session.__class__ = EncryptedSession


#: What OpenSSL says of certificates with keys and signatures of another age...
_TOO_WEAK = ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK")
#: ...which test servers go on using, the one in tcllib's examples among them: taken at OpenSSL's own security level of old, where
#: the system has raised it. The protocols and the strength of the connection are not changed by that.
_OLD_CERTIFICATES = "DEFAULT:@SECLEVEL=1"


def make_context(settings: TlsSettings) -> Context:
    """Return the context of a server, for TLS 1.2 and 1.3.

    Raises ValueError that names the option, the file and what is wrong with it.
    """
    kind = _ToldContext if settings.told else Context
    mode = ssl.CERT_REQUIRED if settings.require else ssl.CERT_OPTIONAL if settings.request else ssl.CERT_NONE
    if settings.examiner is not None:
        context = settings.examiner.new_context(kind, mode)
    else:
        context = kind(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = mode
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
    _load_authorities(context, settings)
    if isinstance(context, _ToldContext):
        context.settings = settings
        context.sslobject_class = _ToldObject
        context._msg_callback = _show  # type: ignore[attr-defined] # not a public name: there since Python 3.8
    return context


class _ToldObject(ssl.SSLObject):
    """One end of a TLS connection whose handshake is told."""

    handshake: Handshake


class _ToldContext(Context):
    """A context for connections whose handshakes are told."""

    settings: TlsSettings

    def for_one(self) -> "_ToldContext":
        """Return the one for a single connection, whose client resumes no session: it would hide its certificate thus."""
        if self.settings.examiner is not None:
            self.settings.examiner.forget_sessions()
            return self
        try:
            return make_context(self.settings)  # type: ignore[return-value] # of the same settings: one of us
        except ValueError:  # the files are not there any more
            return self


def _show(connection: _ToldObject, direction: str, version: int, content: int, kind: int, _data: bytes) -> None:
    """OpenSSL has read a message, and not looked at it yet, or has written one."""
    connection.handshake.message(direction, version, content, kind)


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
        anything_goes = settings.examiner is not None and not (settings.told or settings.require)
        if context.verify_mode != ssl.CERT_NONE and not anything_goes:
            context.load_default_certs(ssl.Purpose.CLIENT_AUTH)  # which may take 30 ms
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


#: How many octets there are in a record at most (RFC 8446, 5.1): so one is read whole.
_RECORD: Final = 16_384


class Stage:
    """One end of a TLS connection, in memory.

    Arguments:
        context: the server's.
        clear: bytes that go out before the first record: the reply to STARTTLS.
    """

    __slots__ = (
        "_clear",
        "_distrust_code",
        "_examination",
        "_examiner",
        "_incoming",
        "_notified",
        "_object",
        "_outgoing",
        "distrust",
        "ended",
        "established",
        "handshake",
        "problem",
        "told",
    )

    def __init__(self, context: Context, clear: bytes) -> None:
        self._clear = clear
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._notified = False
        self.told = isinstance(context, _ToldContext)  #: whether there is somebody to tell of the handshake
        self.handshake: Handshake = UNTOLD  #: what is told of it then
        self._examiner: Examiner | None = None
        self._examination: Examination | None = None  # that waits for an answer
        if isinstance(context, _ToldContext):
            context = context.for_one()
            self.handshake = Handshake()
            if context.verify_mode != ssl.CERT_NONE:
                self._examiner = context.settings.examiner
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        if isinstance(self._object, _ToldObject):
            self._object.handshake = self.handshake
        self.established = False  #: whether the handshake is over, and well
        self.ended = False  #: whether there is nothing more to come from the client
        self.problem = ""  #: why there will be nothing more, where the client did not say so
        self._distrust_code = 0
        self.distrust = ""  #: what is wrong with the client's certificate, where it was that

    # The handshake

    def feed(self, data: bytes) -> None:
        """Take records of the handshake."""
        self._incoming.write(data)

    @property
    def fed(self) -> bool:
        """Whether there are records that the handshake has not seen yet."""
        return self._incoming.pending > 0

    @property
    def examined(self) -> bool:
        """Whether the handshake waits for what is decided on a certificate, the last that it has told of."""
        return self._examination is not None

    def shake(self, *, taken: bool = True) -> None:
        """Go on with the handshake, as far as possible. ``taken`` is the answer, if it waits for one. Never raises."""
        try:
            if self._examiner is None:
                self._object.do_handshake()
                check = None
            else:
                check = self._examine(self._examiner, taken)
            if check is not None:
                self.handshake.steps.append(check)
            else:
                self.established = True
                self.handshake.succeeded()
        except ssl.SSLWantReadError:
            self.handshake.waits()
        except ssl.SSLError as error:
            self._fails(error)
        except RuntimeError as error:  # there is no thread to be had
            self.problem = str(error)
            self.handshake.failed(self.problem)

    def _examine(self, examiner: Examiner, taken: bool) -> Check | None:
        # While it waits, OpenSSL is in the middle of something: nothing may be asked of _object.
        examination, self._examination = self._examination or examiner.begin(self._object.do_handshake), None
        check = examination.go_on(taken)
        if check is not None:
            self._examination = examination
        return check

    def decide(self, *, taken: bool) -> None:
        """Say what becomes of the client, after a check that was told of."""
        if self.examined:
            self.shake(taken=taken)
        elif not taken:  # OpenSSL could not be told in time: all is decided
            steps = self.handshake.steps
            while steps and isinstance(steps[0], Check):
                steps.popleft()
            if not self.problem:
                self.established = False
                self.problem = "certificate verify failed"
                self._outgoing.read()
                steps.clear()
                steps += ("info", "accept", "exit", "error"), ("error", self.problem)

    def abandon(self) -> None:
        """Let go of a handshake that waits for an answer: it gets one, so that it ends."""
        if self.examined:
            while self.examined:
                self.shake(taken=False)
            self._outgoing.read()

    # What is said

    def decrypt(self, data: bytes) -> bytes:
        """Take records, once there is a connection; return what was in them. Never raises."""
        incoming = self._incoming
        incoming.write(data)
        found = []
        try:
            while incoming.pending:  # else reading would only raise, which is slow
                chunk = self._object.read(_RECORD)
                if not chunk:
                    self.ended = True
                    break
                found.append(chunk)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError as error:
            self._fails(error)
        return found[0] if len(found) == 1 else b"".join(found)

    def end(self) -> None:
        """Take the end of the client's side, where the client has not said that there is nothing more to come."""
        self._incoming.write_eof()
        try:
            if self.established:
                self._object.read(1)
            else:
                self._object.do_handshake()
        except ssl.SSLError as error:
            self.handshake.failed(_words(error))
        self.ended = True
        self._outgoing.read()  # an alert, which nobody waits for

    def _fails(self, error: ssl.SSLError) -> None:
        self.problem = _words(error)
        self.distrust = getattr(error, "verify_message", "")
        self._distrust_code = getattr(error, "verify_code", 0)
        self.handshake.failed(self.problem)

    def encrypt(self, data: bytes, *, last: bool) -> bytes:
        """Return all that is to be sent, ``data`` at its end; after the ``last`` comes a close_notify."""
        try:
            if data:
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

    def checks(self) -> list[Check]:
        """Return OpenSSL's verdict on the client's certificates; nothing where it has told of each check already."""
        if self._examiner is not None:
            return []
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


class EncryptedSession(Session):
    """A session under TLS."""

    __slots__ = ()

    _stage: Stage

    def receive(self, data: bytes) -> None:
        """Take bytes from the client: records, of the handshake first."""
        if self._closed:
            return
        if self._stage.established:
            self._take(data)
        else:
            self._stage.feed(data)
            if self._open is None:
                self._go_on()

    def _take(self, data: bytes) -> None:
        """Take records that come after the handshake."""
        stage = self._stage
        text = stage.decrypt(data)
        if text:
            super().receive(text)
        if stage.problem:
            self._broken()
        elif stage.ended:
            self.receive_eof()
            if self._open is None and not self.events:
                self._client_left()
        elif stage.handshake.steps and self._open is None and not self._closed:
            self._tell()

    def overhear(self, data: bytes) -> bytes:
        """Take bytes from the client that a script has read by itself; return the first line of what was said, or its beginning.
        What was said behind it in one go waits to be handled as ever."""
        if not self._stage.established:
            self.receive(data)
            return b""
        first, newline, rest = self._stage.decrypt(data).partition(b"\n")
        if rest:
            super().receive(rest)
        return first + newline

    def receive_eof(self) -> None:
        """Take the end of the client's side."""
        super().receive_eof()
        if self._open is None and not self._stage.established and not self._closed:
            self._go_on()

    @property
    def _told(self) -> bool:
        """Whether somebody listens to what there is to tell of the connection."""
        return self._stage.told and "tls" in self.config.ask

    def _client_left(self) -> None:
        stage = self._stage
        if self._told and not stage.ended:
            stage.end()
        if self._told and stage.handshake.steps:
            self._tell()
        else:
            super()._client_left()

    def _go_on(self) -> None:
        """Go on with what has come: all is told so far."""
        stage = self._stage
        if stage.problem:
            self._broken()
        elif stage.established:
            if self.tls is None:
                self.tls = stage.facts()
            if stage.fed and not stage.ended:
                self._take(b"")
        elif stage.fed:
            stage.shake()
            self._tell()
        elif self._eof:
            stage.end()
            stage.problem = "the client left"
            self._tell()

    def _broken(self) -> None:
        """End a session whose client cannot be understood any more. Behind an open question it ends by itself."""
        stage = self._stage
        self._eof = True
        if self._open is not None or self._closed:
            return
        if not self._told:  # else it is for those who are told to log it
            what = "connection" if stage.established else "handshake"
            why = f"{stage.problem}: {stage.distrust}" if stage.distrust else stage.problem
            self.log("error", f"TLS {what} with {self.client}:{self.port} failed: {why}")
        elif stage.handshake.steps:
            self._tell()
            return
        self.close("TLS failure")

    def _tell(self) -> None:
        """Report what has happened, one step after the other, where somebody listens; then go on."""
        stage = self._stage
        steps = stage.handshake.steps
        while steps:
            step = steps.popleft()
            if step == VERIFY:
                steps.extendleft(reversed(stage.checks()))
            elif isinstance(step, Check):
                if self._told:
                    details = step.depth, step.certificate, 0 if step.code else 1, step.text
                    self._report("verify", details, self._decide)
                    return
                stage.decide(taken=not step.code)
            elif self._told:
                option, *words = step
                self._report(option, tuple(words), lambda _taken: self._tell())
                return
        self._go_on()

    def _report(self, option: str, details: tuple[int | str | dict[str, str], ...], then: Callable[[bool], None]) -> None:
        self.ask(TlsReport(option, self.name, details), b"", partial(then, True), lambda _refusal: then(False))

    def _decide(self, taken: bool) -> None:
        """Somebody has said what becomes of the client's certificate."""
        self._stage.decide(taken=taken)
        self._tell()

    def shut_down(self) -> None:
        """End the session: the server goes away. An open question is dropped."""
        super().shut_down()
        self._stage.abandon()

    def drop(self) -> None:
        """Let go of the session: the connection is gone."""
        if self._stage.examined:
            self._open = None
            self._closed = True
            self._stage.abandon()

    def take_output(self) -> bytes:
        """Return the records since the last call. What is said in the course of the handshake waits for its end."""
        return self._stage.encrypt(Session.take_output(self) if self.tls is not None else b"", last=self._closed)

    @property
    def acceptance(self) -> bytes:
        """Empty: nobody but the stage can send a reply."""
        return b""

    def answer(self, verdict: Verdict, *, replied: bool = False) -> None:
        """Answer the open question. No driver can have replied already."""
        super().answer(verdict)
        if self._open is None and not self._closed and not self._stage.established:
            self._go_on()
