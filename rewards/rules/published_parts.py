"""Parts that only one published total uses."""

from rewards.parsing import thinking_of
from rewards.registry import reward
from rewards.rules.accuracy import accuracy
from rewards.rules.format import format_
from rewards.verdict import Sample, Verdict


@reward("gated_accuracy")
def gated_accuracy(sample: Sample) -> Verdict:
    """PDP (arXiv 2605.28464): 1 for the right answer in the right format, 0.1 for a wrong one, 0 without the format."""
    shape = format_(sample)
    if not shape.score:
        return shape
    right = accuracy(sample)  # an exception for a reference that can't be read
    return Verdict(1.0 if right.score else 0.1, reason=right.reason)


@reward("think_length")
def think_length(sample: Sample) -> Verdict:
    """Judge-R1: half for reasoning of 100 to 600 characters (less in proportion outside), half for few list dashes; 0.5
    for a completion without reasoning."""
    thought = thinking_of(sample.completion)
    if not thought:
        return Verdict(0.5, reason="no reasoning")
    size = len(thought)
    fit = size / 100 if size < 100 else 600 / size if size > 600 else 1.0
    dashes = sum(line.lstrip().startswith(("-", "•", "*")) for line in thought.splitlines())
    return Verdict(0.5 * fit + 0.5 / (1 + dashes), reason=f"{size} characters, {dashes} list lines")


@reward("tag_counts")
def tag_counts(sample: Sample) -> Verdict:
    """LegalDelta's format in its own proportions, on our tags: 0.2 for each of the four tags that occurs once, 0.2 for
    both blocks in order, less 0.01 for each character after the answer (at most 0.375)."""
    text = sample.completion.strip()
    tags = ("<think>", "</think>", "<answer>", "</answer>")
    score = 0.2 * sum(text.count(tag) == 1 for tag in tags)
    places = [text.find(tag) for tag in tags]
    score += 0.2 * (places == sorted(places) and places[0] >= 0)
    after = len(text) - text.rfind("</answer>") - len("</answer>") if "</answer>" in text else 100
    return Verdict(max(0.0, score - min(0.375, 0.01 * after)))
