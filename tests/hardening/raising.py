"""Python callbacks that raise, for every driver: the Tcl ones reach them by ``::pysmtpd::call raising:NAME``."""

import pysmtpd


class Unspeakable(Exception):
    """Ends the program when asked what it says."""

    def __str__(self):
        raise SystemExit(3)


def raising(error):
    """Return a callback that raises this."""

    def callback(*_):
        raise error

    return callback


plain = raising(RuntimeError("no such luck"))
code = raising(pysmtpd.Refused(451, "come back"))
lines = raising(ValueError("one\r\n250 two\nthree"))
accents = raising(ValueError("n\u00e3o \u65e5\u672c \x1b[31m"))
halves = raising(ValueError("\ud800 \udc80 \U0001f600"))
long = raising(ValueError("x" * 1_000_000))
nothing = raising(ValueError())
unspeakable = raising(Unspeakable())
exit = raising(SystemExit(3))
interrupt = raising(KeyboardInterrupt())
generator_exit = raising(GeneratorExit())
memory = raising(MemoryError())


def recursion(*arguments):
    """Call itself to the end."""
    return recursion(*arguments)
