"""LegalOne's synthetic corpus, rephrasing: one source in several styles and perspectives, its facts neither lost nor
invented."""

from __future__ import annotations

import random
from typing import Literal

import regex
from rapidfuzz.fuzz import ratio

from rewards.parsing import normalised
from rl.config.rephrasing_steps import RephraseStep, StylesStep
from rl.seeds import stable_seed
from rl.synthesis.faithful import Faithfulness, faithful
from rl.synthesis.knowledge import style, writer
from rl.synthesis.prompts import Asked, texts_schema
from rl.synthesis.records import Dropped, Fields, Record
from rl.synthesis.step import Context
from rl.synthesis.teacher_texts import require_prose

_LINE = regex.compile(r"[^\n]+\n?")
_SENTENCE = regex.compile(r"[^。！？；]*[。！？；]+|[^。！？；]+")


class Styles:
    """Which rewritings the passages of a document get: a seeded draw of styles and perspectives."""

    name = "styles"

    def __init__(self, options: StylesStep, context: Context) -> None:
        self.options, self.seed = options, context.seed

    def run(self, record: Record) -> list[Fields]:
        rng = random.Random(stable_seed(self.seed, "styles", record.id))
        found: list[Fields] = []
        for number, passage in enumerate(passages(record.fields["text"], self.options.max_chars), 1):
            left: list[str] = []
            for _ in range(self.options.rewritings):
                left = left or rng.sample(self.options.styles, len(self.options.styles))
                who = rng.choice(self.options.perspectives)
                found.append({"passage": passage, "part": number, "style": left.pop(), "perspective": who})
        return found


class Rephrase:
    """A passage in other words."""

    name = "rephrase"
    asks: Literal["teacher"] = "teacher"
    schema = texts_schema("text")

    def __init__(self, options: RephraseStep, context: Context) -> None:
        self.options = options

    def asked(self, record: Record) -> Asked:
        fields = record.fields
        how = style(fields["style"])
        words = {"style": how["title"], "brief": how["brief"], "writer": writer(fields["perspective"])}
        return Asked(self.name, {"passage": fields["passage"]}, words)

    def read(self, record: Record, answer: Fields) -> Fields:
        passage, text = record.fields["passage"], answer["text"].strip()
        require_prose(text)
        found = faithful(passage, text, self.options.may_lose)
        if not found.faithful:
            raise Dropped("invents facts" if found.invented else "loses facts", changes(found))
        alike = ratio(normalised(passage), normalised(text)) / 100
        if alike > self.options.most_alike:
            raise Dropped("a copy of its source", f"{alike:.0%} alike")
        return {"rephrased": text, "facts_kept": found.kept}


def changes(found: Faithfulness) -> str:
    """What a rewriting changed, in words: ``invented numbers 9元; lost names 张三``."""
    parts = (("invented", found.invented), ("lost", found.lost))
    return "; ".join(f"{how} {kind} {'、'.join(facts)}" for how, kinds in parts for kind, facts in kinds.items())


def passages(text: str, most: int) -> list[str]:
    """A text in passages of at most ``most`` characters, cut at the ends of lines, else of sentences, else anywhere.
    Together they hold all of it except empty lines and white space at their ends."""
    pieces = [
        part
        for line in _LINE.findall(text)
        for sentence in ([line] if len(line) <= most else _SENTENCE.findall(line))
        for part in (sentence[place : place + most] for place in range(0, len(sentence), most))
    ]
    found = [""]
    for piece in pieces:
        if len(found[-1]) + len(piece) > most:
            found.append("")
        found[-1] += piece
    return [passage.strip() for passage in found if passage.strip()]
