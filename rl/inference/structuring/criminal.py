"""Sentences, charges and circumstances of a criminal judgment."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import regex

from rewards.parsing import fine, known_charges, term
from rl.inference.structuring.elements import Element, number
from rl.inference.structuring.text import steadily

_WHO = (
    r"(?:上诉人\(原审被告人\)|原审被告人|被告单位|被告人|上诉人)[ \t]?"
    r"(?P<who>(?:[^,，。;、:()\s犯]|\([^()\n]{1,12}\)){1,40}?)"
)
CONVICTED = regex.compile(_WHO + r"(?:无罪(?=[。;,\n]|$)|犯(?P<charge>[^,。;:\n]{1,60}罪)(?=[,。;:\n]|$))")
"""被告人张某犯盗窃罪 or 被告人张某无罪, in a ruling."""
_END = regex.compile(r"[。\n]|\((?:刑期|缓刑考验|管制期|罚金|已缴纳|上述)")
_TOGETHER = regex.compile(r"决定执行")
_FURTHER = regex.compile(r"[;,]\s?犯(?P<charge>[^,。;\n]{1,60}罪)(?=[,。;\n])")
_GUILTY = regex.compile(r"(?<!不)构成(?:了)?(?P<charge>[^,。;\n]{2,60}?罪)(?!所得|名|责|行)")
_DENIED = regex.compile(
    r"(?:不构成|不属于|不具有|不具备|不成立|不能认定|不应认定|不予认定|不是|并非|没有|未能|尚未|无|未)[^,。;]{0,8}$"
)
_BETWEEN = regex.compile(r"(?<=罪)[、,和及](?!犯罪所得)")
_REJECTED = regex.compile(r"不予采纳|不能成立|不予支持|不予认定|不予采信")
_MARKS: tuple[tuple[str, str], ...] = (
    ("surrender", r"自首|自动投案"),
    ("merit", r"立功"),
    ("confession", r"坦白|如实供述"),
    ("plea", r"认罪认罚|自愿认罪"),
    ("recidivism", r"累犯"),
    ("record", r"前科|曾因[^,，。;]{1,30}(?:判刑|判处|处罚)"),
    ("compensation", r"赔偿(?:了)?(?:被害人|被害单位|其)?[^,，。;]{0,15}损失|积极赔偿|已(?:经)?(?:全额|部分)?赔偿"),
    ("forgiveness", r"谅解"),
    ("restitution", r"退赃|退赔|退缴|退出[^,，。;]{0,8}(?:赃款|违法所得)"),
    ("accessory", r"(?:系|是|为)(?:本案)?从犯|起(?:次要|辅助)作用"),
    ("principal", r"(?:系|是|为)(?:本案)?主犯|起主要作用"),
    ("attempt", r"未遂"),
    ("minor", r"(?:犯罪时|作案时|时)(?:尚|均)?(?:未满|不满|已满十[四六]周岁不满)十?八?周?岁?|系?未成年人犯罪"),
    ("excessive_defence", r"防卫过当"),
    ("victim_fault", r"被害人[^,，。;]{0,15}过错"),
)
_CIRCUMSTANCES = tuple((kind, regex.compile(pattern)) for kind, pattern in _MARKS)
_DENIED_BY_NATURE = frozenset({"minor", "attempt"})
"""Circumstances whose own words hold 未 or 不."""
MOST = 200


def sentence_elements(text: str, start: int, end: int) -> list[Element]:
    """One for each defendant that the ruling convicts or acquits: charges, term and probation in months, fine in yuan.

    Where punishments are joined, the one that is executed (决定执行) counts.
    """
    matches = list(CONVICTED.finditer(text, start, end))[:MOST]
    found = []
    for place, match in enumerate(matches):
        stop = matches[place + 1].start() if place + 1 < len(matches) else end
        close = _END.search(text, match.end(), stop)
        stop = close.start() if close else stop
        clause = text[match.start() : stop]
        together = _TOGETHER.search(clause)
        counted = clause[together.start() :] if together else clause
        names = [match["charge"] or "", *(m["charge"] for m in _FURTHER.finditer(clause))]
        value = _sentence(counted, match["charge"] is None)
        if value is not None:
            crimes = list(dict.fromkeys(name for written in names for name in charge_names(written)))
            value = {"defendant": "".join(match["who"].split()), "charges": crimes} | value
            found.append(Element("sentence", value, match.start(), stop))
    return found


def charge_names(written: str) -> list[str]:
    """Names of charges in a short piece, without 罪, in order: 盗窃罪、诈骗罪; 掩饰、隐瞒犯罪所得罪 is one."""
    found: list[str] = []
    for part in _BETWEEN.split(written):
        name = "".join(part.split()).removesuffix("罪")
        pieces = name.split("、")
        found += pieces if all(piece in known_charges() for piece in pieces) else [name]
    return [name for name in dict.fromkeys(found) if name]


def _sentence(clause: str, acquitted: bool) -> dict[str, Any] | None:
    sentence = None if acquitted else steadily(term, clause)
    sum_ = None if acquitted else steadily(fine, clause)
    money = None if sum_ is None or "罚金" not in clause else number(sum_.yuan)
    if sentence is None and money is None and not acquitted:
        return None
    if sentence is None:
        kind = "acquitted" if acquitted else "fine_only"
        return {"kind": kind, "months": None, "probation_months": None, "reprieve_months": None, "fine_yuan": money}
    probation, reprieve = (None, sentence.suspended) if sentence.kind == "death" else (sentence.suspended, None)
    return {
        "kind": sentence.kind, "months": _whole(sentence.months), "probation_months": _whole(probation),
        "reprieve_months": _whole(reprieve), "fine_yuan": money,
    }  # fmt: skip


def _whole(months: Fraction | None) -> int | float | None:
    return None if months is None else number(months)


def charge_elements(text: str, ruling: tuple[int, int] | None, reasoning: tuple[int, int] | None) -> list[Element]:
    """Charges that the ruling convicts of; without a ruling those that the court finds (构成…罪)."""
    spans: list[tuple[int, int]] = []
    if ruling is not None:
        for pattern in (CONVICTED, _FURTHER):
            spans += [m.span("charge") for m in pattern.finditer(text, *ruling) if m["charge"]]
    elif reasoning is not None:
        spans += [m.span("charge") for m in _GUILTY.finditer(text, *reasoning)]
    found: dict[str, Element] = {}
    for start, end in sorted(spans)[:MOST]:
        written = text[start:end]
        for name in charge_names(written):
            at = written.find(name)
            place = (start + at, start + at + len(name)) if at >= 0 else (start, end)
            found.setdefault(name, Element("charge", name, *place))
    return list(found.values())


def circumstance_elements(text: str, start: int, end: int, defendants: Sequence[str]) -> list[Element]:
    """What the court finds for or against a defendant, and whether it finds it: 不构成自首 is not present.

    ``defendants`` of the value are those named before it in its clause, else in the clauses before in its sentence.
    """
    found: dict[tuple[str, tuple[str, ...], bool], Element] = {}
    for kind, pattern in _CIRCUMSTANCES:
        for match in list(pattern.finditer(text, start, end))[:MOST]:
            begin = max(text.rfind(mark, start, match.start()) for mark in "。;\n") + 1
            before = text[max(begin, start) : match.start()]
            stop = min((at for mark in "。\n" if (at := text.find(mark, match.end(), end)) >= 0), default=end)
            denied = _REJECTED.search(text, match.end(), stop) or (
                kind not in _DENIED_BY_NATURE and _DENIED.search(before)
            )
            named = _named(text, start, begin, match.start(), defendants)
            value = {"kind": kind, "defendants": list(named), "present": not denied}
            found.setdefault((kind, named, not denied), Element("circumstance", value, *match.span()))
    return sorted(found.values(), key=lambda element: element.start)


def _named(text: str, start: int, clause: int, place: int, defendants: Sequence[str]) -> tuple[str, ...]:
    """Defendants named between a clause's beginning and a place in it, else in the last clause of the sentence that
    names one."""
    sentence = max(start, text.rfind("。", start, place) + 1, text.rfind("\n", start, place) + 1)
    clause, stop = max(clause, sentence), place
    while True:
        named = tuple(name for name in dict.fromkeys(defendants) if name in text[clause:stop])
        if named or clause <= sentence:
            return named
        stop = clause - 1
        clause = max(sentence, text.rfind(";", sentence, stop) + 1)
