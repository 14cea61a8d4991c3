"""Client certificates: what OpenSSL finds in checking them, one by one, while it does, and somebody to object.

Python's ``ssl`` has OpenSSL's verdict, and nobody can object. Tcl's tls package asks its ``-command`` about each finding, from a
callback inside OpenSSL. So here the libssl that ``ssl`` is linked with is given such a callback, SSL_CTX_set_verify(3): by
``ctypes``, as documented, and without a look into anybody's structures. The callback waits for its answer, and with it the
thread that it was called in: see :mod:`pysmtpd.pausing`.
"""

import atexit
import ctypes
import functools
import hashlib
import os
import ssl
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

from pysmtpd.core.handshake import Check
from pysmtpd.pausing import PausableCall, running

_POINTER: Final = ctypes.c_void_p
_INT: Final = ctypes.c_int
_LONG: Final = ctypes.c_long
_TEXT: Final = ctypes.c_char_p
_NOTHING: Final = None

#: OpenSSL has checked a certificate: whether it is good, and where more is to be had (X509_STORE_CTX). Returns whether to go on.
_VERIFY: Final = ctypes.CFUNCTYPE(_INT, _INT, _POINTER)
#: An object has been made: which, and what is of no interest here (CRYPTO_EX_new).
_MADE: Final = ctypes.CFUNCTYPE(_NOTHING, _POINTER, _POINTER, _POINTER, _INT, _LONG, _POINTER)

#: The functions called, by name: what each returns and takes.
_FUNCTIONS: Final[dict[str, tuple[Any, ...]]] = {
    "ASN1_TIME_print": (_INT, _POINTER, _POINTER),
    "BIO_free": (_INT, _POINTER),
    "BIO_new": (_POINTER, _POINTER),
    "BIO_read": (_INT, _POINTER, _TEXT, _INT),
    "BIO_s_mem": (_POINTER,),
    "CRYPTO_free_ex_index": (_INT, _INT, _INT),
    "CRYPTO_get_ex_new_index": (_INT, _INT, _LONG, _POINTER, _MADE, _POINTER, _POINTER),
    "ERR_clear_error": (_NOTHING,),
    "OpenSSL_version": (_TEXT, _INT),
    "SSL_CTX_ctrl": (_LONG, _POINTER, _INT, _LONG, _TEXT),
    "SSL_CTX_get_verify_mode": (_INT, _POINTER),
    "SSL_CTX_set_client_CA_list": (_NOTHING, _POINTER, _POINTER),
    "SSL_CTX_set_verify": (_NOTHING, _POINTER, _INT, _VERIFY),
    "SSL_load_client_CA_file": (_POINTER, _TEXT),
    "X509_NAME_print_ex": (_INT, _POINTER, _POINTER, _INT, ctypes.c_ulong),
    "X509_STORE_CTX_get_current_cert": (_POINTER, _POINTER),
    "X509_STORE_CTX_get_error": (_INT, _POINTER),
    "X509_STORE_CTX_get_error_depth": (_INT, _POINTER),
    "X509_get0_notAfter": (_POINTER, _POINTER),
    "X509_get0_notBefore": (_POINTER, _POINTER),
    "X509_get_issuer_name": (_POINTER, _POINTER),
    "X509_get_serialNumber": (_POINTER, _POINTER),
    "X509_get_subject_name": (_POINTER, _POINTER),
    "X509_verify_cert_error_string": (_TEXT, _LONG),
    "i2a_ASN1_INTEGER": (_INT, _POINTER, _POINTER),
    "i2d_X509": (_INT, _POINTER, _POINTER),
}

#: CRYPTO_EX_INDEX_SSL_CTX: what may be watched for being made. Contexts, that is.
_CONTEXTS: Final = 1
#: SSL_CTX_set_session_cache_mode(3), and SSL_SESS_CACHE_OFF.
_SET_CACHE_MODE: Final = 44
_CACHE_OFF: Final = 0
#: SSL_CTX_set_tlsext_ticket_keys, and how many octets those have.
_SET_TICKET_KEYS: Final = 59
_TICKET_KEYS: Final = 80
#: Names as strings of RFC 2253, with letters beyond ASCII: XN_FLAG_RFC2253 without ASN1_STRFLGS_ESC_MSB.
_RFC_2253: Final = 0x01110313

_Context = TypeVar("_Context", bound=ssl.SSLContext)


@functools.cache
def load() -> Any:
    """Return the libssl that ``ssl`` is linked with, ready to be called; None where it cannot be had."""
    try:
        import _ssl

        library = ctypes.CDLL(_ssl.__file__)
        for name, (result, *arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype = result
            function.argtypes = arguments
    except (AttributeError, ImportError, OSError):
        return None
    if library.OpenSSL_version(0) != ssl.OPENSSL_VERSION.encode():
        return None
    index = library.CRYPTO_get_ex_new_index(_CONTEXTS, 0, None, _context_made, None, None)
    atexit.register(library.CRYPTO_free_ex_index, _CONTEXTS, index)  # else it would call Python when there is none any more
    return library if len(_made_by(lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))[1]) == 1 else None


_watched: Final = threading.local()


def _note(context: int, *_others: object) -> None:
    """OpenSSL has made a context, anywhere in the program."""
    made = getattr(_watched, "made", None)
    if made is not None:
        made.append(context)


_context_made: Final = _MADE(_note)


def _made_by(function: Callable[[], _Context]) -> tuple[_Context, list[int]]:
    """Call a function; return what it returns, and OpenSSL's names for the contexts that it has made."""
    made: list[int] = []
    _watched.made = made
    try:
        return function(), made
    finally:
        _watched.made = None


class Examiner:
    """Has OpenSSL ask what to make of each thing that it finds in checking the certificates of clients.

    Outside of :meth:`begin` nobody is asked, and its verdict counts. One of these is for one context.

    Arguments:
        cafile: PEM file with the authorities whose names clients are told.
        anything_goes: whether nobody is asked ever, and each certificate is taken.
    """

    def __init__(self, cafile: str = "", *, anything_goes: bool = False) -> None:
        self._cafile = cafile
        self._verify = _takes if anything_goes else _asks
        self._context = 0

    def new_context(self, kind: type[_Context], mode: ssl.VerifyMode) -> _Context:
        """Return a new context for a server, which asks for certificates or does not: the mode is not to be set again."""
        library = load()
        context, [self._context] = _made_by(lambda: kind(ssl.PROTOCOL_TLS_SERVER))
        context.verify_mode = mode
        library.SSL_CTX_set_verify(self._context, library.SSL_CTX_get_verify_mode(self._context), self._verify)
        library.SSL_CTX_ctrl(self._context, _SET_CACHE_MODE, _CACHE_OFF, None)  # a session is in its ticket, or nowhere
        names = library.SSL_load_client_CA_file(os.fsencode(self._cafile)) if self._cafile else None
        library.ERR_clear_error()  # what is wrong with the file is found elsewhere
        if names:
            library.SSL_CTX_set_client_CA_list(self._context, names)
        return context

    def forget_sessions(self) -> None:
        """Let clients resume none of the sessions that the context has had so far: they would show no certificate again."""
        load().SSL_CTX_ctrl(self._context, _SET_TICKET_KEYS, _TICKET_KEYS, os.urandom(_TICKET_KEYS))

    def begin(self, handshake: Callable[[], object]) -> PausableCall[Check, bool]:
        """Return a call for a handshake, which asks about each check."""
        return PausableCall(handshake)


def _ask(good: int, context: int) -> int:
    """OpenSSL has checked a certificate; return 1 to go on all the same."""
    call = running()
    library = load()
    certificate = library.X509_STORE_CTX_get_current_cert(context)
    if call is None or not certificate:
        return good
    code = 0 if good else library.X509_STORE_CTX_get_error(context)
    text = library.X509_verify_cert_error_string(code).decode() if code else ""
    depth = library.X509_STORE_CTX_get_error_depth(context)
    return 1 if call.ask(Check(depth, _describe(library, certificate), code, text)) else 0


#: Here for good, since OpenSSL may call them at any time.
_asks: Final = _VERIFY(_ask)
_takes: Final = _VERIFY(lambda _good, _context: 1)


def _describe(library: Any, certificate: int) -> dict[str, str]:
    """Return a certificate as Tcl's tls package has it."""
    octets = ctypes.create_string_buffer(library.i2d_X509(certificate, None))
    library.i2d_X509(certificate, ctypes.byref(ctypes.c_void_p(ctypes.addressof(octets))))
    printed = functools.partial(_printed, library)
    return {
        "sha1_hash": hashlib.sha1(octets.raw, usedforsecurity=False).hexdigest().upper(),
        "subject": printed(library.X509_NAME_print_ex, library.X509_get_subject_name(certificate), 0, _RFC_2253),
        "issuer": printed(library.X509_NAME_print_ex, library.X509_get_issuer_name(certificate), 0, _RFC_2253),
        "notBefore": printed(library.ASN1_TIME_print, library.X509_get0_notBefore(certificate)),
        "notAfter": printed(library.ASN1_TIME_print, library.X509_get0_notAfter(certificate)),
        "serial": printed(library.i2a_ASN1_INTEGER, library.X509_get_serialNumber(certificate)),
        "certificate": ssl.DER_cert_to_PEM_cert(octets.raw),
    }


def _printed(library: Any, function: Any, *arguments: Any) -> str:
    paper = library.BIO_new(library.BIO_s_mem())
    try:
        function(paper, *arguments)
        piece = ctypes.create_string_buffer(1024)
        text = b""
        while (size := library.BIO_read(paper, piece, len(piece))) > 0:
            text += piece.raw[:size]
        return text.decode("utf-8", "replace")
    finally:
        library.BIO_free(paper)
