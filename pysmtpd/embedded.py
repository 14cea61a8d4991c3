"""tclsh and wish inside Python: their command line, start-up, error reports, prompt and exit, around tkinter's Tcl.

Rules of this file:
- What tclsh does is the specification (tclMain.c, tkMain.c); where the two differ in what a user sees, we are wrong.
- Scripts are handed to Tcl at its top level, so that a trace in errorInfo ends where tclsh's ends.
- Messages go through Tcl's own channels: they are the ones a script may have closed, configured or replaced.
- Nothing here knows about mail: pysmtpd.install() does.
"""

import atexit
import contextlib
import gc
import io
import os
import re
import signal
import sys
import tkinter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from _tkinter import TkappType

_EXIT_COMMAND = "::pysmtpd::exit"
_STDIN_COMMAND = "::pysmtpd::stdin"

# tkinter takes Tcl's exit away. The wrapper is a Tcl procedure so that a wrong argument is reported as Tcl does it.
_DEFINE_EXIT = f"proc ::exit args {{return -code error [{_EXIT_COMMAND} {{*}}$args]}}"

# A procedure, because the script's global variables are not ours to use. A script may replace gets and puts, but not these.
_READ_LINE = "{} {list [::tcl::chan::gets stdin line] [::tcl::chan::blocked stdin] $line}"

# With -encoding there is a command around the script that tclsh does not have; it ends the trace.
_SOURCE_IN_TRACE = re.compile(r'\n    (?:while executing|invoked from within)\n"source -encoding (?:(?!\n    ).)*\Z', re.S)

# Bytes of the command line that are no text arrive from Python as lone surrogates; tclsh reads them as Latin-1.
_UNDECODABLE_AS_LATIN1 = {0xDC00 + byte: byte for byte in range(0x80, 0x100)}


class StartError(Exception):
    """The shell could not start; the message says why, for people."""


def run(words: Sequence[str], *, callbacks: str | None = None, with_tk: bool = False) -> int:
    """Behave as `tclsh words...` or `wish words...`, in this process.

    As a rule this does not return: the process ends with Tcl's `exit`, or when the shell has nothing left to do.

    Arguments:
        words: what follows the shell's name on its command line: `?-encoding NAME? SCRIPT ?ARG ...?`, or nothing.
        callbacks: a module whose functions replace the callbacks that the script configures.
        with_tk: be wish.

    Returns:
        The exit code, where a script has made Tcl's own exit impossible.

    Raises:
        StartError: no display, no such callbacks module, or no Tcl files.
    """
    _take_over_process()
    shell = "wish" if with_tk else "tclsh"
    interp = _Interpreter(useTk=False)
    line = _CommandLine.parse([_decoded(interp.tk, word) for word in words])
    _set_variables(interp.tk, shell, line)
    if with_tk:
        _load_tk(interp)
    _define_exit(interp.tk)
    _install(interp, callbacks)
    if line.script is None:
        _source_rc_file(interp.tk)
        return _converse(interp.tk, with_tk)
    return _run_script(interp.tk, line, with_tk)


class _Interpreter(tkinter.Tk):
    """tkinter's interpreter without the profile files that tkinter would run from the home folder: tclsh has none."""

    def readprofile(self, baseName: str, className: str) -> None:  # noqa: N803  (tkinter's names)
        pass


class _CommandLine(NamedTuple):
    """What tclsh makes of its arguments."""

    script: str | None
    encoding: str | None
    arguments: list[str]

    @classmethod
    def parse(cls, texts: Sequence[str]) -> "_CommandLine":
        """Apply tclsh's rule: a first word that starts with a dash is no script, save `-encoding NAME SCRIPT`."""
        if len(texts) >= 3 and texts[0] == "-encoding" and not texts[2].startswith("-"):
            return cls(texts[2], texts[1], list(texts[3:]))
        if texts and not texts[0].startswith("-"):
            return cls(texts[0], None, list(texts[1:]))
        return cls(None, None, list(texts))


def _decoded(tk: "TkappType", word: str) -> str:
    """Return a word of the command line as tclsh reads it: in the encoding of the system, whatever Python has taken it for."""
    encoding = str(tk.call("encoding", "system"))
    if encoding == "utf-8":
        return word.translate(_UNDECODABLE_AS_LATIN1)
    return str(tk.call("encoding", "convertfrom", encoding, os.fsencode(word)))


def _take_over_process() -> None:
    """Give the process the manners of tclsh: Ctrl-C ends it, and output is not held back."""
    # Python's handler waits for Python code to run, and under Tcl's vwait none does.
    with contextlib.suppress(ValueError):  # not in the main thread: Ctrl-C then stays Python's
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Tcl writes to the same descriptors, a line at a time.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)


def _set_variables(tk: "TkappType", shell: str, line: _CommandLine) -> None:
    arguments = tuple(line.arguments)
    interactive = line.script is None and _is_terminal(0)
    tk.call("unset", "-nocomplain", "::_tkinter_skip_tk_init")
    tk.call("set", "::argv0", shell if line.script is None else line.script)
    tk.call("set", "::argc", len(arguments))
    tk.call("set", "::argv", tk.call("list", *arguments))
    tk.call("set", "::tcl_interactive", int(interactive))
    tk.call("set", "::tcl_rcFileName", _rc_file_name(tk, shell))


def _is_terminal(descriptor: int) -> bool:
    with contextlib.suppress(OSError):
        return os.isatty(descriptor)
    return False


def _rc_file_name(tk: "TkappType", shell: str) -> str:
    name = f"~/{shell}rc.tcl" if sys.platform == "win32" else f"~/.{shell}rc"
    # Tcl 9 no longer expands a tilde by itself, and tclsh 9 names the expanded file.
    return tk.eval(f"if {{[package vcompare [info patchlevel] 9.0a0] < 0}} {{list {name}}} {{file tildeexpand {name}}}")


def _load_tk(interp: _Interpreter) -> None:
    """Load Tk, and undo what tkinter does to it: in wish a background error shows a dialog, and `exit` is Tcl's."""
    try:
        interp.loadtk()
    except tkinter.TclError as error:
        raise StartError(str(error)) from None
    interp.tk.deletecommand("tkerror")
    interp.tk.eval("wm protocol . WM_DELETE_WINDOW {}")


def _install(interp: _Interpreter, callbacks: str | None) -> None:
    import pysmtpd

    try:
        pysmtpd.install(interp, callbacks=callbacks)
    except (ValueError, RuntimeError, OSError, tkinter.TclError) as error:
        raise StartError(str(error)) from error
    _serve_threads()
    # What loading the package tried in vain is not the script's. The variables stay: tcllib's mime reads them unasked.
    interp.tk.call("set", "::errorInfo", "")
    interp.tk.call("set", "::errorCode", "NONE")


def _serve_threads() -> None:
    """Let the interpreters of a script's threads, and of a tclsh that it runs, find the package: the environment is all they have
    of this one. They get a server of their own, with the engine in a child of this Python.
    """
    from pysmtpd.drivers.tcl_values import list_element
    from pysmtpd.location import tcl_path

    os.environ["TCLLIBPATH"] = f"{list_element(str(tcl_path()))} {os.environ.get('TCLLIBPATH', '')}".rstrip()
    os.environ.setdefault("PYSMTPD_PYTHON", sys.executable)


# ---- the end of the process


def _define_exit(tk: "TkappType") -> None:
    tk.createcommand(_EXIT_COMMAND, _exit)
    tk.eval(_DEFINE_EXIT)


def _exit(*words: str) -> str:
    """End the process as Tcl's `exit` does: Tcl's channels flushed, its exit handlers run. Returns an error's message.

    Unwinding to Python with an exception would let a script's `catch` stop an `exit`, so Python's end is brought
    forward instead. tkinter deletes `exit` in the interpreters it makes, not in the children of those.
    """
    tk = _Interpreter(useTk=False).tk
    child = tk.call("interp", "create")
    if not words or (len(words) == 1 and tk.getboolean(tk.call("string", "is", "integer", "-strict", words[0]))):
        _settle_python()
    try:
        tk.call("interp", "eval", child, ("exit", *words))
    except tkinter.TclError as error:
        return str(error)
    return ""


def _settle_python() -> None:
    """Do what Python does when it ends: callbacks may have registered exit functions, or hold unwritten files."""
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()
    for thing in gc.get_objects():
        # type(), because isinstance() may run code of a proxy object.
        if issubclass(type(thing), io.IOBase):
            with contextlib.suppress(Exception):
                thing.flush()


def _finish(tk: "TkappType", code: int) -> int:
    """Call the script's `exit`, which may be its own, and then Tcl's. Returns the code if neither ended the process."""
    with contextlib.suppress(tkinter.TclError):
        tk.eval(f"exit {code}")
    _exit(str(code))
    return code


# ---- a script


def _run_script(tk: "TkappType", line: _CommandLine, with_tk: bool) -> int:
    trace = _evaluate_file(tk, line)
    if trace is not None:
        _say(tk, "stderr", f"Error in startup script: {trace}" if with_tk else trace)
    elif with_tk or _has_window(tk):
        tk.mainloop()
    code = 0 if trace is None else 1
    if with_tk:
        # wish, unlike tclsh, does not ask the script's own exit.
        _exit(str(code))
    return _finish(tk, code)


def _evaluate_file(tk: "TkappType", line: _CommandLine) -> str | None:
    """Run the script, and return the error trace if it failed."""
    try:
        if line.encoding is None:
            tk.evalfile(line.script or "")
        else:
            tk.call("source", "-encoding", line.encoding, line.script)
    except tkinter.TclError as error:
        trace = _global(tk, "errorInfo") or str(error)
        return trace if line.encoding is None else _SOURCE_IN_TRACE.sub("", trace)
    return None


# ---- commands from standard input


def _source_rc_file(tk: "TkappType") -> None:
    file = tk.eval("if {[file isfile $tcl_rcFileName] && [file readable $tcl_rcFileName]} {file nativename $tcl_rcFileName}")
    try:
        if file:
            tk.evalfile(file)
    except tkinter.TclError as error:
        _say(tk, "stderr", str(error))


def _converse(tk: "TkappType", with_tk: bool) -> int:
    """Evaluate what standard input says until it ends; while Tk has a window, from Tk's event loop."""
    console = _Console(tk)
    if with_tk:
        console.serve_with_events()
        _exit("0")
    while True:
        if _has_window(tk):
            console.serve_with_events()
        console.prompt()
        if not console.step():
            return _finish(tk, 0)


class _Console:
    """Standard input as a source of commands: whole ones are evaluated, and on a terminal there is a prompt."""

    def __init__(self, tk: "TkappType") -> None:
        self._tk = tk
        self._pending = ""
        self._prompt_due = True

    def prompt(self) -> None:
        """Prompt on a terminal, once per line; tcl_prompt1 and tcl_prompt2 are scripts that print another one."""
        if not self._prompt_due or not self._interactive():
            return
        self._prompt_due = False
        if not self._prompt_by_script("tcl_prompt2" if self._pending else "tcl_prompt1") and not self._pending:
            self._attempt('::tcl::chan::puts -nonewline stdout "% "')
        self._attempt("::tcl::chan::flush stdout")

    def step(self) -> bool:
        """Read one line, and evaluate the command that it completes. Returns whether there may be more to read."""
        try:
            length, blocked, line = self._tk.call("apply", _READ_LINE)
        except tkinter.TclError:
            return False
        if int(length) < 0:
            # A script may have made stdin non-blocking: look again, but not as fast as the machine can.
            if int(blocked):
                self._attempt("after 10")
            return bool(int(blocked))
        self._prompt_due = True
        if isinstance(line, bytes):  # a script has made stdin binary
            line = line.decode("latin-1")
        self._pending += line + "\n"
        if self._tk.getboolean(self._tk.call("info", "complete", self._pending)):
            command, self._pending = self._pending[:-1], ""
            self._evaluate(command)
        return True

    def serve_with_events(self) -> None:
        """Run Tk's event loop until the last window is gone, evaluating lines of standard input as they come."""
        self._tk.createcommand(_STDIN_COMMAND, self._on_readable)
        self.prompt()
        self._attempt(f"::tcl::chan::event stdin readable {_STDIN_COMMAND}")
        self._tk.mainloop()
        self._attempt("::tcl::chan::event stdin readable {}")

    def _on_readable(self) -> None:
        # Off while a command runs: one that enters the event loop must not find the next line read beneath it.
        self._attempt("::tcl::chan::event stdin readable {}")
        if self.step():
            self.prompt()
            self._attempt(f"::tcl::chan::event stdin readable {_STDIN_COMMAND}")
        elif self._interactive():
            _exit("0")

    def _evaluate(self, command: str) -> None:
        # tkinter takes no script with a NUL in it; outside braces, Tcl reads this spelling as one.
        command = command.replace("\0", "\\u0000")
        with contextlib.suppress(tkinter.TclError):
            self._tk.record(command)
        try:
            result = self._tk.eval(command)
        except tkinter.TclError as error:
            _say(self._tk, "stderr", str(error))
        else:
            if result and self._interactive():
                _say(self._tk, "stdout", result)

    def _prompt_by_script(self, variable: str) -> bool:
        script = _global(self._tk, variable)
        if script is None:
            return False
        try:
            self._tk.eval(script)
        except tkinter.TclError as error:
            _say(self._tk, "stderr", str(error))
            return False
        return True

    def _interactive(self) -> bool:
        # Read each time, because a session may set the variable.
        with contextlib.suppress(tkinter.TclError):
            return self._tk.getboolean(_global(self._tk, "tcl_interactive") or "0")
        return False

    def _attempt(self, script: str) -> None:
        with contextlib.suppress(tkinter.TclError):
            self._tk.eval(script)


def _global(tk: "TkappType", variable: str) -> str | None:
    # Asked first, because a failed `set` would replace the errorInfo that a session may look at next.
    return tk.eval(f"set ::{variable}") if tk.getboolean(tk.eval(f"info exists ::{variable}")) else None


def _has_window(tk: "TkappType") -> bool:
    return bool(tk.eval("info commands ."))


def _say(tk: "TkappType", channel: str, text: str) -> None:
    with contextlib.suppress(tkinter.TclError):
        tk.call("::tcl::chan::puts", channel, text)
