"""LEAD 1, prompt collection: sections, citations, score, which questions, and the questions."""

from __future__ import annotations

import random
from typing import Any, Literal

from rewards.parsing import normalised, present_charges
from rewards.statute_check import article_of, check_citations
from rl.config.synthesis import LinkStep, MaskStep, QuestionStep, Scenario, ScenariosStep, ScoreStep, SegmentStep
from rl.inference.structuring.document import structure
from rl.seeds import stable_seed
from rl.synthesis.knowledge import perspective, scenario
from rl.synthesis.privacy.masking import Choice, mask
from rl.synthesis.prompts import Asked, points_schema, texts_schema
from rl.synthesis.records import Dropped, Fields, Record
from rl.synthesis.step import Context
from rl.synthesis.teacher_texts import LONGEST_QUESTION, require_prose, seen

SHOWN_QUERIES = 3
"""Real queries that a prompt shows."""

PASSAGE = 16
"""Characters of a ruling that give it away; shorter ones, such as names and sums, stand in the facts too."""


class MaskPersonalData:
    """The text without personal data; nothing of what was masked is kept."""

    name = "mask"

    def __init__(self, options: MaskStep, context: Context) -> None:
        self.choice = Choice(officials=options.officials, credit_codes=options.credit_codes)

    def run(self, record: Record) -> Fields:
        masked = mask(record.fields["text"], self.choice)
        return {"text": masked.text, "masked": masked.counts}


class Segment:
    """Sections and elements of a judgment, by rules."""

    name = "segment"

    def __init__(self, options: SegmentStep, context: Context) -> None:
        self.needs = options.needs

    def run(self, record: Record) -> Fields:
        text = record.fields["text"]
        document = structure(text)
        if not document["judgment"]:
            raise Dropped("no judgment", "fewer than two of title, case number, 本院认为 and 判决如下 were found")
        sections = {one["name"]: text[one["start"] : one["end"]].strip() for one in document["sections"]}
        if missing := [name for name in self.needs if not sections.get(name)]:
            raise Dropped("unknown layout", f"without {', '.join(missing)}")
        values = {name: [one["value"] for one in found] for name, found in document["elements"].items()}
        return {
            "kind": document["kind"],
            "sections": sections,
            "charges": values.get("charge", []),
            "acquitted": "acquitted" in values.get("outcome", []),
            "cause": next(iter(values.get("cause", [])), ""),
            "articles": [f"{one['law']}{one['article']}" for one in values.get("article", [])],
        }


class Link:
    """The citations of a judgment, each with the article in force that it names."""

    name = "link"

    def __init__(self, options: LinkStep, context: Context) -> None:
        pass

    def run(self, record: Record) -> Fields:
        sections = record.fields["sections"]
        checked = check_citations("\n".join(sections.get(name, "") for name in ("reasoning", "ruling")))
        links = []
        for found in checked:
            article = article_of(found.ref) if found.outcome == "right" else None
            links.append(
                {
                    "place": str(found.ref),
                    "outcome": found.outcome,
                    "reason": found.reason,
                    "text": "" if article is None else article.text,
                }
            )
        return {"links": links}


class Score:
    """Completeness and complexity of the facts."""

    name = "score"
    asks: Literal["judge"] = "judge"
    schema = points_schema(1, 5, "completeness", "complexity")

    def __init__(self, options: ScoreStep, context: Context) -> None:
        self.at_least = options.at_least

    def asked(self, record: Record) -> Asked:
        return Asked("score", {"facts": _sections(record, ("claims", "facts"))}, {})

    def read(self, record: Record, answer: Fields) -> Fields:
        for name in ("completeness", "complexity"):
            if answer[name] < self.at_least:
                raise Dropped(f"{name} below {self.at_least}", f"{answer[name]}: {answer['reason']}")
        return {"score": answer}


class Scenarios:
    """Which questions a document gets: a seeded draw of scenarios, ways and perspectives."""

    name = "scenarios"

    def __init__(self, options: ScenariosStep, context: Context) -> None:
        self.options, self.seed = options, context.seed
        self.ways = {way: weight for way, weight in options.ways.items() if way != "align" or context.queries}

    def run(self, record: Record) -> list[Fields]:
        rng = random.Random(stable_seed(self.seed, "scenarios", record.id))
        kind = record.fields["kind"]
        who = [name for name in self.options.perspectives if kind in perspective(name)["kinds"]]
        found: list[Fields] = []
        left: dict[Scenario, float] = {}
        for _ in range(self.options.questions):
            left = left or dict(self.options.mix)  # a scenario comes again only after all others
            name = rng.choices(list(left), list(left.values()))[0]
            del left[name]
            way = rng.choices(list(self.ways), list(self.ways.values()))[0] if self.ways else "distil"
            if way == "simulate" and not who:
                way = "distil"
            asker = rng.choice(who) if way == "simulate" else ""
            found.append({"scenario": name, "way": way, "perspective": asker})
        return found


class Question:
    """The question of one scenario, as the teacher writes it, and its reference where the judgment has one."""

    name = "question"
    asks: Literal["teacher"] = "teacher"
    schema = texts_schema("question")

    def __init__(self, options: QuestionStep, context: Context) -> None:
        self.min_chars, self.queries, self.seed = options.min_chars, list(context.queries), context.seed

    def asked(self, record: Record) -> Asked:
        fields = record.fields
        what = scenario(fields["scenario"])
        words = {"scenario": what["title"], "task": what["task"]}
        texts = {"material": _sections(record, what["material"])}
        if fields["way"] == "align":
            rng = random.Random(stable_seed(self.seed, "queries", record.id))
            some = rng.sample(self.queries, min(SHOWN_QUERIES, len(self.queries)))
            texts = {"examples": "\n".join(some)} | texts
        elif fields["way"] == "simulate":
            words["perspective"] = perspective(fields["perspective"])["title"]
        return Asked(f"question_{fields['way']}", texts, words)

    def read(self, record: Record, answer: Fields) -> Fields:
        question = answer["question"].strip()
        require_prose(question, LONGEST_QUESTION)
        if len(seen(question)) < self.min_chars:
            raise Dropped("question too short", question)
        if gives_away(question, record.fields):
            raise Dropped("question gives the decision away", question)
        return {"question": question} | reference(record.fields)


def gives_away(question: str, fields: Fields) -> bool:
    """Whether a question about the decision holds it: the charge as a charge, or a passage of the ruling."""
    if fields["scenario"] != "prediction":
        return False
    asked = normalised(question)
    if any(f"{name}罪" in asked for name in fields["charges"]):
        return True
    ruling = normalised(fields["sections"].get("ruling", ""))
    return any(ruling[place : place + PASSAGE] in asked for place in range(len(ruling) - PASSAGE + 1))


def reference(fields: Fields) -> dict[str, Any]:
    """The right answer that the judgment itself gives: the charges of a prediction, the articles of an application."""
    if fields["scenario"] == "prediction" and fields["charges"]:
        said = "、".join(f"{name}罪" for name in fields["charges"])
        return {"reference": said, "answer_kind": "charge"} if present_charges(said) else {}
    if fields["scenario"] == "application":
        right = [one["place"] for one in fields.get("links", []) if one["outcome"] == "right"]
        return {"reference": "、".join(right), "answer_kind": "article"} if right else {}
    return {}


def _sections(record: Record, names: tuple[str, ...] | list[str]) -> str:
    sections = record.fields["sections"]
    return "\n".join(sections[name] for name in names if sections.get(name))
