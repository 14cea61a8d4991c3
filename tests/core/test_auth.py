"""AUTH (RFC 4954): replies, order, who decides, and that no secret gets anywhere."""

import base64

import pytest
from engine import Driver, accept, codes, config, lines

from pysmtpd.core import Accept, CheckUser, Close, Deliver, Log, Refuse

USERS = {"anna": "secret", "me@example.org": "token"}
PLAIN = base64.b64encode(b"\0anna\0secret")
WRONG = base64.b64encode(b"\0anna\0wrong")
LOGIN = (b"AUTH LOGIN", b"YW5uYQ==", b"c2VjcmV0")
BEARER = base64.b64encode(b"user=me@example.org\1auth=Bearer token\1\1")
BAD_BEARER = base64.b64encode(b"user=me@example.org\1auth=Bearer stolen\1\1")


def driver(ask=(), verdict=accept, **chosen):
    made = config(ask=ask)
    made.choose({"auth_users": USERS, **chosen})
    made.listen_for(frozenset(ask))
    session = Driver(made, verdict)
    session.hello = session.said(b"EHLO x\r\n")
    return session


def test_ehlo_lists_what_can_be_used():
    assert b"250-AUTH SCRAM-SHA-256 CRAM-MD5 PLAIN LOGIN XOAUTH2 OAUTHBEARER\r\n" in driver().hello
    assert b"250-AUTH PLAIN LOGIN XOAUTH2 OAUTHBEARER\r\n" in driver(["user"], auth_users={}).hello
    assert b"250-AUTH LOGIN PLAIN\r\n" in driver(auth_mechanisms=("LOGIN", "PLAIN")).hello


@pytest.mark.parametrize("chosen", [{"auth_users": {}}, {"auth": False}])
def test_where_nobody_can_log_in_there_is_no_auth(chosen):
    session = driver(**chosen)
    assert b"AUTH" not in session.hello
    assert session.code(b"AUTH PLAIN " + PLAIN) == 502


def test_plain_with_and_without_an_initial_response():
    """RFC 4954, 4: an empty challenge asks for the response."""
    assert driver().said(b"AUTH PLAIN " + PLAIN + b"\r\n") == b"235 2.7.0 Authentication succeeded\r\n"
    session = driver()
    assert session.said(b"AUTH PLAIN\r\n") == b"334 \r\n"
    assert session.code(PLAIN) == 235


def test_login_with_and_without_an_initial_response():
    session = driver()
    assert session.said(b"AUTH LOGIN\r\n") == b"334 VXNlcm5hbWU6\r\n"
    assert session.said(b"YW5uYQ==\r\n") == b"334 UGFzc3dvcmQ6\r\n"
    assert session.code(b"c2VjcmV0") == 235
    assert codes(driver().said(b"auth login YW5uYQ==\r\nc2VjcmV0\r\n")) == [334, 235]


def test_cram_md5():
    import hashlib
    import hmac

    session = driver()
    challenge = base64.b64decode(session.said(b"AUTH CRAM-MD5\r\n").split()[1])
    digest = hmac.new(b"secret", challenge, hashlib.md5).hexdigest()
    assert session.code(base64.b64encode(f"anna {digest}".encode())) == 235


def test_a_mechanism_in_which_the_server_speaks_first_takes_no_initial_response():
    """RFC 4954, 4."""
    assert driver().code(b"AUTH CRAM-MD5 YW5uYQ==") == 501


def test_wrong_credentials_are_535_and_one_may_try_again():
    session = driver()
    assert session.code(b"AUTH PLAIN " + WRONG) == 535
    assert session.code(b"AUTH PLAIN " + base64.b64encode(b"\0nobody\0secret")) == 535
    assert session.code(b"AUTH PLAIN " + base64.b64encode(b"root\0anna\0secret")) == 535
    assert session.code(b"AUTH PLAIN " + base64.b64encode(b"anna\0anna\0secret")) == 235


@pytest.mark.parametrize("mechanism", [b"XOAUTH2", b"OAUTHBEARER"])
def test_a_bearer_token_that_is_not_good_gets_a_reason_first(mechanism):
    """RFC 7628, 3.2.2: the client answers the error, whatever it says, and then gets its 535."""
    good, bad = BEARER, BAD_BEARER
    if mechanism == b"OAUTHBEARER":
        good, bad = (base64.b64encode(b"n,a=me@example.org,\1auth=Bearer %b\1\1" % token) for token in (b"token", b"stolen"))
    assert driver().code(b"AUTH " + mechanism + b" " + good) == 235
    session = driver()
    code, reason = session.said(b"AUTH " + mechanism + b" " + bad + b"\r\n").split()
    assert (code, base64.b64decode(reason)[:1]) == (b"334", b"{")
    assert session.code(b"AQ==") == 535
    assert session.code(b"NOOP") == 250


def test_a_star_cancels():
    session = driver()
    assert codes(session.said(b"AUTH PLAIN\r\n*\r\nNOOP\r\n")) == [334, 501, 250]


@pytest.mark.parametrize("response", [b"%%%", b"YW5", b"YW5uYQ=", b"QUJD REVG", b"/w=="])
def test_what_cannot_be_decoded_is_501(response):
    session = driver()
    assert codes(session.said(b"AUTH PLAIN\r\n" + response + b"\r\nNOOP\r\n")) == [334, 501, 250]


def test_a_response_over_the_line_limit_ends_the_exchange():
    """RFC 4954, 4: 500 5.5.6; what comes then is a command again."""
    session = driver(line_limit=600)
    assert session.code(b"AUTH LOGIN") == 334
    assert session.said(b"A" * 700 + b"\r\n") == b"500 5.5.6 Line too long\r\n"
    assert session.code(b"NOOP") == 250
    assert not session.session.confidential


def test_an_equal_sign_is_an_empty_initial_response():
    """RFC 4954, 4."""
    assert driver().code(b"AUTH PLAIN =") == 501
    assert codes(driver().said(b"AUTH LOGIN =\r\n")) == [334]


@pytest.mark.parametrize(
    ("line", "code"), [(b"AUTH", 501), (b"AUTH PLAIN a b", 501), (b"AUTH GSSAPI", 504), (b"AUTH " + b"X" * 21, 501)]
)
def test_what_is_no_auth_command(line, code):
    assert driver().code(line) == code


def test_it_comes_once_after_the_greeting_and_not_in_a_mail_transaction():
    """RFC 4954, 4."""
    made = config()
    made.choose({"auth_users": USERS})
    assert Driver(made).code(b"AUTH PLAIN " + PLAIN) == 503
    session = driver()
    assert session.code(b"MAIL FROM:<a@b>") == 250
    assert session.code(b"AUTH PLAIN " + PLAIN) == 503
    assert codes(session.said(b"RSET\r\nAUTH PLAIN " + PLAIN + b"\r\n")) == [250, 235]
    assert session.code(b"AUTH PLAIN " + PLAIN) == 503
    assert session.code(b"EHLO y") == 250
    assert session.code(b"AUTH PLAIN " + PLAIN) == 503


def test_who_is_not_in_the_list_is_asked_about():
    session = driver(["user"], lambda question: Accept() if "right" in question.secret else Refuse("no"))
    assert session.code(b"AUTH PLAIN " + base64.b64encode(b"\0bob\0wrong")) == 535
    assert session.code(b"AUTH PLAIN " + WRONG) == 535
    assert session.code(b"AUTH PLAIN " + base64.b64encode(b"\0bob\0right")) == 235
    assert session.of_type(CheckUser) == [CheckUser("bob", "wrong", "PLAIN"), CheckUser("bob", "right", "PLAIN")]


def test_who_is_asked_may_choose_the_reply():
    session = driver(["user"], lambda _: Refuse("locked, come back later", 454), auth_users={})
    assert session.said(b"AUTH PLAIN " + PLAIN + b"\r\n") == b"454 locked, come back later\r\n"


def test_where_it_is_required_nothing_of_mail_goes_without_it():
    """RFC 4954, 6: 530."""
    session = driver(auth_required=True)
    for line in (b"MAIL FROM:<a@b>", b"VRFY a@b"):
        assert session.code(line) == 530
    pipelined = session.said(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n")
    assert codes(pipelined) == [530, 503, 503]
    assert [session.code(line) for line in (b"NOOP", b"RSET", b"HELP", b"EHLO x")] == [250, 250, 214, 250]
    assert session.code(b"AUTH PLAIN " + PLAIN) == 235
    assert session.code(b"MAIL FROM:<a@b>") == 250


def test_where_it_requires_tls_it_is_neither_offered_nor_taken_in_the_clear():
    """RFC 4954, 4 and 6: 538."""
    session = driver(auth_require_tls=True)
    assert b"AUTH" not in session.hello
    assert session.code(b"AUTH PLAIN " + PLAIN) == 538
    session.session.secure = True
    assert b"250-AUTH " in session.said(b"EHLO x\r\n")
    assert session.code(b"AUTH PLAIN " + PLAIN) == 235


def test_a_delivery_says_who_sent_it():
    session = driver(["deliver"])
    session.feed(b"AUTH PLAIN " + PLAIN + b"\r\nMAIL FROM:<a@b> AUTH=<>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\n")
    session.feed(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\n")
    first, second = session.of_type(Deliver)
    assert (first.envelope.user, first.envelope.protocol, first.envelope.parameters) == ("anna", "ESMTPA", {"AUTH": "<>"})
    assert (second.envelope.user, second.envelope.parameters) == ("anna", {})


@pytest.mark.parametrize(("value", "code"), [("<>", 250), ("e+3Dmc2@example.com", 250), ("a+zz", 501), ("", 501)])
def test_the_auth_parameter_is_an_xtext(value, code):
    """RFC 4954, 5."""
    assert driver().code(f"MAIL FROM:<a@b> AUTH={value}".encode()) == code


def test_failures_count_as_errors():
    session = driver(error_limit=3)
    assert codes(session.said(b"".join([b"AUTH PLAIN " + WRONG + b"\r\n"] * 9))) == [535, 535, 535, 421]
    assert session.of_type(Close) == [Close("too many errors")]


def test_no_secret_is_logged_or_shown():
    made = config(ask=["user"])
    made.choose({"auth_users": USERS})
    made.log_to("debug")
    session = Driver(made, lambda _: Refuse("no"))
    session.feed(b"EHLO x\r\nAUTH PLAIN " + WRONG + b"\r\n" + b"\r\n".join(LOGIN) + b"\r\n")
    session.feed(b"AUTH PLAIN " + PLAIN + b" more\r\nRSET\r\nAUTH PLAIN " + base64.b64encode(b"\0bob\0hush") + b"\r\n")
    everything = repr(session.events) + session.output.decode()
    assert session.of_type(Log)
    for secret in (
        "secret\\b",
        "wrong",
        "hush",
        "c2VjcmV0",
        PLAIN.decode(),
        WRONG.decode(),
        base64.b64encode(b"\0bob\0hush").decode(),
    ):
        assert secret not in everything


def test_a_session_in_one_segment():
    session = driver(["deliver"])
    said = session.said(
        b"\r\n".join(LOGIN) + b"\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n"
    )
    assert codes(said) == [334, 334, 235, 250, 250, 354, 250, 221]
    assert lines(said)[0] == b"334 VXNlcm5hbWU6"


def test_a_line_that_looks_like_an_envelope_is_a_response_still():
    session = driver()
    said = session.said(b"AUTH PLAIN\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n")
    assert codes(said) == [334, 501, 503, 503]


def test_users_from_the_stock_dialect():
    made = config("tcllib-1.5")
    made.choose({"auth_users": USERS, "auth_mechanisms": ("PLAIN",)})
    session = Driver(made)
    assert b"250-AUTH PLAIN\r\n250 Ready for mail.\r\n" in session.said(b"EHLO x\r\n")
    assert session.said(b"AUTH PLAIN " + PLAIN + b"\r\n") == b"235 Authentication succeeded\r\n"
