"""Options that the stock package does not have, from a script: the profile, quirks, extensions, limits, the idle time-out."""

import pytest
from tclsh import SHELLS, Script, TclError, run

STOCK_LIST = (
    "-loglevel warn -usetls 0 -validate_recipient {} -tlsopts {} -banner {tcllib smtpd 1.5} -validate_sender {} -serveraddr {}"
    " -validate_host {} -deliver {} -deliverMIME {} -"
)


@pytest.fixture(params=SHELLS)
def script(request, tmp_path):
    script = Script(request.param, tmp_path)
    yield script
    assert script.end() == 0


@pytest.mark.parametrize("shell", SHELLS)
def test_the_list_of_options_is_the_stock_one_until_one_of_ours_is_set(shell, tmp_path):
    program = "package require smtpd; puts [smtpd::configure]; smtpd::configure -profile rfc5321; puts [smtpd::configure]"
    lines = run(tmp_path, program, shell).stdout.splitlines()
    assert sorted(lines[0].split()) == sorted(STOCK_LIST.split())
    assert lines[1] == lines[0].removesuffix("-") + "-profile rfc5321 -"


def test_options_have_their_default_their_value_and_their_own_name(script):
    assert script.eval("smtpd::cget -profile") == "tcllib-1.5"
    assert script.eval("smtpd::cget loose_paths") == "1"
    assert script.eval("smtpd::cget -error_limit") == "0"
    script.eval("smtpd::configure -profile rfc5321 -hello_once 1")
    values = script.eval("lmap name {profile hello_once loose_paths error_limit pipelining} {smtpd::cget -$name}")
    assert values == "rfc5321 1 0 100 1"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-profile rfc821", '-profile is "rfc821": must be one of tcllib-1.5, rfc5321'),
        ("-size_limit none", '-size_limit is "none": must be a number from 1 up'),
        ("-hello_once maybe", '-hello_once is "maybe": must be 0 or 1'),
        ("-pipelining { }", '-pipelining is " ": must be 0 or 1'),
    ],
)
def test_a_wrong_value_is_an_error_that_says_what_is_allowed_and_changes_nothing(script, words, said):
    with pytest.raises(TclError) as caught:
        script.eval(f"smtpd::configure {words}")
    assert str(caught.value) == said
    assert script.eval("smtpd::cget -profile") == "tcllib-1.5"
    with script.client() as client:
        assert client.expect(220).text.startswith("127.0.0.1 tcllib smtpd 1.5")


def test_an_empty_value_takes_an_option_back_to_its_default(script):
    before = script.eval("list [smtpd::configure] [smtpd::cget -size_limit] [smtpd::cget -tls] [smtpd::cget -auth_users]")
    script.eval("smtpd::configure -profile rfc5321 -size_limit 1000 -tls starttls -auth_users {anna secret} -pipelining 0")
    with script.client() as client:
        offered = client.hello().lines
        assert "SIZE 1000" in offered
        assert "STARTTLS" in offered
        assert "PIPELINING" not in offered
    script.eval("smtpd::configure -pipelining {} -size_limit {} -tls {} -auth_users")
    with script.client() as client:
        offered = client.hello().lines
        assert "SIZE 268435456" in offered
        assert "PIPELINING" in offered
        assert not any(line.startswith(("STARTTLS", "AUTH")) for line in offered)
    script.eval("smtpd::configure -profile {}")
    assert before == script.eval("list [smtpd::configure] [smtpd::cget -size_limit] [smtpd::cget -tls] [smtpd::cget -auth_users]")
    with script.client() as client:
        assert client.expect(220).text.startswith("127.0.0.1 tcllib smtpd 1.5")


def test_an_option_nobody_has_gets_the_stock_error(script):
    with pytest.raises(TclError) as caught:
        script.eval("smtpd::configure -nonsense 1")
    assert str(caught.value).startswith('unknown option: "-nonsense": must be one of -deliverMIME, -deliver, -validate_host')
    with pytest.raises(TclError, match='unknown option "-nonsense":  must be one of '):
        script.eval("smtpd::cget -nonsense")


def test_the_profile_speaks_on_the_wire_and_what_the_script_set_stays(script):
    script.eval("set smtpd::extensions(XTEST) {a b}; smtpd::configure -profile rfc5321 -size_limit 1000 -pipelining 0")
    with script.client() as client:
        assert client.expect(220).text.startswith("127.0.0.1 ESMTP pysmtpd")
        offered = client.command("EHLO client.example", 250).lines[1:]
        assert "SIZE 1000" in offered
        assert offered[-1] == "XTEST a b"
        assert "PIPELINING" not in offered
        assert client.command("MAIL FROM:<a@b.example> SIZE=1001", 552).text.startswith("5.3.4")
    script.eval("smtpd::configure -banner mine")
    with script.client() as client:
        assert client.expect(220).text.startswith("127.0.0.1 ESMTP mine")


def test_a_session_ends_with_one_error_too_many(script):
    script.eval("smtpd::configure -error_limit 2")
    with script.client() as client:
        client.expect(220)
        client.command("X", 500)
        client.command("Y", 500)
        assert client.rest() == b"421 Too many errors\r\n"


def test_a_silent_client_has_its_session_ended(script):
    script.eval("smtpd::configure -idle_timeout 0.3")
    with script.client() as client:
        client.expect(220)
        client.command("NOOP", 250)
        assert client.rest() == b"421 Idle for too long\r\n"
    assert script.eval("array size ::pysmtpd::heard") == "0"


@pytest.mark.parametrize("before", ["", "60"])
def test_another_time_out_holds_for_clients_that_are_there_already(script, before):
    script.eval(f"smtpd::configure -idle_timeout {{{before}}}")
    with script.client() as client:
        client.hello()
        script.eval("smtpd::configure -idle_timeout 0.3")
        assert client.rest() == b"421 Idle for too long\r\n"


def test_a_client_whose_callback_runs_is_not_silent(script):
    script.eval("proc slow {address} {after 500 {set ::woken 1}; vwait ::woken}")
    script.eval("smtpd::configure -idle_timeout 0.2 -validate_sender slow")
    with script.client() as client:
        client.expect(220)
        client.command("MAIL FROM:<a@b.example>", 250)
        assert client.rest() == b"421 Idle for too long\r\n"


# ---- AUTH

ANNA = "AGFubmEAc2VjcmV0"  # anna, secret
WRONG = "AGFubmEAd3Jvbmc="


def test_users_are_a_dictionary(script):
    script.eval("smtpd::configure -profile rfc5321 -auth_users {anna secret} -auth_required 1")
    with script.client() as client:
        client.expect(220)
        offered = client.command("EHLO client.example", 250).lines
        assert "AUTH SCRAM-SHA-256 CRAM-MD5 PLAIN LOGIN XOAUTH2 OAUTHBEARER" in offered
        client.command("MAIL FROM:<a@b.example>", 530)
        client.command(f"AUTH PLAIN {WRONG}", 535)
        client.command(f"AUTH PLAIN {ANNA}", 235)
        client.command("MAIL FROM:<a@b.example>", 250)


def test_a_callback_gets_name_and_secret_as_they_are(script):
    script.eval("""
        proc check {extra user secret} {
            upvar 1 channel channel
            puts [list $extra $user $secret [smtpd::state $channel client_addr]]
            if {$user ne "anna"} {error "nobody"}
            if {$secret ne "secret"} {return -code error -errorcode {SMTP 454} "later"}
        }
        smtpd::configure -validate_user {check {more words}}
    """)
    assert script.eval("smtpd::cget -validate_user") == "check {more words}"
    with script.client() as client:
        client.expect(220)
        client.command("EHLO client.example", 250)
        client.command("AUTH PLAIN AFtleGl0XSAkeABh", 535)
        script.wait_printed(r"{more words} {[exit] $x} a 127.0.0.1")
        assert client.command(f"AUTH PLAIN {WRONG}", 454).text == "later"
        client.command(f"AUTH PLAIN {ANNA}", 235)
    script.eval("smtpd::configure -validate_user {}")
    with script.client() as client:
        client.expect(220)
        assert not [line for line in client.command("EHLO client.example", 250).lines if line.startswith("AUTH")]


def test_python_validates_users(tmp_path):
    (tmp_path / "users.py").write_text("def check(user, secret):\n    assert (user, secret) == ('anna', 'secret')\n")
    for shell in SHELLS:
        script = Script(shell, tmp_path, "smtpd::configure -validate_user {::pysmtpd::call users:check}")
        with script.client() as client:
            client.expect(220)
            client.command("EHLO client.example", 250)
            client.command(f"AUTH PLAIN {WRONG}", 535)
            client.command(f"AUTH PLAIN {ANNA}", 235)
        assert script.end() == 0


def test_a_secret_that_is_no_list_is_not_shown(script):
    with pytest.raises(TclError) as caught:
        script.eval("smtpd::configure -auth_users {anna hush bob}")
    assert str(caught.value) == "-auth_users is something else: must be user names and their secrets"


# ---- extensions, from a script

MAIL = "Subject: x\r\n\r\nhello\r\n"


def test_parameters_are_in_the_state_of_the_session(script):
    script.eval("""
        proc got {from to lines} {
            upvar 1 channel channel
            puts [list $from $to [smtpd::state $channel parameters] [lindex [smtpd::state $channel recipient_parameters] 1]]
        }
        smtpd::configure -profile rfc5321 -deliver got
    """)
    with script.client() as client:
        client.hello()
        client.command("MAIL FROM:<a@b.example> RET=HDRS ENVID=a+2Bb", 250)
        client.command("RCPT TO:<c@d.example>", 250)
        client.command("RCPT TO:<e@f.example> NOTIFY=NEVER", 250)
        client.send("BDAT 21 LAST\r\n" + MAIL)
        client.expect(250)
        script.wait_printed("<a@b.example> {<c@d.example> <e@f.example>} {RET HDRS ENVID a+2Bb} {NOTIFY NEVER}")
        client.mail()
        script.wait_printed("<a@example.org> <b@example.org> {} {}")


def test_an_international_address_is_text(script):
    script.eval("""
        proc check {address} {puts "<$address> [string length $address]"}
        proc got {from to lines} {puts [list $from $to [encoding convertfrom utf-8 [lindex $lines 0]]]}
        fconfigure stdout -encoding utf-8
        smtpd::configure -profile rfc5321 -validate_sender check -validate_recipient check -deliver got
    """)
    with script.client() as client:
        client.hello()
        client.command("MAIL FROM:<é@b.example> SMTPUTF8".encode(), 250)
        script.wait_printed("<é@b.example> 11")
        client.command("RCPT TO:<用户@例子.example>".encode(), 250)
        script.wait_printed("<用户@例子.example> 13")
        client.command("DATA", 354)
        client.send(MAIL + ".\r\n")
        client.expect(250)
        script.wait_printed("<é@b.example> <用户@例子.example> {Return-Path: <é@b.example>}")


def test_lmtp_has_a_reply_for_each_recipient(script):
    script.eval("""
        proc got {from to lines} {
            return -code error -errorcode {SMTP RECIPIENTS {<c@d.example> {452 {mailbox full}} e@f.example {}}} "not all"
        }
        smtpd::configure -profile rfc5321 -lmtp 1 -deliver got
    """)
    with script.client() as client:
        client.expect(220)
        client.command("EHLO x", 500)
        client.command("LHLO x", 250)
        client.command("MAIL FROM:<a@b.example>", 250)
        for recipient in ("c@d.example", "e@f.example", "g@h.example"):
            client.command(f"RCPT TO:<{recipient}>", 250)
        client.command("DATA", 354)
        client.send(MAIL + ".\r\n")
        replies = [client.reply() for _ in range(3)]
        assert [reply.code for reply in replies] == [452, 554, 250]
        assert replies[0].text == "mailbox full"


def test_a_proxy_says_who_the_client_is(script):
    script.eval("""
        proc check {address} {
            upvar 1 channel channel
            puts [list $address [smtpd::state $channel client_addr] [smtpd::state $channel client_port]]
        }
        smtpd::configure -proxy 1 -validate_host check
    """)
    with script.client() as client:
        client.send("PROXY TCP4 203.0.113.7 192.0.2.5 56324 25\r\n")
        client.expect(220)
        script.wait_printed("203.0.113.7 203.0.113.7 56324")
        client.quit()
    with script.client() as client:
        client.send("HELO x\r\n")
        client.expect(421)
        client.expect_end()


def test_chunks_and_their_limit(script):
    script.eval(
        "proc got {from to lines} {puts [lindex $lines end]}; smtpd::configure -profile rfc5321 -deliver got -size_limit 1000"
    )
    with script.client() as client:
        client.hello()
        client.send("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nBDAT 3\r\nabcBDAT 2 LAST\r\nde")
        client.expect(250, 250, 250, 250)
        script.wait_printed("abcde")
        client.send("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nBDAT 100000 LAST\r\n" + "x" * 100_000)
        client.expect(250, 250, 552)
        client.quit()
