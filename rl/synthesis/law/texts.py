"""Questions about any law: where a text stands, what an article says, its numbers, when a law began and ended."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from curricula.statutes import Article
from rl.synthesis.law.question import NUMERAL, Law, LawQuestion, place, sentences

LONGEST = 400
"""Characters of an article that a question shows."""
RECITED = 200
"""Characters of an article that is to be recited."""
SENTENCE = (12, 90)
"""Length of a sentence that is shown (characters)."""
_COUNTED = re.compile(
    rf"(?<![第前后之月百千万十一二三四五六七八九每〇])(?P<number>{NUMERAL})(?=个月|个工作日|年以|年的|年内|年，|年$|日以|日内|日前|日的|周岁|人以|倍以|元以)"
)
"""A number that a rule turns on."""
_DATE = re.compile(r"自(\d{4}年\d{1,2}月\d{1,2}日)起(?:施行|生效|实施)")
_TITLE = re.compile(r"《([^《》]+)》")
_OTHERS = ("一", "二", "三", "五", "六", "七", "十", "十五", "二十", "三十", "六十")


def where(article: Article, law: Law, rng: random.Random) -> LawQuestion | None:
    """The place of a text that stands in one article alone."""
    if not SENTENCE[0] <= len(article.text) <= LONGEST or not law.once(article.text) or article.short in article.text:
        return None
    question = f"下面的规定出自哪部法律的第几条？\n\n{article.text}"
    said = f"{article.short}{article.number}"
    return LawQuestion(question, f"这是{place(article)}的规定。", said, "article")


def content(article: Article, law: Law, rng: random.Random) -> LawQuestion | None:
    """The text of an article."""
    if len(article.text) > RECITED:
        return None
    return LawQuestion(
        f"{place(article)}是怎样规定的？请写出条文。", f"问的是{place(article)}的条文。", article.text, "text"
    )


def which_law(article: Article, law: Law, rng: random.Random) -> LawQuestion | None:
    """The law of a sentence that stands in no other."""
    fitting = [
        one for one in sentences(article.text) if SENTENCE[0] <= len(one) <= SENTENCE[1] and article.short not in one
    ]
    said = rng.choice(fitting) if fitting else ""
    if not said or not law.only_in(said, article.law):
        return None
    return LawQuestion(f"“{said}”这句话出自哪部法律？", f"这句话在{place(article)}中。", article.short, "text")


def number(article: Article, law: Law, rng: random.Random) -> LawQuestion | None:
    """The number that a sentence of an article lacks."""
    fitting = list(_gaps(article))
    if not fitting:
        return None
    before, said, after = rng.choice(fitting)
    question = f"{place(article)}规定：“{before}____{after}”。横线处应填什么数？"
    return LawQuestion(question, f"条文写的是“{before}{said}{after}”。", said, "text")


def statement(article: Article, law: Law, rng: random.Random) -> LawQuestion | None:
    """Whether a sentence is that of the article; in half of the questions one number is another."""
    fitting = list(_gaps(article))
    if not fitting:
        return None
    before, said, after = rng.choice(fitting)
    shown = said if rng.random() < 0.5 else rng.choice([one for one in _OTHERS if one != said])
    quoted, real = f"{before}{shown}{after}", f"{before}{said}{after}"
    if shown != said and quoted in article.text:
        return None
    question = f"{place(article)}规定：“{quoted}”。这句话与条文一致吗？只答“一致”或者“不一致”。"
    seen = f"条文写的是“{real}”，" + ("两者相同。" if shown == said else f"是“{said}”，不是“{shown}”。")
    return LawQuestion(question, seen, "一致" if shown == said else "不一致", "text")


def _gaps(article: Article) -> Iterator[tuple[str, str, str]]:
    """(before, number, after) of the numbers of an article whose sentence, the number aside, stands in it once."""
    for sentence in sentences(article.text):
        if not SENTENCE[0] <= len(sentence) <= SENTENCE[1]:
            continue
        for found in _COUNTED.finditer(sentence):
            before, after = sentence[: found.start()], sentence[found.end() :]
            alike = re.findall(f"{re.escape(before)}{NUMERAL}{re.escape(after)}", article.text)
            if len(alike) == 1:
                yield before, found["number"], after


def effective(article: Article, law: Law, rng: random.Random) -> LawQuestion | None:
    """The day from which a law is law, as it says itself."""
    found = re.search(rf"^本法{_DATE.pattern}", article.text, re.MULTILINE)
    if found is None:
        return None
    question = f"根据{place(article)}，《{article.short}》自何时起施行？"
    return LawQuestion(question, f"条文写的是“{found[0]}”。", found[1], "text")


def repealed(article: Article, law: Law, rng: random.Random) -> LawQuestion | None:
    """The day on which a later law repealed another."""
    day = _DATE.search(article.text)
    clauses = re.findall(r"[^。\n]*同时废止", article.text)
    titles = [title for clause in clauses for title in _TITLE.findall(clause)] if day else []
    fitting = []
    for title in titles:
        standing = law.statutes.standing(title)
        if standing is not None and standing.status == "repealed" and title not in (article.law, article.short):
            fitting.append(title)
    if day is None or not fitting:
        return None
    title = rng.choice(fitting)
    question = f"根据{place(article)}，《{title}》自何时起废止？"
    return LawQuestion(
        question, f"该条规定，《{article.short}》自{day[1]}起施行，《{title}》同时废止。", day[1], "text"
    )
