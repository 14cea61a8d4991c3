"""Client certificates: OpenSSL's findings about them, one by one, and how to have one taken whatever is wrong with it.

Python's ``ssl`` has OpenSSL's verdict, and nobody can object. Tcl's tls package asks its ``-command`` about each finding, from a
callback inside OpenSSL. So here the libcrypto that ``ssl`` is linked with does once more what it does in a handshake,
X509_verify_cert(3), with such a callback: by ``ctypes``, as documented, and without a look into anybody's structures.
"""

import base64
import ctypes
import hashlib
import os
import ssl
import tempfile
from collections.abc import Sequence
from typing import Any, Final

from pysmtpd.core.handshake import Check

_POINTER: Final = ctypes.c_void_p
_INT: Final = ctypes.c_int
_LONG: Final = ctypes.c_long
_TEXT: Final = ctypes.c_char_p
_NOTHING: Final = None

#: The functions called, by name: what each returns and takes.
_FUNCTIONS: Final[dict[str, tuple[Any, ...]]] = {
    "ASN1_TIME_print": (_INT, _POINTER, _POINTER),
    "BIO_free": (_INT, _POINTER),
    "BIO_new": (_POINTER, _POINTER),
    "BIO_read": (_INT, _POINTER, _TEXT, _INT),
    "BIO_s_mem": (_POINTER,),
    "OPENSSL_sk_free": (_NOTHING, _POINTER),
    "OPENSSL_sk_new_null": (_POINTER,),
    "OPENSSL_sk_push": (_INT, _POINTER, _POINTER),
    "OpenSSL_version": (_TEXT, _INT),
    "X509_NAME_print_ex": (_INT, _POINTER, _POINTER, _INT, ctypes.c_ulong),
    "X509_STORE_CTX_free": (_NOTHING, _POINTER),
    "X509_STORE_CTX_get0_param": (_POINTER, _POINTER),
    "X509_STORE_CTX_get_current_cert": (_POINTER, _POINTER),
    "X509_STORE_CTX_get_error": (_INT, _POINTER),
    "X509_STORE_CTX_get_error_depth": (_INT, _POINTER),
    "X509_STORE_CTX_init": (_INT, _POINTER, _POINTER, _POINTER, _POINTER),
    "X509_STORE_CTX_new": (_POINTER,),
    "X509_STORE_CTX_set_default": (_INT, _POINTER, _TEXT),
    "X509_STORE_CTX_set_verify_cb": (_NOTHING, _POINTER, _POINTER),
    "X509_STORE_free": (_NOTHING, _POINTER),
    "X509_STORE_load_locations": (_INT, _POINTER, _TEXT, _TEXT),
    "X509_STORE_new": (_POINTER,),
    "X509_STORE_set_default_paths": (_INT, _POINTER),
    "X509_VERIFY_PARAM_set_auth_level": (_NOTHING, _POINTER, _INT),
    "X509_free": (_NOTHING, _POINTER),
    "X509_get0_notAfter": (_POINTER, _POINTER),
    "X509_get0_notBefore": (_POINTER, _POINTER),
    "X509_get_issuer_name": (_POINTER, _POINTER),
    "X509_get_serialNumber": (_POINTER, _POINTER),
    "X509_get_subject_name": (_POINTER, _POINTER),
    "X509_verify_cert": (_INT, _POINTER),
    "X509_verify_cert_error_string": (_TEXT, _LONG),
    "d2i_X509": (_POINTER, _POINTER, _POINTER, _LONG),
    "i2a_ASN1_INTEGER": (_INT, _POINTER, _POINTER),
    "i2d_X509": (_INT, _POINTER, _POINTER),
}
_CALLBACK: Final = ctypes.CFUNCTYPE(_INT, _INT, _POINTER)

#: Names as strings of RFC 2253, with letters beyond ASCII: XN_FLAG_RFC2253 without ASN1_STRFLGS_ESC_MSB.
_RFC_2253: Final = 0x01110313
#: What stands behind a certificate that is trusted for clients, in a PEM file of the kind "TRUSTED CERTIFICATE" (x509(1)).
_TRUSTED_FOR_CLIENTS: Final = bytes.fromhex("300c300a06082b06010505070302")


def trust(context: ssl.SSLContext, certificate: bytes) -> None:
    """Have a context take a client's certificate (DER), whatever it is for and whoever has signed it.

    Raises ssl.SSLError where it is none, OSError where there is no room for a file.
    """
    text = base64.encodebytes(certificate + _TRUSTED_FOR_CLIENTS).decode()
    descriptor, name = tempfile.mkstemp(suffix=".pem")  # there is no other way for one with what it is trusted for
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(f"-----BEGIN TRUSTED CERTIFICATE-----\n{text}-----END TRUSTED CERTIFICATE-----\n")
        context.load_verify_locations(name)
    finally:
        os.unlink(name)


def load() -> Any:
    """Return the libcrypto that ``ssl`` is linked with, ready to be called; None where it cannot be had."""
    try:
        import _ssl

        library = ctypes.CDLL(_ssl.__file__)
        for name, (result, *arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype = result
            function.argtypes = arguments
    except (AttributeError, ImportError, OSError):
        return None
    return library if library.OpenSSL_version(0) == ssl.OPENSSL_VERSION.encode() else None


class Judge:
    """Tells what OpenSSL finds in checking the certificates of clients.

    Arguments:
        library: what :func:`load` has returned.
        cafile: PEM file with the authorities that they are checked against...
        cadir: ...and directory with such; the system's where neither is given.
    """

    def __init__(self, library: Any, cafile: str = "", cadir: str = "") -> None:
        self._library = library
        self._store = library.X509_STORE_new()
        if cafile or cadir:
            library.X509_STORE_load_locations(self._store, os.fsencode(cafile) or None, os.fsencode(cadir) or None)
        else:
            library.X509_STORE_set_default_paths(self._store)

    def __del__(self) -> None:
        self._library.X509_STORE_free(self._store)

    def __call__(self, chain: Sequence[bytes], level: int) -> list[Check]:
        """Check a client's certificates.

        Arguments:
            chain: what the client has shown, in DER, its own first.
            level: the security level (SSL_CTX_set_security_level(3)).

        Returns the findings in their order, as if each that is bad were forgiven; none where the first is no certificate.
        """
        library = self._library
        pointers = [pointer for pointer in map(self._read, chain) if pointer]
        if not pointers:
            return []
        stack = library.OPENSSL_sk_new_null()
        context = library.X509_STORE_CTX_new()
        found: list[Check] = []

        def note(good: int, context: int) -> int:
            code = 0 if good else library.X509_STORE_CTX_get_error(context)
            certificate = library.X509_STORE_CTX_get_current_cert(context)
            if certificate:
                text = library.X509_verify_cert_error_string(code).decode() if code else ""
                found.append(Check(library.X509_STORE_CTX_get_error_depth(context), self._describe(certificate), code, text))
            return 1

        callback = _CALLBACK(note)
        try:
            for pointer in pointers:
                library.OPENSSL_sk_push(stack, pointer)
            if library.X509_STORE_CTX_init(context, self._store, pointers[0], stack):
                library.X509_STORE_CTX_set_default(context, b"ssl_client")
                library.X509_VERIFY_PARAM_set_auth_level(library.X509_STORE_CTX_get0_param(context), level)
                library.X509_STORE_CTX_set_verify_cb(context, callback)
                library.X509_verify_cert(context)
        finally:
            library.X509_STORE_CTX_free(context)
            library.OPENSSL_sk_free(stack)
            for pointer in pointers:
                library.X509_free(pointer)
        return found

    def _read(self, certificate: bytes) -> Any:
        octets = ctypes.c_char_p(certificate)
        return self._library.d2i_X509(None, ctypes.byref(octets), len(certificate))

    def _describe(self, certificate: int) -> dict[str, str]:
        """Return a certificate as Tcl's tls package has it."""
        library = self._library
        octets = ctypes.create_string_buffer(library.i2d_X509(certificate, None))
        library.i2d_X509(certificate, ctypes.byref(ctypes.c_void_p(ctypes.addressof(octets))))
        return {
            "sha1_hash": hashlib.sha1(octets.raw, usedforsecurity=False).hexdigest().upper(),
            "subject": self._printed(library.X509_NAME_print_ex, library.X509_get_subject_name(certificate), 0, _RFC_2253),
            "issuer": self._printed(library.X509_NAME_print_ex, library.X509_get_issuer_name(certificate), 0, _RFC_2253),
            "notBefore": self._printed(library.ASN1_TIME_print, library.X509_get0_notBefore(certificate)),
            "notAfter": self._printed(library.ASN1_TIME_print, library.X509_get0_notAfter(certificate)),
            "serial": self._printed(library.i2a_ASN1_INTEGER, library.X509_get_serialNumber(certificate)),
            "certificate": ssl.DER_cert_to_PEM_cert(octets.raw),
        }

    def _printed(self, function: Any, *arguments: Any) -> str:
        library = self._library
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
