"""The parts of a judgment: header, procedure, claims, decision below, facts, reasoning, ruling, tail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import regex

from rl.inference.structuring.header import TITLE

SectionName = Literal["header", "procedure", "claims", "prior", "facts", "reasoning", "ruling", "tail"]

_RULING = regex.compile(r"(?:判\s?决|裁\s?定|决\s?定)\s?如\s?下\s?:?")
_AGREED = regex.compile(r"(?:自愿)?达成(?:如下|以下)(?:调解)?协议(?:如下)?\s?:?|达成(?:调解)?协议如下\s?:?")
"""Before the agreement of the parties in a mediated case, in the court's document (调解书)."""
_OTHERS = regex.compile(r"(?:一审|原审)(?:法院[^。;\n]{0,30})?$|仲裁(?:委|庭|裁决)[^。;\n]{0,30}$")
"""Before 判决如下: the ruling of another court."""
_REASONING = regex.compile(r"(?:本院|合议庭)(?:经审查|经审理|综合)?认为")
_FACTS = regex.compile(
    r"(?:经(?:法庭)?(?:公开)?(?:开庭)?审理,?(?:本院)?(?:现)?查明|本院(?:经审理|经审查|二审|再审|审理)?(?:认定|查明|确认)"
    r"(?:的)?(?:案件)?(?:法律)?事实(?:如下)?|本院(?:经审理|经审查|二审|再审|审理)?查明|审理查明|现查明|经查明|二审(?:期间)?查明)"
)
_PRIOR = regex.compile(
    r"(?:一审法院|原审法院|原审判决|一审判决|原判)(?:经审理)?(?:认定|查明|审理查明|认为|确认)"
    r"(?!(?:的)?[^。;\n]{0,20}(?:清楚|正确|准确|不清|不当|有误|错误|并无不当))|向一审法院(?:提出|起诉)"
    r"|(?:一审|原审)法院[^。;:\n]{0,30}(?:判决|裁定):|(?:一审|原审)(?:判决|裁定):"
)
_CLAIMS = regex.compile(
    r"(?:公诉机关|检察院)(?:起诉)?指控[,:称]?|向本院(?:提出|起诉)(?:诉讼)?请求|诉讼请求[:为如]|"
    r"(?:原告|申请人)[^。\n]{0,40}(?:诉称|请求判令|请求)|(?:被告|被申请人)(?!人)[^。\n]{0,40}辩称|"
    r"(?:上诉人|原审被告人)[^。\n]{0,40}(?:上诉请求|上诉称|上诉提出)|上诉请求"
    r"|(?<=[\n。])[^。,;\n]{2,40}(?:起?诉称|辩称)[,:]"
)
_PROCEDURE = regex.compile(
    r"(?:一案,?|一审一案).{0,40}?(?:本院|向本院|于|法院)|起诉书指控|提起公诉|(?:本院|我院)[^。\n]{0,40}(?:立案|受理)|现已审理终结"
)
_TAIL = regex.compile(
    r"如不服(?:本|上述)?(?:判决|裁定)?|本(?:判决|裁定)(?:为终审|送达后|自送达)|"
    r"(?<![^\s。])(?:审[ \t]*判[ \t]*长|(?:代理)?审[ \t]*判[ \t]*员)"
    r"(?=[ \t:\n]|\p{Han}{2,4}[ \t]*(?:\n|$))"
)


@dataclass(frozen=True)
class Section:
    """A part of a text."""

    name: SectionName
    start: int
    end: int
    """Characters ``start`` to ``end`` (exclusive) of the text."""


def split(text: str) -> list[Section]:
    """The sections of an aligned text, in order; together they are the whole text, and none is empty.

    A section begins with the sentence that announces it, the ruling with the words 判决如下. A judgment that is cut off
    lacks its last sections. A text without such sentences is one header.
    """
    ruling = _last_ruling(text)
    body = len(text) if ruling is None else ruling
    facts = _first(_FACTS, text, 0, body)
    reasoning = _first(_REASONING, text, 0 if facts is None else facts, body)
    if reasoning is None:
        reasoning = _first(_REASONING, text, 0, body)
    before = body if reasoning is None else reasoning
    starts: dict[SectionName, int | None] = {
        "procedure": _first(_PROCEDURE, text, 0, before),
        "claims": _first(_CLAIMS, text, 0, before),
        "prior": _first(_PRIOR, text, 0, before),
        "facts": _first(_FACTS, text, 0, before),
        "reasoning": reasoning,
        "ruling": ruling,
        "tail": None if ruling is None else _first(_TAIL, text, ruling, len(text)),
    }
    order: list[SectionName] = ["procedure", "claims", "prior", "facts", "reasoning", "ruling", "tail"]
    places = sorted((at, order.index(name), name) for name, at in starts.items() if at is not None and at > 0)
    found: list[Section] = []
    at, current = 0, cast(SectionName, "header")
    for place, _, name in places:
        if place > at:
            found.append(Section(current, at, place))
        at, current = place, name
    if len(text) > at:
        found.append(Section(current, at, len(text)))
    return found


def _last_ruling(text: str) -> int | None:
    """Where this court's ruling begins: at the last 判决如下 that the reasoning does not follow and that is not the
    lower court's."""
    reasonings = [match.start() for match in _REASONING.finditer(text)]
    prior = _PRIOR.search(text)
    title = TITLE.search(text, 0, 2_000)
    if title["document"].startswith("调") if title else "本调解书" in text:
        agreed = _AGREED.search(text)
        return agreed.start() if agreed else None
    for match in reversed(list(_RULING.finditer(text))):
        place = match.start()
        if reasonings and reasonings[-1] > place:
            return None
        of_below = prior is not None and prior.end() <= place and not (reasonings and reasonings[-1] >= prior.end())
        if not of_below and not _OTHERS.search(text[max(0, place - 40) : place]):
            return place
    return None


def _first(pattern: regex.Pattern[str], text: str, start: int, end: int) -> int | None:
    """Where the sentence with the first match begins."""
    match = pattern.search(text, start, end)
    if match is None:
        return None
    place = match.start() + len(match[0]) - len(match[0].lstrip())
    sentence = max(text.rfind("\n", start, place), text.rfind("。", start, place)) + 1
    begin = max(start, sentence)
    return begin + len(text[begin:place]) - len(text[begin:place].lstrip())
