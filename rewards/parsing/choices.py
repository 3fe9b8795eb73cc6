"""Option letters."""

import regex

from rewards.parsing.text import folded, scan

LETTERS = "ABCDEFGH"

_FILLER = regex.compile(r"[\s、,;和及与.。:()\[\]【】\"'“”]|正确|选项|选择|答案|应?[选为]|应当|的是|故|本题|是|项")
_CUE = regex.compile(
    r"(?<![不非勿])(?:(?:正确)?(?:答案|选项|选择)(?:应该|应当|应)?(?:是|为|选)?|应?选|故选)"
    r"\s?[:(\[【]?\s?(?P<run>[A-H](?:[\s、,和及与]{0,3}[A-H]){0,7})(?![A-Za-z])(?!\s{0,2}[项]?\s{0,2}(?:错|不))"
)
_LABEL = regex.compile(r"\s?[(\[【]?(?P<run>[A-H])[)\]】]?\s?[.、,:)]\s?\p{Han}[^A-Z\n]{0,200}[.。]?\s?$")


def choice_letters(answer: str) -> frozenset[str] | None:
    """Letters of an option answer in any order and writing (AB, A、B, 选ＡＢ); None when it is anything else, such as
    a letter that occurs twice, an alternative (A或B) or prose."""
    letters = _FILLER.sub("", folded(answer).upper())
    if not letters or len(letters) > len(LETTERS) or any(letter not in LETTERS for letter in letters):
        return None
    return frozenset(letters) if len(set(letters)) == len(letters) else None


def find_choice(answer: str) -> frozenset[str] | None:
    """Letters of an option answer that may stand in prose: nothing but letters; or one letter and its option's text
    (A. 盗窃罪); or what follows the last 答案是, 选 or 应选. None when nothing is chosen.

    LegalKit cuts at the first 分析 or 解析 and compares ordered strings; here reasoning before the answer does no harm
    and the order of letters does not matter.
    """
    strict = choice_letters(answer)
    if strict is not None:
        return strict
    text = folded(answer).upper()
    label = _LABEL.match(text)
    if label:
        return frozenset(label["run"])
    runs = [match["run"] for match in scan(_CUE, text)]
    letters = [letter for letter in runs[-1] if letter in LETTERS] if runs else []
    return frozenset(letters) if letters and len(set(letters)) == len(letters) else None
