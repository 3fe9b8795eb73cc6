"""Format: exactly one ``<think>`` and one ``<answer>`` block, nothing outside (Unilaw-R1, R_format)."""

from rewards.registry import reward
from rewards.verdict import Sample, Verdict

_ORDER = ("<think>", "</think>", "<answer>", "</answer>")


@reward("format")
def format_(sample: Sample) -> Verdict:
    """1 if the completion is ``<think>…</think><answer>…</answer>`` with white space at most around the blocks."""
    text = sample.completion.strip()
    for tag in _ORDER:
        if text.count(tag) != 1:
            return Verdict(0.0, reason=f"{text.count(tag)} times {tag}")
    places = [text.index(tag) for tag in _ORDER]
    between = text[places[1] + len("</think>") : places[2]]
    if places != sorted(places) or places[0] != 0 or not text.endswith("</answer>") or between.strip():
        return Verdict(0.0, reason="text outside the blocks")
    return Verdict(1.0)
