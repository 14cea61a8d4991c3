"""What OpenSSL finds in client certificates, and having one taken; tests/tcl/test_tcl_tls.py compares with Tcl's tls package."""

import ssl
import subprocess
from pathlib import Path

import pytest

from pysmtpd import client_certificates
from pysmtpd.certificates import CA, CLIENT, EXPIRED, SELF_SIGNED
from pysmtpd.client_certificates import Judge, load, trust

GOOD = [(1, 0, ""), (0, 0, "")]


def der(pair):
    return ssl.PEM_cert_to_DER_cert(Path(pair.certfile).read_text())


def findings(judge, *chain, level=1):
    return [(check.depth, check.code, check.text) for check in judge(chain, level)]


@pytest.fixture(scope="module")
def judge():
    library = load()
    assert library is not None, "the OpenSSL of this Python cannot be called"
    return Judge(library, CA)


def test_a_good_certificate_is_found_good_from_its_authority_down(judge):
    assert findings(judge, der(CLIENT)) == GOOD


def test_all_that_is_wrong_is_told_in_openssls_order(judge):
    assert findings(judge, der(EXPIRED)) == [
        (0, 26, "unsuitable certificate purpose"), (1, 0, ""), (0, 10, "certificate has expired"), (0, 0, ""),
    ]  # fmt: skip
    assert findings(judge, der(SELF_SIGNED))[0][1] == 18


def test_the_security_level_counts(judge, tmp_path):
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
        "/dev/null",
        "-out",
        file,
    ]
    subprocess.run(words, check=True, capture_output=True)
    weak = ssl.PEM_cert_to_DER_cert(file.read_text())
    assert 66 not in [code for _, code, _ in findings(judge, weak, level=1)]
    assert 66 in [code for _, code, _ in findings(judge, weak, level=2)]


def test_a_certificate_is_described_as_in_tcl(judge):
    [_, check] = judge([der(CLIENT)], 1)
    assert check.certificate["subject"] == "CN=pysmtpd test client,O=pysmtpd test"
    assert check.certificate["issuer"] == "CN=pysmtpd test authority,O=pysmtpd test"
    assert check.certificate["notAfter"] == "Jan  1 00:00:00 2120 GMT"
    assert check.certificate["certificate"] == Path(CLIENT.certfile).read_text()


@pytest.mark.parametrize("chain", [[], [b""], [b"no certificate"], [b"\x30\x82\xff\xff"]])
def test_what_is_no_certificate_is_not_judged(judge, chain):
    assert judge(chain, 1) == []


def test_what_comes_behind_a_good_certificate_does_no_harm(judge):
    assert findings(judge, der(CLIENT), b"junk", b"", der(SELF_SIGNED)) == GOOD


def test_without_authorities_named_the_systems_count():
    assert findings(Judge(load()), der(CLIENT))[0][1] == 20


def test_a_context_is_made_to_trust_one_certificate(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust(context, der(SELF_SIGNED))
    assert context.cert_store_stats()["x509"] == 1
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ssl.SSLError):
        trust(context, b"no certificate")
    assert list(tmp_path.iterdir()) == []


def test_where_openssl_cannot_be_called_there_is_no_judge(monkeypatch):
    monkeypatch.setitem(client_certificates._FUNCTIONS, "no_such_function", (None,))
    assert load() is None
