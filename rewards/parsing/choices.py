"""Option letters."""

import regex

from rewards.parsing.text import folded, scan

LETTERS = "ABCDEFGH"

_FILLER = regex.compile(
    r"[\s、,;和及与.。:()\[\]【】{}\"'“”]|正确|选项|选择|答案|应?[选为]|应当|的是|故|本题|是|项|[都均全]"
)
_CUE = regex.compile(
    r"(?<![不非勿])(?:(?:正确)?(?:答案|选项|选择)(?:应该|应当|应)?(?:是|为|选)?|应?选|故选)"
    r"\s?[:(\[【]?\s?(?P<run>[A-H](?:[\s、,和及与]{0,3}[A-H]){0,7})(?![A-Za-z])(?!\s{0,2}[项]?\s{0,2}(?:错|不))"
)
_LABEL = regex.compile(r"\s?[(\[【]?(?P<run>[A-H])[)\]】]?\s?[.、,:)]\s?[\p{Han}\d《“][^A-Z\n]{0,200}[.。]?\s?$")

_GROUP = regex.compile(
    r"(?<![A-Za-z])(?P<letters>[A-H](?:\s{0,2}+[、,和与及]?+\s{0,2}+[A-H]){0,7}+)(?![A-Za-z])(?=\s{0,2}(?:[项选.、:,;)\]】]|\p{Han}))"
)
_WRONG = regex.compile(r"错|不正确|不对|不当选|不选|排除|不成立|不符|有误|不应选|(?<!无)误")
_RIGHT = regex.compile(r"正确|当选|应选|成立|符合|无误|(?<![不反相针面核校比])对(?![于应象方照不得上])")
_MARKS = regex.compile(r"<EOA>|\\(?:BOXED|TEXT|MATHRM)\b|[*_#`$]|[\[【](?:正确)?答案[\]】]")


def choice_letters(answer: str) -> frozenset[str] | None:
    """Letters of an option answer in any order and writing (AB, A、B, 选ＡＢ); None when it is anything else, such as
    a letter that occurs twice, an alternative (A或B) or prose."""
    letters = _FILLER.sub("", _plain(answer))
    if not letters or len(letters) > len(LETTERS) or any(letter not in LETTERS for letter in letters):
        return None
    return frozenset(letters) if len(set(letters)) == len(letters) else None


def find_choice(answer: str) -> frozenset[str] | None:
    """Letters of an option answer that may stand in prose: nothing but letters; or one letter and its option's text
    (A. 盗窃罪); or what follows the last 答案是, 选 or 应选; or the letters that are called right (A项正确，B项错误).
    None when nothing is chosen.

    LegalKit cuts at the first 分析 or 解析 and compares ordered strings; here reasoning before the answer does no harm
    and the order of letters does not matter.
    """
    strict = choice_letters(answer)
    if strict is not None:
        return strict
    text = _plain(answer)
    label = _LABEL.match(text)
    if label:
        return frozenset(label["run"])
    runs = [match["run"] for match in scan(_CUE, text)]
    if runs:
        letters = [letter for letter in runs[-1] if letter in LETTERS]
        return frozenset(letters) if len(set(letters)) == len(letters) else None
    right = frozenset(letter for letter, called in judged_right(text).items() if called)
    return right or None


def _plain(answer: str) -> str:
    """Folded upper-case text without marks of layout (**A**, \\boxed{A}, [正确答案]A<eoa>)."""
    return _MARKS.sub("", folded(answer).upper())


def discussions(text: str) -> dict[str, str]:
    """Option letter → what is said about it. A group (A、B项…) shares what is said."""
    plain = folded(text)
    groups = scan(_GROUP, plain)
    said: dict[str, str] = {}
    for place, match in enumerate(groups):
        end = groups[place + 1].start() if place + 1 < len(groups) else len(plain)
        body = plain[match.end() : end]
        for letter in match["letters"]:
            if letter in LETTERS:
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
