"""ROUGE-L of the answer against the reference, for recitation (LegalOne's statute memorisation)."""

from rewards.parsing import answer_of, normalised
from rewards.registry import reward
from rewards.verdict import Sample, Verdict

LONGEST = 2_000
"""Characters of the answer that are compared; the cost grows with its length times the reference's."""


def rouge_l(answer: str, reference: str) -> float:
    """F1 of the longest common subsequence over characters, in [0, 1] (Lin 2004, with beta 1).

    Characters rather than words: the score then needs no segmenter, and a wrong character in an article counts.
    """
    answer, reference = answer[:LONGEST], reference[:LONGEST]
    if not answer or not reference:
        return float(answer == reference)
    previous = [0] * (len(reference) + 1)
    for left in answer:
        current = [0]
        for column, right in enumerate(reference):
            current.append(previous[column] + 1 if left == right else max(previous[column + 1], current[column]))
        previous = current
    return 2 * previous[-1] / (len(answer) + len(reference))


@reward("rouge_l")
def rouge(sample: Sample) -> Verdict:
    """ROUGE-L of the answer block against the reference; 0 without an answer block."""
    answer = answer_of(sample.completion)
    if answer is None:
        return Verdict(0.0, reason="no answer block")
    return Verdict(rouge_l(normalised(answer), normalised(sample.reference)))
