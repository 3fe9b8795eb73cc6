"""Payments that a ruling orders: who pays whom how much, read clause by clause from its items."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import regex

from curricula.numerals import to_int
from rl.inference.structuring.claims_and_fees import FEE, sums_in
from rl.inference.structuring.element_schema import Element

_ITEM = regex.compile(r"(?:^|\n|(?<=[:;。]))[ \t]*(?:[一二三四五六七八九十]{1,3}|\d{1,2})[ \t]?[、.][ \t]?")
_CLAUSE = regex.compile(r"[;。\n]")
_PAY = regex.compile(
    r"支付(?!宝|方式|凭证|令)|给付|偿还(?!期)|返还|退还|退赔|归还|清偿|赔付|连带|交付|付还|付清"
    r"|赔偿(?!金|款|费|限额|标准|范围|项目|义务人|权利人)|补偿(?!金|款|费|标准)|承担(?!本案|案件|诉讼)"
)
_PAID_BEFORE = regex.compile(
    r"由(?P<payer>[^;。\n]{1,80}?)(?:负责|共同|连带|各自)?(?:承担|赔偿|赔付|支付|给付|负担|清偿|补偿)"
)
"""A sum before its payer: 超出部分三万元由被告某某承担."""
_TOTAL = regex.compile(r"(?:合计|共计|总计|共|计)(?:人民币|为|:)?[ \t]?$")
_NET = regex.compile(r"(?:还应当?|还需|尚应|尚需|仍应|仍需|实际应?|余款|剩余)[^,;。\n\d]{0,20}$")
"""Before the sum that remains to be paid: 扣除已付的三万元，还应赔偿六万元."""
_INSTALMENT = regex.compile(r"[,;][^,;。\n]{2,40}前(?:一次性)?(?:支付|给付|付清|偿还|归还|返还|付)|余款")
_RAISED = regex.compile(r"(?:由|随)(?P<who>[^,;。\n]{1,40}?)(?:负责|直接|携带)?(?:抚养|抚育|共同生活|生活)")
"""The person who raises the child receives the payments for it."""
_OWED = regex.compile(r"(?:尚)?欠(?:付)?(?P<who>[^,;。\n]{1,40})")
_JOINTLY = regex.compile(r"(?<!不)承担(?:共同)?连带|连带(?:清偿|赔偿|支付|返还|偿还|承担)")
_ITEM_NUMBER = regex.compile(r"第(?P<number>[一二三四五六七八九十\d]{1,3})项")
_REFUSED = regex.compile(r"驳回|不予支持")
_NOT_GRANTED = regex.compile(r"[^,;。\n]*请求[^,;。\n]{0,10}不予支持")
"""Behind the verb: 要求被告归还借款八万元的诉讼请求不予支持."""
_MORE = regex.compile(
    r"(?:\([^()\n]{0,80}\))?(?:[、,及和与并]|以及){1,2}(?:还应)?(?:支付|给付|赔偿|偿还|返还)?\p{Han}{0,10}(?:费用?|金|利息|损失|款|租|工资|罚息|复利)"
    r"(?:人民币|共计|计|为|:)?"
)
"""Between two sums of which each is to be paid: 租金三万元及违约金五千元."""
_EVERY = regex.compile(r"每(?:人)?(?:每)?[年月日天]\p{Han}{0,4}$")
_SHORT = r"\((?:以下)?(?:均)?简称:?[\"“]?(?P<short>[^()\"”、,;。]{2,20})"
"""After a name: its short form in the rest of the judgment."""
MOST = 200
Party = tuple[str, str, str]
"""Role, name, and how the name is written."""


def payment_elements(text: str, start: int, end: int, known: Sequence[tuple[str, str]]) -> list[Element]:
    """The payments that a ruling orders: payer, payee, yuan. There is one for each clause that names a payer or a sum
    to pay. Of several sums the total counts where the clause gives one, else what remains to be paid, else the first.
    Each instalment is a payment. A person who is jointly liable for other items is added to their payers.

    ``known``: (role, name) of the parties in the header. Court fees are not payments.
    """
    parties = _with_short_names(text, known)
    starts = [match.start() for match in _ITEM.finditer(text, start, end)] or [start]
    found: list[Element] = []
    by_item: list[list[Element]] = []
    for begin, stop in zip(starts, [*starts[1:], end], strict=True):
        payers: list[str] = []
        by_item.append([])
        whose = _mentioned(text[begin : _first_from(text, begin, stop)], parties)
        for first, last in _clauses(text, begin, stop):
            elements, payers = _payment(text, first, last, parties, payers, whose)
            if not elements and (earlier := by_item[-1] or (by_item[-2] if len(by_item) > 1 else [])):
                _join(text[first:last], parties, by_item, earlier)
            by_item[-1] += elements
            found += elements
            if elements:  # 支付六万元,丙公司承担连带责任
                for part in text[elements[-1].end : last].split(",")[1:]:
                    _join(part, parties, by_item, elements)
    return found[:MOST]


def _join(clause: str, parties: Sequence[Party], by_item: list[list[Element]], before: list[Element]) -> None:
    """Add the jointly liable (对第二项债务承担连带责任) to the payers of the items that the clause names, else of the
    payments of the debtor that it names, else of the payments before it."""
    jointly = _JOINTLY.search(clause)
    if jointly is None or _REFUSED.search(clause, 0, jointly.start()) or "补充" in clause:
        return
    who, _, what = clause[: jointly.start()].partition("对")
    joined, debtors = _mentioned(who, parties), _mentioned(what, parties)
    numbers = [to_int(match["number"]) for match in _ITEM_NUMBER.finditer(clause)]
    named = [one for n in numbers if 0 < n <= len(by_item) for one in by_item[n - 1]]
    meant = named or before
    every = [one for item in by_item for one in item]
    theirs = [one for one in named or every if set(debtors) & set(one.value["payers"])]
    for element in theirs or meant:
        payers = element.value["payers"]
        payers += [name for name in joined if name not in payers and name not in element.value["payees"]]


def _payment(
    text: str, start: int, end: int, parties: Sequence[Party], earlier: list[str], whose: list[str]
) -> tuple[list[Element], list[str]]:
    """The payments of a clause, and the payers for later clauses of the item that name none."""
    fee = FEE.search(text, start, end)
    end = fee.start() if fee else end
    verb = _PAY.search(text, start, end)
    if verb is None or _REFUSED.search(text, start, verb.start()) or _NOT_GRANTED.match(text, verb.end(), end):
        return [], earlier
    handed = _PAID_BEFORE.search(text, start, end)
    sums = sums_in(text, verb.end(), end)
    if not sums:
        sums = [one for one in sums_in(text, start, verb.start()) if _EVERY.search(text[start : one[0]])]
    if not sums and handed:
        sums = sums_in(text, start, handed.start())[-1:]
    if not sums:
        return [], earlier
    total = next((one for p in (_NET, _TOTAL) for one in sums[1:] if p.search(text, verb.end(), one[0])), None)
    instalments = [one for one in sums if _instalment(text, start, one[0])]
    chosen = instalments if len(instalments) > 1 else [total] if total else _each(text, sums)
    at = chosen[0][0]
    if handed and handed.start() <= verb.start():
        payers = _mentioned(handed["payer"], parties)
        beneficiaries = _mentioned(text[start : handed.start()], parties)
    else:
        payers, beneficiaries = _mentioned(text[start : verb.start()], parties), []
    to = regex.search(r"[向给对](?P<payee>[^;。\n]{1,60}?)$", text[start : verb.start()])
    if to and not (handed and handed.start() <= verb.start()):
        beneficiaries = _mentioned(to["payee"], parties)
        payers = [name for name in payers if name not in beneficiaries]
    if raised := _RAISED.search(text, start, verb.start()):
        payers = _mentioned(text[raised.end() : verb.start()], parties)
        beneficiaries = _mentioned(raised["who"], parties)
    elif owed := _OWED.search(text, start, verb.start()):
        payers = _mentioned(text[start : owed.start()], parties)
        beneficiaries = _mentioned(owed["who"], parties)
    payers = payers or earlier
    named = _mentioned(text[verb.end() : at], parties) if at > verb.end() else []
    payees = [name for name in (named or beneficiaries or whose) if name not in payers]
    values = [({"payers": [*payers], "payees": payees, "yuan": y, "about": about}, a, b) for a, b, y, about in chosen]
    return [Element("payment", *value) for value in values], payers


def _each(text: str, sums: list[tuple[int, int, int | float, bool]]) -> list[tuple[int, int, int | float, bool]]:
    """The first of several sums and those to be paid in addition: 租金三万元及违约金五千元."""
    found = sums[:1]
    for before, one in pairwise(sums):
        if not _MORE.fullmatch(text, before[1], one[0]):
            break
        found.append(one)
    return found


def _with_short_names(text: str, known: Sequence[tuple[str, str]]) -> list[Party]:
    found = [(role, name, name) for role, name in known]
    for role, name in dict.fromkeys(known):
        match = regex.search(regex.escape(name) + _SHORT, text)
        if match:
            found.append((role, name, match["short"]))
    return found


def _instalment(text: str, start: int, place: int) -> bool:
    """Whether a sum is an instalment: 于5月1日前支付四万元, 于6月1日前支付四万元."""
    begin = max(start, *(text.rfind(mark, start, place) for mark in ",;:"))
    return bool(_INSTALMENT.search("," + text[begin:place].lstrip(",;:")))


def _mentioned(piece: str, parties: Sequence[Party]) -> list[str]:
    """Parties that a piece names, in its order; where it only says 原告 or 被告, all parties of that side."""
    full = {written: name for _, name, written in parties}
    places = {written: piece.find(written) for written in full if written in piece}
    inside = {a for a in places for b in places if a != b and a in b and piece.count(a) == piece.count(b)}
    found = sorted((written for written in places if written not in inside), key=lambda written: places[written])
    if found:
        return list(dict.fromkeys(full[written] for written in found))
    for side in ("被申请人", "申请人", "被告", "原告"):
        if side in piece:
            return list(dict.fromkeys(name for role, name, _ in parties if role == side))
    return []


def _clauses(text: str, start: int, end: int) -> list[tuple[int, int]]:
    cuts = [match.end() for match in _CLAUSE.finditer(text, start, end)]
    found: list[tuple[int, int]] = []
    for first, last in pairwise(sorted({start, *cuts, end})):
        handed = [match.start() for match in _PAID_BEFORE.finditer(text, first, last)]
        inner = {text.rfind(",", first, at) + 1 for at in handed[1:]} - {0}  # one clause for each payer
        found += pairwise(sorted({first, *inner, last}))
    return found


def _first_from(text: str, start: int, end: int) -> int:
    """Where an item begins to name its payers: 由被告…; its beginning if it has no 由."""
    at = text.find("由", start, end)
    return at if at >= 0 else start
