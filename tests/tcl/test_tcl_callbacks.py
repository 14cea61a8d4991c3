"""Callbacks of a script, in Tcl and in Python, from a stock tclsh and from tkinter's: who is called, with what, and what the outcome means."""

import pytest
from tclsh import TclError, run

from pysmtpd.version import __version__

MAIL = b"EHLO c.example\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n"

DELIVER = """
proc deliver {sender recipients data} {
    puts [list delivered $sender $recipients [lrange $data 4 end]]
    flush stdout
}
smtpd::configure -deliver deliver
"""

PYTHON = """
import pysmtpd

def deliver(sender, recipients, data):
    print("python", sender, recipients, data[4:], flush=True)

def deliverMIME(message):
    print("python mime", message["Subject"], repr(message.get_content()), flush=True)

def validate_host(ip):
    print("host", ip, flush=True)

def validate_sender(address):
    print("sender", repr(address), flush=True)

def validate_recipient(address):
    print("recipient", repr(address), flush=True)

def later(*_):
    raise pysmtpd.Refused(451, "later")

def fail(*_):
    raise KeyError("missing \\n\\x1bé")

def leave(*_):
    raise SystemExit(3)

def interrupt(*_):
    raise KeyboardInterrupt

def echo(*words):
    return words

def undecodable():
    return "a\\udcffb"


def half(*_):
    return "a\\ud800b"


def half_fails(*_):
    raise ValueError("a\\ud800b")


def join(*words):
    return "|".join(words)

def dictionary():
    return {"a b": 1, "c": [None, True, b"\\xff"]}
"""


@pytest.fixture
def module(tmp_path):
    """A module of Python callbacks in the script's working directory."""
    (tmp_path / "mine.py").write_text(PYTHON)
    return tmp_path


def deliveries(server):
    return [line for line in server.printed if line.startswith(("delivered", "python"))]


# ---- Tcl callbacks


def test_a_mail_reaches_deliver_of_the_script(serve):
    server = serve(DELIVER)
    with server.client() as client:
        client.hello()
        reply = client.mail(recipients=("<b@example.org>", "<c@example.org>"))
        assert reply.code == 250
        client.quit()
    assert server.wait_printed("delivered") == (
        "delivered <a@example.org> {<b@example.org> <c@example.org>} {{Subject: x} {} hello}"
    )


def test_the_trace_header_leads_the_list_of_lines(serve):
    server = serve("proc d {s r data} {puts [join [lrange $data 0 3] |]; flush stdout}; smtpd::configure -deliver d")
    with server.client() as client:
        client.hello()
        reply = client.mail()
    line = server.wait_printed("Return-Path")
    path, received, by, ident = line.split("|")
    assert path == "Return-Path: <a@example.org>"
    assert received == "Received: from client.example [127.0.0.1]"
    assert by.startswith("\tby ")
    assert by.endswith(" with tcllib smtpd (1.5)")
    assert ident.startswith(f"\tid {reply.text.split()[0]}; ")


def test_octets_above_127_are_characters_of_their_number(serve):
    server = serve(
        "proc d {s r data} {scan [lindex $data end] %c%c first last; puts [list octets $first $last]; flush stdout}; smtpd::configure -deliver d"
    )
    with server.client() as client:
        client.hello()
        client.mail(body=b"\x80\xff\r\n")
    assert server.wait_printed("octets") == "octets 128 255"


def test_deliver_mime_gets_a_token_and_wins_over_deliver(serve):
    server = serve(
        DELIVER
        + """
        proc mime_deliver {token} {
            set ::token $token
            puts [list mime [mime::getheader $token Subject] [mime::getbody $token]]
            flush stdout
        }
        smtpd::configure -deliverMIME mime_deliver
        """
    )
    with server.client() as client:
        client.hello()
        assert client.mail().code == 250
    assert server.wait_printed("mime").split(" ", 2)[:2] == ["mime", "x"]
    assert not deliveries(server)
    with pytest.raises(TclError):
        server.eval("mime::getbody $token")


def test_callbacks_are_command_prefixes(serve):
    server = serve(
        """
        proc check {tag more address} {puts [list $tag $more $address]; flush stdout}
        proc mail {tag sender recipients data} {puts [list $tag $sender $recipients]; flush stdout}
        smtpd::configure -validate_host {check host {a b}} -validate_sender {check sender {[x] $y}} \
            -validate_recipient {check recipient {}} -deliver {mail d}
        """
    )
    with server.client() as client:
        client.hello()
        client.mail()
    server.wait_printed("d <a@")
    assert server.printed == [
        "host {a b} 127.0.0.1",
        "sender {[x] $y} a@example.org",
        "recipient {} b@example.org",
        "d <a@example.org> <b@example.org>",
    ]


def test_a_callback_learns_who_the_client_is(serve):
    server = serve(
        """
        proc who {what args} {
            upvar 1 channel channel
            puts "$what [smtpd::state $channel client_addr] [smtpd::state $channel domain]"
            flush stdout
        }
        smtpd::configure -validate_host {who host} -validate_sender {who sender} -validate_recipient {who recipient} -deliver {who deliver}
        """
    )
    with server.client() as client:
        client.hello()
        client.mail()
        server.wait_printed("deliver")
        client.command("QUIT", 221)
    assert server.printed == [
        "host 127.0.0.1 ",
        *(f"{what} 127.0.0.1 client.example" for what in ("sender", "recipient", "deliver")),
    ]


def test_the_null_sender_is_one_empty_argument(serve):
    server = serve("proc v args {puts [list got $args]; flush stdout}; smtpd::configure -validate_sender v")
    with server.client() as client:
        client.hello()
        client.mail(sender="<>")
    assert server.wait_printed("got") == "got {{}}"


def test_without_delivery_options_mail_is_accepted(serve):
    with serve().client() as client:
        client.hello()
        assert client.mail().code == 250


OUTCOMES = {
    "error no": ("554", "Transaction failed: no"),
    "error a\\nb": ("554", "Transaction failed: a\nb"),
    "error {} {} {SMTP 451}": ("451", ""),
    "error later {} {SMTP 451}": ("451", "later"),
    "error later {} 452": ("452", "later"),
    "error x {} 999": ("554", "Transaction failed: x"),
    "error x {} {CHILDSTATUS 20988 3}": ("554", "Transaction failed: x"),
    "error x {} {POSIX 451 x}": ("554", "Transaction failed: x"),
    "error x {} \\{": ("554", "Transaction failed: x"),
    "error \\x1b\\u20acx": ("554", "Transaction failed: ?x"),
    "return -code break": ("554", None),
    "return -code continue": ("554", None),
    "return -code return x": ("554", None),
    "return -code 7 x": ("554", None),
    "return -code error -errorcode {SMTP 550} gone": ("550", "gone"),
    "no_such_command": ("554", 'Transaction failed: invalid command name "no_such_command"'),
    "return fine": ("250", None),
    "return {}": ("250", None),
}


def test_every_outcome_of_a_delivery_has_its_reply(serve):
    server = serve("proc d {args} {eval $::todo}; set todo {}; smtpd::configure -deliver d")
    with server.client() as client:
        client.hello()
        for body, (code, text) in OUTCOMES.items():
            server.eval(f"set todo {{{body}}}" if "\\{" not in body else "set todo {error x {} \\173}")
            reply = client.mail()
            assert reply.code == int(code), body
            if text is not None:
                assert reply.text == text, body
            assert client.command("RSET").code == 250


VALIDATOR_OUTCOMES = {
    "error no": 553,
    "error later {} {SMTP 451}": 451,
    "error x {} 451": 553,
    "error a\\r\\nb {} {SMTP 550}": 550,
    "return -code break": 553,
    "return -code continue": 553,
    "return -code return": 553,
    "return -code 7": 553,
    "return no": 250,
}


@pytest.mark.parametrize("option", ["validate_sender", "validate_recipient"])
def test_every_outcome_of_a_validator_has_its_reply(serve, option):
    server = serve(f"proc v {{args}} {{eval $::todo}}; set todo {{}}; smtpd::configure -{option} v")
    with server.client() as client:
        client.hello()
        for body, code in VALIDATOR_OUTCOMES.items():
            server.eval("set todo {}")
            if option == "validate_recipient":
                client.command("MAIL FROM:<a@b>", 250)
            server.eval(f"set todo {{{body}}}")
            line = "MAIL FROM:<a@b>" if option == "validate_sender" else "RCPT TO:<c@d>"
            assert client.command(line).code == code, body
            client.command("NOOP", 250)


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ("error {not you}", 550, "Access denied: not you"),
        ("error {not now} {} {SMTP 421}", 421, "not now"),
        ("error a\\nb\\x1b", 550, "Access denied: a\nb"),
        ("return -code break", 550, None),
    ],
)
def test_a_refused_host(serve, body, code, text):
    server = serve(f"proc v ip {{{body}}}; smtpd::configure -validate_host v")
    with server.client() as client:
        client.send("HELO early\r\nMAIL FROM:<a@b>\r\n")
        reply = client.reply()
        assert reply.code == code
        assert text is None or reply.text == text
        client.expect(503, 503)
        client.command("QUIT", 221)


# ---- hostile words

CANARY = """
set sung 0
proc canary args {incr ::sung}
proc one args {puts [list arguments [llength $args] [binary encode hex [encoding convertto utf-8 [lindex $args 0]]]]; flush stdout}
smtpd::configure -validate_sender one -validate_recipient one -validate_host one
proc deliver {sender recipients data} {
    puts [list arguments [llength $recipients] [binary encode hex [encoding convertto utf-8 $sender]]]
    flush stdout
}
smtpd::configure -deliver deliver
${smtpd::log}::setlevel debug
proc ${smtpd::log}::stdoutcmd {level text} {lappend ::logged $text}
"""
TAKEN = [
    "a@[canary]", "a@[canary;canary]", '"[canary]"@b', "$sung@b", "${sung}@b", "{*}x@y", "{canary}@b", "#x@b", "*@b", "?@b",
    '"a b;canary"@b', '"$sung {"@b', '"}"@b', '"{"@b', "a'b@c", "%s@b", "a}@b", "a{@b", "\xe9@b", "\xff\xfe@b", "-x@b", "--@b", '"\\"[canary]"@b',
    "a@{canary}", "`canary`@b", "|canary@b", "&@b", "!@b",
]  # fmt: skip
OTHERS = [
    "$::sung@b", "a$(canary)@b", "[canary]@b", "[canary]", "a;canary@b", ";canary", "a\\[canary]@b", "\\@b", '"@b', "a@b;canary", "[canary", "a@[", "]", "a b@c", "a@$sung",
    "a@b [canary]", "a\x00@b", "a\x07@b", "a\t@b", "a\n@b", "<[canary]>",
]  # fmt: skip
VERBS = [
    "[canary]*", "[canary]", "*", "?ELO", "E*", "[eE]HLO", "canary", "::canary", "$sung", "{*}canary", ";canary", "\"canary\"", "{canary}", "\\canary",
    "#", "-", "--", "HELP [canary]", "HELP $sung", "HELP canary;", "HELP {", "EHLO [canary];", "EHLO $sung", "HELO {*}canary", "HELO [canary] x",
    "NOOP [canary]", "RSET [canary]", "DATA [canary]", "VRFY [canary]", "one", "exit", "rename", "EHLO\t[canary]",
]  # fmt: skip


def test_a_hostile_address_is_one_argument_as_sent_and_never_evaluated(serve):
    server = serve(CANARY)
    with server.client() as client:
        client.hello()
        server.wait_for(lambda: server.printed)  # validate_host had its turn
        for address in TAKEN:
            for command, code in ((f"MAIL FROM:<{address}>", 250), (f"RCPT TO:<{address}>", 250)):
                before = len(server.printed)
                client.command(command, code)
                server.wait_for(lambda before=before: len(server.printed) > before)
                assert server.printed[before:] == [f"arguments 1 {address.encode().hex()}"], command
        for address in OTHERS:
            before = len(server.printed)
            if client.command(f"MAIL FROM:<{address}>").code == 250:
                server.wait_for(lambda before=before: len(server.printed) > before)
                assert server.printed[-1].split()[1] == "1", address
        assert (
            client.mail(
                sender='<"[canary]"@b>', recipients=["<$sung@b>"], body=b"[canary]: $sung\r\n\r\n[canary] $sung {\r\n"
            ).code
            == 250
        )
        client.quit()
    assert server.eval("list $sung") == "0"
    assert bytes.fromhex(server.printed[-1].split()[2]).decode() == '<"[canary]"@b>'


def test_a_hostile_command_word_is_never_evaluated(serve):
    server = serve(CANARY)
    with server.client() as client:
        client.expect(220)
        for line in VERBS:
            reply = client.command(line)
            assert reply.code in (500, 501, 503, 504, 250, 214), line
            client.command("NOOP", 250)
    for line in VERBS:
        with server.client() as client:
            client.expect(220)
            assert client.command(line).code in (500, 501, 503, 504, 250, 214)
    assert server.eval("list $sung") == "0"
    assert server.eval("string match {*received: ?canary??*} $logged") == "1"


def test_a_hostile_client_of_python_callbacks(serve, module):
    server = serve(
        CANARY
        + "smtpd::configure -validate_sender {::pysmtpd::call mine:validate_sender} -deliver {::pysmtpd::call mine:deliver}"
    )
    with server.client() as client:
        client.hello()
        server.wait_for(lambda: server.printed)  # validate_host had its turn
        for address in TAKEN:
            before = len(server.printed)
            client.command(f"MAIL FROM:<{address}>", 250)
            server.wait_for(lambda before=before: len(server.printed) > before)
            assert server.printed[-1] == f"sender {address!r}"
    assert server.eval("list $sung") == "0"


# ---- Python callbacks


def test_a_script_calls_python_functions_as_callbacks(serve, module):
    server = serve(
        """
        smtpd::configure -deliver {::pysmtpd::call mine:deliver} -validate_host {::pysmtpd::call mine:validate_host}
        smtpd::configure -validate_sender {pysmtpd::call mine:validate_sender} -validate_recipient {::pysmtpd::call mine:validate_recipient}
        """
    )
    with server.client() as client:
        client.hello()
        assert client.mail().code == 250
        client.quit()
    server.wait_printed("python")
    assert server.printed == [
        "host 127.0.0.1",
        "sender 'a@example.org'",
        "recipient 'b@example.org'",
        "python <a@example.org> ['<b@example.org>'] ['Subject: x', '', 'hello']",
    ]


def test_arguments_of_the_prefix_come_first(serve, module):
    (module / "more.py").write_text("def check(one, two, address): print([one, two, address], flush=True)\n")
    server = serve("smtpd::configure -validate_sender {::pysmtpd::call more:check 1 {two words}}")
    with server.client() as client:
        client.hello()
        client.command("MAIL FROM:<a@b>", 250)
    server.wait_printed("['1', 'two words', 'a@b']")


def test_deliver_mime_in_python_gets_a_message(serve, module):
    server = serve(DELIVER + "smtpd::configure -deliverMIME {::pysmtpd::call mine:deliverMIME}")
    with server.client() as client:
        client.hello()
        assert client.mail().code == 250
    assert server.wait_printed("python") == "python mime x 'hello\\n'" or server.printed == ["python mime x 'hello'"]
    assert len(deliveries(server)) == 1


@pytest.mark.parametrize(
    ("function", "sender", "delivery"),
    [
        ("later", (451, "later"), (451, "later")),
        ("fail", (553, None), (554, None)),
        ("leave", (553, None), (554, "Transaction failed: 3")),
        ("interrupt", (553, None), (554, "Transaction failed: KeyboardInterrupt")),
    ],
)
def test_an_exception_of_a_python_callback_refuses_and_ends_nothing(serve, module, function, sender, delivery):
    server = serve(
        f"smtpd::configure -validate_sender {{::pysmtpd::call mine:{function}}} -deliver {{::pysmtpd::call mine:{function}}}"
    )
    with server.client() as client:
        client.hello()
        reply = client.command("MAIL FROM:<a@b>")
        assert reply.code == sender[0]
        assert sender[1] in (None, reply.text)
        server.eval("smtpd::configure -validate_sender {}")
        reply = client.mail()
        assert reply.code == delivery[0]
        assert delivery[1] in (None, reply.text)
        client.quit()
    with server.client() as client:
        client.hello()


@pytest.mark.parametrize("configured", ["-deliver deliver", "-deliverMIME deliver", "-deliver {::pysmtpd::call mine:later}", ""])
def test_the_callbacks_module_wins_over_whatever_the_script_configures(serve, module, configured):
    (module / "override.py").write_text("def deliver(sender, recipients, data): print('python override', sender, flush=True)\n")
    server = serve(f"{DELIVER}; smtpd::configure -deliver {{}} {configured}", PYSMTPD_CALLBACKS="override")
    with server.client() as client:
        client.hello()
        assert client.mail().code == 250
    assert server.wait_printed("python") == "python override <a@example.org>"
    assert len(deliveries(server)) == 1


def test_of_two_functions_of_the_callbacks_module_deliver_mime_wins(serve, module):
    server = serve(PYSMTPD_CALLBACKS="mine")
    with server.client() as client:
        client.hello()
        assert client.mail().code == 250
    server.wait_printed("python")
    assert [line.split()[:2] for line in deliveries(server)] == [["python", "mime"]]
    assert server.printed[:2] == ["host 127.0.0.1", "sender 'a@example.org'"]


def test_options_that_the_callbacks_module_leaves_are_the_scripts(serve, module):
    (module / "override.py").write_text("def validate_sender(address): raise ValueError(address)\n")
    server = serve(DELIVER, PYSMTPD_CALLBACKS="override")
    with server.client() as client:
        client.hello()
        client.command("MAIL FROM:<a@b>", 553)
        server.eval("smtpd::configure -validate_sender {}")
        client.command("MAIL FROM:<a@b>", 553)


# ---- ::pysmtpd::call from a script


def test_a_script_calls_python_and_gets_the_value(serve, module):
    server = serve()
    assert server.eval("::pysmtpd::call mine:join a {b c} {} \\{ {[x] $y} \\u20ac") == "a|b c||{|[x] $y|\u20ac"
    assert server.eval("llength [::pysmtpd::call mine:echo a {b c} {} \\{ {[x] $y} \\u20ac #]") == "7"
    assert server.eval("lindex [::pysmtpd::call mine:echo a {b c} {} \\{ {[x] $y} \\u20ac #] 4") == "[x] $y"
    assert server.eval("::pysmtpd::call mine:join a\\nb\\r\\n\\tc {}") == "a\nb\r\n\tc|"
    assert server.eval("string length [::pysmtpd::call mine:join a\\0b]") == "3"
    assert server.eval("dict get [::pysmtpd::call mine:dictionary] {a b}") == "1"
    assert server.eval("lindex [dict get [::pysmtpd::call mine:dictionary] c] 1") == "1"
    assert server.eval("scan [lindex [dict get [::pysmtpd::call mine:dictionary] c] 2] %c") == "255"
    assert server.eval("::pysmtpd::call builtins:len [string repeat x 300000]") == "300000"
    assert server.eval("::pysmtpd::call builtins:len [string repeat x 9000000]") == "9000000"  # more than the pipe holds
    assert server.eval("string length [::pysmtpd::call mine:join [string repeat x 300000]]") == "300000"


def test_calls_leave_no_timers_behind(tmp_path):
    script = "package require smtpd; time {::pysmtpd::call builtins:len x} 20; puts [llength [after info]]"
    assert run(tmp_path, script).stdout == "0\n"


def test_what_is_no_text_survives_a_call(serve_stock, module):
    """As file names that Python cannot decode do."""
    server = serve_stock()
    assert server.eval("binary encode hex [::pysmtpd::call os:fsdecode a]") == "61"
    assert server.eval("binary encode hex [::pysmtpd::call mine:undecodable]") == "61ff62"


def test_half_a_character_in_what_python_says_ends_nothing(serve, module):
    """It ended the child, and tkinter's Tcl with all of Python."""
    server = serve("smtpd::configure -loglevel debug -deliver {::pysmtpd::call mine:half_fails}")
    half = "binary encode hex [encoding convertto utf-8 [::pysmtpd::call mine:half]]"
    assert server.eval(half) == "61efbfbd62"
    assert server.eval("list [catch {::pysmtpd::call mine:half_fails} text] [string length $text]") == "1 3"
    with server.client() as client:
        client.hello()
        assert "a?b" in client.mail().text


@pytest.mark.parametrize("text", ["\\U1F600", "a\\U1D11Eb"])
def test_characters_beyond_the_basic_plane_survive_a_call(serve, module, text):
    server = serve()
    assert server.eval(f"string equal [::pysmtpd::call mine:join {text}] {text}") == "1"


@pytest.mark.parametrize(
    ("call", "said", "code"),
    [
        ("nowhere_to_be_found:f", ["nowhere_to_be_found", "the working directory"], None),
        ("mine:nothing", ["mine", '"nothing"', "mine.py"], None),
        ("mine", ["mine", "MODULE:FUNCTION"], None),
        ("mine:later", ["later"], "SMTP 451"),
        ("mine:fail", ["missing"], "PYTHON KeyError"),
        ("mine:leave", ["3"], "PYTHON SystemExit"),
        ("mine:interrupt", ["KeyboardInterrupt"], "PYTHON KeyboardInterrupt"),
        ("broken:f", ["broken", "ZeroDivisionError"], None),
        ("mine:PYTHON", ["mine", "function"], None),
    ],
)
def test_what_a_call_raises_is_an_error_that_says_so(serve, module, call, said, code):
    (module / "mine.py").write_text(PYTHON + "\nPYTHON = 5\n")
    (module / "broken.py").write_text("1 / 0\n")
    server = serve()
    message = server.eval(f"catch {{::pysmtpd::call {call}}} message settings; set message")
    assert all(part in message for part in said), message
    assert "\n" not in message.replace("\\n", "")
    if code:
        assert server.eval("dict get $settings -errorcode") == code
    assert server.eval("::pysmtpd::call builtins:len abc") == "3"


@pytest.mark.parametrize("option", ["deliver", "deliverMIME", "validate_host", "validate_sender", "validate_recipient"])
def test_a_missing_function_is_an_error_of_configure_or_start_not_of_the_first_mail(serve, module, option):
    server = serve()
    message = server.eval(
        f"catch {{smtpd::configure -{option} {{::pysmtpd::call mine:nothing}}; smtpd::stop; smtpd::start 127.0.0.1 0}} message; set message"
    )
    assert "nothing" in message
    assert "mine.py" in message
    assert option in message


def test_a_coroutine_function_is_an_error_of_configure(serve, module):
    (module / "asynchronous.py").write_text("async def deliver(sender, recipients, data): pass\n")
    server = serve()
    with pytest.raises(TclError, match="coroutine function"):
        server.eval("smtpd::configure -deliver {::pysmtpd::call asynchronous:deliver}")


def test_packages_of_the_python_that_runs_can_be_called(serve):
    """A module is found as Python would find it: in site-packages, too."""
    assert serve().eval("::pysmtpd::call packaging.utils:canonicalize_name Some_Name") == "some-name"


def test_what_python_prints_comes_out_in_order(serve, module):
    (module / "talk.py").write_text("def say(text):\n    print(text)\n    return text.upper()\n")
    server = serve()
    server.eval("puts one; puts [::pysmtpd::call talk:say two]; puts three")
    server.wait_printed("three")
    assert server.printed == ["one", "two", "TWO", "three"]


# ---- callbacks that do more than answer


def test_a_callback_closes_the_connection(serve):
    server = serve("proc v {address} {upvar 1 channel channel; close $channel}; smtpd::configure -validate_sender v")
    with server.client() as client:
        client.hello()
        client.send("MAIL FROM:<a@b>\r\nNOOP\r\n")
        client.expect_end()
    with server.client() as client:
        client.hello()
    server.wait_until("info vars ::smtpd::state_*", "")


def test_a_callback_closes_the_connection_and_another_comes_meanwhile(serve):
    """The name of a channel that was closed may be the next one's at once."""
    server = serve(
        """
        proc v {address} {
            upvar 1 channel channel
            if {$address ne "close@b"} return
            close $channel
            puts closed
            flush stdout
            vwait ::on
        }
        smtpd::configure -validate_sender v
        """
    )
    with server.client() as client:
        client.hello()
        client.send("MAIL FROM:<close@b>\r\n")
        client.expect_end()
        server.wait_printed("closed")
        others = [server.client() for _ in range(3)]
        for other in others:
            other.hello()
        server.eval("set on 1")
        for other in others:
            other.command("NOOP", 250)
            assert other.mail().code == 250
            other.quit()
            other.close()
    server.wait_until("info vars ::smtpd::state_*", "")


def test_stop_in_a_callback_and_the_reply_still_comes(serve):
    server = serve("proc d args {smtpd::stop; puts [list stopped $smtpd::stopped]; flush stdout}; smtpd::configure -deliver d")
    with server.client() as client:
        client.hello()
        assert client.mail().code == 250
        server.wait_printed("stopped 1")
        with pytest.raises(ConnectionRefusedError):
            server.client()
        assert client.mail().code == 250
        client.quit()


@pytest.mark.parametrize("ending", ["", "; error no"])
def test_a_script_that_ends_on_its_first_mail_has_the_reply_out(serve, ending):
    """The usual shape of a legacy test: stop in deliver, vwait ends, the script is over."""
    server = serve(
        f"""
        proc d args {{after 0 {{set ::done 1}}; smtpd::stop{ending}}}
        smtpd::configure -deliver d
        puts "@port [lindex [fconfigure [smtpd::start 127.0.0.1 0] -sockname] 2]"
        flush stdout
        vwait done
        exit
        """
    )
    with server.client() as client:
        client.hello()
        assert client.mail().code == (554 if ending else 250)
        client.expect_end()


def test_start_again_in_a_callback(serve):
    server = serve(
        """
        proc d args {
            puts [list again [catch {smtpd::start 127.0.0.1 0} message] $message]
            smtpd::stop
            puts [list port [lindex [fconfigure [smtpd::start 127.0.0.1 0] -sockname] 2]]
            flush stdout
        }
        smtpd::configure -deliver d
        """
    )
    with server.client() as client:
        client.hello()
        assert client.mail().code == 250
        assert "already running" in server.wait_printed("again 1")
        server._port = int(server.wait_printed("port").split()[1])
        with server.client() as other:
            other.hello()
            assert client.mail().code == 250


def test_replies_stay_in_order_while_a_callback_runs_the_event_loop(serve):
    server = serve(
        "proc v {address} {puts waiting; flush stdout; vwait ::on}; smtpd::configure -validate_sender v -validate_recipient v"
    )
    with server.client() as client, server.client() as other:
        client.hello()
        client.send("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nNOOP x\r\n")
        server.wait_for(lambda: server.printed.count("waiting") == 1)
        client.send("HELP\r\nQUIT\r\n")
        other.hello()
        other.command("NOOP", 250)
        server.eval("set on 1")
        client.expect(250)
        server.wait_for(lambda: server.printed.count("waiting") == 2)
        server.eval("set on 2")
        client.expect(250, 250, 214, 221)
        client.expect_end()


def test_nested_event_loops_of_two_sessions(serve):
    server = serve(
        "proc v {address} {puts $address; flush stdout; vwait ::on($address); puts after; flush stdout}; smtpd::configure -validate_sender v"
    )
    with server.client() as first, server.client() as second:
        first.hello()
        second.hello()
        first.send("MAIL FROM:<first@b>\r\nNOOP\r\n")
        server.wait_printed("first@b")
        second.send("MAIL FROM:<second@b>\r\nNOOP\r\n")
        server.wait_printed("second@b")
        server.eval("set on(first@b) 1")  # its vwait lies under the second's, and returns after it
        server.eval("set on(second@b) 1")
        second.expect(250, 250)
        first.expect(250, 250)


WORKING = """
import time

delivered = 0

def deliver(*_):
    global delivered
    time.sleep(0.002)
    delivered += 1

def count():
    return delivered
"""


@pytest.mark.parametrize(
    ("script", "count"),
    [
        ("proc d args {after 2; incr ::delivered}; smtpd::configure -deliver d -validate_sender list", "set ::delivered"),
        ("smtpd::configure -deliver {::pysmtpd::call working:deliver}", "::pysmtpd::call working:count"),
    ],
    ids=["Tcl", "Python"],
)
def test_a_client_that_sends_mails_ahead_lets_others_in_between(serve, tmp_path, script, count):
    (tmp_path / "working.py").write_text(WORKING)
    server = serve(script)
    mail = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nSubject: x\r\n\r\nhi\r\n.\r\nRSET\r\n"
    with server.client() as ahead, server.client() as other:
        ahead.hello()
        other.hello()
        ahead.send(mail * 500)
        ahead.expect(250, 250, 354, 250)
        other.command("NOOP", 250)
        assert int(server.eval(count)) < 250
        ahead.expect(250, *[250, 250, 354, 250, 250] * 499)
        assert server.eval(count) == "500"
        ahead.command("QUIT", 221)


AHEAD = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nSubject: x\r\n\r\nhi\r\n.\r\nRSET\r\n"


def test_a_client_that_sends_more_ahead_than_may_wait_for_python_is_read_from_again(serve, tmp_path):
    (tmp_path / "working.py").write_text(WORKING)
    with serve("smtpd::configure -deliver {::pysmtpd::call working:deliver}").client() as client:
        client.hello()
        client.send(AHEAD * 1200)
        client.expect(*[250, 250, 354, 250, 250] * 1200)
        client.command("QUIT", 221)


OTHER = """
proc d args {after 2}
proc bgerror message {puts [list bgerror $message]; flush stdout}
proc look sender {upvar 1 channel channel; if {$sender eq "first@b"} {set ::first $channel} elseif {$sender eq "other@b"} other}
smtpd::configure -deliver d -validate_sender look
"""


def test_a_client_that_has_sent_ahead_goes_on_where_a_script_cancels_all_timers(serve):
    server = serve(f"{OTHER}; proc other {{}} {{foreach timer [after info] {{after cancel $timer}}}}")
    with server.client() as ahead, server.client() as other:
        ahead.hello()
        other.hello()
        ahead.send(AHEAD * 200)
        for _ in range(3):
            other.command("MAIL FROM:<other@b>", 250)
            other.command("RSET", 250)
        ahead.expect(*[250, 250, 354, 250, 250] * 200)


def test_a_connection_that_has_sent_ahead_may_be_closed_in_the_callback_of_another(serve):
    server = serve(f"{OTHER}; proc other {{}} {{close $::first}}")
    with server.client() as ahead, server.client() as other:
        ahead.hello()
        other.hello()
        ahead.command("MAIL FROM:<first@b>", 250)
        ahead.command("RSET", 250)
        ahead.send(AHEAD * 200)
        ahead.expect(250, 250, 354, 250)
        other.command("MAIL FROM:<other@b>", 250)
        other.command("RSET", 250)
        assert server.eval("update; expr {$::first in [chan names]}") == "0"
        assert not [line for line in server.printed if "bgerror" in line]


def test_messages_sent_ahead_are_delivered_by_what_has_taken_the_place_of_a_python_callback(serve, tmp_path):
    (tmp_path / "working.py").write_text(WORKING)
    server = serve("smtpd::configure -deliver {::pysmtpd::call working:deliver}")
    with server.client() as ahead, server.client() as other:
        ahead.hello()
        other.hello()
        ahead.send(AHEAD * 200)
        ahead.expect(250, 250, 354, 250)
        server.eval("set mine 0; proc d args {incr ::mine}; smtpd::configure -deliver d")
        other.command("NOOP", 250)  # with this, the engine has the new settings
        ahead.expect(250, *[250, 250, 354, 250, 250] * 199)
        mine = int(server.eval("set mine"))
        assert mine + int(server.eval("::pysmtpd::call working:count")) == 200
        assert mine


def test_validators_taken_away_while_mails_sent_ahead_wait_refuse_nobody(serve):
    server = serve("proc v args {after 2}; smtpd::configure -validate_sender v -validate_recipient v")
    with server.client() as ahead:
        ahead.hello()
        ahead.send(AHEAD * 100)
        ahead.expect(250, 250, 354, 250)
        server.eval("smtpd::configure -validate_sender {} -validate_recipient {}")
        ahead.expect(250, *[250, 250, 354, 250, 250] * 99)


def test_a_callback_that_waits_for_update_idletasks_and_after(serve):
    server = serve("proc d args {after 5 {set ::on 1}; vwait ::on; update; update idletasks}; smtpd::configure -deliver d")
    with server.client() as client:
        client.hello()
        client.send(MAIL + b"x\r\n.\r\nMAIL FROM:<e@f>\r\nQUIT\r\n")
        client.expect(503, 250, 250, 354, 250, 250, 221)


def test_settings_made_in_a_callback_hold_for_the_next_command_already_there(serve):
    server = serve(
        """
        proc no address {error no}
        proc v address {smtpd::configure -validate_recipient no; lappend ::smtpd::commands VRFY}
        smtpd::configure -validate_sender v
        """
    )
    with server.client() as client:
        client.hello()
        client.send("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nVRFY x\r\n")
        client.expect(250, 553)
        assert "not implemented" in client.expect(500).text


def test_state_set_in_a_callback_holds(serve):
    server = serve(
        DELIVER
        + """
        proc v address {upvar 1 channel channel; smtpd::state $channel to {<x@y> <z@y>} domain other.example}
        smtpd::configure -validate_sender v
        """
    )
    with server.client() as client:
        client.hello()
        client.send("MAIL FROM:<a@b>\r\nDATA\r\nhello\r\n.\r\n")
        client.expect(250, 354, 250)
    assert server.wait_printed("delivered") == "delivered <a@b> {<x@y> <z@y>} hello"


def test_an_id_of_the_scripts_own_makes_no_reply_malformed(serve):
    server = serve(
        r"""
        proc d args {upvar 1 channel channel; smtpd::state $channel id "one\n250 two\x1b"}
        smtpd::configure -deliver d
        """
    )
    with server.client() as client:
        client.hello()
        assert client.mail().text == r"one\x0a250 two\x1b Message accepted for delivery"
        client.command("NOOP", 250)


LINES = "llength [::smtpd::state [string range [info vars ::smtpd::state_*] 15 end] data]"


def test_the_lines_of_a_message_stay_when_its_callback_empties_the_reverse_path(serve):
    server = serve("proc d args {upvar 1 channel channel; smtpd::state $channel from {}}; smtpd::configure -deliver ::d")
    with server.client() as client:
        client.hello()
        client.mail(body="Subject: x\r\n\r\nhello\r\n")
        assert server.eval(LINES) == "7"
        client.command("RSET", 250)
        assert server.eval(LINES) == "0"


def test_the_lines_of_a_message_go_with_its_transaction_though_another_has_begun(serve):
    server = serve("proc d args {upvar 1 channel channel; smtpd::state $channel from}; smtpd::configure -deliver ::d")
    with server.client() as client:
        client.hello()
        client.mail(body="Subject: x\r\n\r\nhello\r\n")
        assert server.eval(LINES) == "7"
        client.command("RSET", 250)
        client.command("MAIL FROM:<z@example.org>", 250)
        assert server.eval(LINES) == "0"
        server.eval(LINES.replace("llength [", "").replace(" data]", " data {a b}"))
        assert server.eval(LINES) == "2"


def test_validators_do_not_see_the_lines_of_a_message_that_was_reset(serve):
    count = "upvar 1 channel channel; lappend ::counts [llength [smtpd::state $channel data]]"
    server = serve(f"proc look args {{{count}}}; smtpd::configure -deliver ::look -validate_sender ::look")
    with server.client() as client:
        client.hello()
        client.mail(body="Subject: x\r\n\r\nhello\r\n")
        client.command("MAIL FROM:<z@example.org>", 250)
        client.command("RSET", 250)
        client.command("MAIL FROM:<z@example.org>", 250)
    assert server.eval("set counts") == "0 7 7 0"


def test_what_has_no_envelope_is_not_delivered(serve):
    """A script may have it that a message is being received, whatever was said before."""
    server = serve("proc d args {puts [list delivered {*}$args]}; smtpd::configure -deliver d")
    with server.client() as client:
        client.hello()
        server.eval("set [info vars ::smtpd::state_*](indata) 1")
        client.command("lost\r\n.", 250)
        assert client.mail(body="kept\r\n").code == 250
    assert "kept" in server.wait_printed("delivered")


def test_the_client_leaves_while_a_callback_runs(serve):
    server = serve("proc d args {puts waiting; flush stdout; vwait ::on}; smtpd::configure -deliver d")
    client = server.client()
    client.hello()
    client.send("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r\n")
    server.wait_printed("waiting")
    client.reset()
    with server.client() as other:
        other.hello()
    server.eval("set on 1")
    server.wait_until("info vars ::smtpd::state_*", "")


def test_version_is_the_packages(serve):
    assert serve().eval("::pysmtpd::version") == __version__
