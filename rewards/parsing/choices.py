"""Option letters."""

import regex

from rewards.parsing.text import plain, scan

LETTERS = "ABCDEFGH"
LONGEST_REPLY = 5_000
"""Characters of a reply that are searched for its choice, from the end."""

_FILLER = regex.compile(
    r"[\s、,;和及与.。:()\[\]【】{}|+&\"'“”]|正确|选项|选择|答案|应?[选为]|应当|的是|故|本题|是|项|[都均全]"
)
_LETTER = regex.compile("(?<![A-Za-z])[A-Ha-h](?![a-z])")
_UPPER = (
    r"(?>[A-H](?:\s{0,2}(?:选?项)?\s{0,2}[、,;和及与]{1,2}\s{0,2}(?:选项)?\s{0,2}[A-H]|\s{0,2}[A-H]){0,7})(?![A-Za-z])"
)
_RUN = rf"(?P<run>{_UPPER}|[a-h](?!\s{{0,2}}[A-Za-z]))"
_ITEM = r"(?:\s{0,2}(?:选?项))?"
_WRONG_AFTER = (
    r"\s{0,2}(?:选?项)?\s{0,2}(?:等)?(?:[均都也则是的]|说法|表述|观点|显然|明显){0,4}"
    r"(?:错|不(?!应?选\s?[A-H])|有误|排除)"
)
_PARTY = (
    r"\s?(?:公司|银行|企业|集团|工厂|厂|店|商场|学校|医院|法院|检察院|单位|某|县|市|区|省|镇|村|国|地|栋|座|股|轮|房|车"
    r"|男|女|证|方)"
)
_OR = rf"{_ITEM}\s{{0,2}}(?:或者?|还是|/)\s{{0,2}}(?:选?项?|是|为|选)?\s{{0,2}}[A-H](?![A-Za-z])"
_CUES = (
    r"(?:答案|answers?)\s{0,2}(?:应该?|应当|should|would)?\s{0,2}(?:是|为|选择?|is|are|be)?",
    r"只(?:有|能)?[选是]|(?:最后|最终|因此|故|所以)得出?|not\s[A-H]\sbut",
    r"(?:认为|觉得)(?:应该?|应当)?[是选为]|think\sit(?:\sis|'s)",
    r"(?:而|应该?|应当|改|就|才)[是为]",
    r"(?:选择|应?选(?!项)|当选的?|选项[是为])(?:的)?(?:应该?|应当)?(?:[是为])?",
    r"(?:正确|符合题意|当选|合法|成立|准确|恰当)的?(?:选项|说法|表述|观点|选择)?(?:应该?|应当)?(?:[是为有]|包括|:)",
    r"(?:选项|options?|choices?)\s{0,2}(?:应该?|应当)?(?:[是为]|is|are)|(?:即|也就是)(?:为|是)?(?:选项)",
    r"(?:choose|select|pick)",
)
_CUE = regex.compile(
    rf"(?<!不|非|勿|请|若|如果|假如|误|错|并不|不会|不能|不应|不可|不宜|不得|不该|不应该|不应当|排除|\p{{L}}(?=[a-z]))(?i:{'|'.join(_CUES)})"
    rf"\s{{0,4}}[:,]?\s{{0,4}}(?:[-•·]\s)?(?i:(?:第[一二三四五六]个?)?(?:选项|项|option|choice),?(?:即|也就是)?|\d{{1,3}}\s?[.、)])?\s{{0,2}}"
    rf"(?:{_RUN})(?!{_WRONG_AFTER}|{_PARTY})(?P<or>{_OR})?"
)
_MARKED = regex.compile(
    rf"(?:[\[【<](?:(?:正确|标准|参考|最终)?答案|答|正解)[\]】>]\s{{0,2}}:?|<answer>|(?:^|\n)\s{{0,4}}(?:(?:正确|标准|参考|最终)?答案|答|正解)\s?:)"
    rf"\s{{0,4}}\{{?(?:选项|选|为|是)?\s{{0,2}}{_RUN}(?!{_WRONG_AFTER}|{_PARTY})(?P<or>{_OR})?"
)
_SAID_RIGHT = regex.compile(
    rf"(?i:\b(?:option|choice)\s)?\b{_RUN}\s(?:is|are)\s(?:the\s)?(?:only\s)?(?:correct|right|best)\b"
)
_ODD_ONE = regex.compile(
    rf"(?:错误|不正确|不恰当|不当|有误|不符合(?:题意|规定)?)的?(?:选项|说法|表述)?(?:是|为|:)\s?{_RUN}(?!{_PARTY})"
)
_EITHER = regex.compile(r"可能(?:是|为|选)?\s?[A-H][^A-H\n]{1,8}可能(?:是|为|选)?\s?[A-H]")
_FIRST = regex.compile(
    rf"\s{{0,8}}(?i:选项|option\s|choice\s)?\s?{_RUN}(?!{_PARTY}){_ITEM}\s{{0,2}}(?P<mark>$|-\s|\((?=\p{{Han}})|(?=\([^()A-H\n]{{2,60}}\)[。.]?\s{{0,4}}$)|[。.,，;：:、)\n]|(?=因|理由|解析|\p{{Han}}(?<=[A-H]\s.)))(?!\s{{0,2}}(?:项|错|不|[√×✓✗✔✘]))"
)
_LABELLED = regex.compile(
    r"(?:^|(?<=[\n。;,\s]))\(?(?P<letter>[A-H])\)?\s?(?:选?项)?(?:[.、:)]|(?<=\)))\s?(?=[\p{Han}\d《“])"
)
_OFFER = regex.compile(
    r"(?:从|在|于|有|包括|分别为)\s?[\"“(]?(?:[A-H][、,，\s和及与]{0,3}){2,8}[\"”)]?\s?(?:[二三四五六]?个?(?:选项|项)?(?:之?[中里间]|[二三四五六]个?))"
)
_NEW_QUESTION = regex.compile(r"\n\s{0,4}(?:问题|题目|试题|下一题|Question|Human|User|用户)\s?\d{0,3}\s?[:：]", regex.I)
_NUMBERED = regex.compile(r"\s{0,4}(?:第?\s?\d{1,3}\s?[.、题:)]\s?)(?=[(\[【]?[A-Ha-h](?![A-Za-z]))")
_BRACKETS = regex.compile(r"[(\[【『「\"“'‘]\s?([A-H](?:\s?[、,]?\s?[A-H]){0,7})\s?[)\]】』」\"”'’]")
_JOINT = regex.compile(r"(?<=[A-H])\s?(?:[|+&]|\n\s{0,4}[-•·])\s?(?=[A-H]\s{0,2}(?:$|[^A-Za-z.:、)]))")
_AND = regex.compile(r"(?<=\b[A-H]),?\s+(?:and|&)\s+(?=(?:option\s)?[A-H]\b)", regex.I)
_ORED = regex.compile(r"(?<=\b[A-H])\s+or\s+(?=(?:option\s)?[A-H]\b)", regex.I)
_LAYOUT = regex.compile(r"</?EOA>|</?eoa>|\[/?eoa\]|</s>|\\(?:text|mathrm|mathbf|textbf)\s?(?=\{)|[*_#`$]")
_BRACED = regex.compile(r"\{\s?([A-Ha-h](?:\s?[、,]?\s?[A-Ha-h]){0,7})\s?\}")

_GROUP = regex.compile(
    rf"(?<![A-Za-z])(?P<letters>[A-H](?:\s{{0,2}}+(?:选?项)?+[、,和与及]?+\s{{0,2}}+(?:选项)?+\s{{0,2}}+[A-H]){{0,7}}+)(?![A-Za-z]|{_PARTY})(?=\s{{0,2}}(?:[项选.、:,;)\]】√×✓✗✔✘]|\(\s?[√×✓✗✔✘]|\p{{Han}}))"
)
_OPTION = regex.compile(
    r"\s{0,2}(?:[项选.、:,;)\]】]|[均都也]|(?:[是为则]|属于?)(?=正确|错|对|不|最|本题|唯一|有误)|\(?\s?[√×✓✗✔✘]|正确|错|不|对|当选|符合|说法|表述|成立|明显|显然|无误|有误|应选|最|两项|三项|四项|二项)"
)
_WRONG = regex.compile(r"[×✗✘]|错|不恰当|不合适|不正确|不对|不当选|不选|排除|不成立|不符|有误|不应选|(?<!无)误")
_RIGHT = regex.compile(r"[√✓✔]|正确|恰当|合适|当选|应选|成立|符合|无误|(?<![不反相针面核校比])对(?![于应象方照不得上])")
_OTHERS = regex.compile(r"(?:其余|其他|其它|余下)[^。;\n]{0,8}?(?:错误|不正确|均错|都错|有误|不对|不符合?|排除)")


def choice_letters(answer: str) -> frozenset[str] | None:
    """Letters of an option answer in any order and writing (AB, A、B, 选ＡＢ); None when it is anything else, such as
    a letter that occurs twice, an alternative (A或B) or prose."""
    letters = _FILLER.sub("", _without_layout(answer).upper())
    if not letters or len(letters) > len(LETTERS) or any(letter not in LETTERS for letter in letters):
        return None
    return frozenset(letters) if len(set(letters)) == len(letters) else None


def find_choice(answer: str) -> frozenset[str] | None:
    """Letters of an option answer that may stand in prose, as a person reads them. In this order: nothing but
    letters; a mark (【答案】B, \\boxed{B}, 答案：B at the beginning of a line); the last cue (故选B, 正确的是B,
    The answer is B); a last line or a first word of letters (B。因为…, B. 盗窃罪); the letters that are called right
    (A项正确，B项错误); options listed with their texts; the one that is called wrong (错误的是B).

    The question's own words (从A、B、C、D中选, a list of all options), parties (B公司), what is denied (不选A, 排除B)
    and alternatives (A或B) are not a choice, and what follows another question is not read. None when nothing is
    chosen.

    LegalKit cuts at the first 分析 or 解析 and compares ordered strings; here reasoning before the answer does no harm
    and the order of letters does not matter.
    """
    strict = choice_letters(answer)
    if strict is not None:
        return strict
    text = _without_layout(answer)[-LONGEST_REPLY:]
    if not _LETTER.search(text):
        return None
    text = _own_words(text)
    strict = choice_letters(text)
    if strict is not None:
        return strict
    marks, cues = scan(_MARKED, text), scan(_CUE, text)
    if marks:  # 答案：B … 更正：答案应为C
        cues = [cue for cue in cues if cue.start() >= marks[-1].end() and "答案" in cue[0]] or marks
    for found in (cues, scan(_SAID_RIGHT, text)):
        if found:
            return None if found[-1].groupdict().get("or") or _EITHER.search(text) else _letters(found[-1]["run"])
    if _EITHER.search(text):
        return None
    last = choice_letters(text.rstrip().rpartition("\n")[2])
    if last is not None:
        return last
    first = _FIRST.match(text)
    others = {match["letter"] for match in scan(_LABELLED, text)} - set(first["run"].upper() if first else "")
    if first and not others:
        return _letters(first["run"])
    right = frozenset(letter for letter, called in _called(text, _OPTION).items() if called)
    return right or _listed(text) or next((_letters(match["run"]) for match in scan(_ODD_ONE, text)), None)


def _listed(text: str) -> frozenset[str] | None:
    """Letters of options that a reply lists with their texts, one a line, and no more; a list from A on is the
    question's."""
    lines = [line for line in regex.split("[\n;]", text) if line.strip()]
    labels = [match["letter"] for line in lines if (match := _LABELLED.match(line.strip()))]
    found = frozenset(labels)
    whole = labels == list(LETTERS[: len(labels)]) and len(labels) > 2
    return found if 1 < len(lines) == len(labels) == len(found) and not whole else None


def _letters(run: str) -> frozenset[str] | None:
    letters = [letter for letter in run.upper() if letter in LETTERS]
    return frozenset(letters) if len(set(letters)) == len(letters) else None


def _without_layout(answer: str) -> str:
    """Plain text without marks of layout (**A**, \\boxed{A}, A<eoa>)."""
    text = _LAYOUT.sub("", plain(answer)).replace("\\boxed", "答案:")
    return _BRACED.sub(r"\1", _BRACED.sub(r"\1", text)) if "{" in text else text


def _own_words(text: str) -> str:
    """What a reply says itself: without the question's instruction and its list of options, and up to the next
    question."""
    starts = (match.start() for match in scan(_NEW_QUESTION, text)) if "\n" in text else ()
    text = text[: next((start for start in starts if text[:start].strip()), len(text))]
    text = _JOINT.sub("、", _OFFER.sub("", text))
    if " " in text:
        text = _ORED.sub("或", _AND.sub("、", text))
    numbered = _NUMBERED.match(text)
    text = _recital_removed(text[numbered.end() :] if numbered else text)
    return _BRACKETS.sub(r"\1", text)


def _recital_removed(text: str) -> str:
    """The text without a list of three and more options from A on, none of which is judged."""
    labels = scan(_LABELLED, text)
    letters = "".join(match["letter"] for match in labels)
    count = next((n for n in range(len(LETTERS), 2, -1) if letters.startswith(LETTERS[:n])), 0)
    if not count:
        return text
    ends = [match.start() for match in labels[1:count]] + [_end(text, labels[count - 1].end())]
    bodies = [text[match.end() : end] for match, end in zip(labels, ends, strict=False)]
    if any(_WRONG.search(body) or _RIGHT.search(body) for body in bodies):
        return text
    return text[: labels[0].start()] + text[ends[-1] :]


def _end(text: str, start: int) -> int:
    """Where an option's text ends: with its line, or where the answer begins."""
    stop = regex.compile(r"\n|答案|故选|应选|正确|Answer").search(text, start)
    return stop.start() if stop else len(text)


def discussions(text: str) -> dict[str, str]:
    """Option letter → what is said about it. A group (A、B项…) shares what is said; a party (B公司) is none."""
    return _said(plain(text), None)


def _said(written: str, option: "regex.Pattern[str] | None") -> dict[str, str]:
    groups = [match for match in scan(_GROUP, written) if option is None or option.match(written, match.end())]
    said: dict[str, str] = {}
    for place, match in enumerate(groups):
        end = groups[place + 1].start() if place + 1 < len(groups) else len(written)
        body = written[match.end() : end]
        for letter in match["letters"]:
            if letter in LETTERS:
                said[letter] = said.get(letter, "") + body
    return said


def judged_right(text: str) -> dict[str, bool]:
    """Option letter → whether the text calls it right; options about which it says neither or both are left out."""
    return _called(plain(text), None)


def _called(written: str, option: "regex.Pattern[str] | None") -> dict[str, bool]:
    found = {}
    for letter, body in _said(written, option).items():
        own = _OTHERS.sub("", body)
        wrong = bool(_WRONG.search(own))
        right = bool(_RIGHT.search(_WRONG.sub("", own)))
        if wrong != right:
            found[letter] = right
    return found
