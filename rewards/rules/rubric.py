"""Rubric scoring of judgment prediction and drafting by a language model (LegalOne, for its last two tasks)."""

from rewards.registry import reward
from rewards.verdict import Sample, Verdict


@reward("rubric", judged=True)
def rubric(sample: Sample) -> Verdict:
    """1 to 10 points of a judge, as (points - 1) / 9. There is no rule for it: without an LLM judge it is an error."""
    return Verdict.failed("rubric needs a language model as judge: set judge.kind=llm (python -m rewards: --judge-url)")
