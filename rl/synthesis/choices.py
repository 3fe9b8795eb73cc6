"""Unilaw-R1-Data: distil, check the answer, rewrite some chains, explain some answers, select by five criteria."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

from rl.config.choice_steps import AnswerCheckStep, DistilStep, ExplainStep, RewriteChainStep, SelectStep
from rl.config.synthesis import SynthesisConfig
from rl.seeds import stable_seed
from rl.synthesis.answer_check import check_answer
from rl.synthesis.prompts import Asked, points_schema, texts_schema
from rl.synthesis.records import Dropped, Fields, Record
from rl.synthesis.results import StepResult
from rl.synthesis.step import Context

CRITERIA = ("rules", "practice", "coherence", "result", "argument")
"""Right rules applied, in keeping with judicial practice, coherent, leads to the right options, an argument that can be
followed."""


class Distil:
    """Reasoning and answer as the teacher gives them."""

    name = "distil"
    asks: Literal["teacher"] = "teacher"
    schema = texts_schema("reasoning", "answer")

    def __init__(self, options: DistilStep, context: Context) -> None:
        pass

    def asked(self, record: Record) -> Asked:
        return Asked(self.name, {"question": record.fields["question"]}, {})

    def read(self, record: Record, answer: Fields) -> Fields:
        return {"chain": _stripped(answer), "way": "distilled"}


class AnswerCheck:
    """Whether the options are the right ones."""

    name = "answer_check"

    def __init__(self, options: AnswerCheckStep, context: Context) -> None:
        pass

    def run(self, record: Record) -> Fields:
        checked = check_answer(_completion(record.fields["chain"]), record.fields["reference"])
        if checked.outcome == "unreadable":
            raise Dropped("answer unreadable", record.fields["chain"]["answer"][:100])
        return {"check": checked.outcome, "chosen": "".join(sorted(checked.chosen or ()))}


class _Drawn:
    """A step that asks about a share of the records of one outcome of the check."""

    name: str
    way: str
    asks: Literal["teacher"] = "teacher"
    schema = texts_schema("reasoning", "answer")

    def __init__(self, options: RewriteChainStep | ExplainStep, context: Context) -> None:
        self.share, self.seed = options.share, context.seed

    def drawn(self, record: Record) -> bool:
        return random.Random(stable_seed(self.seed, self.name, record.id)).random() < self.share

    def read(self, record: Record, answer: Fields) -> Fields:
        checked = check_answer(_completion(answer), record.fields["reference"])
        if checked.outcome != "matched":
            raise Dropped("answer changed", f"{answer['answer'][:60]!r}, and right is {record.fields['reference']}")
        return {"chain": _stripped(answer), "way": self.way}


class RewriteChain(_Drawn):
    """Some of the matched chains, with rules and definitions made explicit."""

    name = "rewrite_chain"
    way = "rewritten"

    def asked(self, record: Record) -> Asked | None:
        fields = record.fields
        if fields["check"] != "matched" or not self.drawn(record):
            return None
        return Asked(self.name, {"question": fields["question"]} | fields["chain"], {})


class Explain(_Drawn):
    """An explanation of the right answer, for some of the unmatched."""

    name = "explain"
    way = "explained"

    def asked(self, record: Record) -> Asked | None:
        fields = record.fields
        if fields["check"] == "matched":
            return None
        if not self.drawn(record):
            raise Dropped("answer unmatched", f"{fields['chosen']}, and right is {fields['reference']}")
        texts = {"question": fields["question"], "right": fields["reference"]}
        if given := fields.get("explanation"):  # of an exam paper
            return Asked("explain_given", texts | {"explanation": given}, {})
        return Asked(self.name, texts, {})


class Select:
    """Five criteria, each met or not."""

    name = "select"
    asks: Literal["judge"] = "judge"
    schema = points_schema(0, 1, *CRITERIA)

    def __init__(self, options: SelectStep, context: Context) -> None:
        pass

    def asked(self, record: Record) -> Asked:
        fields = record.fields
        texts = {"question": fields["question"], "right": fields["reference"]} | fields["chain"]
        return Asked(self.name, texts, {})

    def read(self, record: Record, answer: Fields) -> Fields:
        for name in CRITERIA:
            if not answer[name]:
                raise Dropped(f"{name} not met", answer["reason"])
        return {"verdicts": answer}


def rl_questions(config: SynthesisConfig, results: Sequence[StepResult]) -> list[Record]:
    """The questions of an RL set, sorted by id: as many selected ones as others, drawn by the seed. Others are all that
    the last step did not keep, whatever the reason; empty without the step ``select``."""
    options = next((step for step in config.recipe.steps if isinstance(step, SelectStep)), None)
    if options is None:
        return []
    selected = {record.id for record in results[-1].kept}
    rng = random.Random(stable_seed(config.seed, "rl_questions"))
    pools: dict[str, list[str]] = {"selected": [], "unselected": []}
    for one in results[0].kept:
        pools["selected" if one.id in selected else "unselected"].append(one.id)
    half = min(options.rl_questions // 2, *map(len, pools.values()))
    drawn = {name: pool for pool, names in pools.items() for name in rng.sample(names, half)}
    return [one.followed({"pool": drawn[one.id]}, {"step": "draw"}) for one in results[0].kept if one.id in drawn]


def _stripped(answer: Fields) -> Fields:
    return {name: said.strip() for name, said in answer.items()}


def _completion(chain: Fields) -> str:
    return f"<think>{chain['reasoning']}</think><answer>{chain['answer']}</answer>"
