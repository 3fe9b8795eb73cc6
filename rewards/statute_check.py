"""Citations against the statutes of a day: is the law in force, does the article exist, is the quotation its text.

A citation is right, wrong or not known. Not known is what the statutes do not hold: interpretations, regulations, local
and foreign law, a text of another day. Everything that judges citations (rewards, ``verify``, the web page) asks here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from rapidfuzz.distance import LCSseq, Levenshtein
from rapidfuzz.fuzz import partial_ratio_alignment

from curricula.statutes import Article, Statutes, is_bill, lacks, load_statutes, may_exist
from rewards.parsing import ArticleRef, article_refs, normalised

CLOSE = 0.9
"""A quotation counts as an article's text if this share of its characters stands there, in order."""
MOST = 40
"""Distinct citations that are looked up."""

_DECISIVE = frozenset("零一二三四五六七八九十百千万半两年月日倍应当可不无有未非得须必禁或且和并上下内外前后除仅只但")
"""Characters whose change turns a quotation into another rule."""

Fault = Literal[
    "", "unknown law", "not in force", "unknown article", "unknown part", "replaced", "other article", "inexact",
    "not known",
]  # fmt: skip
"""What is wrong; ``not known`` neither faults nor confirms a citation."""
Outcome = Literal["right", "wrong", "unknown"]


@dataclass(frozen=True)
class Checked:
    """A citation and what is wrong with it."""

    ref: ArticleRef
    fault: Fault
    reason: str = ""

    @property
    def outcome(self) -> Outcome:
        """Right, wrong or unknown."""
        return "unknown" if self.fault == "not known" else "wrong" if self.fault else "right"


def distinct(text: str) -> list[ArticleRef]:
    """The distinct citations of a text, in order: by law, article and quotation. One with a quotation stands for the
    same without, and one that names a missing paragraph or item for the same that does not."""
    found: dict[tuple[object, ...], ArticleRef] = {}
    for ref in article_refs(text):
        key = (ref.law, ref.edition, ref.key, ref.quote)
        if key not in found or not missing_part(found[key]):
            found[key] = ref
    quoted = {(ref.law, ref.key) for ref in found.values() if ref.quote}
    return [ref for ref in found.values() if ref.quote or (ref.law, ref.key) not in quoted or missing_part(ref)]


def check_citations(text: str) -> list[Checked]:
    """Every distinct citation of a text that names its law, checked. A number without a law can't be looked up."""
    return [check(ref) for ref in [ref for ref in distinct(text) if ref.law is not None][:MOST]]


def known(checked: Sequence[Checked]) -> list[Checked]:
    """The citations that are right or wrong, without those that are not known."""
    return [found for found in checked if found.outcome != "unknown"]


def check(ref: ArticleRef) -> Checked:
    """One citation against the statutes."""
    statutes, law = load_statutes(), ref.law or ""
    standing = statutes.standing(ref.title)
    if standing is None:
        if may_exist(law) or (is_bill(law) and statutes.as_of > statutes.snapshot):
            return Checked(ref, "not known", f"the statutes do not hold {law or 'a law without a name'}")
        if meant := statutes.shortened(law):
            return Checked(ref, "not known", f"no law in force is named {law}; {meant} may be meant")
        return Checked(ref, "unknown law", f"no law in force is named {law}")
    if standing.status == "unknown":
        return Checked(ref, "not known", standing.reason)
    if standing.status != "in force":
        return Checked(ref, "not in force", standing.reason)
    article = statutes.find(law, ref.place)
    if article is None:
        if statutes.unknown(law, ref.place):
            return Checked(
                ref, "not known", f"the text of {standing.title} {ref.place} on {statutes.as_of} is not held"
            )
        return Checked(ref, "unknown article", f"{standing.title} has no {ref.place}")
    if missing := missing_part(ref):
        return Checked(ref, "unknown part", f"{standing.title} {ref.place} has no {missing}")
    if ref.quote is None:
        return Checked(ref, "")
    return _check_quote(ref, ref.quote, article, statutes)


def _check_quote(ref: ArticleRef, quote: str, article: Article, statutes: Statutes) -> Checked:
    place = f"{article.law} {ref.place}"
    if quotes(quote, article.text):
        if _still_law(quote, article, statutes):
            return Checked(ref, "")
        return Checked(ref, "replaced", f"what {place} says was replaced by a later amendment")
    if any(quotes(quote, text) for text in statutes.former(article.law, article.number)):
        by = statutes.changed(article.law, article.number)
        since = f", replaced on {by.effective} by {by.title}" if by else ""
        return Checked(ref, "replaced", f"the quotation of {place} is not its text on {statutes.as_of}{since}")
    wanted = normalised(quote)
    other = next((number for number, body in _texts(statutes, article.law) if wanted in body), None)
    # where it is clear what was meant, a rule elsewhere may have the same words
    if other is not None and _near(wanted, _body(article.text)) is None:
        return Checked(ref, "other article", f"the quotation of {place} is the text of {other}")
    return Checked(ref, "inexact", f"the quotation of {place} is inexact")


def _still_law(quote: str, article: Article, statutes: Statutes) -> bool:
    """Whether what is quoted from an amendment stands in the articles that it changed, or in exactly one article, as
    the numbers may have changed since. What is not an amendment is law itself."""
    targets = statutes.targets(article)
    if targets is None:
        return True
    law, texts = targets
    wanted = normalised(quote)
    return any(quotes(quote, text) for text in texts) or sum(wanted in body for _, body in _texts(statutes, law)) == 1


def missing_part(ref: ArticleRef) -> str:
    """The paragraph or item that a citation names and the article lacks; empty if there is none."""
    if ref.paragraph is None and ref.item is None:
        return ""
    article = article_of(ref)
    return lacks(article, ref.paragraph, ref.item) if article else ""


def article_of(ref: ArticleRef) -> Article | None:
    """The article in force that a reference names; None if it names no law, or one that has no such article."""
    return load_statutes().find(ref.law, ref.place) if ref.law else None


def law_in_force(name: str) -> str | None:
    """Official name of the law in force that a citation names; None if there is none."""
    return load_statutes().resolve_law(name)


@lru_cache(maxsize=512)
def _texts(statutes: Statutes, law: str) -> tuple[tuple[str, str], ...]:
    return tuple((article.number, normalised(article.text)) for article in statutes.articles(law))


def quotes(quote: str, text: str) -> bool:
    """Whether a quotation is a passage of a text, up to punctuation, marks of omission and a slip or two."""
    body = _body(text)
    for piece in quote.replace("…", "\n").split("\n"):
        wanted = normalised(piece)
        if not wanted or wanted in body:
            continue
        passage = _near(wanted, body)
        if passage is None or _changes_meaning(wanted, passage):
            return False
    return True


@lru_cache(maxsize=4_096)
def _body(text: str) -> str:
    """The text of an article for comparison."""
    return normalised(text)


def _near(wanted: str, body: str) -> str | None:
    """The passage of a text that a quotation is nearest to, if ``CLOSE`` of its characters stand there, in order."""
    if LCSseq.similarity(wanted, body) / max(1, len(wanted)) < CLOSE:
        return None  # nor in any passage of it; that is a hundred times cheaper to see
    passage = _window(wanted, body)
    return passage if LCSseq.similarity(wanted, passage) / max(1, len(wanted)) >= CLOSE else None


def _changes_meaning(wanted: str, passage: str) -> bool:
    """Whether two passages differ in characters that make law: numbers, 应当 and 可以, 以上 and 以下, 不, 无, 或 …"""
    edits = [edit for edit in Levenshtein.opcodes(wanted, passage) if edit.tag != "equal"]
    inner = [edit for edit in edits if not (edit.tag == "insert" and edit.src_start in (0, len(wanted)))]
    changed = "".join(wanted[e.src_start : e.src_end] + passage[e.dest_start : e.dest_end] for e in inner)
    return any(character in _DECISIVE or character.isdigit() for character in changed)


def _window(wanted: str, body: str) -> str:
    """The passage of a text that a quotation is nearest to, a little longer than it."""
    found = partial_ratio_alignment(wanted, body)
    return body if found is None else body[max(0, found.dest_start - 3) : found.dest_end + 3]
