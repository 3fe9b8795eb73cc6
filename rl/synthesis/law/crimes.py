"""Questions about the Criminal Law: charges, punishments, terms in months, limitation of prosecution."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from curricula.numerals import to_int
from curricula.statutes import Article
from curricula.tasks.limitation import period_of
from rewards.parsing.charge_names import charges_in_force
from rl.synthesis.law.question import NUMERAL, Law, LawQuestion, place

CRIMINAL_LAW = "刑法"
SPECIAL_PART = range(102, 452)
"""Articles that define crimes."""
LONGEST_TERM = 15
"""Years of a term of imprisonment without a stated end (article 45)."""
LIMITATION = "第八十七条"
_PUNISHED = re.compile(
    r"(?:^|[；。])(?P<when>[^；。：\n]{4,120}的)，处(?P<what>[^；。：\n]{3,80})(?=[；。])", re.MULTILINE
)
_TERM = re.compile(rf"(?:(?P<least>{NUMERAL})年以上)?(?P<most>{NUMERAL})年以下有期徒刑")
_OPEN = re.compile(rf"{NUMERAL}年以上有期徒刑")
_BRACKETS = str.maketrans("()", "（）")
_INSERTED = re.compile(r"(\d+)(?:之(.+))?")


def charge(article: Article, law: Law, rng: random.Random) -> LawQuestion | None:
    """The article of a charge all of whose characters stand in the article."""
    fitting = _charges(article)
    if not fitting:
        return None
    name = rng.choice(fitting)
    question = f"《刑法》第几条规定了{name}罪？"
    return LawQuestion(question, f"{name}罪规定在{place(article)}。", f"{CRIMINAL_LAW}{article.number}", "article")


def crime(article: Article, law: Law, rng: random.Random) -> LawQuestion | None:
    """The charge of an article that defines one alone."""
    names = _by_article().get(article.key, []) if article.short == CRIMINAL_LAW else []
    defined = article.text.split("\n")[0]
    if len(names) != 1 or _charges(article) != names or f"{names[0]}罪" in defined:
        return None
    question = f"下面的条文规定的是哪个罪名？\n\n{defined}"
    return LawQuestion(question, f"这是{place(article)}规定的罪状。", f"{names[0]}罪", "charge")


def penalty(article: Article, law: Law, rng: random.Random) -> LawQuestion | None:
    """The punishment for what an article describes."""
    found = _drawn(article, rng, lambda what: True)
    if found is None:
        return None
    when, what = found
    return LawQuestion(f"依照{place(article)}，{when}，处什么刑罚？", f"条文写的是“{when}，处{what}”。", what, "text")


def months(article: Article, law: Law, rng: random.Random) -> LawQuestion | None:
    """The longest term of a punishment, in months."""
    found = _drawn(article, rng, lambda what: len(_TERM.findall(what)) == 1 and not _OPEN.search(_TERM.sub("", what)))
    if found is None:
        return None
    when, what = found
    years = to_int(_TERM.search(what)["most"])  # type: ignore[index]  # just one was found
    question = f"依照{place(article)}，{when}，可以判处的有期徒刑最高为多少个月？"
    return LawQuestion(
        question, f"条文写的是“{when}，处{what}”。12×{years}={12 * years}。", f"{12 * years}个月", "number"
    )


def limitation(article: Article, law: Law, rng: random.Random) -> LawQuestion | None:
    """The period of limitation for a punishment (article 87)."""
    if law.statutes.find(CRIMINAL_LAW, LIMITATION) is None:
        return None
    found = _drawn(article, rng, lambda what: heaviest(what) is not None)
    if found is None:
        return None
    when, what = found
    most = heaviest(what)
    assert most is not None
    years = period_of(most)
    range_ = f"{place(article)}中“{when}”的量刑幅度，即“{what}”"
    question = f"某人的犯罪应当适用{range_}。依照《刑法》{LIMITATION}，经过多少年不再追诉？"
    reasoning = f"这一幅度的最高刑是{most}{'有期徒刑' if most[0].isdigit() else ''}，按第八十七条，期限是{years}年。"
    return LawQuestion(question, reasoning, f"{years}年", "number")


def heaviest(what: str) -> str | None:
    """The heaviest of alternative punishments in the words of ``curricula.tasks.limitation``; None if not clear."""
    for name in ("死刑", "无期徒刑"):
        if name in what:
            return name
    closed = [to_int(one["most"]) for one in _TERM.finditer(what)]
    if _OPEN.search(_TERM.sub("", what)):
        closed.append(LONGEST_TERM)
    if closed:
        return f"{max(closed)}年" if 1 <= max(closed) <= LONGEST_TERM else None
    return next((name for name in ("拘役", "管制") if name in what), None) if "有期徒刑" not in what else None


def _drawn(article: Article, rng: random.Random, fits: Callable[[str], bool]) -> tuple[str, str] | None:
    fitting = [one for one in punishments(article) if fits(one[1])]
    return rng.choice(fitting) if fitting else None


def punishments(article: Article) -> Iterator[tuple[str, str]]:
    """(condition, punishment) of an article of the special part, each condition that stands in it once."""
    if article.short != CRIMINAL_LAW or article.key[0] not in SPECIAL_PART:
        return
    for found in _PUNISHED.finditer(article.text):
        when = found["when"]
        if article.text.count(f"{when}，") == 1 and not re.search("前款|前两款|本款|上述|下列", when):
            yield when, found["what"]


def _charges(article: Article) -> list[str]:
    if article.short != CRIMINAL_LAW:
        return []
    return [name for name in _by_article().get(article.key, []) if set(name) - set("、（）") <= set(article.text)]


@lru_cache(maxsize=1)
def _by_article() -> dict[tuple[int, int], list[str]]:
    """Names of the charges in force by article."""
    found: dict[tuple[int, int], list[str]] = {}
    for name, written in charges_in_force().items():
        match = _INSERTED.fullmatch(written)
        assert match is not None, written
        key = int(match[1]), to_int(match[2]) if match[2] else 0
        found.setdefault(key, []).append(name.translate(_BRACKETS))
    return found
