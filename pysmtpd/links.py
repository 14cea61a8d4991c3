"""The links in a mail: what a reader could follow, in plain text and in HTML."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Final

#: A URL written out in a text. What may not stand in one (RFC 3986, appendix A) ends it; the appendix C has the delimiters.
_URL: Final = re.compile(r"\b(?:(?:https?|ftp)://|mailto:)[^\s<>\"\\^`{|}\x00-\x1f\x7f]+", re.IGNORECASE)
#: Punctuation that ends a sentence, and not the URL before it.
_TRAILING: Final = ".,;!?'*"
_BRACKETS: Final = {")": "(", "]": "["}

#: Attributes that hold a URL, by element.
_ATTRIBUTES: Final = {"a": "href", "area": "href", "form": "action", "img": "src"}
#: Elements whose text nobody sees.
_UNSEEN: Final = ("script", "style", "title", "template")

#: From this length on, in characters, a "<" that opens no tag is taken out first: html.parser looks for the end of each anew.
_LONG: Final = 16_384
_OPENS_NOTHING: Final = re.compile(r"<(?![^<>]*>)")


def links_in_text(text: str) -> Iterator[str]:
    """Yield the URLs written out in a plain text, in order, without the punctuation of the sentence around them."""
    for found in _URL.finditer(text):
        url = found[0]
        surplus = {closing: url.count(closing) - url.count(opening) for closing, opening in _BRACKETS.items()}
        end = len(url)
        while (last := url[end - 1]) in _TRAILING or surplus.get(last, 0) > 0:
            surplus[last] = surplus.get(last, 0) - 1
            end -= 1
        if url[end - 1] != "/" or url[end - 3 : end] != "://":
            yield url[:end]


def links_in_html(html: str) -> list[str]:
    """Return the URLs in an HTML text, in order: of ``a``, ``area``, ``form`` and ``img``, and those written out in its text."""
    reader = _Reader()
    reader.feed(html if len(html) < _LONG else _OPENS_NOTHING.sub("&lt;", html))
    reader.close()
    return reader.links


class _Reader(HTMLParser):
    """Collects links."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.links: list[str] = []
        self._unseen = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take the URL of an element that has one."""
        if tag in _UNSEEN:
            self._unseen = tag
        wanted = _ATTRIBUTES.get(tag)
        for name, value in attrs:
            if name == wanted and value and value.strip() and not value.strip().startswith("#"):
                self.links.append(value.strip())

    def handle_endtag(self, tag: str) -> None:
        """Note that text can be seen again."""
        if tag == self._unseen:
            self._unseen = ""

    def handle_data(self, data: str) -> None:
        """Take the URLs in text that can be seen."""
        if not self._unseen:
            self.links.extend(links_in_text(data))
