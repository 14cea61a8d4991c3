"""A call that stops in its middle to ask something, and goes on with the answer.

A generator can do that, unless there is a C library between the call and its middle, as OpenSSL is in a handshake. So the call
runs in a thread of its own. But there is never more than one of the two that goes on, the call or its caller, the other waits:
nothing that they share needs a lock.
"""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class PausableCall(Generic[Question, Answer]):
    """One call of a function.

    Arguments:
        function: what is called, when :meth:`go_on` is. It may call :meth:`ask`.
    """

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function
        self._question: Question | None = None
        self._answer: Answer | None = None
        self._error: BaseException | None = None
        self._its_turn = threading.Lock()
        self._our_turn = threading.Lock()
        self._its_turn.acquire()
        self._our_turn.acquire()
        # A daemon: a question that is never answered does not keep the program from its end.
        self._thread = threading.Thread(target=self._run, name="pysmtpd handshake", daemon=True)

    def go_on(self, answer: Answer | None = None) -> Question | None:
        """Begin, or go on with the answer to the question that was asked.

        Returns the next question; None when the call, and its thread, have ended. Raises what the function has raised.
        """
        self._question = None
        self._answer = answer
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._its_turn.release()
        self._our_turn.acquire()
        if self._question is None:
            self._thread.join()
            error, self._error = self._error, None
            if error is not None:
                try:
                    raise error
                finally:
                    del error  # which knows this frame, and what this frame knows
        return self._question

    def ask(self, question: Question) -> Answer | None:
        """Return the answer to a question. Called in the course of the call, and there only."""
        self._question = question
        self._our_turn.release()
        self._its_turn.acquire()
        return self._answer

    def _run(self) -> None:
        _running.call = self
        try:
            self._function()
        except BaseException as error:
            self._error = error
        finally:
            del self._function
            self._our_turn.release()


def running() -> "PausableCall[object, object] | None":
    """Return the call that the current thread runs; None where it is no such thread."""
    return getattr(_running, "call", None)


_running = threading.local()
