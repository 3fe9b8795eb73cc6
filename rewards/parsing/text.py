"""Text as the parsers see it: cut to a length, folded to one writing, searched under a time limit."""

import unicodedata

import regex

LONGEST = 12_000
"""Characters that are looked at, from the end of a completion backwards; an answer stands at its end."""
TIME_LIMIT_S = 0.2
"""Longest search for one pattern. The patterns are linear and need far less; this holds if one is not."""

_INVISIBLE = regex.compile(r"[\p{Cc}\p{Cf}\p{Co}\p{Cs}--[\t\n]]", regex.V1)


def scan(pattern: "regex.Pattern[str]", text: str) -> list["regex.Match[str]"]:
    """Matches of a pattern, in order.

    Raises:
        TimeoutError: when the search takes longer than ``TIME_LIMIT_S``.
    """
    return list(pattern.finditer(text, timeout=TIME_LIMIT_S))


def folded(text: str) -> str:
    """The last ``LONGEST`` characters in one writing: full-width letters and digits become plain ones (NFKC), control
    and zero-width characters vanish."""
    plain = unicodedata.normalize("NFKC", text[-LONGEST:])[-LONGEST:]
    return _INVISIBLE.sub("", plain)


def normalised(text: str) -> str:
    """Text for exact comparison: folded, no white space, no punctuation at the ends, no 中华人民共和国."""
    plain = "".join(folded(text).split())
    return plain.strip(".,;:!?。，；：！？、《》\"'“”").replace("中华人民共和国", "")
