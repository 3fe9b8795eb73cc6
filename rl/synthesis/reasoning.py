"""LEAD 2, agentic synthesis: facts, issues, rules, deduction, conclusion. Each step sees its part of the protocol."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rewards.parsing import charges_in_force, present_name
from rl.config.synthesis import ConcludeStep, DeduceStep, FindFactsStep, IssuesStep, RetrieveStep
from rl.retrieval.passages import statute_passages
from rl.synthesis.conclusions import found_charges
from rl.synthesis.knowledge import protocol, protocol_version, scenario
from rl.synthesis.prompts import Asked, lists_schema, shown, texts_schema
from rl.synthesis.records import Dropped, Fields, Record
from rl.synthesis.step import Context

if TYPE_CHECKING:
    from rl.retrieval.retriever import Retriever


class _Traced:
    """A step of the trace: the question, what it sees of the trace, and the protocol."""

    name: str
    asks: Literal["teacher"] = "teacher"
    sees: tuple[str, ...] = ()

    def asked(self, record: Record) -> Asked:
        fields = record.fields
        texts = {"question": fields["question"]} | {slot: shown(fields["trace"][slot]) for slot in self.sees}
        return Asked(self.name, texts, {"protocol": protocol(fields["kind"], self.name)})

    def traced(self, record: Record, **found: object) -> Fields:
        return {"trace": record.fields.get("trace", {}) | found}


class FindFacts(_Traced):
    """The facts that matter."""

    name = "find_facts"
    schema = texts_schema("facts")

    def __init__(self, options: FindFactsStep, context: Context) -> None:
        pass

    def asked(self, record: Record) -> Asked:
        fields = record.fields
        names = scenario(fields["scenario"])["material"]
        material = "\n".join(fields["sections"][name] for name in names if fields["sections"].get(name))
        words = {"protocol": protocol(fields["kind"], self.name)}
        return Asked(self.name, {"question": fields["question"], "material": material}, words)

    def read(self, record: Record, answer: Fields) -> Fields:
        return self.traced(record, protocol=protocol_version(record.fields["kind"]), facts=answer["facts"])


class Issues(_Traced):
    """The issues, and a query for each."""

    name = "issues"
    sees = ("facts",)
    schema = lists_schema("issues", "queries")

    def __init__(self, options: IssuesStep, context: Context) -> None:
        pass

    def read(self, record: Record, answer: Fields) -> Fields:
        return self.traced(record, issues=answer["issues"], queries=answer["queries"])


class Retrieve:
    """The articles that our retriever finds for the queries, in turn the best of each."""

    name = "retrieve"

    def __init__(self, options: RetrieveStep, context: Context) -> None:
        self.articles, self.cache = options.articles, context.index_cache
        self._retriever: Retriever | None = None

    def run(self, record: Record) -> Fields:
        found = self._search(record.fields["trace"]["queries"])
        if not found:
            raise Dropped("no article found", "；".join(record.fields["trace"]["queries"]))
        return {"trace": record.fields["trace"] | {"hits": found}}

    def _search(self, queries: list[str]) -> list[Fields]:
        if self._retriever is None:
            from rl.retrieval.retriever import retriever

            self._retriever = retriever(statute_passages(), "bm25", cache=self.cache)
        ranked = [(query, self._retriever.search(query, self.articles)) for query in queries]
        hits: dict[str, Fields] = {}
        for place in range(self.articles):
            for query, found in ranked:
                if place < len(found) and len(hits) < self.articles:
                    passage = found[place].passage
                    hit = {"place": passage.place, "text": passage.text, "query": query}
                    hits.setdefault(passage.place, hit | {"score": round(found[place].score, 4)})
        return list(hits.values())


class Deduce(_Traced):
    """The articles applied to the facts."""

    name = "deduce"
    sees = ("facts", "issues", "hits")
    schema = texts_schema("deduction")

    def __init__(self, options: DeduceStep, context: Context) -> None:
        pass

    def read(self, record: Record, answer: Fields) -> Fields:
        return self.traced(record, deduction=answer["deduction"])


class Conclude(_Traced):
    """The conclusion, which a prediction shares with the court."""

    name = "conclude"
    sees = ("deduction",)
    schema = texts_schema("conclusion")

    def __init__(self, options: ConcludeStep, context: Context) -> None:
        self.as_court = options.as_court

    def read(self, record: Record, answer: Fields) -> Fields:
        fields = record.fields
        decided = fields["charges"] or fields["acquitted"]
        if self.as_court and fields["scenario"] == "prediction" and decided:
            court = {present_name(name) for name in fields["charges"]}
            said = found_charges(answer["conclusion"])
            said |= {name for name in court if name in answer["conclusion"] and name not in charges_in_force()}
            if said != court:
                raise Dropped(
                    "not the court's charge", f"{'、'.join(sorted(said)) or 'none'}, not {'、'.join(sorted(court))}"
                )
        return self.traced(record, conclusion=answer["conclusion"])


def index_cache() -> Path:
    """Where the retriever keeps its index."""
    from rl.retrieval.retriever import CACHE

    return CACHE
