"""Citations against the statute database: is the law in force, does the article exist, is the quotation its text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from rapidfuzz.distance import LCSseq, Levenshtein
from rapidfuzz.fuzz import partial_ratio_alignment

from curricula.statutes import Article, load_statutes
from rewards.parsing import ArticleRef, article_refs, normalised

CLOSE = 0.9
"""Share of a quotation's characters that stand in the article, in order, from which it counts as its text."""
MOST = 40
"""Distinct citations that are looked up."""

_DECISIVE = frozenset("零一二三四五六七八九十百千万半两年月日倍应当可不无有未非得须必禁或且和并上下内外前后除仅只但")
"""Characters whose change makes another rule of a quotation."""

Fault = Literal["", "unknown law", "unknown article", "other article", "inexact"]


@dataclass(frozen=True)
class Checked:
    """A citation and what is wrong with it."""

    ref: ArticleRef
    fault: Fault
    reason: str = ""


def check_citations(text: str) -> list[Checked]:
    """Every distinct citation of a text that names its law, checked. A number without a law can't be looked up."""
    refs = {(ref.law, ref.key, ref.quote): ref for ref in article_refs(text) if ref.law is not None}
    quoted = {(ref.law, ref.key) for ref in refs.values() if ref.quote}
    kept = [ref for ref in refs.values() if ref.quote or (ref.law, ref.key) not in quoted]
    return [check(ref) for ref in kept[:MOST]]


def check(ref: ArticleRef) -> Checked:
    """One citation against the statutes in force."""
    law = law_in_force(ref.law or "")
    if law is None:
        return Checked(ref, "unknown law", f"no law in force is named {ref.law}")
    name, article = ref.place, article_of(ref)
    if article is None:
        return Checked(ref, "unknown article", f"{law} has no {name}")
    if ref.quote is None or quotes(ref.quote, article.text):
        return Checked(ref, "")
    wanted = normalised(ref.quote)
    other = next((number for number, body in _texts(law) if wanted in body), None)
    if _likeness(wanted, normalised(article.text)) >= CLOSE:
        other = None  # what was meant is clear, though a rule elsewhere may have the very words
    if other is not None:
        return Checked(ref, "other article", f"the quotation of {law} {name} is the text of {other}")
    return Checked(ref, "inexact", f"the quotation of {law} {name} is inexact")


def article_of(ref: ArticleRef) -> Article | None:
    """The article in force that a reference names; None if it names no law, or one that has no such article."""
    law = law_in_force(ref.law) if ref.law else None
    return load_statutes().find(law, ref.place) if law else None


def law_in_force(name: str) -> str | None:
    """Official name of the law in force that a citation names; None if there is none."""
    return load_statutes().resolve_law(name) or _folded_names().get(name)


@lru_cache(maxsize=1)
def _folded_names() -> dict[str, str]:
    return {normalised(law): law for law in load_statutes().laws}  # as law names come out of folded text


@lru_cache(maxsize=512)
def _texts(law: str) -> tuple[tuple[str, str], ...]:
    return tuple((article.number, normalised(article.text)) for article in load_statutes().articles(law))


def quotes(quote: str, text: str) -> bool:
    """Whether a quotation is a passage of a text, up to punctuation, marks of omission and a slip or two."""
    body = normalised(text)
    for piece in quote.replace("…", "\n").split("\n"):
        wanted = normalised(piece)
        if not wanted or wanted in body:
            continue
        if _likeness(wanted, body) < CLOSE or _changes_meaning(wanted, _window(wanted, body)):
            return False
    return True


def _likeness(wanted: str, body: str) -> float:
    """Share of a quotation's characters that stand in the nearest passage of a text, in order."""
    return LCSseq.similarity(wanted, _window(wanted, body)) / max(1, len(wanted))


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
