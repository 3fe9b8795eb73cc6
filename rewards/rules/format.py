"""Format: exactly one ``<think>`` and one ``<answer>`` block, nothing outside (Unilaw-R1, R_format)."""

import regex

from rewards.registry import reward
from rewards.verdict import Sample, Verdict

_ORDER = ("<think>", "</think>", "<answer>", "</answer>")
_WORD = regex.compile(r"[\p{L}\p{N}]")


@reward("format")
def format_(sample: Sample) -> Verdict:
    """1 if the completion is ``<think>…</think><answer>…</answer>`` with at most white space around the blocks.

    A ``<think>`` that ends the prompt counts as written. Other than in the paper, blocks without a word earn nothing.
    """
    opened = "<think>" if sample.prompt.rstrip().endswith("<think>") else ""
    text = (opened + sample.completion).strip()
    for tag in _ORDER:
        if text.count(tag) != 1:
            return Verdict(0.0, reason=f"{text.count(tag)} times {tag}")
    places = [text.index(tag) for tag in _ORDER]
    if places != sorted(places) or places[0] != 0 or not text.endswith("</answer>"):
        return Verdict(0.0, reason="text outside the blocks")
    thought, between, answered = (text[places[i] + len(_ORDER[i]) : places[i + 1]] for i in range(3))
    if between.strip():
        return Verdict(0.0, reason="text outside the blocks")
    for name, content in (("think", thought), ("answer", answered)):
        if not _WORD.search(content):
            return Verdict(0.0, reason=f"the {name} block is empty")
    return Verdict(1.0)
