"""Names of charges."""

from functools import lru_cache
from pathlib import Path

import regex

from rewards.parsing.text import folded, scan

_FILE = Path(__file__).parent.parent / "data" / "charges.txt"
_NOT = regex.compile(r"(?:不构成|不成立|不是|并非|而非|不以|不属于|不应定)\S{0,3}$")
_NUMBERS = regex.compile(
    r"第?[\d零〇一二两三四五六七八九十百千]{1,12}\s?条(?:之[\d一二三四五六七八九十]{1,3})?|《[^《》]{1,40}》|刑法"
)
_SEPARATOR = regex.compile(r"[,，;；。\s]+|和(?=\p{Han}{2,12}罪)|、")
_FILLER = regex.compile(
    r"^(?:[\[【]?罪名[\]】]?(?:是|为)?[:：]?|犯有?|构成|涉嫌|已|应当?|定|属于|为|以|[:：])+|[:：.。]+$"
)


@lru_cache(maxsize=1)
def known_charges() -> tuple[str, ...]:
    """Names of charges without 罪: CAIL2018's 202 labels and later ones."""
    lines = _FILE.read_text(encoding="utf-8").splitlines()
    return tuple(folded(line) for line in lines if line and not line.startswith("#"))


@lru_cache(maxsize=1)
def _known() -> "regex.Pattern[str]":
    # Longest first, so that 职务侵占 is not read as 侵占; a name of two characters counts only with 罪 or alone.
    names = sorted(known_charges(), key=len, reverse=True)
    return regex.compile("|".join(regex.escape(name) + (r"罪?" if len(name) > 2 else "罪") for name in names))


def charges(text: str) -> frozenset[str]:
    """Names of the charges in a text, without 罪: 盗窃罪、诈骗罪 gives 盗窃 and 诈骗.

    A known charge is found anywhere in prose unless it is denied (不构成盗窃罪). In a short list unknown
    names count, too.
    """
    plain = _NUMBERS.sub(",", folded(text))
    found, rest, end = set(), [], 0
    for match in scan(_known(), plain):
        rest.append(plain[end : match.start()])
        end = match.end()
        if not _NOT.search(plain[max(0, match.start() - 8) : match.start()]):
            found.add(match[0].removesuffix("罪"))
    rest.append(plain[end:])
    if len(plain) <= 60:  # a list, not prose
        for part in _SEPARATOR.split(",".join(rest)):
            name = _FILLER.sub("", part).removesuffix("罪")
            if 2 <= len(name) <= 20 and (part.endswith("罪") or name in known_charges() or not found):
                found.add(name)
    return frozenset(found)
