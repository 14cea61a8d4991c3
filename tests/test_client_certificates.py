"""What OpenSSL finds in client certificates, and who decides; tests/tcl/test_tcl_tls.py compares with Tcl's tls package."""

import contextlib
import ssl
import subprocess
from pathlib import Path

import pytest

from pysmtpd import client_certificates
from pysmtpd.certificates import CA, CLIENT, EXPIRED, LOCALHOST, SELF_SIGNED
from pysmtpd.client_certificates import Examiner, load

GOOD = [(1, 0, ""), (0, 0, "")]


def served(certificate, answers=(), examiner=None, examined=True, **options):
    """Shake hands with a client that shows a certificate.

    Arguments:
        answers: what is decided on one check after the other; on all others, yes.
        options: settings of the server's context.

    Returns the checks, and the server's end.
    """
    context = (examiner or Examiner(CA)).new_context(ssl.SSLContext, ssl.CERT_REQUIRED)
    context.load_cert_chain(*LOCALHOST)
    context.load_verify_locations(CA)
    if options:
        context.set_ciphers(options["ciphers"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    asking = ssl.create_default_context(cafile=CA)
    asking.set_ciphers("DEFAULT:@SECLEVEL=0")
    asking.load_cert_chain(*certificate)
    client = asking.wrap_bio(outgoing, incoming, server_hostname="localhost")
    checks, coming = [], iter(answers)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    with contextlib.suppress(ssl.SSLWantReadError):
        server.do_handshake()
    client.do_handshake()
    if not examined:
        server.do_handshake()
        return checks, server
    call = Examiner(CA).begin(server.do_handshake)
    check = call.go_on()
    while check is not None:
        checks.append(check)
        check = call.go_on(next(coming, True))
    return checks, server


def findings(*arguments, **options):
    return [(check.depth, check.code, check.text) for check in served(*arguments, **options)[0]]


def test_a_good_certificate_is_found_good_from_its_authority_down():
    assert findings(CLIENT) == GOOD


def test_all_that_is_wrong_is_asked_in_openssls_order():
    assert findings(EXPIRED) == [
        (0, 26, "unsuitable certificate purpose"), (1, 0, ""), (0, 10, "certificate has expired"), (0, 0, ""),
    ]  # fmt: skip
    assert findings(SELF_SIGNED)[0][1] == 18


@pytest.mark.parametrize(
    ("certificate", "answers", "reason"),
    [(EXPIRED, [False], "unsuitable certificate purpose"), (EXPIRED, [True, True, False], "certificate has expired"),
     (CLIENT, [True, False], "unspecified certificate verification error")],
)  # fmt: skip
def test_a_no_is_openssls_own_no(certificate, answers, reason):
    with pytest.raises(ssl.SSLCertVerificationError, match=reason):
        served(certificate, answers)


def test_where_nobody_is_asked_openssls_verdict_counts_unless_anything_goes():
    with pytest.raises(ssl.SSLCertVerificationError, match="self-signed"):
        served(SELF_SIGNED, examined=False)
    assert served(SELF_SIGNED, examined=False, examiner=Examiner(CA, anything_goes=True))[1].getpeercert(binary_form=True)


def test_the_security_level_counts(tmp_path):
    file = tmp_path / "weak.pem"
    words = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:1024",
        "-nodes",
        "-subj",
        "/CN=weak",
        "-keyout",
        file.with_suffix(".key"),
        "-out",
        file,
    ]
    subprocess.run(words, check=True, capture_output=True)
    weak = (file, file.with_suffix(".key"))
    assert 66 not in [code for _, code, _ in findings(weak, ciphers="DEFAULT:@SECLEVEL=1")]
    assert 66 in [code for _, code, _ in findings(weak, ciphers="DEFAULT:@SECLEVEL=2")]


def test_a_certificate_is_described_as_in_tcl():
    [_, check] = served(CLIENT)[0]
    assert check.certificate["subject"] == "CN=pysmtpd test client,O=pysmtpd test"
    assert check.certificate["issuer"] == "CN=pysmtpd test authority,O=pysmtpd test"
    assert check.certificate["notAfter"] == "Jan  1 00:00:00 2120 GMT"
    assert check.certificate["certificate"] == Path(CLIENT.certfile).read_text()


def test_other_contexts_are_left_alone():
    with pytest.raises(ssl.SSLCertVerificationError):
        served(SELF_SIGNED, examiner=Untouched(), examined=False)


class Untouched:
    """What does not examine anything, though somebody else does."""

    def new_context(self, kind, mode):
        Examiner(CA, anything_goes=True).new_context(kind, mode)
        context = kind(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = mode
        return context


def test_a_file_that_names_no_authorities_is_somebody_elses_affair(tmp_path):
    for file in (tmp_path / "none.pem", Path(LOCALHOST.keyfile)):
        assert Examiner(str(file)).new_context(ssl.SSLContext, ssl.CERT_OPTIONAL)


def test_where_openssl_cannot_be_called_there_is_no_library(monkeypatch):
    monkeypatch.setitem(client_certificates._FUNCTIONS, "no_such_function", (None,))
    assert load.__wrapped__() is None
