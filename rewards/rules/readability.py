"""Readability (an aim of LexPro-1.0's GRPO stage; its formula was not published, this one is ours)."""

import re

import regex

from rewards.parsing import folded
from rewards.registry import reward
from rewards.verdict import Sample, Verdict

_SENTENCE = regex.compile(r"[^。！？!?;；\n]+")
_IDEOGRAPHS = re.compile("[一-龥]+")
_READABLE = regex.compile(r"[\p{L}\p{N}\p{P}\p{Sm}\p{Sc}\s]")
SENTENCE = (4, 80)
"""Characters of a readable sentence, from and to."""
LONGEST_RUN = 1200
"""Characters after which a text needs a new line."""


@reward("readability")
def readability(sample: Sample) -> Verdict:
    """Mean of three shares: sentences of readable length, characters that are not symbols or junk, and the part of the
    text that is broken into paragraphs of at most 1,200 characters. 0 for an empty text."""
    text = folded(sample.completion).strip()
    sentences = [found for found in (s.strip() for s in _SENTENCE.findall(text)) if found]
    if not sentences:
        return Verdict(0.0, reason="no sentence")
    total = sum(map(len, sentences))
    fit = sum(len(s) for s in sentences if SENTENCE[0] <= len(s) <= SENTENCE[1]) / total
    rest = _IDEOGRAPHS.sub("", text)  # most of a Chinese text, and all of it readable
    clean = (len(text) - len(rest) + len(_READABLE.findall(rest))) / len(text)
    broken = sum(min(len(line), LONGEST_RUN) for line in text.splitlines()) / len(text.replace("\n", ""))
    named = (("sentence lengths", fit), ("clean characters", clean), ("paragraphs", broken))
    worst = min(named, key=lambda pair: pair[1])
    return Verdict((fit + clean + broken) / 3, reason="" if worst[1] > 0.8 else f"{worst[0]}: {worst[1]:.0%}")
