"""Language: the share of Chinese among the letters of a completion (LegalOne drops samples that mix languages)."""

import regex

from rewards.parsing import folded
from rewards.registry import reward
from rewards.verdict import Sample, Verdict

_TAGS = regex.compile(r"</?(?:think|answer)>|\\boxed|\b[A-H]{1,8}\b")
_CHINESE = regex.compile(r"\p{Han}")
_LETTER = regex.compile(r"\p{L}")


@reward("language")
def language(sample: Sample) -> Verdict:
    """Share of Chinese characters among all letters, tags and option letters aside; 0 for a text without letters."""
    text = _TAGS.sub(" ", folded(sample.completion))
    letters, chinese = len(_LETTER.findall(text)), len(_CHINESE.findall(text))
    if not letters:
        return Verdict(0.0, reason="no letters")
    share = chinese / letters
    return Verdict(share, reason="" if share > 0.9 else f"{share:.0%} Chinese")
