"""Text as the parsers see it: cut to a length, folded to one writing, searched under a time limit."""

import unicodedata
from functools import lru_cache
from pathlib import Path

import regex

LONGEST = 12_000
"""Characters that are looked at, from the end of a completion backwards; an answer stands at its end."""
TIME_LIMIT_S = 0.2
"""Longest search for one pattern. The patterns are linear and need far less; this holds if one is not."""

_INVISIBLE = regex.compile(r"[\p{Cc}\p{Cf}\p{Co}\p{Cs}--[\t\n]]", regex.V1)
_WIDE = {wide: unicodedata.normalize("NFKC", wide) for wide in "，：；（）！？％…\u3000"}
"""What Chinese texts are full of and NFKC changes. A text without other such characters is then known to be in that
form by a look at it, which costs a hundredth of writing it from scratch."""
_TRADITIONAL = Path(__file__).parent.parent / "data" / "traditional.txt"
_ENCLOSED = ((0x1F150, 26), (0x1F170, 26))
"""First letter and number of the white-on-black enclosed letters, which NFKC leaves as they are."""


def scan(pattern: "regex.Pattern[str]", text: str) -> list["regex.Match[str]"]:
    """Matches of a pattern, in order.

    Raises:
        TimeoutError: when the search takes longer than ``TIME_LIMIT_S``.
    """
    return list(pattern.finditer(text, timeout=TIME_LIMIT_S))


def folded(text: str) -> str:
    """The last ``LONGEST`` characters in one writing: full-width letters and digits become plain ones (NFKC), control
    and zero-width characters are removed."""
    written = text[-LONGEST:]
    for wide, narrow in _WIDE.items():
        written = written.replace(wide, narrow)
    written = unicodedata.normalize("NFKC", written)[-LONGEST:]
    if written.replace("\n", "").replace("\t", "").isprintable():  # no character that is not seen
        return written
    return _INVISIBLE.sub("", written)


@lru_cache(maxsize=1)
def _simplified() -> dict[int, str]:
    lines = _TRADITIONAL.read_text(encoding="utf-8").splitlines()
    pairs = "".join(line for line in lines if not line.startswith("#"))
    table = {ord(pairs[place]): pairs[place + 1] for place in range(0, len(pairs), 2)}
    table |= {first + place: chr(ord("A") + place) for first, count in _ENCLOSED for place in range(count)}
    return table | {ord("○"): "〇", ord("◯"): "〇"}


@lru_cache(maxsize=1)
def _folded_away() -> tuple[frozenset[str], str]:
    """The characters that :func:`plain` writes otherwise, and those of them that GB 2312 has."""
    every = frozenset(map(chr, _simplified()))
    return every, "".join(sorted(c for c in every if c.encode("gb2312", "ignore")))


def _is_simplified(written: str) -> bool:
    every, beside = _folded_away()
    try:
        written.encode("gb2312")  # ten times as fast as a look at every character, and enough for most texts
    except UnicodeEncodeError:
        return every.isdisjoint(written)
    return not any(character in written for character in beside)


def plain(text: str) -> str:
    """The text as parsers read it: folded, of the same length as folded, with traditional characters simplified
    (盜竊罪 is 盗窃罪) and a circle for 〇 written as 〇."""
    return _plain(text[-LONGEST:])


@lru_cache(maxsize=8)  # one answer is read by several parsers, one after the other
def _plain(text: str) -> str:
    written = folded(text)
    return written if _is_simplified(written) else written.translate(_simplified())


def normalised(text: str) -> str:
    """Text for exact comparison: in one writing, no white space, no punctuation at the ends, no 中华人民共和国."""
    written = "".join(plain(text).split())
    return written.strip(".,;:!?。，；：！？、《》\"'“”").replace("中华人民共和国", "")
