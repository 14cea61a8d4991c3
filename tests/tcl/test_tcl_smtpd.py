"""The package smtpd as scripts see it: loading it, its commands and options, starting and stopping."""

import re

import pytest
from smtp_client import Client
from tclsh import TclError, run

BOTH = pytest.mark.parametrize("shell", ["tclsh", "tkinter"])
STOCK_PROCS = {
    "accept",
    "cget",
    "configure",
    "deliver",
    "deliver_old",
    "gmtoffset",
    "initializeState",
    "server_ip",
    "service",
    "split_address",
    "start",
    "state",
    "stop",
    "timestamp",
    "tlscallback",
    "uid",
    "uidchar",
    "Log",
    "Pop",
    "Puts",
    "DATA",
    "EHLO",
    "HELO",
    "HELP",
    "MAIL",
    "NOOP",
    "QUIT",
    "RCPT",
    "RSET",
    "STARTTLS",
}
STOCK_VARIABLES = {"Help", "commands", "extensions", "log", "options", "stopped", "tlsopts", "version"}


@BOTH
@pytest.mark.parametrize("require", ["smtpd", "smtpd 1.4", "smtpd 1.5", "smtpd 1", "-exact smtpd 1.5", "smtpd 1.4-2"])
def test_the_package_that_loads_is_ours(tmp_path, shell, require):
    result = run(
        tmp_path,
        f"puts [package require {require}]; puts [::pysmtpd::version]; puts [package present mime]; puts [package present logger]",
        shell,
    )
    assert result.stderr == ""
    assert result.stdout.startswith("1.5\n0.")


@BOTH
def test_the_package_that_loads_is_ours_whatever_was_looked_for_before(tmp_path, shell):
    script = "catch {package require no_such_package}; lappend auto_path /nowhere; catch {package require another}; puts [package require smtpd]; puts [::pysmtpd::version]"
    assert run(tmp_path, script, shell).stdout.startswith("1.5\n0.")


@BOTH
def test_a_version_that_there_is_not_is_refused(tmp_path, shell):
    result = run(tmp_path, "puts [catch {package require smtpd 2} message]; puts $message", shell)
    assert result.stdout.startswith("1\n")


@BOTH
def test_all_names_of_the_stock_package_are_there(tmp_path, shell):
    result = run(
        tmp_path,
        "package require smtpd; foreach what {procs vars} {puts [lmap name [info $what ::smtpd::*] {namespace tail $name}]}",
        shell,
    )
    procs, variables = (set(line.split()) for line in result.stdout.splitlines())
    assert procs >= STOCK_PROCS, f"missing: {sorted(STOCK_PROCS - procs)}"
    assert variables >= STOCK_VARIABLES, f"missing: {sorted(STOCK_VARIABLES - variables)}"


@BOTH
def test_exports_are_those_of_the_stock_package(tmp_path, shell):
    result = run(tmp_path, "package require smtpd; puts [lsort [namespace eval ::smtpd {namespace export}]]", shell)
    assert result.stdout == "configure start stop\n"


def test_the_shell_goes_on_where_the_script_ends(tmp_path):
    result = run(tmp_path, "package require smtpd; smtpd::start 127.0.0.1 0; smtpd::stop; puts end")
    assert (result.stdout, result.stderr, result.returncode) == ("end\n", "", 0)


# ---- start and stop


def test_start_returns_a_channel_that_says_where_it_listens(serve):
    server = serve()
    channel = server.eval("smtpd::cget socket")
    assert server.eval(f"fconfigure {channel} -sockname").split() == ["127.0.0.1", "127.0.0.1", str(server.address[1])] or (
        server.eval(f"lindex [fconfigure {channel} -sockname] 2") == str(server.address[1])
    )
    assert server.eval("set smtpd::stopped") == "0"


def test_a_second_start_is_an_error_that_names_the_socket(serve):
    server = serve()
    with pytest.raises(TclError, match=f"smtpd service already running on socket {server.eval('smtpd::cget socket')}"):
        server.eval("smtpd::start 127.0.0.1 0")


def test_stop_says_so_and_start_begins_again(serve):
    server = serve()
    server.eval("after 0 smtpd::stop; vwait smtpd::stopped")
    assert server.eval("set smtpd::stopped") == "1"
    with pytest.raises(ConnectionRefusedError):
        server.client()
    assert server.eval("smtpd::stop") == ""
    port = server.eval("lindex [fconfigure [smtpd::start {} 0] -sockname] 2")
    assert server.eval("set smtpd::stopped") == "0"
    with Client(("127.0.0.1", int(port))) as client:
        assert client.expect(220).text.startswith("127.0.0.1 ")  # the address given sticks


def test_a_port_in_use_is_the_error_of_socket(serve):
    server = serve()
    port = server.address[1]
    server.eval(
        "smtpd::stop; set other [socket -server none -myaddr 127.0.0.1 0]; set port [lindex [fconfigure $other -sockname] 2]"
    )
    with pytest.raises(TclError, match="couldn't open socket: address already in use"):
        server.eval("smtpd::start 127.0.0.1 $port")
    server.eval(f"close $other; smtpd::start 127.0.0.1 {port}")
    with server.client() as client:
        client.hello()


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "0", "0.0.0.0", ""])
def test_the_greeting_shows_the_address_as_given(serve_stock, address):
    server = serve_stock()
    host = server.eval("info hostname")
    server.eval("smtpd::stop; set smtpd::options(serveraddr) {}")
    server._port = int(server.eval(f"lindex [fconfigure [smtpd::start {{{address}}} 0] -sockname] 2"))
    with server.client() as client:
        assert client.expect(220).text.split()[0] == (address or host)
        assert client.command("HELO x").text.split()[0] == (address or host)


# ---- options


def test_configure_without_arguments_returns_all(serve):
    server = serve("smtpd::configure -banner {my banner}")
    words = server.eval("join [smtpd::configure] |").split("|")
    assert words[0] == "-loglevel"
    assert words[1] == "warn"
    assert words[-1] == "-"
    assert words[words.index("-banner") + 1] == "my banner"
    assert server.eval("expr {[llength [smtpd::configure]] % 2}") == "1"


def test_an_unknown_option_is_named(serve):
    server = serve()
    with pytest.raises(TclError, match='unknown option: "-nope": must be one of -deliverMIME, -deliver,'):
        server.eval("smtpd::configure -nope 1")
    with pytest.raises(TclError, match='unknown option "-nope"'):
        server.eval("smtpd::cget nope")


def test_cget_with_and_without_dash(serve):
    server = serve("smtpd::configure -deliver {a {b c}} -loglevel notice")
    assert server.eval("list [smtpd::cget deliver] [smtpd::cget -deliver]") == "{a {b c}} {a {b c}}"
    assert server.eval("smtpd::cget -loglevel") == "notice"
    assert server.eval("llength [smtpd::cget]") == server.eval("llength [smtpd::configure]")


def test_configure_stops_at_a_word_without_dash(serve):
    server = serve()
    server.eval("smtpd::configure -banner one stop here -banner two; smtpd::configure -banner three -- x -banner four")
    assert server.eval("smtpd::cget banner") == "three"
    server.eval("smtpd::configure -banner")
    assert server.eval("smtpd::cget banner") == ""


def test_options_take_effect_in_live_sessions(serve):
    server = serve("proc no args {error no}")
    with server.client() as client:
        client.hello()
        client.command("MAIL FROM:<a@b>", 250)
        server.eval("smtpd::configure -validate_sender no")
        client.command("MAIL FROM:<a@b>", 553)
        server.eval("lappend smtpd::commands VRFY; set smtpd::Help(X) {about x}")
        client.command("VRFY x", 500)
        assert client.command("HELP X", 214).lines[:2] == ["about", "x"]
        server.eval("set smtpd::extensions(XTEST) {a b}")
    with server.client() as client:
        assert "XTEST a b" in client.hello().lines


@pytest.mark.parametrize(
    ("unset", "changed", "command", "before", "after"),
    [
        ("array unset ::smtpd::extensions", "set ::smtpd::extensions(XONE) {}", "EHLO x", "Ready", "XONE"),
        ("unset ::smtpd::Help", "set ::smtpd::Help() {{only this}}", "HELP", "unknown", "only this"),
        ("unset ::smtpd::commands; set ::smtpd::commands EHLO", "lappend ::smtpd::commands NOOP", "NOOP", "Invalid", "OK"),
    ],
    ids=["extensions", "Help", "commands"],
)
def test_variables_that_were_unset_are_heard_of_when_they_are_there_again(serve, unset, changed, command, before, after):
    server = serve()
    with server.client() as client:
        client.hello()
    for change, shown in ((unset, before), (changed, after)):
        server.eval(change)
        with server.client() as client:
            client.expect(220)
            text = client.command(command).text
            assert shown in text
            assert ("XONE" in text) is (shown == "XONE")


def test_the_banner_is_shown(serve):
    server = serve("smtpd::configure -banner {hello [exit] $x}")
    with server.client() as client:
        assert re.fullmatch(r"127.0.0.1 hello \[exit\] \$x; .*", client.expect(220).text)


# ---- small commands


def test_small_commands_that_scripts_call(serve):
    server = serve()
    assert re.fullmatch("[A-Za-z0-9]{12}", server.eval("smtpd::uid"))
    assert re.fullmatch(r"[+-]\d{4}", server.eval("smtpd::gmtoffset"))
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", server.eval("smtpd::timestamp"))
    assert server.eval("set l {a b c}; list [smtpd::Pop l] [smtpd::Pop l 1] $l") == "a c b"


def test_log_lines_reach_a_redefined_stdoutcmd_as_text(serve):
    server = serve(
        "smtpd::configure -loglevel debug\nset logged {}\nproc ${smtpd::log}::stdoutcmd {level text} {lappend ::logged [list $level $text]}"
    )
    with server.client() as client:
        client.expect(220)
        client.command("NOOP [exit] $x {\x1b\x00", 250)
        client.quit()
    assert server.eval("lsearch -exact $logged [list debug {received: NOOP [exit] $x \\{\\x1b\\x00}]") == "-1"
    assert server.eval(r"lsearch -exact $logged [list debug [string cat {received: NOOP [exit] $x } \173\\x1b\\x00]]") != "-1"


def test_a_script_may_put_a_logger_of_its_own_in_place_of_the_packages(serve):
    server = serve("proc say {text} {puts $text}")
    with server.client() as client:
        client.hello()
        server.eval("set ::smtpd::log [logger::init mine]; ${::smtpd::log}::logproc debug say; ${::smtpd::log}::setlevel warn")
        client.command("RSET", 250)
        server.eval("${::smtpd::log}::setlevel debug")
        client.command("NOOP", 250)
        server.wait_printed("received: NOOP")
        client.quit()


def test_a_script_may_have_the_logger_call_it_when_the_level_changes(serve):
    server = serve("proc level {before after} {puts [list level $before $after]}; ${::smtpd::log}::lvlchangeproc level")
    for change, before, after in (
        ("smtpd::configure -loglevel notice", "warn", "notice"),
        ("${::smtpd::log}::setlevel info", "notice", "info"),
        ("logger::enable debug", "info", "debug"),
    ):
        server.eval(change)
        assert server.wait_printed(f"level {before} {after}")
        with server.client() as client:
            client.hello()
            client.quit()
        server.wait_until("info vars ::smtpd::state_*", "")
        assert sum("connect from" in line for line in server.printed) == 1
        assert sum("received: EHLO" in line for line in server.printed) == (after == "debug")
        server.printed.clear()


def test_each_child_interpreter_has_its_own_server(serve_stock):
    server = serve_stock()
    port = server.eval(
        "set i [interp create]; $i eval [list set auto_path $auto_path]; $i eval {package require smtpd; lindex [fconfigure [smtpd::start 127.0.0.1 0] -sockname] 2}"
    )
    with Client(("127.0.0.1", int(port))) as inner, server.client() as outer:
        inner.hello()
        outer.hello()
        server.eval("interp delete $i")
        outer.command("NOOP", 250)
