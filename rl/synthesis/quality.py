"""LEAD 4, quality: rules that drop what is broken or wrong in law, then six dimensions by a judge."""

from __future__ import annotations

from typing import Literal

import regex

from rewards.judge.prompts import speaks_to_judge
from rewards.parsing import choice_letters
from rewards.rules.repetition import repetition
from rewards.statute_check import check_citations
from rewards.verdict import Sample
from rl.config.synthesis import FilterStep, JudgeStep
from rl.synthesis.prompts import Asked, points_schema
from rl.synthesis.records import Dropped, Fields, Record
from rl.synthesis.step import Context
from rl.synthesis.teacher_texts import require_chinese, require_unbroken

DIMENSIONS = ("quality", "consistency", "alignment", "conciseness", "language", "overall")
"""The five that LegalOne names, and one for the whole."""
_ENDS = regex.compile(r"[。！？!?；;…）)”」』》\]】.]\s*$")


class Filter:
    """Rules over the chain and the answer, or over a rewriting."""

    name = "filter"

    def __init__(self, options: FilterStep, context: Context) -> None:
        self.options = options

    def run(self, record: Record) -> Fields:
        fields = record.fields
        texts = (
            [fields["chain"]["reasoning"], fields["chain"]["answer"]] if "chain" in fields else [fields["rephrased"]]
        )
        both = "\n".join(texts)
        if cut := next((text for text in texts if not _ENDS.search(text) and not choice_letters(text)), None):
            raise Dropped("truncated", f"ends with {cut[-12:]!r}")
        if len(texts[0]) < self.options.min_chars:
            raise Dropped("too short", f"{len(texts[0])} characters")
        require_unbroken(both)
        if speaks_to_judge(both):
            raise Dropped("speaks to a judge", "")
        require_chinese(both, self.options.language)
        new = repetition(Sample("", both, "")).score or 0.0
        if new < self.options.repetition:
            raise Dropped("repeated", f"{new:.0%} of its 8-grams are new")
        if not self.options.citations:
            return {}
        checked = check_citations(both)
        if wrong := next((found for found in checked if found.outcome == "wrong"), None):
            misquoted = wrong.fault in ("inexact", "other article")
            raise Dropped("citation misquoted" if misquoted else "citation does not exist", wrong.reason)
        return {"citations": [{"place": str(found.ref), "outcome": found.outcome} for found in checked]}


class Judge:
    """Six dimensions of quality, 1 to 10."""

    name = "judge"
    asks: Literal["judge"] = "judge"
    schema = points_schema(1, 10, *DIMENSIONS)

    def __init__(self, options: JudgeStep, context: Context) -> None:
        self.at_least = options.at_least

    def asked(self, record: Record) -> Asked:
        fields = record.fields
        return Asked("judge", {"question": fields["question"]} | fields["chain"], {})

    def read(self, record: Record, answer: Fields) -> Fields:
        for name in DIMENSIONS:
            if answer[name] < self.at_least:
                raise Dropped(f"{name} below {self.at_least}", f"{answer[name]}: {answer['reason']}")
        return {"verdicts": answer}
