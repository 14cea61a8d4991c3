"""The child-process driver: the engine in a Python that a stock tclsh started, over its stdin and stdout.

Run as a file by ``tcl/link-pipe.tcl``. What is not needed to take the first mail is imported when it is. The child ends when its
stdin does, which is when the script ends, by whatever road.
"""

import _thread
import contextlib
import io
import os
import select
import sys
from collections import deque
from time import monotonic
from typing import Any

if __name__ == "__main__":
    # Started as a file, with nothing on the path but the standard library: the package stands two folders up.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from pysmtpd.callbacks import ConfigurationError
from pysmtpd.drivers import TURN, frames
from pysmtpd.drivers.known_replies import KnownReplies
from pysmtpd.drivers.tcl import Live, Outcome, TclEngine, overrides_from_environment
from pysmtpd.drivers.tcl_values import list_element, list_octets, tcl_value

_header = frames.HEADER.pack
_READ_SIZE = 1 << 20
#: Chunks of this size and more are counted by the Tcl side and taken back with TAKEN, so that a client cannot run ahead.
LARGE_CHUNK = 16_384
#: How much of what a client has sent may wait for the answer to a question before no more is read from it, in octets.
MAX_WAITING = 65_536
#: How much memory is worth keeping for the next message, in octets: half of what stays.
_KEPT = 16 << 20
#: How long a Python callback may go on after the script has gone, in seconds.
_GRACE = 2.0


class Child:
    """The loop between the two pipes.

    Arguments:
        source: the descriptor frames come from.
        sink: the descriptor frames go to.
    """

    def __init__(self, source: int, sink: int) -> None:
        self._source = source
        self._sink = sink
        self._engine = TclEngine()
        self._known = KnownReplies()
        self._reader = frames.FrameReader()
        self._out: list[bytes] = []
        self._put_off: deque[int] = deque()  # sessions with a Python callback due, when others have had their turn
        self._writing = _thread.allocate_lock()  # a callback's own threads print, too
        self._watching = False

    def run(self) -> None:
        """Serve until the other end closes."""
        # One buffer for all reads: a fresh megabyte each time would cost more than what is done with it.
        space = bytearray(_READ_SIZE)
        view = memoryview(space)
        while True:
            if self._put_off:
                self._go_on(self._put_off.popleft())
            if self._put_off and not select.select([self._source], [], [], 0)[0]:
                continue
            size = os.readv(self._source, [space])
            if not size:
                return
            for operation, number, payload in self._reader.feed(bytes(view[:size])):
                self._handle(operation, number, payload)
            self.flush()

    def send(self, operation: int, number: int, payload: bytes) -> None:
        """Put a frame out with the next flush."""
        self._out.extend((_header(len(payload), operation, number), payload))

    def flush(self) -> None:
        """Write all that is waiting. Ends the process when there is nobody to write to."""
        with self._writing:
            out, self._out = self._out, []
            view = memoryview(b"".join(out))
            try:
                while view:
                    view = view[os.write(self._sink, view) :]
            except BrokenPipeError:
                os._exit(0)

    def _handle(self, operation: int, number: int, payload: bytes) -> None:
        live = self._engine.sessions.get(number)
        if live is not None:
            live.turn += 1
        if operation == frames.RECEIVE:
            self._receive(number, live, payload)
        elif operation == frames.ACCEPT:
            self._accept(number, live)
        elif operation == frames.CATCH_UP:
            size, standing = frames.PAIR.unpack_from(payload)
            start = frames.PAIR.size + size
            if live is not None:
                live.hear(payload[frames.PAIR.size : start].decode("latin-1"))
                live.standing = standing
                if len(payload) > start:
                    self._receive(number, live, payload[start:])
        else:
            if live is not None:
                live.standing = 0
            self._handle_rare(operation, number, payload)
        if live is not None and live.full:
            self._make_room(number, live)

    def _go_on(self, number: int) -> None:
        """Run the Python callback that was put off."""
        live = self._engine.sessions.get(number)
        self._perform(number, self._engine.resolve(number))
        if live is not None and live.full:
            self._make_room(number, live)
        self.flush()

    def _make_room(self, number: int, live: Live) -> None:
        """Have more read from a client of which nothing more was, unless there still waits much."""
        if not _is_full(live):
            live.full = False
            self.send(frames.ROOM, number, b"")

    def _receive(self, number: int, live: Live | None, data: bytes) -> None:
        """Take what a client has sent."""
        if live is not None:
            before = live.standing
            live.session.receive(data)
            content = self._engine.message(live)
            if content is not None:
                live.standing = 0
                self._ask_about(number, live, live.changes(), content.text())
            else:
                outcome = self._engine.outcome(number, live)
                self._come_to(number, live, outcome)
                if before and not self._engine.script_puts:
                    exchange = self._known.learn(before, data, live, outcome)
                    if exchange is not None:
                        self.send(frames.KNOWN, 0, list_octets(tcl_value(exchange)))
            if not live.full and _is_full(live):
                live.full = True
                self.send(frames.FULL, number, b"")
        if len(data) >= LARGE_CHUNK:
            self.send(frames.TAKEN, number, b"")

    def _accept(self, number: int, live: Live | None) -> None:
        """A script's callback has returned, and the client has its reply; or Tcl holds it back, for those that come now."""
        if live is None:
            return
        behind, live.behind = live.behind, None
        new = behind is not None and not behind[2] and live.session.input == behind[1]
        outcome = self._engine.accept(number, replied=True)
        self._come_to(number, live, outcome)
        if new and behind is not None and not live.session.has_input and type(outcome) is list and len(outcome) == 2:
            action, replies = outcome
            if action == "write":  # and that is all
                self._known.note_behind(*behind[:2], replies)
        if live.holds and live.session.question is None and number in self._engine.sessions:
            live.holds = 0.0
            self.send(frames.WRITE, number, b"")

    def _come_to(self, number: int, live: Live | None, outcome: Outcome) -> None:
        """Send the replies, or what else there is to do."""
        if type(outcome) is not bytes:
            self._perform(number, outcome)
            if live is not None:
                live.standing = 0
        elif live is not None:
            standing = self._known.settle(live)
            if standing and outcome:
                self.send(frames.REPLY, number, frames.PAIR.pack(live.turn, standing) + outcome)
            elif outcome:
                self.send(frames.WRITE, number, outcome)

    def _handle_rare(self, operation: int, number: int, payload: bytes) -> None:
        engine = self._engine
        match operation:
            case frames.REFUSE:
                code, *result = frames.texts(payload)
                self._perform(number, engine.refuse(number, int(code), *result))
            case frames.OPEN:
                client, port, name, *adopted = frames.texts(payload)
                if adopted:
                    engine.adopt(number, client, int(port), name)
                else:
                    outcome = engine.open(number, client, int(port), name)
                    self._come_to(number, engine.sessions.get(number), outcome)
            case frames.END:
                self._perform(number, engine.end(number))
            case frames.FORGET:
                engine.forget(number)
            case frames.ASSIGN:
                name, *values = frames.texts(payload)
                engine.assign(number, name, values)
            case frames.CONFIGURE:
                self._result(self._configure(frames.texts(payload)))
            case frames.COMMAND:
                before = engine.questions(number)
                if words := frames.texts(payload):
                    self._perform(number, engine.command(number, *words))
                self._result(("ok", (before, engine.questions(number))))
            case frames.EXPIRE:
                self._perform(number, engine.expire(number))
            case frames.LOOK:
                self._result(("ok", engine.state(number)))
            case frames.OPTION:
                self._result(engine.option(*frames.texts(payload)))
            case frames.SAY:
                self._perform(number, engine.say(number, *frames.texts(payload)))
                self._result(("ok", ""))
            case frames.OVERHEAR:
                self._result(("ok", engine.overhear(number, *frames.texts(payload)).decode("latin-1")))
            case frames.CALL:
                self._watch()
                name, *arguments = frames.texts(payload)
                self._result(engine.call(name, arguments))

    def _result(self, result: tuple[object, ...]) -> None:
        self.send(frames.RESULT, 0, tcl_value(result).encode("utf-8", "surrogateescape"))

    def _configure(self, settings: list[str]) -> tuple[object, ...]:
        """Take the settings; the value is what to tell clients should this process end before them, and their idle time-out."""
        self._known.forget()
        for live in self._engine.sessions.values():
            live.turn += 1
        try:
            if settings[:2] == ["overrides", "environment"]:
                del settings[:2]
                self._watch()
                self._engine.use_overrides(overrides_from_environment())
            self._engine.configure(zip(settings[::2], settings[1::2], strict=True))
        except (ConfigurationError, ValueError) as error:
            return "error", str(error), "PYSMTPD CONFIGURE"
        config = self._engine.config
        return "ok", (config.unavailable(), config.limits.idle)

    def _perform(self, number: int, actions: Outcome) -> None:
        """Send what the script's side has to do; run Python callbacks here, some time long: then others have their turn."""
        began = 0.0
        due = actions
        while due:
            actions, due = due, ()
            for action, argument in zip(actions[::2], actions[1::2], strict=True):
                match action:
                    case "write":
                        self.send(frames.WRITE, number, argument)
                    case "hold":
                        self.send(frames.HOLD, number, argument)
                    case "ask":
                        self._ask(number, argument)
                    case "python":
                        self._watch()
                        self.flush()
                        now = monotonic()
                        began = began or now
                        if now - began > TURN:
                            self._put_off.append(number)
                        else:
                            due = self._engine.resolve(number)
                    case "log":
                        self.send(frames.LOG, number, list_octets(tcl_value(argument)))
                    case "tls":
                        self.send(frames.TLS, number, list_octets(tcl_value(argument)))
                    case "state":
                        self.send(frames.STATE, number, list_octets(tcl_value(argument)))
                    case "close":
                        self.send(frames.CLOSE, number, b"")

    def _ask(self, number: int, question: tuple[Any, ...]) -> None:
        """Put a question to the script. The reply to a yes goes along: Tcl sends it as soon as the callback returns."""
        kind, changes, *values = question
        live = self._engine.sessions[number]
        if values and isinstance(values[0], bytes):
            self._ask_about(number, live, changes, values[0])
            return
        acceptance = list_element(live.session.acceptance.decode("ascii"))
        standing, more, replies = self._once_accepted(live)
        reply = f"{acceptance} {int(more)} {live.turn} {standing} {list_element(replies.decode('ascii'))}"
        head = f"{kind} {list_element(_words(changes))} {reply}"
        if values:
            head = f"{head} {list_element(tcl_value(values[0]))}"
        else:
            for piece in live.pieces:
                self.send(frames.LINES, number, piece)
                self.flush()
        self.send(frames.ASK, number, list_octets(head))

    def _ask_about(self, number: int, live: Live, changes: tuple[object, ...], text: bytes) -> None:
        """Put the question about a message to the script, which need not be a Tcl list: as :meth:`_ask` does."""
        changed = list_octets(_words(changes))
        acceptance = live.session.acceptance
        standing, more, replies = self._once_accepted(live)
        head = frames.MESSAGE_HEAD.pack(len(changed), len(acceptance), len(replies), more, live.turn, standing)
        parts = head, changed, acceptance, replies, text
        self._out.append(_header(sum(map(len, parts)), frames.ASK_DELIVER, number))
        self._out.extend(parts)

    def _once_accepted(self, live: Live) -> tuple[int, bool, bytes]:
        """Return what is known of the time after a yes. Tcl holds its reply back for those that follow."""
        known = self._known.once_accepted(live)
        if known[1]:
            live.holds = live.holds or monotonic()
        return known

    def _watch(self) -> None:
        """Before Python callbacks run: see to it that one that never returns does not outlive the script."""
        if not self._watching:
            self._watching = True
            import threading

            threading.Thread(target=_leave_with_script, args=(self._source,), daemon=True).start()


def _is_full(live: Live) -> bool:
    """Tell whether much waits in a session for the answer to its question. A line that is not whole waits for its client."""
    session = live.session
    return session.input_size > MAX_WAITING and session.question is not None


def _words(changes: tuple[object, ...]) -> str:
    """Return what changed as a Tcl list: it is words, nearly always."""
    return " ".join([list_element(item if type(item) is str else tcl_value(item)) for item in changes])


def _leave_with_script(source: int) -> None:
    """Wait until the other end of the pipe is gone, then give the main thread a moment to notice by itself."""
    import select
    import time

    poll = select.poll()
    poll.register(source, 0)  # no event asked for: only the hang-up is reported
    poll.poll()
    time.sleep(_GRACE)
    os._exit(0)


class ScriptOutput(io.RawIOBase):
    """Where Python callbacks print to: the script's own stdout, at the other end of the pipe."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def writable(self) -> bool:
        """Tell that one can write here."""
        return True

    def write(self, data: "bytes | bytearray | memoryview") -> int:  # type: ignore[override] # narrower than typeshed's Buffer
        """Send output, in UTF-8, at once."""
        self._child.send(frames.PRINT, 0, bytes(data))
        self._child.flush()
        return len(data)


def _take_over_standard_streams() -> tuple[int, int]:
    """Keep stdin and stdout for the frames alone, whatever a callback does with them; return their new descriptors."""
    source, sink = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)  # what a callback's own child processes print
    os.close(nothing)
    return source, sink


def _widen(*pipes: int) -> None:
    """Let a pipe hold 1 MiB where the system allows it: a large body then crosses in few turns."""
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import fcntl

        for pipe in pipes:
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _READ_SIZE)


def _keep_memory() -> None:
    """Have the memory of a large message kept for the next one, where the C library is glibc.

    It gives memory back to the system above a mark, and takes it as fresh pages again, one fault each. Freeing something large
    raises that mark to twice its size. Nothing is ever stored here, and so nothing taken.
    """
    with contextlib.suppress(MemoryError):
        bytes(_KEPT)


def main() -> None:
    """Run the child."""
    source, sink = _take_over_standard_streams()
    _widen(source, sink)
    _keep_memory()
    child = Child(source, sink)
    sys.stdout = io.TextIOWrapper(ScriptOutput(child), encoding="utf-8", write_through=True)
    with contextlib.suppress(KeyboardInterrupt):
        child.run()


if __name__ == "__main__":
    main()
