"""Which smtpd is loaded: ours, wherever its folder stands on auto_path, whichever other one is there."""

import pytest
from tclsh import ROOT, run
from without_tcllib import BARE

OURS = str(ROOT / "tcl")
OTHER = """
package ifneeded smtpd %s {
    namespace eval ::smtpd {proc start {} {return other}}
    package provide smtpd %s
}
"""
ASK = "puts [list [package present smtpd] [info commands ::pysmtpd::version] [file tail [lindex [package ifneeded smtpd 1.5] 1]]]"
LOADED = "1.5 ::pysmtpd::version smtpd.tcl"


@pytest.fixture
def other(tmp_path):
    """Return a function that makes a folder with another smtpd in it."""

    def make(version):
        folder = tmp_path / "other"
        folder.mkdir()
        (folder / "pkgIndex.tcl").write_text(OTHER % (version, version))
        return str(folder)

    return make


@pytest.mark.parametrize("requirement", ["smtpd", "smtpd 1.4", "smtpd 1.5", "smtpd 1", "-exact smtpd 1.5"])
@pytest.mark.parametrize("version", ["1.5", "1.6", "1.10", "1.4"])
@pytest.mark.parametrize("order", ["ahead", "behind"])
def test_ours_is_loaded(tmp_path, other, order, version, requirement):
    folders = [OURS, other(version)]
    path = " ".join(folders if order == "ahead" else folders[::-1])
    rescan = "catch {package require no_such_package}"
    # Alone, after a scan, and with scans and registrations between and behind.
    for before, after in (
        ("", ""),
        (rescan, rescan),
        (f"{rescan}; lappend auto_path {tmp_path}; {rescan}", f"{rescan}; package require smtpd"),
    ):
        result = run(tmp_path, f"{before}\npackage require {requirement}\n{after}\n{ASK}", TCLLIBPATH=path)
        assert (result.stdout.strip(), result.stderr) == (LOADED, "")


@pytest.mark.parametrize("order", ["ahead", "behind"])
def test_versions_names_ours_alone_before_it_is_loaded(tmp_path, other, order):
    folders = [OURS, other("1.6")]
    path = " ".join(folders if order == "ahead" else folders[::-1])
    result = run(tmp_path, "catch {package require no_such_package}; puts [package versions smtpd]", TCLLIBPATH=path)
    assert result.stdout == "1.5\n"


def test_one_that_a_script_registers_by_hand_gives_way_too(tmp_path):
    script = "catch {package require none}; package ifneeded smtpd 1.9 {package provide smtpd 1.9}; package require smtpd; " + ASK
    assert run(tmp_path, script).stdout.strip() == LOADED


def test_other_packages_are_left_alone(tmp_path):
    script = """
catch {package require none}
package ifneeded smtpd_like 2.0 {package provide smtpd_like 2.0}
package ifneeded Tclx 1.0 {}
puts [list [package require smtpd_like] [package versions Tclx] [catch {package ifneeded smtpd}] [package ifneeded smtpd 9]]
"""
    assert run(tmp_path, script).stdout == "2.0 1.0 1 {}\n"


def test_in_tkinter_it_is_there_from_the_start(tmp_path, other):
    for requirement in ("smtpd", "smtpd 1.4", "-exact smtpd 1.5"):
        script = f"catch {{package require none}}\npackage require {requirement}\nputs [list [package present smtpd] [info commands ::pysmtpd::version]]"
        result = run(
            tmp_path, script, "tkinter", TCLLIBPATH=other("1.6") if not (tmp_path / "other").exists() else str(tmp_path / "other")
        )
        assert (result.stdout, result.stderr) == ("1.5 ::pysmtpd::version\n", "")


def test_without_any_other_smtpd(tmp_path):
    assert run(tmp_path, f"package require smtpd\n{ASK}", TCLLIBPATH=BARE).stdout.strip() == LOADED


@pytest.mark.parametrize(("shell", "ours"), [("tclsh", OURS), ("tkinter", "")], ids=["tclsh", "tkinter"])
def test_child_interpreters_find_it_as_well(tmp_path, other, shell, ours):
    script = f"""
set child [interp create]
$child eval [list set auto_path $auto_path]
$child eval {{package require smtpd; {ASK}}}
"""
    assert run(tmp_path, f"{script}exit", shell, TCLLIBPATH=f"{other('1.6')} {ours}").stdout.strip() == LOADED


@pytest.mark.parametrize("shell", ["tclsh", "tkinter"])
@pytest.mark.parametrize("others", [True, False], ids=["beside another", "alone"])
def test_who_forgets_it_and_requires_it_again_has_ours(tmp_path, other, shell, others):
    script = f"""
package require smtpd
smtpd::configure -banner kept
package forget smtpd
package require smtpd
puts [smtpd::cget -banner]
{ASK}
"""
    path = f"{other('1.5')} {OURS}" if others else f"{BARE} {OURS}"
    result = run(tmp_path, script, shell, TCLLIBPATH=path)
    assert (result.stdout, result.stderr) == (f"kept\n{LOADED}\n", "")


def test_sessions_and_options_outlive_that(serve):
    server = serve("::pysmtpd::keep; smtpd::configure -recipient_limit 1")
    again = "package forget smtpd; package require smtpd"
    with server.client() as first, server.client() as second:
        first.hello()
        second.expect(220)
        server.eval(again)
        first.mail("<first@example.org>")
        second.command("EHLO client.example", 250)
        with server.client() as third:
            third.hello()
            third.command("MAIL FROM:<third@example.org>", 250)
            second.mail("<second@example.org>")
            third.command("RCPT TO:<b@example.org>", 250)
            third.command("RCPT TO:<c@example.org>", 452)
        first.quit()
        second.quit()
    froms = "lmap message [::pysmtpd::messages] {dict get $message from}"
    assert server.eval(froms) == "first@example.org second@example.org"
    assert len(server.children()) == (server.shell == "tclsh")


@pytest.mark.parametrize("shell", ["tclsh", "tkinter"])
def test_the_threads_of_a_script_find_it_without_being_told_where(tmp_path, shell):
    script = """
if {[catch {package require Thread}]} {puts none; exit}
puts [thread::send [thread::create] {package require smtpd; info commands ::pysmtpd::version}]
"""
    assert run(tmp_path, script, shell).stdout in ("::pysmtpd::version\n", "none\n")
