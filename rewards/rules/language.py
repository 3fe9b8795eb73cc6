"""Language: the share of Chinese among the letters of a completion (LegalOne drops samples that mix languages)."""

import re
from collections import Counter

import regex

from rewards.parsing import folded
from rewards.registry import reward
from rewards.verdict import Sample, Verdict

_IDEOGRAPHS = re.compile("[一-龥]+")
"""Runs of the usual ideographs, which are most of a Chinese text; ``re`` walks over them several times faster."""
_TAGS = regex.compile(
    r"[<\\A-H](?:(?<=<)/?(?:think|answer)>|(?<=\\)boxed|(?<=\b[A-H])[A-H]{0,7}\b)"  # the first character is found fast
)
_CHINESE = regex.compile(r"\p{Han}")
_LETTER = regex.compile(r"\p{L}")


@reward("language")
def language(sample: Sample) -> Verdict:
    """Share of Chinese characters among all letters, tags and option letters aside; 0 for a text without letters."""
    text = folded(sample.completion)
    short = _IDEOGRAPHS.sub("一", text)  # one stays of each run, for what is a word of its own beside it
    rest, usual = Counter(_TAGS.sub(" ", short)), len(text) - len(short)
    kinds = "".join(rest)  # each character once
    letters, chinese = (usual + sum(rest[one] for one in kind.findall(kinds)) for kind in (_LETTER, _CHINESE))
    if not letters:
        return Verdict(0.0, reason="no letters")
    share = chinese / letters
    return Verdict(share, reason="" if share > 0.9 else f"{share:.0%} Chinese")
