"""Addresses as the stock package's validators see them: RFC 822 mailboxes, read as tcllib's ``mime::parseaddress`` does.

The reading is generous on purpose (display names, comments, routes, groups, a missing domain) and stays so under the
``tcllib-1.5`` profile; ``rfc5321`` matches paths with :mod:`pysmtpd.core.grammar` instead. One pass over the text, no recursion:
the cost is linear in its length whatever a client sends.
"""

import re
from collections.abc import Iterator
from typing import Final

from pysmtpd.core.grammar import TCL_TRIM, Pattern

_BLANKS: Final = Pattern(f"[{re.escape(TCL_TRIM)}]*")
# RFC 822, 3.3: comment, quoted-string, domain-literal, specials, atom.
_COMMENT_MARK: Final = Pattern(r"\\.|[()]", re.DOTALL)
_QUOTED: Final = Pattern(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_LITERAL: Final = Pattern(r"\[(?:[^\]\\]|\\.)*\]", re.DOTALL)
_ATOM: Final = Pattern(r'[^ \t\n;,<>:.()@"\[\]\\]+')
_SPECIALS: Final = frozenset(";,<>:.)@]\\")

# Kinds of lexeme; a special is its own kind.
_WORD: Final = "word"
_DOMAIN_LITERAL: Final = "literal"
_BROKEN: Final = "broken"
_END: Final = "end"


class Mailbox:
    """One address of a list, in the parts ``mime::parseaddress`` names. Parts that do not occur are empty."""

    __slots__ = ("comment", "domain", "error", "group", "local", "member", "phrase", "route")

    def __init__(self, error: str = "") -> None:
        self.local = self.domain = self.phrase = self.route = self.group = self.comment = ""
        self.member: int | None = None  #: how deep in a group the address stands
        self.error = error  #: why this is no address

    def address(self, hostname: str) -> str:
        """Return ``local@domain``, with ``hostname`` where there is no domain; empty when there is no local part."""
        return f"{self.local}@{self.domain or hostname}" if self.local else ""


class _SyntaxError(Exception):
    """What the rest of the list cannot be read as; carries mime's words for it."""


class _Parser:
    """Reads a list of addresses. ``kind`` and ``word`` are the lexeme read last."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.kind = _END
        self.word = ""
        self.depth = 0
        self.box = Mailbox()
        self.comments: list[str] = []  # of the address being read

    # Lexemes

    def lex(self) -> str:
        """Read the next lexeme, noting comments on the way, and return its kind."""
        while True:
            self.position = _BLANKS.match(self.text, self.position).end()  # type: ignore[union-attr] # matches empty
            if self.position >= len(self.text):
                return self._found(_END, "end-of-input", self.position)
            if self.text[self.position] != "(":
                return self._lexeme(self.text[self.position])
            if not self._comment():
                return self._found(_BROKEN, "end-of-input during comment", len(self.text))

    def _found(self, kind: str, word: str, end: int) -> str:
        self.kind, self.word, self.position = kind, word, end
        return kind

    def _lexeme(self, first: str) -> str:
        if first in _SPECIALS:
            return self._found(first, first, self.position + 1)
        if first == '"':
            return self._delimited(_QUOTED, _WORD, "quoted-string")
        if first == "[":
            return self._delimited(_LITERAL, _DOMAIN_LITERAL, "domain-literal")
        match = _ATOM.match(self.text, self.position)
        assert match is not None  # noqa: S101 # anything else was dealt with above
        return self._found(_WORD, match[0], match.end())

    def _delimited(self, pattern: Pattern, kind: str, what: str) -> str:
        match = pattern.match(self.text, self.position)
        if match is None:
            return self._found(_BROKEN, f"end-of-input during {what}", len(self.text))
        return self._found(kind, match[0], match.end())

    def _comment(self) -> bool:
        depth = 0
        for mark in _COMMENT_MARK.finditer(self.text, self.position):
            depth += {"(": 1, ")": -1}.get(mark[0], 0)
            if depth == 0 and mark[0] == ")":
                self.comments.append(self.text[self.position : mark.end()])
                self.position = mark.end()
                return True
        return False

    def _expected(self, what: str) -> _SyntaxError:
        return _SyntaxError(f"{what} (found {self.word})")

    # Addresses

    def mailboxes(self) -> Iterator[Mailbox]:
        """Yield the addresses of the list, the unreadable ones with their ``error`` set."""
        while True:
            self.box = Mailbox()
            self.comments.clear()
            try:
                if not self._specification():
                    return
                if self.kind not in (",", _END):
                    self._trailing_comment()
            except _SyntaxError as error:
                self.box.error = str(error)
                while self.kind not in (",", _END):
                    self.lex()
            self.box.comment = " ".join(self.comments)
            yield self.box

    def _trailing_comment(self) -> None:
        position = self.position
        self.lex()
        self.position = position

    def _specification(self) -> bool:
        """Read one address; False at the end of the list."""
        while True:
            start = self.position
            kind = self.lex()
            if kind == ";":
                self._leave_group()
            elif kind != ",":
                break
            self.comments.clear()
        if kind == _END:
            return False
        if kind == "<":
            self._route_address(bracketed=True)
        elif kind == "@":
            self.position = start
            self._route_address(bracketed=False)
        elif kind == _WORD:
            self._after_first_word(self.word)
        else:
            raise self._expected("unexpected character at beginning")
        return True

    def _leave_group(self) -> None:
        self.depth -= 1
        if self.depth < 0:
            raise _SyntaxError("extraneous semi-colon")

    def _after_first_word(self, first: str) -> None:
        kind = self.lex()
        if kind == _WORD:
            self._phrase(f"{first} {self.word}")
        elif kind in ("<", ":"):
            self.box.phrase = first
            self._bracket_or_group()
        elif kind == ".":
            self.box.local = f"{first}."
            self._route_address(bracketed=False)
            self._end_of_address()
        elif kind == "@":
            self.box.member, self.box.local = self.depth, first
            self._domain()
            self._end_of_address()
        elif kind in (";", ",", _END):
            self.box.phrase = first  # mime leaves the word where it is when the semi-colon is one too many
            self.box.member = self.depth
            if kind == ";":
                self._leave_group()
            self.box.phrase, self.box.local = "", first
        else:
            self.box.phrase = first
            raise self._expected("expecting mailbox")

    def _phrase(self, phrase: str) -> None:
        words = [phrase]
        while True:
            while self.lex() == _WORD:
                words.append(f" {self.word}")
            if self.kind != ".":
                break
            words.append(self.word)
        self.box.phrase = "".join(words)
        if self.kind not in ("<", ":"):
            raise _SyntaxError(f"found phrase instead of mailbox ({self.box.phrase}{self.word})")
        self._bracket_or_group()

    def _bracket_or_group(self) -> None:
        if self.kind == "<":
            self._route_address(bracketed=True)
        else:
            self._group()

    def _group(self) -> None:
        self.depth += 1
        if self.depth > 1:
            raise _SyntaxError(f"nested groups not allowed (found {self.box.phrase})")
        self.box.group, self.box.phrase = self.box.phrase, ""
        start = self.position
        while self.lex() == ",":
            pass
        if self.kind in (";", _END):
            self.depth = 0
        else:
            self.position = start
            self._specification()

    def _route_address(self, *, bracketed: bool) -> None:
        start = self.position
        if self.lex() == "@":
            self._route()
        else:
            self.position = start
        self._local_part()
        if self.kind == "@":
            self._domain()
        elif self.kind not in (";", ">", ",", _END):
            raise self._expected("expecting at-sign after local-part")
        if bracketed and self.kind != ">":
            raise self._expected("expecting right-bracket")

    def _route(self) -> None:
        """RFC 822, 6.1: route = 1#("@" domain) ":"."""
        parts = ["@"]
        while True:
            if self.lex() not in (_WORD, _DOMAIN_LITERAL) or self.word.startswith('"'):
                raise self._routed(parts, "expecting sub-route in route-part")
            parts.append(self.word)
            kind = self.lex()
            if kind not in (",", "@", ".", ":"):
                raise self._routed(parts, "expecting colon to terminate route")
            parts.append(self.word)
            if kind == ":":
                break
            if kind == ",":
                while self.lex() == ",":
                    pass
                if self.kind != "@":
                    raise self._routed(parts, "expecting at-sign in route")
                parts.append(self.word)
        self.box.route = "".join(parts)

    def _routed(self, parts: list[str], what: str) -> _SyntaxError:
        self.box.route = "".join(parts)
        return self._expected(what)

    def _local_part(self) -> None:
        self.box.member = self.depth
        words = [self.box.local]
        try:
            while True:
                if self.lex() != _WORD:
                    raise self._expected("expecting mailbox in local-part")
                words.append(self.word)
                if self.lex() != ".":
                    return
                words.append(self.word)
        finally:
            self.box.local = "".join(words)

    def _domain(self) -> None:
        """RFC 822, 6.1: domain = sub-domain *("." sub-domain). A second at-sign turns what was read into ``local%domain``."""
        words: list[str] = []
        locals_ = [self.box.local]
        try:
            while True:
                if self.lex() not in (_WORD, _DOMAIN_LITERAL) or self.word.startswith('"'):
                    raise self._expected("expecting sub-domain in domain-part")
                words.append(self.word)
                kind = self.lex()
                if kind == ".":
                    words.append(self.word)
                elif kind == "@":
                    locals_ += ["%", *words]
                    words.clear()
                else:
                    return
        finally:
            self.box.domain = "".join(words)
            self.box.local = "".join(locals_)

    def _end_of_address(self) -> None:
        if self.kind == ";":
            self._leave_group()
        elif self.kind not in (",", _END):
            raise self._expected("junk after local@domain")


def parse_mailboxes(text: str) -> list[Mailbox]:
    """Return every address of a list, as ``mime::parseaddress`` splits it; unreadable ones carry their ``error``."""
    return list(_Parser(text).mailboxes())


def parse_path(text: str) -> Mailbox:
    """Return the one address that ``text`` is; one with ``error`` set when it is none, or more than one."""
    boxes = _Parser(text).mailboxes()
    box = next(boxes, None)
    if box is None:
        return Mailbox(error="no address")
    if next(boxes, None) is not None:
        return Mailbox(error="more than one address")
    return box


def split_path(argument: str) -> tuple[str, str]:
    """Split what follows ``FROM:`` or ``TO:`` into the path with its brackets, and the rest.

    As ``::smtpd::split_address``: from the first left bracket (or the start) to the last right bracket (or nothing).
    """
    end = argument.rfind(">") + 1
    start = max(argument.find("<"), 0)
    return argument[start:end], argument[end:].strip(TCL_TRIM)
