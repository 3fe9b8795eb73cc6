"""Choice analysis: every option of the question is discussed, alone or in groups (Unilaw-R1, appendix B)."""

import regex

from rewards.parsing import folded, thinking_of
from rewards.parsing.text import scan
from rewards.registry import reward
from rewards.verdict import Sample, Verdict

ENOUGH = 4
"""Characters of discussion, from which an option counts as discussed."""

_OPTION = regex.compile(r"(?:^|[\s\n(;。])(?P<letter>[A-H])\s*[.、:．)]")
_GROUP = regex.compile(
    r"(?<![A-Za-z])(?P<letters>[A-H](?:\s*[、,和与及]?\s*[A-H]){0,7})(?![A-Za-z])(?=\s*(?:[项选.、:,;)\]】]|\p{Han}))"
)
_WORD = regex.compile(r"\p{Han}|[A-Za-z]{2,}")
_WRONG = regex.compile(r"错误|不正确|不对|不当选|不选|排除|不成立|不符|有误|说法错|不应选|(?<!无)误")
_RIGHT = regex.compile(r"正确|当选|应选|成立|符合|无误|说法对")


def options_of(prompt: str) -> list[str]:
    """Letters of the options that a question offers, in order; empty when it is no choice question."""
    letters = list(dict.fromkeys(match["letter"] for match in scan(_OPTION, folded(prompt))))
    return letters if len(letters) >= 2 and letters == list("ABCDEFGH"[: len(letters)]) else []


def discussions(text: str) -> dict[str, str]:
    """Option letter → what is said about it. A group (A、B项…) shares what is said."""
    plain = folded(text)
    groups = scan(_GROUP, plain)
    said: dict[str, str] = {}
    for place, match in enumerate(groups):
        end = groups[place + 1].start() if place + 1 < len(groups) else len(plain)
        body = plain[match.end() : end]
        for letter in match["letters"]:
            if letter in "ABCDEFGH":
                said[letter] = said.get(letter, "") + body
    return said


def judged_right(text: str) -> dict[str, bool]:
    """Option letter → whether the text calls it right; options about which it says neither or both are left out."""
    found = {}
    for letter, body in discussions(text).items():
        wrong = bool(_WRONG.search(body))
        right = bool(_RIGHT.search(_WRONG.sub("", body)))
        if wrong != right:
            found[letter] = right
    return found


def skipped(prompt: str, completion: str) -> list[str]:
    """Options that the reasoning does not discuss. The same words for each option are no discussion of each."""
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
