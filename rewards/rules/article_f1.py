"""Articles: F1 of the cited set, exact (LawBench 3-1) or soft (LegalOne's statute application, ROUGE above 0.5)."""

import json

import regex

from rewards.parsing import ArticleRef, article_refs, final_answer, normalised
from rewards.registry import reward
from rewards.rules.rouge import lcs_f1
from rewards.sets import difference, f1
from rewards.statute_check import article_of
from rewards.verdict import Sample, Verdict

_NUMBER = regex.compile(r"\d{1,4}")
_NUMBERS = regex.compile(r"\d{1,4}(?:\s?[、,，;；和\s]\s?\d{1,4}){0,50}[。.]?")
SOFT = 0.5
"""ROUGE-L above which two provisions count as the same."""
MOST = 50
"""Provisions of an answer that are compared; more are counted against its precision all the same."""


def wanted_refs(sample: Sample) -> list[ArticleRef]:
    """The reference's articles; bare numbers (264 or [264, 266]) are article numbers.

    Raises:
        ValueError: if it names none.
    """
    found: list[ArticleRef] = []
    for entry in sample.references():
        found += _cited(entry.strip())
    if not found:
        raise ValueError(f"the reference {sample.reference[:60]!r} names no article")
    return found


def _cited(answer: str) -> list[ArticleRef]:
    """The articles of an answer, which may be bare numbers (264、266)."""
    if _NUMBERS.fullmatch(answer):
        return [ArticleRef(None, int(number)) for number in _NUMBER.findall(answer)]
    return article_refs(answer)


def same_article(left: ArticleRef, right: ArticleRef) -> bool:
    """Whether two references name the same article. Where one names no law, the number decides."""
    return left.key == right.key and (left.law is None or right.law is None or left.law == right.law)


def _distinct(refs: list[ArticleRef]) -> list[ArticleRef]:
    return list({(ref.law, ref.key): ref for ref in reversed(refs)}.values())[::-1]


@reward("article_f1")
def article_f1(sample: Sample) -> Verdict:
    """F1 of the set of articles in the answer. Paragraphs and items are not compared."""
    wanted = _distinct(wanted_refs(sample))
    answer = final_answer(sample.completion)
    if answer is None:
        return Verdict(0.0, reason="no answer")
    cited = _distinct(_cited(answer))
    right = sum(any(same_article(ref, other) for other in cited) for ref in wanted)
    return Verdict(f1(right, len(cited), len(wanted)), reason=difference(_names(cited), _names(wanted)))


def _names(refs: list[ArticleRef]) -> list[str]:
    return [ref.place for ref in refs]


@reward("article_soft_f1")
def article_soft_f1(sample: Sample) -> Verdict:
    """F1 of the provisions in the answer; a provision counts if it names a wanted article, or, where one side names
    none, if its text agrees with a wanted one (ROUGE-L over characters above 0.5). Each wanted one is matched once."""
    wanted = _provisions(sample.references())
    if not wanted:
        raise ValueError("the reference holds no provision")
    answer = final_answer(sample.completion)
    if answer is None:
        return Verdict(0.0, reason="no answer")
    given = _provisions(_entries(answer))
    right, left = 0, list(wanted)
    for provision in given[:MOST]:
        match = next((other for other in left if _match(provision, other)), None)
        if match is not None:
            left.remove(match)
            right += 1
    return Verdict(f1(right, len(given), len(wanted)), reason="" if not left else f"{len(left)} provisions not found")


def _entries(answer: str) -> list[str]:
    try:
        found = json.loads(answer)
    except ValueError:
        return answer.splitlines()
    return [str(entry) for entry in found] if isinstance(found, list) else [answer]


def _provisions(entries: list[str]) -> list[tuple[ArticleRef | None, str]]:
    """(reference, text) of every provision; the text of a bare reference is that of the article in force."""
    found: list[tuple[ArticleRef | None, str]] = []
    for entry in entries:
        plain = entry.strip()
        refs = _distinct(_cited(plain))
        if refs:
            found += [(ref, _text(ref)) for ref in refs]
        elif plain:
            found.append((None, normalised(plain)))
    return found


def _text(ref: ArticleRef) -> str:
    if ref.quote is not None:
        return normalised(ref.quote)
    article = article_of(ref)
    return normalised(article.text) if article else ""


def _match(left: tuple[ArticleRef | None, str], right: tuple[ArticleRef | None, str]) -> bool:
    if left[0] is not None and right[0] is not None:
        return same_article(left[0], right[0])
    return bool(left[1] and right[1]) and lcs_f1(left[1][:1000], right[1][:1000]) > SOFT
