"""Choice analysis: every option of the question is discussed, alone or in groups (Unilaw-R1, appendix B)."""

import regex

from rewards.parsing import discussions, folded, thinking_of
from rewards.parsing.text import scan
from rewards.registry import reward
from rewards.verdict import Sample, Verdict

ENOUGH = 4
"""An option with this many characters of discussion counts as discussed."""

_OPTION = regex.compile(r"(?:^|[\s\n(;。])(?P<letter>[A-H])\s*[.、:．)]")
_WORD = regex.compile(r"\p{Han}|[A-Za-z]{2,}")


def options_of(prompt: str) -> list[str]:
    """Letters of the options that a question offers, in order; empty when it is not a choice question."""
    letters = list(dict.fromkeys(match["letter"] for match in scan(_OPTION, folded(prompt))))
    return letters if len(letters) >= 2 and letters == list("ABCDEFGH"[: len(letters)]) else []


def skipped(prompt: str, completion: str) -> list[str]:
    """Options that the reasoning does not discuss."""
    said = discussions(thinking_of(completion) or completion)
    bodies = {letter: "".join(_WORD.findall(body)) for letter, body in said.items()}
    return [letter for letter in options_of(prompt) if len(bodies.get(letter, "")) < ENOUGH]


@reward("choice_analysis")
def choice_analysis(sample: Sample) -> Verdict:
    """Share of the question's options that the reasoning discusses; an error if the question has none."""
    options = options_of(sample.prompt)
    if not options:
        raise ValueError("the prompt offers no options (A. … B. …), so there is nothing to analyse")
    missing = skipped(sample.prompt, sample.completion)
    return Verdict(1 - len(missing) / len(options), reason=f"not discussed: {''.join(missing)}" if missing else "")
