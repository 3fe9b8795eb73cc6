"""Court, case number, kind of document, parties and cause: the beginning of a judgment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import regex

from rl.inference.structuring.element_schema import Element

Kind = Literal["criminal", "civil", "administrative", "other"]
Instance = Literal["first", "second", "retrial", "review", "commutation"]

TITLE = regex.compile(
    r"(?P<kind>刑\s?事|民\s?事|行\s?政)\s?(?:附\s?带\s?民\s?事\s?)?(?P<document>判\s?决|裁\s?定|调\s?解|决\s?定)\s?书"
)
NUMBER = regex.compile(
    r"[(\[〔【]\s?(?:19|20)\d{2}\s?[)\]〕】]\s?[\p{Han}\d]{2,20}?(?:第\s?)?\d{1,7}\s?号(?:之[一二三四五六七八九十\d]{1,3})?"
)
COURT = regex.compile(
    r"(?<!\S)(?:中华人民共和国(?=最高))?(?P<court>\p{Han}{2,40}(?:人民|专门|海事|知识产权|互联网|金融|运输|军事|基层|中级|高级|林区|农垦|矿区|油田)法院)"
)
_BARE_NUMBER = regex.compile(
    r"(?<!\S)\p{Han}{1,8}[刑民行执破赔]\p{Han}{0,6}字第?\s?\d{1,7}(?:-\d{1,3})?\s?号(?:之[一二三四五六七八九十\d]{1,3})?"
)
"""A case number without its year."""
_ROLES = (
    "原审上诉人|原审被上诉人|附带民事诉讼原告人|附带民事诉讼被告人|被申请人|再审申请人|申请再审人|原审附带民事诉讼原告人|原审被告人|原审被告单位|原审被告|"
    "原审原告|原审第三人|被上诉人|上诉人|原公诉机关|公诉机关|罪犯|赔偿请求人|申请执行人|被执行人|抗诉机关|被告单位|被告人|原告人|原告|被告|第三人|申请人|被害人|"
    "委托诉讼代理人|委托代理人|诉讼代理人|法定代表人|法定代理人|指定辩护人|辩护人|负责人"
)
PARTY = regex.compile(
    rf"(?:^|(?<=[\s。;号书院]))[ \t]*(?P<role>{_ROLES})(?:\((?P<formerly>[^()\n]{{2,40}})\))?"
    r"[ \t]*(?:[一二三四五1-9](?=[:]))?[:、]?[ \t]*"
    rf"(?P<name>(?:(?!(?<=\p{{Han}}{{2}})(?:{_ROLES})[:(])[^,，。;:、\n()\[\]\s]"
    r"|\([^()\n]{1,12}\)(?=\p{Han})|(?<=\p{Han})[ \t](?=\p{Han}(?:,|\n))){1,60})"
)
_CLAIMED = regex.compile(r"(?:自报|自称|自述|化名)(?:姓名|名)?[:]?")
"""After these words a name rests only on what the person said."""
_SENTENCE = regex.compile(
    r"(?P<name>[^因曾犯到于]{2,5}|.[^因犯到]{1,4})(?:曾因|曾于|因(?=涉|犯|本|吸|盗|寻|酒|\p{Han}{2})|犯|到庭)"
)
"""The name in a sentence about a party: 被告人张某因涉嫌盗窃…"""
_CAUSE = regex.compile(
    r"(?P<cause>[\p{Han}()、]{2,90}?(?:纠纷|争议|侵权|确权|处罚|赔偿|确认|复议|许可|公开|登记|征收|补偿|拆除|强制|行为|违法|职责|不作为|(?:处罚|复议|征收|补偿|许可|行政)?决定))(?:\([^()\n]{1,30}\))?(?:一案|二审案件|再审案件)"
)
_WORDS = regex.compile(r"^.*(?:有限公司|人民政府|之间|等人?|因|不服|诉|[局委])(?=\p{Han}{3})")
"""What may stand before a cause where the parties are not known."""
MOST = 200
"""Elements of one name."""
_KINDS: dict[str, Kind] = {"刑事": "criminal", "民事": "civil", "行政": "administrative"}
_OTHER_RULING = regex.compile(r"(?:作出|不服|撤销|维持|变更|核准)[^。;\n]{0,60}$")
"""Before the case number of a ruling that is spoken of: 不服某某法院(2024)…号民事判决."""
_SORT = regex.compile(r"[刑民行赔执]\p{Han}{0,8}(?=第|\d)")
"""The sort of a case in its number: 刑初, 民终, 刑四复, 刑更."""
_INSTANCES: dict[str, Instance] = {
    "再监申": "retrial", "核复": "review", "更": "commutation", "终": "second", "初": "first",
}  # fmt: skip
_MARKS: dict[str, Kind] = {"刑": "criminal", "民": "civil", "行": "administrative"}


def kind_of(text: str) -> Kind:
    """Kind of the case, by the document's title, its number, or the words for the parties."""
    title = TITLE.search(text, 0, 2_000)
    if title:
        return _KINDS["".join(title["kind"].split())]
    number = NUMBER.search(text, 0, 2_000)
    marks = [mark for mark in _MARKS if number and mark in number[0]]
    if marks:
        return _MARKS[marks[0]]
    if "公诉机关" in text or "被告人" in text:
        return "criminal"
    if regex.search(r"(?:原告|上诉人|申请人)[:\p{Han}]", text):
        return "administrative" if regex.search(r"行政(?:行为|处罚|复议|机关|许可)", text) else "civil"
    return "other"


def _own_number(text: str, end: int) -> regex.Match[str] | None:
    """The case number of the document itself, not that of a ruling which it speaks of."""
    every = (*NUMBER.finditer(text, 0, end), *_BARE_NUMBER.finditer(text, 0, end))
    return next((match for match in every if not _OTHER_RULING.search(text, 0, match.start())), None)


def instance_of(text: str) -> Instance | None:
    """First or second instance, retrial, review of a death sentence, or commutation (减刑、假释): by the case number,
    else by the words for the parties; None if unknown."""
    head = text[:2_000]
    number = _own_number(text, len(head))
    sort = _SORT.search(number[0]) if number else None
    for marks, instance in _INSTANCES.items():
        if sort and any(mark in sort[0] for mark in marks):
            return instance
    if "再审申请人" in head:
        return "retrial"
    if "上诉人" in head or "抗诉机关" in head:
        return "second"
    if regex.search(r"报请[^。]{0,20}(?:核准|复核)", head):
        return "review"
    if regex.search(r"罪犯[^。]{2,600}(?:减刑|假释)", head):
        return "commutation"
    return "first" if regex.search(r"(?:^|\s)[ \t]*(?:公诉机关|原告)", text) else None


def header_elements(text: str, end: int) -> list[Element]:
    """Court, number, document and parties of the header, which ends at ``end``."""
    found = []
    court, title = COURT.search(text, 0, end), TITLE.search(text, 0, end)
    number = _own_number(text, end)
    if court:
        found.append(Element("court", court["court"], *court.span("court")))
    if number:
        found.append(Element("case_number", "".join(number[0].split()), *number.span()))
    if title:
        found.append(Element("document", "".join(title["document"].split()) + "书", *title.span()))
    for party in list(PARTY.finditer(text, number.end() if number else 0, end))[:MOST]:
        begin, stop = party.span("name")
        while claimed := _CLAIMED.match(text, begin, stop):
            begin = claimed.end()
        sentence = _SENTENCE.match(text, begin, stop)
        name = "".join(text[begin : sentence.end("name") if sentence else stop].split())
        formerly = party["formerly"]
        value = {"role": party["role"], "name": name, "formerly": formerly and "".join(formerly.split())}
        known = any(element.name == "party" and element.value["name"] == name for element in found)
        if name and not (sentence and known) and not name.startswith(("人民检察院指控", "与", "因")):
            found.append(Element("party", value, begin, sentence.end("name") if sentence else stop))
    return found


def cause_element(text: str, start: int, end: int, names: Sequence[str]) -> list[Element]:
    """The cause of a civil or administrative case: 买卖合同纠纷 before 一案, without the parties' names."""
    match = _CAUSE.search(text, start, end)
    if match is None:
        return []
    written = match["cause"]
    cut = max((written.rfind(name) + len(name) for name in names if name in written), default=0)
    cut = max([cut, *(m.end() for m in _WORDS.finditer(written))])
    begin = match.start("cause") + cut
    cause = text[begin : match.end("cause")]
    return [Element("cause", cause, begin, match.end("cause"))] if len(cause) >= 4 else []
