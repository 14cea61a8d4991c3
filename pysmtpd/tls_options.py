"""The options of a server that concern TLS, as Python gives them: checked, and a context made of them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pysmtpd.callbacks import ConfigurationError, check_callback
from pysmtpd.core import Config

if TYPE_CHECKING:
    from pysmtpd.core.tls import Context, Examiner

MODES = ("off", "starttls", "implicit")
#: The test certificates for servers, by name; :mod:`pysmtpd.certificates` has them.
CERTIFICATES = ("localhost", "expired", "wrong-host", "self-signed")
_DEFAULTS: Mapping[str, Any] = {
    "tls": "off",  # ours: off, starttls, or implicit (RFC 8314, 3.3)
    "require_tls": False,  # ours: no mail in the clear: 530
    "certificate": "localhost",  # ours: the test certificate to use where certfile names none
    "certfile": "",
    "keyfile": "",
    "password": "",
    "cafile": "",
    "cadir": "",
    "cipher": "",
    "command": None,  # told of each handshake: see docs/tls.md
    "request": False,
    "require": False,
    # Tcl's tls package has switches for protocols that nobody should speak any more. They are taken, and change nothing:
    # TLS 1.2 and 1.3 are what there is.
    "ssl2": False,
    "ssl3": False,
    "tls1": True,
}

#: ``usetls`` is the stock package's name for ``tls="starttls"``.
TLS_OPTIONS = ("usetls", *_DEFAULTS)


class TlsOptions:
    """The values of these options, and the context that is made of them.

    Arguments:
        told: whether there is somebody else than ``command`` who is told of handshakes: a script.
        lenient: whether, without anybody who is told, each certificate is taken, unless one is required: as in Tcl's tls package.
    """

    def __init__(self, *, told: bool = False, lenient: bool = False) -> None:
        self._told = told
        self._lenient = lenient
        self._values = dict(_DEFAULTS)
        self._context: Context | None = None

    def get(self, name: str) -> Any:
        """Return an option's value."""
        return self._values["tls"] != "off" if name == "usetls" else self._values[name]

    def changed(self, changes: Mapping[str, Any]) -> "TlsOptions":
        """Return the options with these changed. Raises ConfigurationError; files are read here, not when a client comes."""
        made = TlsOptions(told=self._told, lenient=self._lenient)
        made._values = dict(self._values)
        for name, value in changes.items():
            _check(name, value)
            if name != "usetls":
                made._values[name] = value
            elif value is not made.get("usetls"):
                made._values["tls"] = "starttls" if value else "off"
        if made.get("usetls"):
            made._context = made._make_context()
        elif made._values["require_tls"]:
            raise ConfigurationError("require_tls is True, and tls is 'off': must be 'starttls' or 'implicit' then")
        return made

    def put_into(self, config: Config, *, offered: bool = True) -> None:
        """Have a server serve with them. Whether STARTTLS is ``offered`` may be somebody else's affair: a script's."""
        mode = self._values["tls"]
        config.use_tls(
            self._context,
            implicit=mode == "implicit",
            required=self._values["require_tls"],
            offered=offered and mode == "starttls",
        )

    def _make_context(self) -> "Context":
        from pysmtpd.certificates import SERVER_CERTIFICATES

        try:
            from pysmtpd.core.tls import TlsSettings, make_context
        except ImportError as error:
            mode = self._values["tls"]
            raise ConfigurationError(f"tls is {mode!r}: must be 'off', since this Python has no ssl ({error})") from None
        values = self._values
        certfile, keyfile = values["certfile"], values["keyfile"]
        if not certfile:
            if keyfile:
                raise ConfigurationError(f"keyfile is {keyfile!r}, and certfile is empty: must name the certificate of that key")
            certfile, keyfile = SERVER_CERTIFICATES[values["certificate"]]
        password = values["password"]
        if callable(password):
            password = password()
            if not isinstance(password, str):
                raise ConfigurationError(f"password returned a {type(password).__name__}: must return a string")
        others = {name: values[name] for name in ("cafile", "cadir", "cipher", "request", "require")}
        told = self._told or values["command"] is not None
        if told or (self._lenient and (values["request"] or values["require"])):
            others["examiner"] = examiner = _examiner(values["cafile"], anything_goes=not (told or values["require"]))
            # Where nobody is told, a certificate makes no difference; but OpenSSL by itself would make one.
            others["request"] = values["request"] and (told or examiner is not None)
        try:
            return make_context(TlsSettings(certfile, keyfile, password, told=told, **others))
        except ValueError as error:
            raise ConfigurationError(str(error)) from None


def _examiner(cafile: str, *, anything_goes: bool) -> "Examiner | None":
    """Return what lets others decide on client certificates; None where OpenSSL cannot be called."""
    from pysmtpd.client_certificates import Examiner, load

    return Examiner(cafile, anything_goes=anything_goes) if load() is not None else None


def _check(name: str, value: Any) -> None:
    default = _DEFAULTS.get(name, False)
    if name == "command":
        if value is not None:
            check_callback(name, value)
        return
    if isinstance(default, bool):
        _require(isinstance(value, bool), name, value, "True or False")
        return
    if name == "password":
        if not (isinstance(value, str) or callable(value)):  # whose value is not for a log
            raise ConfigurationError(f"password is a {type(value).__name__}: must be a string, or a function that returns one")
        return
    _require(isinstance(value, str), name, value, "a string")
    if name == "tls":
        _require(value in MODES, name, value, f"one of {', '.join(MODES)}")
    if name == "certificate":
        _require(value in CERTIFICATES, name, value, f"one of {', '.join(CERTIFICATES)}")


def _require(condition: bool, name: str, value: object, allowed: str) -> None:
    if not condition:
        raise ConfigurationError(f"{name} is {value!r}: must be {allowed}")
