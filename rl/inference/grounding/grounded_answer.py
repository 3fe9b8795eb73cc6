"""Prompts that contain the articles that may apply, and answers whose citations are checked (LexPro-1.0 grounds its
answers in retrieved statutes)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from curricula.statutes import law_read
from rewards.parsing import ArticleRef
from rewards.statute_check import MOST, Outcome, article_of, check, distinct, quotes
from rl.errors import UserError
from rl.inference.backend import Answer, Ask, Backend, Messages
from rl.inference.model_options import Sampling
from rl.retrieval.passages import Passage
from rl.retrieval.retriever import Retriever

SYSTEM = (
    "你是法律助手。依据下列法条回答问题；引用时写明法律名称和条号，例如《民法典》第五百七十七条；"
    "引号内的文字须与法条原文一致。所列法条不足以回答的，请如实说明。"
)
GREEDY = Sampling()


@dataclass(frozen=True)
class Grounded:
    """A question with the articles that its prompt holds."""

    messages: Messages
    articles: tuple[Passage, ...]
    left_out: tuple[Passage, ...]
    """Articles that did not fit into the budget, best first."""


def ground(
    question: str, passages: Sequence[Passage], budget: int, count: Callable[[Messages], int], system: str = SYSTEM
) -> Grounded:
    """The prompt of a question with as many of the articles, best first, as ``budget`` tokens hold.

    An article is given whole or not at all. If one does not fit, a shorter one after it may.

    Raises:
        UserError: if the question alone is over the budget.
    """
    kept: list[Passage] = []
    left_out: list[Passage] = []
    messages = _prompt(question, kept, system)
    alone = count(messages)
    if alone > budget:
        raise UserError(
            f"the question {question[:20]!r} alone has {alone} tokens, over --budget={budget}; shorten it, or raise "
            f"the budget if the model has the room"
        )
    for passage in passages:
        longer = _prompt(question, [*kept, passage], system)
        if count(longer) <= budget:
            messages = longer
            kept.append(passage)
        else:
            left_out.append(passage)
    return Grounded(messages, tuple(kept), tuple(left_out))


def _prompt(question: str, passages: Sequence[Passage], system: str) -> Messages:
    listed = "\n\n".join(f"{passage.place}\n{passage.text}" for passage in passages)
    asked = f"法条：\n{listed}\n\n问题：{question}" if passages else f"问题：{question}"
    return ("system", system), ("user", asked)


@dataclass(frozen=True)
class Citation:
    """A citation of an answer, checked."""

    law: str | None
    """The law in the answer, abbreviations written out; None where it names none."""
    article: str
    """第264条."""
    in_force: bool | None
    """Whether the law is in force; None where that is unknown: no law is named, or the law is not in the database."""
    exists: bool | None
    """Whether the law has the article, and the article the paragraph and item; None as above."""
    quote_matches: bool | None
    """Whether the quotation is in the article's text; None without a quotation or an article."""
    retrieved: bool
    """Whether the article was in the prompt."""
    verdict: Outcome
    """``right``, ``wrong`` or ``unknown``, as in the rewards. A given article is checked against its given text."""
    reason: str
    """In words what is wrong, or why nothing is known; empty where it is right."""

    @property
    def holds(self) -> bool:
        """Whether law and article exist and what is quoted is the text."""
        return self.verdict == "right"


def verify(answer: str, given: Sequence[Passage]) -> list[Citation]:
    """Every distinct citation of an answer, in order, checked against the statutes in force and the given articles.

    Given articles are checked by their given text too, so that corpora other than the statutes can be cited.
    """
    places = {passage.key: passage for passage in given}
    return [_verified(ref, places) for ref in distinct(answer)[:MOST]]


def _verified(ref: ArticleRef, given: dict[tuple[str, tuple[int, int]], Passage]) -> Citation:
    own, article = given.get((ref.law or "", ref.key)), article_of(ref)
    if article is not None:
        own = given.get((article.short, article.key), own)
    elif own is not None:  # of a corpus other than the statutes
        matches = None if ref.quote is None else quotes(ref.quote, own.text)
        reason = f"the quotation of {own.place} is inexact" if matches is False else ""
        return Citation(ref.law, ref.place, True, True, matches, True, "wrong" if reason else "right", reason)
    if ref.law is None:
        return Citation(None, ref.place, None, None, None, False, "unknown", "")
    found = check(ref)
    if found.outcome == "unknown":
        return Citation(ref.law, ref.place, None, None, None, own is not None, "unknown", found.reason)
    in_force = found.fault not in ("unknown law", "not in force")
    exists = in_force and found.fault not in ("unknown article", "unknown part")
    matches = None if ref.quote is None or not exists else not found.fault
    return Citation(ref.law, ref.place, in_force, exists, matches, own is not None, found.outcome, found.reason)


def record(question: str, grounded: Grounded, answer: Answer) -> dict[str, Any]:
    """One answered question as JSON values."""
    citations = verify(answer.text, grounded.articles)
    return {
        "question": question,
        **law_read(),
        "articles": [passage.place for passage in grounded.articles],
        "left_out": [passage.place for passage in grounded.left_out],
        "thinking": answer.thinking,
        "answer": answer.text,
        "truncated": answer.truncated,
        "citations": [asdict(citation) | {"holds": citation.holds} for citation in citations],
    }


def answer(
    questions: Sequence[str],
    retriever: Retriever,
    backend: Backend,
    done: Callable[[int, dict[str, Any]], None],
    k: int = 5,
    budget: int = 3_000,
    laws: Sequence[str] = (),
    sampling: Sampling = GREEDY,
) -> None:
    """Answer questions from retrieved articles; ``done`` gets the place of a question and its :func:`record`, or
    ``{"question", "error"}`` for one that is over the budget without articles and is not asked.

    Raises:
        UserError: for an unknown law, or if the backend fails.
    """
    found: dict[str, Grounded] = {}
    asks = []
    for place, question in enumerate(questions):
        hits = retriever.search(question, k, laws)
        key = f"questions/{place}"
        try:
            found[key] = ground(question, [hit.passage for hit in hits], budget, backend.count_tokens)
        except UserError as error:
            done(place, {"question": question, "error": str(error)})
            continue
        asks.append(
            Ask(
                key, found[key].messages, 1, sampling.temperature, sampling.max_tokens, sampling.top_p, sampling.seed
            )
        )  # fmt: skip

    def answered(ask: Ask, answers: list[Answer]) -> None:
        place = int(ask.key.partition("/")[2])
        done(place, record(questions[place], found[ask.key], answers[0]))

    if asks:
        backend.generate(asks, answered)
