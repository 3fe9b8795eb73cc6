"""Sentences, charges and circumstances of a criminal judgment."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import regex

from rewards.parsing import fine, known_charges, term
from rl.inference.structuring.element_schema import Element, number
from rl.inference.structuring.judgment_text import steadily

_WHO = (
    r"(?:上诉人\(原审被告人\)|原审被告人|被告单位|被告人|上诉人)[ \t]?"
    r"(?P<who>(?:[^,，。;、:()\s犯]|\([^()\n]{1,12}\)){1,40}?)"
)
_OF_WHAT = r"(?:无罪(?=[。;,\n]|$)|犯(?P<charge>(?:(?!判处|单处)[^,。;:\n]){1,60}罪)(?=[,。;:\n]|$|判处|单处|免[予于]))"
CONVICTED = regex.compile(_WHO + _OF_WHAT)
"""被告人张某犯盗窃罪 or 被告人张某无罪, in a ruling."""
_CONFIRMED = regex.compile(
    r"对(?:原审)?(?:被告人|被告单位)[ \t]?(?P<who>[^,，。;、:()\s]{2,40}?)以(?P<charge>[^,。;:\n]{1,60}罪)判处"
    r"|以(?P<charge>[^,。;:\n]{1,60}罪)判处(?:原审)?(?:被告人|被告单位)[ \t]?(?P<who>[^,，。;、:()\s]{2,40}?)"
    r"(?=死刑|无期|有期|拘役|管制|罚金|[,。;\n])"
)
"""核准…以抢劫罪判处被告人张某死刑."""
_COMMUTED = regex.compile(r"(?:将|对)?罪犯(?P<who>[^,，。;、:()\s]{2,20}?)的?(?:刑罚|刑期)?(?P<charge>)减为")
"""将罪犯张某的刑罚减为有期徒刑二十二年."""
_REDUCED = regex.compile(r"罪犯(?P<who>[^,，。;、:()\s]{2,20}?)(?:的刑[期罚])?减去(?P<cut>[^,，。;()\n]{2,30})")
_REVOKED = regex.compile(
    r"撤销[^。\n]{0,200}(?:即|内容|主文)[:,]?[\"“]?[^。;\n]{0,20}$|撤销[^。;\n]{0,200}(?:中)?对?$|不(?:予)?核准[^。;\n]{0,200}$"
)
_ITEM = regex.compile(r"(?<![^\s。;:])[一二三四五六七八九十]{1,3}[、.]")
_PERIOD = regex.compile(r"[。\n]")
_GOES_ON = regex.compile(
    r"[\s;,]*(?:撤销[^。\n]{0,120}缓刑[^。\n]{0,60}[。;,][\s]*)?"
    r"(?:并处|附加|决定(?:合并)?执行|合并执行|数罪并罚|(?:与|连同)[^。\n]{0,60}并罚)"
)
"""A sentence that goes on with the punishment of the one before; a suspended sentence may be revoked in between."""
_NOTE = regex.compile(
    r"\([^()\n]{0,300}(?:刑期|考验|管制期|期限|折抵|缴|交纳|起算|日起|日止|生效|执行)[^()\n]{0,300}\)"
)
_TOGETHER = regex.compile(r"(?:决定|合并)(?:合并)?执行")
_FURTHER = regex.compile(r"[;,]\s?犯(?P<charge>(?:(?!判处|单处)[^,。;\n]){1,60}罪)(?=[,。;\n]|判处|单处)")
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
"""Circumstances whose name holds 未 or 不."""
MOST = 200


def sentence_elements(text: str, start: int, end: int, accused: Sequence[str] = ()) -> list[Element]:
    """One for each defendant that the ruling convicts or acquits: charges, term and probation in months, fine in yuan.

    Where punishments are joined, the one that is executed (决定执行) counts. A sentence that the ruling revokes is left
    out; one that it upholds or confirms (维持, 核准) counts. ``accused``: names that may stand without 被告人.
    """
    text = text[:start] + _without_notes(text[start:end])
    places = convictions(text, start, end, accused)
    found: dict[str, Element] = {}
    for place, match in enumerate(places):
        stop = places[place + 1].start() if place + 1 < len(places) else end
        stop = _clause_end(text, match.end(), stop)
        who = "".join(match["who"].split())
        begin, earlier = match.start(), found.get(who)
        if earlier is not None:  # a second conviction of the same defendant, with which the first is joined
            begin = earlier.start
        clause = text[begin:stop]
        together = list(_TOGETHER.finditer(clause))
        value = _sentence(clause[together[-1].start() :] if together else clause, match["charge"] is None)
        if value is None or (earlier is not None and not together):
            value = _joined(earlier, _sentence(text[match.start() : stop], match["charge"] is None))
        if value is None:
            continue
        if together and value["fine_yuan"] is None:  # the joined punishment names no fine: those of the parts add up
            value |= {"fine_yuan": _fines(clause[: together[-1].start()])}
        written = [match["charge"] or "", *(m["charge"] for m in _FURTHER.finditer(text, match.end(), stop))]
        crimes = [*(earlier.value["charges"] if earlier else ()), *(n for one in written for n in charge_names(one))]
        value = {"defendant": who, "charges": list(dict.fromkeys(crimes))} | value
        found[who] = Element("sentence", value, begin, stop)
        for name in _with(text[start : match.start()], accused):
            at = text.rfind(name, start, match.start())
            found.setdefault(name, Element("sentence", value | {"defendant": name}, at, stop))
    return sorted(found.values(), key=lambda element: element.start)


def _with(before: str, accused: Sequence[str]) -> list[str]:
    """Defendants that are named together with the next one: 被告人张某、李某犯…"""
    found: list[str] = []
    while name := next((one for one in accused if before.endswith((f"{one}、", f"{one}和", f"{one}及"))), None):
        found.append(name)
        before = before[: -len(name) - 1].rstrip()
        before = before.removesuffix("被告人").rstrip()
    return found


def convictions(text: str, start: int, end: int, accused: Sequence[str] = ()) -> list[regex.Match[str]]:
    """Places where a ruling convicts or acquits somebody of a charge, in order, without what it revokes."""
    patterns = [CONVICTED, _CONFIRMED, _COMMUTED]
    names = [regex.escape(name) for name in dict.fromkeys(accused) if len(name) >= 2][:MOST]
    if names:
        patterns.append(regex.compile(rf"(?<![\p{{Han}}])(?P<who>{'|'.join(names)}){_OF_WHAT}"))
    matches = sorted((m for p in patterns for m in p.finditer(text, start, end)), key=lambda m: m.start())[:MOST]
    found: list[regex.Match[str]] = []
    revoked_at = -1
    for match in matches:
        item = _item_start(text, start, match.start())
        before = text[item : match.start()]
        if item == revoked_at or _REVOKED.search(before):
            revoked_at = item
        else:
            found.append(match)
    return found


def _item_start(text: str, start: int, place: int) -> int:
    """Beginning of the numbered item, or else of the sentence, that holds a place."""
    begin = max(start, text.rfind("。", start, place) + 1, text.rfind("\n", start, place) + 1)
    for mark in _ITEM.finditer(text, begin, place):
        begin = mark.start()
    return begin


def _clause_end(text: str, start: int, stop: int) -> int:
    """Where a conviction ends: with its sentence, unless the next one goes on with the punishment (并处, 决定执行)."""
    for period in _PERIOD.finditer(text, start, stop):
        if not _GOES_ON.match(text, period.end(), stop):
            return period.start()
    return stop


def _without_notes(ruling: str) -> str:
    """A ruling with its notes in brackets (how a term runs, when a fine is due) blanked out: it stays as long."""
    for _ in range(2):  # a note may hold brackets
        ruling = _NOTE.sub(lambda note: " " * len(note[0]), ruling)
    return ruling


def _joined(earlier: Element | None, value: dict[str, Any] | None) -> dict[str, Any] | None:
    """Two convictions of one defendant as one, where no joined punishment is named: an upheld part of a sentence and
    the changed part. Where both name a value, the later one counts."""
    if earlier is None or value is None:
        return value
    parts = {key: earlier.value[key] for key in value}
    kind = parts["kind"] if value["kind"] == "fine_only" else value["kind"]
    return {key: parts[key] if value[key] is None else value[key] for key in value} | {"kind": kind}


def _fines(clause: str) -> int | float | None:
    sums = [steadily(fine, part) for part in regex.split(r"[;。]", clause) if "罚金" in part]
    known = [one.yuan for one in sums if one is not None]
    return number(sum(known, Fraction())) if known else None


def charge_names(written: str) -> list[str]:
    """Names of charges in a short piece, without 罪, in order: 盗窃罪、诈骗罪; 掩饰、隐瞒犯罪所得罪 is one."""
    found: list[str] = []
    for part in _BETWEEN.split(written):
        name = "".join(part.split()).removesuffix("罪")
        pieces = name.split("、")
        found += pieces if all(piece in known_charges() for piece in pieces) else [name]
    return [name for name in dict.fromkeys(found) if name]


def reduction_elements(text: str, start: int, end: int) -> list[Element]:
    """By how many months a commutation shortens a term: 减去有期徒刑六个月."""
    found = []
    for match in list(_REDUCED.finditer(text, start, end))[:MOST]:
        cut = steadily(term, match["cut"])
        value = {"defendant": "".join(match["who"].split()), "months": _whole(cut.months) if cut else None}
        found.append(Element("reduction", value, *match.span()))
    return found


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


def charge_elements(
    text: str, ruling: tuple[int, int] | None, reasoning: tuple[int, int] | None, accused: Sequence[str] = ()
) -> list[Element]:
    """Charges that the ruling convicts of; without a ruling those that the court finds (构成…罪)."""
    spans: list[tuple[int, int]] = []
    if ruling is not None:
        for match in convictions(text, *ruling, accused):
            stop = _clause_end(text, match.end(), ruling[1])
            further = _FURTHER.finditer(text, match.end(), stop)
            spans += [m.span("charge") for m in (match, *further) if m["charge"]]
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
    """Circumstances for or against a defendant, and whether the court finds them: 不构成自首 is not present.

    ``defendants`` of the value are those named before it in its clause, else in the earlier clauses of its sentence.
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
