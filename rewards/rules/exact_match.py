"""Exact match of the answer, up to writing (JEC-QA and LexEval's choice tasks count nothing else)."""

from rewards.parsing import final_answer, normalised
from rewards.registry import reward
from rewards.verdict import Sample, Verdict


@reward("exact_match")
def exact_match(sample: Sample) -> Verdict:
    """1 if the answer equals the reference (or one entry of a list of references) after folding full-width characters,
    white space, punctuation at the ends and 中华人民共和国; else 0."""
    answer = final_answer(sample.completion)
    if answer is None:
        return Verdict(0.0, reason="no answer")
    right = normalised(answer) in {normalised(reference) for reference in (*sample.references(), sample.reference)}
    return Verdict(float(right), reason="" if right else f"{answer[:40]!r} is not {sample.reference[:40]!r}")
