"""The embedded tclsh and wish, held against the real ones: same input, same output, same exit code."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

CALLBACK = "def deliver(sender, recipients, data): pass\n"
ROOT = Path(__file__).resolve().parent.parent
DEADLINE = 30
OURS = {name: [sys.executable, "-m", "pysmtpd", name] for name in ("tclsh", "wish")}
THEIRS = {name: [name] for name in ("tclsh", "wish")}


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """An empty home and current folder, in which `python -m pysmtpd` finds this checkout."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    for name in ("PYSMTPD_CALLBACKS", "PYTHONUNBUFFERED", "TCLLIBPATH", "DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def display(workplace, x_server, monkeypatch):
    monkeypatch.setenv("DISPLAY", x_server)
    return workplace


def outcome(shell, *words, stdin=""):
    """Return exit code, stdout and stderr of a shell."""
    if isinstance(stdin, str):
        stdin = stdin.encode()
    result = subprocess.run([*shell, *words], input=stdin, capture_output=True, timeout=DEADLINE)
    return result.returncode, result.stdout.decode(errors="replace"), result.stderr.decode(errors="replace")


def same_outcome(name, *words, stdin="", separator=("--",)):
    """Return what our shell did, having found that the real one does the same."""
    ours = outcome([*OURS[name], *separator], *words, stdin=stdin)
    assert ours == outcome(THEIRS[name], *words, stdin=stdin)
    return ours


SCRIPTS = {
    "output": "puts hello; puts -nonewline {no newline}",
    "exit code": "exit 3",
    "exit code in an event": "after 1 {exit 4}; vwait forever",
    "exit through catch": "catch {exit 5}; puts {not reached}",
    "exit of a child interpreter": "interp create i; i eval {exit 6}",
    "exit renamed": "rename exit quit; proc exit {{code 0}} {puts bye; quit $code}; exit 7",
    "exit replaced": "proc exit args {puts [list exit $args]}",
    "exit deleted": "rename exit {}",
    "exit replaced, after an error": "proc exit args {puts [list exit $args]}; error x",
    "exit with a word": "exit foo",
    "exit with two words": "catch {exit 1 2} message; puts $message; puts $errorInfo; exit 1 2",
    "unwritten file": "set f [open out w]; puts $f kept; exit 0",
    "error": "error boom",
    "empty error": 'error ""',
    "error with its own trace": "error message trace code",
    "error in procedures": "proc f x {g $x}\nproc g x {expr {$x + }}\nputs before\nf 1",
    "error in an inner file": "set f [open inner.tcl w]; puts $f {error deep}; close $f\nsource inner.tcl",
    "unknown command": "nonsense 1 2",
    "missing quote": 'puts "unfinished',
    "missing package": "package require no_such_package",
    "break": "break",
    "return": "puts a; return 5; puts b",
    "bad return code": "return -code 5 x",
    "unicode": "puts é\u20ac\U0001d11e; error é\U0001d11e",
    "background error": "after 1 {after idle {after 0 {set x 1}}; error late}; vwait x; puts on",
    "own bgerror": "proc bgerror m {puts [list bg $m]; set ::x 1}; after 1 {error late}; vwait x",
    "background exit": "proc bgerror m {exit 9}; after 1 {error late}; vwait forever",
    "closed stderr": "close stderr; error boom",
    "closed stdout": "close stdout; exit 2",
    "replaced puts": "rename puts real; proc puts args {real mine}; puts x; error boom",
    "stdin is data": "while {[gets stdin line] >= 0} {puts <$line>}",
    "variables": "puts [list $argv0 $argv $argc $tcl_interactive $tcl_rcFileName [info script] [info level]]",
    # The package may have loaded libraries, and failed to, before the script begins: auto_index and errorInfo tell of it.
    "globals": "unset -nocomplain auto_index errorInfo errorCode; puts [lsort [info globals]]",
    "children": "puts [list [interp children] [after info] [info commands tkerror]]",
    "encoding": "puts [list [encoding system] [fconfigure stdin -encoding] [fconfigure stdout -buffering]]",
    "sockets": "set s [socket -server {apply {{c a p} {puts $c hi; close $c}}} -myaddr 127.0.0.1 0]\n"
    "set c [socket 127.0.0.1 [lindex [fconfigure $s -sockname] 2]]\n"
    "fileevent $c readable {gets $c line; set done 1}; vwait done; puts $line",
    "child process": "puts [exec echo hello]; puts [catch {exec false}]\n"
    "set p [open |cat r+]; puts $p x; flush $p; puts [gets $p]",
}  # fmt: skip


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_a_script_does_what_it_does_in_tclsh(workplace, script):
    Path("s.tcl").write_text(script + "\n", encoding="utf-8")
    same_outcome("tclsh", "s.tcl", "-a", "two words", "", "{", stdin="one\ntwo\n")


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_a_script_on_stdin_does_what_it_does_in_tclsh(workplace, script):
    same_outcome("tclsh", stdin=script + "\nputs after\n")


PIPED = {
    "goes on after an error": "puts a\nerror foo\nputs b",
    "keeps the trace": "proc f {} {error foo}\nf\nputs $errorInfo",
    "multi-line": "proc f {x} {\n  puts <$x>\n}\nf {a\nb}",
    "several on a line": "puts a; puts b",
    "unfinished": "puts a\nputs {b",
    "no newline at the end": "puts a\nputs b",
    "reads the next line itself": "gets stdin line\nthis is data\nputs <$line>",
    "results are not printed": "set x 5\nexpr {1 + 1}",
    "made interactive": "set tcl_interactive 1\nset x 5\nset x",
    "prompt, made interactive": "set tcl_prompt1 {puts -nonewline {> }}\nset tcl_interactive 1\nset x 5\nset tcl_prompt1 oops\n",
    "history": "set x 1\nputs [history]",
    "non-blocking": "fconfigure stdin -blocking 0\nputs a\nputs b",
    "made binary": "fconfigure stdin -translation binary\nputs [string length é]\nputs b",
    "puts and gets renamed": "rename gets g; rename puts p\np a\nnonsense\nset tcl_interactive 1\nset x 5",
    "closed stdin": "puts a; close stdin\nputs b",
    "replaced stdin": "set f [open other w]; puts $f {puts other}; close $f; close stdin; open other\nputs b",
    "break": "break\nputs b",
    "NUL": "puts [string length a\0b]",
    "exit": "exit 3\nputs b",
    "nothing": "",
}


@pytest.mark.parametrize("commands", PIPED.values(), ids=PIPED.keys())
def test_commands_on_stdin_are_treated_as_in_tclsh(workplace, commands):
    same_outcome("tclsh", stdin=commands)


@pytest.mark.parametrize(
    "words",
    [
        ["no_such.tcl"],
        [""],
        ["."],
        ["-encoding", "iso8859-1", "latin1.tcl", "x"],
        ["-encoding", "no-such-encoding", "latin1.tcl"],
        ["-encoding", "utf-8", "fails.tcl"],
        ["-encoding", "utf-8"],
        ["-x", "latin1.tcl"],
        [os.fsdecode(b"\xff.tcl")],
        ["words.tcl", os.fsdecode(b"\xff"), "é", "\U0001d11e"],
    ],
)
def test_the_command_line_is_read_as_tclsh_reads_it(workplace, words):
    Path("latin1.tcl").write_bytes("puts é; puts $argv; source -encoding utf-8 fails.tcl".encode("latin-1"))
    Path("fails.tcl").write_text("proc f {} {error boom}\nf\n")
    Path("words.tcl").write_text("puts $argv\n")
    same_outcome("tclsh", *words, stdin="puts $argv\n")


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"LANG": "C"},
        {"LC_ALL": "C"},
        {"LC_CTYPE": "C"},
        {"LC_CTYPE": "C.UTF-8"},
        {"LANG": "no_such.locale"},
        {"PYTHONUTF8": "0"},
    ],
    ids=str,
)
def test_the_encoding_is_that_of_tclsh_whatever_the_locale(workplace, monkeypatch, variables):
    for name in ("LANG", "LC_ALL", "LC_CTYPE", "PYTHONUTF8", "PYTHONCOERCECLOCALE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    script = (
        "puts [list [encoding system] é [string length é] $argv [string length $argv] [gets stdin]]; puts [array get env LC_*]"
    )
    Path("é.tcl").write_text(script, encoding="utf-8")
    same_outcome("tclsh", "é.tcl", "ü", stdin="ß\n")
    same_outcome("tclsh", stdin="puts [string length é]; error é\n")
    Path("latin1.tcl").write_bytes(b"puts \xe9")
    same_outcome("tclsh", "latin1.tcl")


@pytest.mark.parametrize("content", ["puts [list rc [info script] $tcl_interactive]", "error oops", "exit 3", "puts {"])
def test_the_rc_file_is_read_when_there_is_no_script(workplace, content):
    Path(".tclshrc").write_text(content)
    Path("s.tcl").write_text("puts script")
    same_outcome("tclsh", stdin="puts stdin\n")
    assert same_outcome("tclsh", "s.tcl") == (0, "script\n", "")


def test_profiles_of_tkinter_are_not_run(workplace):
    for name in (".Tk.py", ".Tk.tcl", ".__main__.py", ".__main__.tcl", ".pysmtpd.py", ".pysmtpd.tcl"):
        Path(name).write_text("puts tkinter\n" if name.endswith("tcl") else "print('tkinter')\n")
    assert outcome(OURS["tclsh"], stdin="puts mine\n") == (0, "mine\n", "")


def test_argv0_without_a_script_is_the_name_of_the_shell(workplace):
    assert outcome(OURS["tclsh"], stdin="puts [list $argv0 $argv $argc]") == (0, "tclsh {} 0\n", "")


def test_the_package_is_ready_to_be_required(workplace):
    code, out, err = outcome(OURS["tclsh"], stdin="puts [package require smtpd]; puts [namespace exists ::smtpd]\n")
    assert (code, out.splitlines()[1:], err) == (0, ["1"], "")


# ---- Python inside


def test_a_callbacks_module_of_the_current_folder_is_imported(workplace):
    Path("mine.py").write_text(CALLBACK + "print('imported')\n")
    Path("s.tcl").write_text("puts script\n")
    assert outcome(OURS["tclsh"], "--callbacks", "mine", "s.tcl") == (0, "imported\nscript\n", "")


def test_the_installed_command_finds_a_callbacks_module_of_the_current_folder_too(workplace):
    Path("mine.py").write_text(CALLBACK + "print('imported')\n")
    Path("elsewhere").mkdir()
    installed = Path("elsewhere/pysmtpd-command")
    installed.write_text("import sys; from pysmtpd.cli import main; sys.exit(main())\n")
    code, out, _ = outcome([sys.executable, str(installed), "tclsh", "--callbacks", "mine"], stdin="puts script\n")
    assert (code, out) == (0, "imported\nscript\n")


def test_the_option_wins_over_the_environment(workplace, monkeypatch):
    Path("mine.py").write_text(CALLBACK + "print('option')\n")
    Path("other.py").write_text(CALLBACK + "print('environment')\n")
    monkeypatch.setenv("PYSMTPD_CALLBACKS", "other")
    assert outcome(OURS["tclsh"]) == (0, "environment\n", "")
    assert outcome([*OURS["tclsh"], "--callbacks", "mine"]) == (0, "option\n", "")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, '"mine"'),
        ("import no_such_thing\n", "no_such_thing"),
        ("x = 1 / 0\n", "ZeroDivisionError"),
        ("x = (\n", "mine.py, line 1"),
        ("deliver = 5\n", "deliver"),
        ("def delivr(): pass\n", "deliver"),
    ],
)
def test_a_callbacks_module_that_cannot_be_imported_is_one_line_and_exit_code_1(workplace, content, said):
    if content is not None:
        Path("mine.py").write_text(content)
    code, out, err = outcome([*OURS["tclsh"], "--callbacks", "mine"], stdin="puts started\n")
    assert (code, out) == (1, "")
    assert err.startswith("pysmtpd tclsh: ")
    assert said in err
    assert err.count("\n") == 1


def test_what_python_has_begun_is_finished_when_tcl_exits(workplace):
    Path("mine.py").write_text(
        f"{CALLBACK}import atexit\n"
        "atexit.register(print, 'exit function')\n"
        "log = open('log', 'w')\n"
        "log.write('kept')\n"
        "print('unfinished line', end=' ')\n"
    )
    Path("s.tcl").write_text("after 1 {exit 3}; vwait forever")
    assert outcome([*OURS["tclsh"], "--callbacks", "mine"], "s.tcl") == (3, "unfinished line exit function\n", "")
    assert Path("log").read_text() == "kept"


def test_an_exit_that_fails_finishes_nothing(workplace):
    Path("mine.py").write_text(f"{CALLBACK}import atexit\natexit.register(print, 'exit function')\n")
    commands = "catch {exit no_number} m; puts $m; catch {exit 1 2}; puts on\n"
    assert outcome([*OURS["tclsh"], "--callbacks", "mine"], stdin=commands) == (
        0,
        'expected integer but got "no_number"\non\nexit function\n',
        "",
    )


# ---- the prompt


def terminal(shell):
    return pexpect.spawn(shell[0], shell[1:], timeout=DEADLINE, encoding="utf-8", echo=False, dimensions=(24, 200))


def heard(child):
    """Return what was said up to the last match; Tcl and the terminal each add a carriage return to a line's end."""
    return child.before.replace("\r", "")


def conversation(shell, lines, prompt="% "):
    """Type lines at a shell's prompt, and return what it said to each, and how it ended on Ctrl-D."""
    with terminal(shell) as child:
        child.expect_exact(prompt)
        said = [heard(child)]
        for line in lines:
            child.sendline(line)
            child.expect_exact(prompt)
            said.append(heard(child))
        child.sendeof()
        child.expect(pexpect.EOF)
        said.append(heard(child))
        child.wait()
        return said, child.exitstatus


def test_the_prompt_answers(workplace):
    lines = ["set x 5", "", "puts printed", "set y {}", "nonsense", "proc f {} {error deep}", "f", "set errorInfo"]
    said, code = conversation(OURS["tclsh"], lines)
    assert said[:5] == ["", "5\n", "", "printed\n", ""]
    assert said[5] == 'invalid command name "nonsense"\n'
    assert (said, code) == conversation(THEIRS["tclsh"], lines)


@pytest.mark.parametrize("shell", [OURS["tclsh"], THEIRS["tclsh"]], ids=["ours", "tclsh"])
def test_the_prompt_waits_for_a_whole_command(workplace, shell):
    with terminal(shell) as child:
        child.expect_exact("% ")
        child.send("proc f {x} {\n  return <$x>\n}\n")
        child.expect_exact("% ")
        child.send("f {a\nb}\n")
        child.expect_exact("% ")
        assert heard(child) == "<a\nb>\n"
        child.sendline("exit 3")
        child.expect(pexpect.EOF)
        assert heard(child) == ""
        child.wait()
        assert child.exitstatus == 3


@pytest.mark.parametrize("shell", [OURS["tclsh"], THEIRS["tclsh"]], ids=["ours", "tclsh"])
def test_prompts_of_ones_own(workplace, shell):
    Path(".tclshrc").write_text(
        "set tcl_prompt1 {puts -nonewline {first> }}; set tcl_prompt2 {puts -nonewline {more> }}; puts [list rc $tcl_interactive]"
    )
    with terminal(shell) as child:
        child.expect_exact("first> ")
        assert heard(child) == "rc 1\n"
        child.sendline("list {a")
        child.expect_exact("more> ")
        child.sendline("b}")
        child.expect_exact("first> ")
        assert heard(child) == "{a\nb}\n"
        child.sendline("set tcl_prompt1 {error oops}")
        child.expect_exact("% ")
        assert heard(child) == "error oops\noops\n"


@pytest.mark.parametrize("shell", [OURS["tclsh"], THEIRS["tclsh"]], ids=["ours", "tclsh"])
def test_vwait_at_the_prompt(workplace, shell):
    with terminal(shell) as child:
        child.expect_exact("% ")
        child.sendline("after 1 {set x done}; vwait x; set x")
        child.expect("done\r*\n% ")


@pytest.mark.parametrize("shell", [OURS["tclsh"], THEIRS["tclsh"]], ids=["ours", "tclsh"])
@pytest.mark.parametrize(
    "line", ["after 1 {puts waiting}; vwait forever", "puts waiting; while 1 {}", "puts waiting; gets stdin"]
)
def test_ctrl_c_ends_the_shell(workplace, shell, line):
    with terminal(shell) as child:
        child.expect_exact("% ")
        child.sendline(line)
        child.expect("waiting\r*\n")
        child.sendintr()
        child.expect(pexpect.EOF)
        assert heard(child) in ("", "^C")
        child.wait()
        assert child.signalstatus == signal.SIGINT


@pytest.mark.parametrize("shell", [OURS["tclsh"], THEIRS["tclsh"]], ids=["ours", "tclsh"])
def test_ctrl_c_at_the_prompt_ends_the_shell(workplace, shell):
    with terminal(shell) as child:
        child.expect_exact("% ")
        child.sendintr()
        child.expect(pexpect.EOF)
        child.wait()
        assert child.signalstatus == signal.SIGINT


# ---- wish

WINDOWS = {
    "ends with its window": "puts start; after 10 {puts end; destroy .}",
    "ends with exit": "after 10 {exit 3}",
    "own exit is not asked": "proc exit args {puts own}; after 10 {destroy .}",
    "names": "puts [list $argv0 $argv $argc [tk appname] [wm title .] [winfo class .] $tcl_interactive]; destroy .",
    "closing the window": "puts <[wm protocol . WM_DELETE_WINDOW]>; puts [info commands tkerror]; destroy .",
    "usable": "pack [button .b -text hello -command {puts pressed; destroy .}]; update; puts [winfo ismapped .b]; .b invoke",
    "fails": "proc f {} {error boom}\nputs before\nf",
    "globals": "unset -nocomplain auto_index errorInfo errorCode; puts [lsort [info globals]]; destroy .",
    "own bgerror": "proc bgerror m {puts [list bg $m]; destroy .}; after 1 {error late}",
}


@pytest.mark.parametrize("script", WINDOWS.values(), ids=WINDOWS.keys())
def test_a_script_does_what_it_does_in_wish(display, script):
    Path("w.tcl").write_text(script)
    same_outcome("wish", "w.tcl", "-geometry", "300x200", "rest")


def test_wish_reads_commands_from_stdin_and_stays_until_its_window_is_gone(display):
    commands = "puts a\nset x 5\nerror foo\nputs $errorInfo\nafter 20 {puts [list $x gone]; destroy .}\nputs {\n"
    code, out, err = same_outcome("wish", stdin=commands)
    assert (code, out.splitlines()[-1], err) == (0, "5 gone", "foo\n")


def test_a_background_error_in_wish_opens_the_dialog(display):
    Path("w.tcl").write_text(
        "after 1 {error late}\n"
        "proc look {} {if {[winfo exists .bgerrorDialog]} {puts dialog; exit}; after 5 look}\n"
        "look\n"
    )  # fmt: skip
    assert same_outcome("wish", "w.tcl") == (0, "dialog\n", "")


@pytest.mark.parametrize("shell", [OURS["wish"], THEIRS["wish"]], ids=["ours", "wish"])
def test_wish_has_a_prompt_while_windows_live(display, shell):
    with terminal(shell) as child:
        child.expect_exact("% ")
        child.sendline("pack [button .b]")
        child.expect_exact("% ")
        child.sendline("after 1 {puts event}; puts {two")
        child.sendline("lines}")
        child.expect("two\r*\nlines\r*\n% event\r*\n")
        child.sendline("destroy .")
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == 0


@pytest.mark.parametrize("shell", [OURS["wish"], THEIRS["wish"]], ids=["ours", "wish"])
def test_ctrl_d_ends_wish(display, shell):
    with terminal(shell) as child:
        child.expect_exact("% ")
        child.sendeof()
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == 0


def test_wish_without_a_display_says_so(workplace):
    code, out, err = outcome(OURS["wish"], stdin="puts started\n")
    assert (code, out) == (1, "")
    assert err == "pysmtpd wish: no display name and no $DISPLAY environment variable\n"


def test_tk_in_a_script_of_tclsh_keeps_it_alive_until_the_window_is_gone(display):
    Path("t.tcl").write_text("package require Tk; after 10 {puts end; destroy .}; puts start")
    assert same_outcome("tclsh", "t.tcl") == (0, "start\nend\n", "")


def test_tk_in_commands_of_tclsh_runs_its_events_between_them(display):
    commands = "package require Tk\nputs next\nerror x\nafter 10 {puts event; destroy .}\n"
    assert same_outcome("tclsh", stdin=commands) == (0, "next\nevent\n", "x\n")
