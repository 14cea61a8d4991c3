"""Encodings of MIME text for ``tcl_mime``: base64, quoted-printable, encoded words (RFC 2047), and the names of character sets.

All of it as tcllib's ``mime`` 1.7 has it, leniency included. Text holds one character per octet.
"""

import binascii
import os
import re
from collections.abc import Iterator
from typing import Final


class MimeError(Exception):
    """What tcllib's mime says is wrong."""


# base64 (RFC 2045, 6.8)

_NOT_BASE64: Final = re.compile(r"[^A-Za-z0-9+/]+")
_BASE64_LINE: Final = 57  # octets: 76 characters


def encode_base64(text: str) -> str:
    """Return text in base64, in lines of 76 characters without a line end after the last."""
    data = octets(text)
    lines = [
        binascii.b2a_base64(data[start : start + _BASE64_LINE], newline=False) for start in range(0, len(data), _BASE64_LINE)
    ]
    return b"\n".join(lines).decode("ascii")


def decode_base64(text: str) -> str:
    """Return what base64 text stands for; characters that do not belong there are passed over.

    Raises MimeError for a last group of a single character.
    """
    packed = _NOT_BASE64.sub("", text)
    if len(packed) % 4 == 1:
        raise MimeError(f'invalid base64 character "{packed[-1]}" at position {len(packed) - 1}')
    return binascii.a2b_base64(packed + "=" * (-len(packed) % 4)).decode("latin-1")


def octets(text: str) -> bytes:
    """Return text as octets; of characters beyond U+00FF the lower one, as Tcl 8.6 does."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return bytes(ord(character) & 0xFF for character in text)


# Quoted-printable (RFC 2045, 6.7)

_TO_QUOTE: Final = re.compile(r"[\x00-\x08\x0b-\x1e!-$=@\[-^`{-\xff]")
_TO_QUOTE_IN_WORD: Final = re.compile(r"[\x00-\x09\x0b-\x1e!-$=?@\[-`{-\xff]")
_AT_RISK: Final = re.compile(r" \n|\t\n|\n\.\n|\nFrom ")
_PROTECTED: Final = {" \n": "=20\n", "\t\n": "=09\n", "\n.\n": "\n=2E\n", "\nFrom ": "\n=46rom "}
_OCTET: Final = re.compile(r"=([0-9A-Fa-f]{2})")
_TRAILING: Final = re.compile(r"[ \t]+\n")
_LINE: Final = 73


def encode_quoted_printable(text: str) -> str:
    """Return text in quoted-printable."""
    text = _TO_QUOTE.sub(_quoted, text)
    text = _AT_RISK.sub(lambda match: _PROTECTED[match[0]], text)
    return _protect_end("\n".join("=\n".join(_pieces(line)) for line in text.split("\n")))


def _quoted(match: re.Match[str]) -> str:
    return f"={ord(match[0]):02X}"


def _pieces(line: str) -> Iterator[str]:
    """Cut a line that is too long; never through an ``=XX``."""
    start = 0
    while len(line) - start > _LINE - 1:
        end = start + _LINE
        if line[end - 2] == "=":
            end -= 2
        elif line[end - 1] == "=":
            end -= 1
        yield line[start:end]
        start = end
    yield line[start:]


def _protect_end(text: str) -> str:
    if text.endswith((" ", "\t")):
        return text[:-1] + ("=20" if text[-1] == " " else "=09")
    return text


def decode_quoted_printable(text: str) -> str:
    """Return what quoted-printable text stands for."""
    text = _TRAILING.sub("\n", text).rstrip(" \t").replace("=\n", "")
    return _OCTET.sub(lambda match: chr(int(match[1], 16)), text)


# Encoded words (RFC 2047)

_WORD: Final = re.compile(r"=\?([^?]+)\?(.)\?([^?]*)\?=", re.DOTALL)
#: What an encoded word holds besides charset and text.
_FRAME: Final = len("=??Q??=")


def charset_for_words(charset: str, method: str) -> str:
    """Return the MIME name of a Tcl encoding that words can be written in. Raises MimeError for it or for the method."""
    if charset not in _MIME_NAMES:
        raise MimeError(f"unknown charset '{charset}'")
    if not _MIME_NAMES[charset]:
        raise MimeError(f"invalid charset '{charset}'")
    if method not in ("base64", "quoted-printable"):
        raise MimeError(f"unknown method '{method}', must be base64 or quoted-printable")
    return _MIME_NAMES[charset]


def encode_words(name: str, method: str, length: str, *characters: str) -> str:
    """Return text as encoded words.

    Arguments:
        name: the charset, by its MIME name.
        method: ``base64`` or ``quoted-printable``.
        length: how long a word may be.
        characters: the text, each character encoded in that charset.

    Raises MimeError when the length is too short.
    """
    room = int(length) - len(name) - _FRAME
    too_short = MimeError(f"maxlength {length} too short for chosen charset and encoding")
    if method == "base64":
        if room < 4:
            raise too_short
        room = room // 4 * 3
        units = [(character, len(character)) for character in characters]
    else:
        units = [(unit, len(unit)) for unit in map(_quoted_in_word, characters)]
        if room < 1 or any(size > room for _, size in units):
            raise too_short
    letter = "B" if method == "base64" else "Q"
    texts = _filled(units, room)
    if method == "base64":
        texts = [binascii.b2a_base64(octets(text), newline=False).decode("ascii") for text in texts]
    return "\n ".join(f"=?{name}?{letter}?{text}?=" for text in texts)


def _quoted_in_word(character: str) -> str:
    return _TO_QUOTE_IN_WORD.sub(_quoted, character).replace(" ", "_")


def _filled(units: list[tuple[str, int]], room: int) -> list[str]:
    """Join units to texts that have room in a word each."""
    texts: list[str] = []
    current: list[str] = []
    used = 0
    for unit, size in units:
        if current and used + size > room:
            texts.append("".join(current))
            current, used = [], 0
        current.append(unit)
        used += size
    return [*texts, "".join(current)] if current else texts


def decode_word(text: str) -> tuple[str, str, str]:
    """Return the Tcl encoding, the method and the octets of the first encoded word in a text. Raises MimeError."""
    match = _WORD.search(text)
    if match is None:
        raise MimeError(f"malformed word-encoded expression '{text}'")
    charset, letter, body = match.groups()
    encoding = reverse_map_encoding(charset)
    if not encoding:
        raise MimeError(f"unknown charset '{charset}'")
    match letter.upper():
        case "B":
            return encoding, "base64", decode_base64(body)
        case "Q":
            return encoding, "quoted-printable", decode_quoted_printable(body.replace("_", " "))
    raise MimeError(f"unknown method '{letter}', must be B or Q")


def decode_field(text: str) -> list[str]:
    """Return the pieces of a header field: a Tcl encoding, or nothing for plain text, and octets, in turn. Raises MimeError."""
    pieces: list[str] = []
    position = 0
    for match in _WORD.finditer(text):
        between = text[position : match.start()]
        if between and not between.isspace():
            pieces += "", between
        encoding, _, body = decode_word(match[0])
        pieces += encoding, body
        position = match.end()
    return [*pieces, "", text[position:]]


def new_boundary() -> str:
    """Return a boundary for a multipart that has been given none."""
    return f"----- =_{encode_base64(os.urandom(16).hex().upper())}"


# Character sets: Tcl's names, and MIME's

_MIME_NAMES: Final = {
    "ascii": "US-ASCII", "big5": "Big5", "cp936": "GBK", "euc-cn": "EUC-CN", "euc-jp": "EUC-JP", "euc-kr": "EUC-KR",
    "gb12345": "GB12345", "gb1988": "GB1988", "gb2312": "GB2312", "iso2022": "ISO-2022", "iso2022-jp": "ISO-2022-JP",
    "iso2022-kr": "ISO-2022-KR", "jis0201": "JIS_X0201", "jis0208": "JIS_C6226-1983", "jis0212": "JIS_X0212-1990",
    "koi8-r": "KOI8-R", "koi8-u": "KOI8-U", "ksc5601": "KS_C_5601-1987", "shiftjis": "Shift_JIS", "tis-620": "TIS-620",
    "utf-8": "UTF-8",
    **{f"cp{number}": f"Windows-{number}" for number in range(1250, 1259)},
    **{f"cp{number}": f"IBM{number}" for number in (437, 775, 850, 852, 855, 857, *range(860, 867), 869)},
    **{f"iso8859-{number}": f"ISO-8859-{number}" for number in (*range(1, 11), 13, 14, 15, 16)},
    # These have no name that mail could use.
    **dict.fromkeys(("cp737", "cp874", "cp932", "cp949", "cp950", "dingbats", "ebcdic", "symbol", "unicode"), ""),
    **{f"mac{name}": "" for name in (
        "CentEuro", "Croatian", "Cyrillic", "Dingbats", "Greek", "Iceland", "Japan", "Roman", "Romania", "Thai", "Turkish",
        "Ukraine",
    )},
}  # fmt: skip

#: Other names, as IANA lists them.
_ALIASES: Final = {
    "ascii": "ANSI_X3.4-1968 iso-ir-6 ANSI_X3.4-1986 ISO_646.irv:1991 ASCII ISO646-US us IBM367 cp367",
    "cp861": "cp-is",
    "cp869": "cp-gr",
    "cp936": "CP936 MS936 Windows-936",
    "iso8859-1": "ISO_8859-1:1987 iso-ir-100 latin1 l1 IBM819 CP819",
    "iso8859-2": "ISO_8859-2:1987 iso-ir-101 latin2 l2",
    "iso8859-3": "ISO_8859-3:1988 iso-ir-109 latin3 l3",
    "iso8859-4": "ISO_8859-4:1988 iso-ir-110 latin4 l4",
    "iso8859-5": "ISO_8859-5:1988 iso-ir-144 cyrillic",
    "iso8859-6": "ISO_8859-6:1987 iso-ir-127 ECMA-114 ASMO-708 arabic",
    "iso8859-7": "ISO_8859-7:1987 iso-ir-126 ELOT_928 ECMA-118 greek greek8",
    "iso8859-8": "ISO_8859-8:1988 iso-ir-138 hebrew",
    "iso8859-9": "ISO_8859-9:1989 iso-ir-148 latin5 l5",
    "iso8859-10": "iso-ir-157 l6 ISO_8859-10:1992 latin6",
    "iso8859-14": "iso-ir-199 ISO_8859-14:1998 latin8 iso-celtic l8",
    "iso8859-15": "Latin-9",
    "iso8859-16": "iso-ir-226 ISO_8859-16:2001 latin10 l10",
    "jis0201": "X0201",
    "jis0208": "iso-ir-87 x0208 JIS_X0208-1983",
    "jis0212": "x0212 iso-ir-159",
    "ksc5601": "iso-ir-149 KS_C_5601-1989 KSC5601 korean",
    "shiftjis": "MS_Kanji",
    "utf-8": "UTF8",
}
_IBM_WITHOUT_NUMBER_ALIAS: Final = ("cp864",)
_ISO_WITH_UNDERSCORE: Final = (*range(1, 10), 14, 15, 16)

_encodings: dict[str, str] = {}


def map_encoding(encoding: str) -> str:
    """Return the MIME name of a Tcl encoding; empty where there is none."""
    return _MIME_NAMES.get(encoding, "")


def reverse_map_encoding(name: str) -> str:
    """Return the Tcl encoding of a MIME name; empty where there is none."""
    if not _encodings:
        _encodings.update(_name_encodings())
    return _encodings.get(name.lower(), "")


def _name_encodings() -> Iterator[tuple[str, str]]:
    for encoding, name in _MIME_NAMES.items():
        if name:
            yield name.lower(), encoding
        if name.startswith("IBM"):
            yield encoding, encoding
            if encoding not in (*_IBM_WITHOUT_NUMBER_ALIAS, "cp775"):
                yield encoding[2:], encoding
    for encoding, names in _ALIASES.items():
        for name in names.split():
            yield name.lower(), encoding
    for number in _ISO_WITH_UNDERSCORE:
        yield f"iso_8859-{number}", f"iso8859-{number}"
