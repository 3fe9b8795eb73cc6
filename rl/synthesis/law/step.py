"""The articles of laws as records, and the step that asks about them."""

from __future__ import annotations

import hashlib
import random
from collections import Counter

from curricula.errors import DataError
from curricula.statutes import load_statutes
from rl.config.law_steps import LawQuestionsStep
from rl.errors import UserError
from rl.seeds import stable_seed
from rl.synthesis.documents import DIGITS
from rl.synthesis.law import crimes, texts
from rl.synthesis.law.question import Law, Maker, place
from rl.synthesis.records import Dropped, Fields, Outcome, Record
from rl.synthesis.step import Context

ALL = "all"
"""The input that names every law."""
OF_ANY_LAW: dict[str, Maker] = {
    "where": texts.where, "content": texts.content, "which_law": texts.which_law, "number": texts.number,
    "statement": texts.statement, "effective": texts.effective, "repealed": texts.repealed,
}  # fmt: skip
MAKERS: dict[str, Maker] = OF_ANY_LAW | {
    "charge": crimes.charge, "crime": crimes.crime, "penalty": crimes.penalty, "months": crimes.months,
    "limitation": crimes.limitation,
}  # fmt: skip
"""What makes a question of each kind."""


def read_laws(names: str, limit: int | None = None) -> list[Outcome]:
    """A record for each article of laws in force: ``all``, or names with 、 between them.

    Raises:
        UserError: if no such law is in force.
        DataError: if the statute package is missing.
    """
    statutes = load_statutes()
    law = Law(statutes)
    try:
        chosen = law.names if names == ALL else tuple(statutes.articles(name)[0].law for name in names.split("、"))
    except (DataError, IndexError) as error:
        raise UserError(f"input={names}: {error}; name laws in force with 、 between them, or {ALL}") from None
    found: list[Outcome] = []
    for article in (article for name in dict.fromkeys(chosen) for article in statutes.articles(name)):
        fields: Fields = {"source": place(article), "text": article.text, "law": article.law, "number": article.number}
        name = hashlib.sha256(f"{place(article)}\n{article.text}".encode()).hexdigest()[:DIGITS]
        found.append(Outcome(name, "kept", fields, made=(Record(name, fields, ({"step": "read"},)),)))
    return found[:limit]


class LawQuestions:
    """Questions about each article. Kinds are balanced: an article gets those that have the fewest so far."""

    name = "law_questions"
    in_order = True

    def __init__(self, options: LawQuestionsStep, context: Context) -> None:
        self.options, self.seed = options, context.seed
        self.of_kind: Counter[str] = Counter()
        self.of_law: Counter[tuple[str, str]] = Counter()
        self.asked: set[bytes] = set()
        self.law: Law | None = None

    def run(self, record: Record) -> list[Fields]:
        fields = record.fields
        self.law = self.law or Law(load_statutes())
        article = self.law.statutes.find(fields["law"], fields["number"])
        rng = random.Random(stable_seed(self.seed, self.name, record.id))
        found: list[Fields] = []
        full = [kind for kind in self.options.kinds if self._full(kind, fields["law"])]
        for kind in sorted(set(self.options.kinds) - set(full), key=lambda kind: (self.of_kind[kind], kind)):
            if article is None or len(found) == self.options.per_article:
                break
            made = MAKERS[kind](article, self.law, rng)
            digest = hashlib.blake2b((made.question if made else "").encode(), digest_size=16).digest()
            if made is None or digest in self.asked:
                continue
            self.asked.add(digest)
            self.of_kind[kind] += 1
            self.of_law[kind, article.law] += 1
            found.append(
                {
                    "scenario": kind, "question": made.question,
                    "reference": made.answer, "answer_kind": made.answer_kind,
                    "chain": {"reasoning": made.reasoning, "answer": made.answer},
                }
            )  # fmt: skip
        if not found:
            raise Dropped("enough of its kinds" if full else "no question fits", fields["source"])
        return found

    def _full(self, kind: str, law: str) -> bool:
        enough_of_law = kind in OF_ANY_LAW and self.of_law[kind, law] >= self.options.per_law
        return enough_of_law or self.of_kind[kind] >= self.options.per_kind
