"""The dialogs of the SASL mechanisms, with the examples of their RFCs."""

import hashlib
import hmac

import pytest

from pysmtpd.core.mechanisms import DIALOGS, Attempt, Server
from pysmtpd.core.settings import MECHANISMS

USERS = {"tim": "tanstaaftanstaaf", "user": "pencil", "an,n=a": "s"}


def play(mechanism, *responses, nonces=("nonce",), hostname="host.example"):
    """Return the challenges, and the attempt or None when the dialog goes on."""
    numbers = iter(nonces)
    dialog = DIALOGS[mechanism](Server(USERS, hostname, lambda: next(numbers)))
    challenges = [next(dialog)]
    for response in responses:
        try:
            challenges.append(dialog.send(response))
        except StopIteration as end:
            return challenges, end.value
    return challenges, None


def is_unreadable(*arguments, **options):
    """Tell whether a dialog stumbles over what it is sent."""
    try:
        play(*arguments, **options)
    except ValueError:
        return True
    return False


def test_there_is_a_dialog_for_each_mechanism():
    assert set(DIALOGS) == set(MECHANISMS)


@pytest.mark.parametrize(
    ("response", "attempt"),
    [
        (b"\0tim\0tanstaaftanstaaf", Attempt("tim", "tanstaaftanstaaf")),
        (b"Ursel\0Kurt\0xipj3plmq", Attempt("Kurt", "xipj3plmq", identity="Ursel")),
        ("\0ü\0ß".encode(), Attempt("ü", "ß")),
    ],
)
def test_plain(response, attempt):
    """RFC 4616, 4."""
    assert play("PLAIN", response) == ([b""], attempt)


def test_login():
    assert play("LOGIN", b"tim", b"secret") == ([b"Username:", b"Password:"], Attempt("tim", "secret"))


@pytest.mark.parametrize(
    ("digest", "proven"), [(b"b913a602c7eda7a495b4e6e7334d3890", True), (b"b913a602c7eda7a495b4e6e7334d3891", False)]
)
def test_cram_md5(digest, proven):
    """RFC 2195, 2: its own example."""
    nonces = ["1896.697170952"]
    challenges, attempt = play("CRAM-MD5", b"tim " + digest, nonces=nonces, hostname="postoffice.reston.mci.net")
    assert challenges == [b"<1896.697170952@postoffice.reston.mci.net>"]
    assert attempt == Attempt("tim", "", proven)


def test_cram_md5_of_somebody_unknown_with_an_empty_secret():
    digest = hmac.new(b"", b"<nonce@host.example>", hashlib.md5).hexdigest().encode()
    assert play("CRAM-MD5", b"nobody " + digest)[1].proven is False


SCRAM_NONCES = ("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", "salt")
FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"


def scram_final(first, server_first, password, header=b"biws"):
    """Return the client's last message, and the server's signature that it expects (RFC 5802, 3)."""
    fields = dict(pair.split(b"=", 1) for pair in server_first.split(b","))
    import base64

    salted = hashlib.pbkdf2_hmac("sha256", password, base64.b64decode(fields[b"s"]), int(fields[b"i"]))
    without_proof = b"c=" + header + b",r=" + fields[b"r"]
    signed = b",".join([first.split(b",", 2)[2], server_first, without_proof])
    key = hmac.digest(salted, b"Client Key", "sha256")
    signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
    proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
    server = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), signed, "sha256")
    return without_proof + b",p=" + base64.b64encode(proof), b"v=" + base64.b64encode(server)


def test_scram_sha_256():
    """RFC 7677, 3: the form of its example; ours is the salt."""
    challenges, _ = play("SCRAM-SHA-256", FIRST, nonces=SCRAM_NONCES)
    assert challenges[1] == b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=c2FsdA==,i=4096"
    final, expected = scram_final(FIRST, challenges[1], b"pencil")
    assert play("SCRAM-SHA-256", FIRST, final, b"", nonces=SCRAM_NONCES) == ([*challenges, expected], Attempt("user", "", True))


def test_scram_with_the_wrong_password_or_of_somebody_unknown_gets_no_signature():
    for first in (FIRST, FIRST.replace(b"user", b"nobody")):
        challenges, _ = play("SCRAM-SHA-256", first, nonces=SCRAM_NONCES)
        final, _ = scram_final(first, challenges[1], b"pen" if first is FIRST else b"")
        challenges, attempt = play("SCRAM-SHA-256", first, final, nonces=SCRAM_NONCES)
        assert (len(challenges), attempt.proven) == (2, False)


@pytest.mark.parametrize("first", [b"", b"n,,n=user", b"p=tls-unique,,n=user,r=x", b"n,,m=x,n=user,r=x", b"n,,n=,r=x", b"\xff"])
def test_what_is_no_first_message_of_scram(first):
    assert is_unreadable("SCRAM-SHA-256", first, nonces=SCRAM_NONCES)


def test_another_nonce_in_the_last_message_of_scram_is_refused():
    challenges, _ = play("SCRAM-SHA-256", FIRST, nonces=SCRAM_NONCES)
    final, _ = scram_final(FIRST, challenges[1], b"pencil")
    assert is_unreadable("SCRAM-SHA-256", FIRST, final.replace(b"r=rOpr", b"r=xOpr"), nonces=SCRAM_NONCES)


@pytest.mark.parametrize("header", [b"eSws", b"bg==", b"bixhPXVzZXIs"])  # "y,,", "n", "n,a=user,"
def test_another_header_in_the_last_message_of_scram_is_refused(header):
    """RFC 5802, 5.1: it is that of the first one."""
    challenges, _ = play("SCRAM-SHA-256", FIRST, nonces=SCRAM_NONCES)
    final, _ = scram_final(FIRST, challenges[1], b"pencil", header)
    assert is_unreadable("SCRAM-SHA-256", FIRST, final, nonces=SCRAM_NONCES)


def test_commas_and_equal_signs_in_a_user_name_of_scram():
    """RFC 5802, 5.1."""
    first = b"n,,n=an=2Cn=3Da,r=x"
    challenges, _ = play("SCRAM-SHA-256", first, nonces=SCRAM_NONCES)
    final, _ = scram_final(first, challenges[1], b"s")
    assert play("SCRAM-SHA-256", first, final, b"", nonces=SCRAM_NONCES)[1] == Attempt("an,n=a", "", True)


def test_xoauth2():
    attempt = play("XOAUTH2", b"user=someuser@example.com\1auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg\1\1")[1]
    assert (attempt.username, attempt.secret) == ("someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg")
    assert attempt.complaint.startswith(b"{")


def test_oauthbearer():
    """RFC 7628, 4.1: its own example."""
    response = (
        b"n,a=user@example.com,\1host=server.example.com\1port=143\1auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\1\1"
    )
    attempt = play("OAUTHBEARER", response)[1]
    assert (attempt.username, attempt.secret) == ("user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==")


@pytest.mark.parametrize(
    ("mechanism", "response"),
    [
        ("PLAIN", b""), ("PLAIN", b"\0tim"), ("PLAIN", b"\0\xff\0x"), ("PLAIN", b"\0a\0b\0c"), ("CRAM-MD5", b"digest"),
        ("XOAUTH2", b""), ("XOAUTH2", b"user=x\1\1"), ("XOAUTH2", b"user=x\1auth=Basic x\1\1"), ("OAUTHBEARER", b"n,,\1auth=Bearer x\1\1"),
        ("OAUTHBEARER", b"n,a=x,\1\1"), ("OAUTHBEARER", b"\1"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_no_attempt(mechanism, response):
    assert is_unreadable(mechanism, response)


def test_an_attempt_does_not_show_its_secret():
    assert "hush" not in repr(Attempt("me", "hush"))
