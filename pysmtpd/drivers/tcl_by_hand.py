"""Verbs that a script calls by hand for a channel without a session: a file, a channel of its own, one that is closed.

The stock package then works on whatever the array ``state_<channel>`` holds, logs, says its replies to the channel, and raises
Tcl's own error where there is nothing to read, write or close. What a verb does there is one of these steps after another, for
Tcl to take (``tcl/by_hand.tcl``), in the stock package's order:

=============  ======================================================================================================
step           arguments
=============  ======================================================================================================
``log``        level and text
``say``        a line of a reply
``read``       an item of the state: an error where there is none
``set``        an item of the state and its value
``forget``     none: the mail transaction is over
``translate``  none: any line end is one, from now on
``close``      none: the channel and the state
``ask``        kind, value, and the number with which to answer; always the last one
=============  ======================================================================================================
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from pysmtpd.core import Close, Config, Log, Question, Refuse, Session, StartTls, Verdict
from pysmtpd.drivers.tcl_values import list_elements

Step: TypeAlias = tuple[str, ...] | tuple[str, str, list[str]] | tuple[str, str, list[str], str]

#: The items that a verb goes by, and changes.
_ITEMS = ("domain", "from", "to", "options", "id")


class ByHand(Session):
    """A session without a client, for one command.

    Arguments:
        config: the server's settings.
        channel: what the log calls the channel.
        items: what its state holds, by name.
    """

    def __init__(self, config: Config, channel: str, items: dict[str, str]) -> None:
        super().__init__(config, items.get("client_addr", ""), 0, channel)
        for name in _ITEMS:
            if name in items:
                self.assign(name, _elements(items[name]) if name == "to" else [items[name]])
        self.steps: list[Step] = []
        self.out = self.events = _Steps(self)
        self._told = self._items()
        self._greets = False

    def run(self, verb: str, line: str) -> list[Step]:
        """Handle a command; return the steps. When a question is open then, the others are those of :meth:`go_on`."""
        self._greets = verb in ("HELO", "EHLO", "LHLO")
        self.command(verb, line)
        if verb == "DATA":
            self._order_data()
        return self._take()

    def go_on(self, verdict: Verdict) -> list[Step]:
        """Answer the question; return the steps from there on."""
        self.answer(verdict)
        return self._take()

    def _take(self) -> list[Step]:
        self._tell()
        steps, self.steps = self.steps, []
        return steps

    def take_step(self, item: bytes | Log | Close | Question) -> None:
        """Note a reply or an event, behind what has changed by then."""
        match item:
            case bytes():
                if not self._greets:  # whose name counts when the reply is out
                    self._tell()
                self.steps += [("say", line) for line in item.decode("latin-1").split("\r\n")[:-1]]
            case Log(level, text):
                self._tell()
                self.steps.append(("log", level, text))
            case Close():
                self.steps.append(("close",))

    def _items(self) -> tuple[Any, ...]:
        return self.domain, self.sender, list(self.recipients), self.options, self.id

    def _tell(self) -> None:
        """Set what has changed. Where there is a sender, there are its parameters, if only an empty text."""
        now = self._items()
        before, self._told = self._told, now
        changed = [name for name, new, old in zip(_ITEMS, now, before, strict=True) if new != old]
        if "from" in changed and "options" not in changed:
            changed.append("options")
        self.steps += [("set", name, now[_ITEMS.index(name)]) for name in changed]

    # What is otherwise than with a client

    def reset(self) -> None:
        """Forget the mail transaction, every item of it."""
        super().reset()
        self._told = self._items()
        self.steps.append(("forget",))

    def _sender_accepted(self, path: str, address: str, options: str, parameters: Mapping[str, str]) -> None:
        super()._sender_accepted(path, address, options, parameters)
        domain, _, *others = self._told
        self._told = (domain, None, *others)  # it is set in any case

    def ask(self, question: Question, acceptance: bytes, accepted: Callable[[], None], refused: Callable[[Refuse], None]) -> None:
        """Put a question. There is nobody to shake hands with."""
        if isinstance(question, StartTls):
            self.out.append(acceptance)
            self.fail(self.config.replies.tls_unavailable)
        else:
            super().ask(question, acceptance, accepted, refused)

    def answer(self, verdict: Verdict, *, replied: bool = False) -> None:
        """Answer the open question. What was accepted is noted before the reply is said."""
        question = self._open
        if question is None or isinstance(verdict, Refuse):
            super().answer(verdict, replied=replied)
            return
        self._open = None
        question.accepted()
        self.out.append(question.acceptance)

    def _order_data(self) -> None:
        """DATA logs first, and then looks at the state, which may not be there."""
        logs = [step for step in self.steps if step[0] == "log"]
        reads: list[Step] = [("read", name) for name in (("from", "to") if self.sender else ("from",))]
        said = [step for step in self.steps if step[0] == "say"]
        lines = self.lines_so_far()
        if lines is not None:
            begun: list[Step] = [("set", "id", self.id), ("set", "indata", "1"), ("read", "from"), ("set", "data", lines)]
            said += [*begun, ("translate",)]
        self._told = self._items()
        self.steps = [*logs, *reads, *said]


def _elements(text: str) -> list[str]:
    try:
        return list_elements(text)
    except ValueError:  # what a script wrote there is no list
        return [text]


class _Steps(list[Any]):
    """Where such a session's replies and events go: in one row."""

    def __init__(self, session: ByHand) -> None:
        super().__init__()
        self._session = session

    def append(self, item: bytes | Log | Close | Question) -> None:
        """Have it noted."""
        self._session.take_step(item)


class Hand:
    """The script that calls verbs by hand: ``::pysmtpd::ByHand``, and its questions.

    Arguments:
        config: the server's settings.
        answer: puts a question to Python where Python is asked it, and returns its verdict; else None.
    """

    def __init__(self, config: Config, answer: Callable[[Question], Verdict | None]) -> None:
        self._config = config
        self._answer = answer
        self._asking: dict[str, ByHand] = {}
        self._serial = 0

    def call(self, channel: str, verb: str, line: str, *items: str) -> list[Step]:
        """Handle a command.

        Arguments:
            channel: the channel's name.
            verb: in upper case.
            line: the command line.
            items: names and values of the channel's state.
        """
        session = ByHand(self._config, channel, dict(zip(items[::2], items[1::2], strict=True)))
        return self._settled(session, session.run(verb, line))

    def answer(self, number: str, verdict: Verdict) -> list[Step]:
        """Go on where a question was put."""
        session = self._asking.pop(number)
        return self._settled(session, session.go_on(verdict))

    def _settled(self, session: ByHand, steps: list[Step]) -> list[Step]:
        while (question := session.question) is not None:
            verdict = self._answer(question)
            if verdict is None:
                asked = [question.address, *session.asking]  # type: ignore[union-attr] # MAIL or RCPT
                self._serial += 1
                self._asking[str(self._serial)] = session
                return [*steps, ("ask", question.kind, asked, str(self._serial))]
            steps += session.go_on(verdict)
        return steps
