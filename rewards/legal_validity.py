"""Legal validity by the ``statute`` judge (Unilaw-R1's R_legal in {0, 1, 2}, divided by 2).

The judge looks at every citation of a completion: does the law exist and is it in force, does the article exist, and is
quoted text what the article says. Unilaw-R1 asks a language model for this; the rules here can be checked.
"""

import re
from dataclasses import dataclass
from difflib import SequenceMatcher

from curricula.numerals import ARTICLE, to_int
from curricula.statutes import Article, load_statutes
from rewards.parsing import LONGEST, normalised
from rewards.registry import reward
from rewards.verdict import Sample, Verdict

CLOSE = 0.9
"""Similarity from which a quotation counts as the article's text."""
LONGEST_QUOTE = 400

_LAW = re.compile(r"《([^《》\n]{2,40})》|([一-鿿]{1,20}?(?:法典|法|条例|规定|决定))(?=第)")
_QUOTE = re.compile(r"[“「]([^”」\n]{6,400})[”」]")


@dataclass(frozen=True)
class Citation:
    """A cited article, with the text quoted after it, if any."""

    law: str
    number: tuple[int, int]
    quote: str | None


def citations(text: str) -> list[Citation]:
    """Articles cited in a text. A number without a law belongs to the law named last before it."""
    text = text[-LONGEST:]
    laws = [(m.start(), m[1] or m[2]) for m in _LAW.finditer(text)]
    quotes = [(m.start(), m[1]) for m in _QUOTE.finditer(text)]
    numbers = list(ARTICLE.finditer(text))
    found = []
    for place, match in enumerate(numbers):
        law = next((name for start, name in reversed(laws) if start < match.start()), None)
        if law is None:
            continue
        end = numbers[place + 1].start() if place + 1 < len(numbers) else len(text)
        quote = next((quoted for start, quoted in quotes if match.end() <= start < end), None)
        found.append(Citation(law, (to_int(match[1]), to_int(match[2]) if match[2] else 0), quote))
    return found


def judge(text: str) -> tuple[int, str]:
    """Unilaw-R1's 0, 1 or 2 and the reason.

    2: something is cited, it exists, and every quotation is the article's text. 1: everything cited exists, but a
    quotation is inexact. 0: a law or article that does not exist or is not in force, or no citation at all, since then
    nothing could be verified.
    """
    cited = citations(text)
    if not cited:
        return 0, "no citation"
    statutes = load_statutes()
    inexact = ""
    for citation in cited:
        law = _known_law(citation.law)
        if law is None:
            return 0, f"no law in force is named {citation.law}"
        number, insertion = citation.number
        name = f"第{number}条" + (f"之{insertion}" if insertion else "")
        article = statutes.find(law, name)
        if article is None:
            return 0, f"{law} has no {name}"
        if citation.quote is not None and not quotes_exactly(citation.quote, article):
            inexact = f"the quotation of {law} {name} is inexact"
    return (1, inexact) if inexact else (2, "")


def _known_law(name: str) -> str | None:
    """The law of a citation; in running text the name may have words before it (根据刑法)."""
    statutes = load_statutes()
    tails = (name[start:] for start in range(len(name)))
    return next((law for tail in tails if (law := statutes.resolve_law(tail)) is not None), None)


def quotes_exactly(quote: str, article: Article) -> bool:
    """Whether a quotation is a passage of the article, up to punctuation at its ends and a slip or two."""
    wanted, text = normalised(quote[:LONGEST_QUOTE]), normalised(article.text)
    if wanted in text:
        return True
    match = SequenceMatcher(None, text, wanted, autojunk=False)
    return (
        sum(block.size for block in match.get_matching_blocks()) >= CLOSE * len(wanted)
        and len(wanted) <= len(text) * 1.1
    )


@reward("legal_validity", judged=True)
def legal_validity(sample: Sample) -> Verdict:
    """0, 0.5 or 1: the statute judge's 0, 1 or 2, divided by 2."""
    points, reason = judge(sample.completion)
    return Verdict(points / 2, reason=reason)
