"""Who is ordered to pay whom how much, read clause by clause from the items of a ruling."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import regex

from rl.inference.structuring.elements import Element
from rl.inference.structuring.money import FEE, sums_in

_ITEM = regex.compile(r"(?:^|\n|(?<=[:;。]))[ \t]*(?:[一二三四五六七八九十]{1,3}|\d{1,2})[ \t]?[、.][ \t]?")
_CLAUSE = regex.compile(r"[;。\n]")
_PAY = regex.compile(
    r"支付(?!宝|方式|凭证|令)|给付|偿还(?!期)|返还|退还|退赔|归还|清偿|赔付|连带|交付|付还|付清"
    r"|赔偿(?!金|款|费|限额|标准|范围|项目|义务人|权利人)|补偿(?!金|款|费|标准)|承担(?!本案|案件|诉讼)"
)
_PAID_BEFORE = regex.compile(
    r"由(?P<payer>[^;。\n]{1,80}?)(?:负责|共同|连带|各自)?(?:承担|赔偿|赔付|支付|给付|负担|清偿|补偿)"
)
"""A sum that stands before who pays it: 超出部分三万元由被告某某承担."""
_TOTAL = regex.compile(r"(?:合计|共计|总计|共|计)(?:人民币|为|:)?[ \t]?$")
_REFUSED = regex.compile(r"驳回|不予支持")
MOST = 200


def payment_elements(text: str, start: int, end: int, parties: Sequence[tuple[str, str]]) -> list[Element]:
    """The payments that a ruling orders: who pays, who is paid, in yuan. One for each clause that names a payer, or a
    payment of a sum; of several sums of a payment their total where the clause gives one, else the first.

    ``parties``: (role, name) of the parties in the header. Court fees are no payments.
    """
    starts = [match.start() for match in _ITEM.finditer(text, start, end)] or [start]
    found: list[Element] = []
    for begin, stop in zip(starts, [*starts[1:], end], strict=True):
        payers: list[str] = []
        whose = _mentioned(text[begin : _first_from(text, begin, stop)], parties)
        for first, last in _clauses(text, begin, stop):
            element, payers = _payment(text, first, last, parties, payers, whose)
            if element is not None:
                found.append(element)
    return found[:MOST]


def _payment(
    text: str, start: int, end: int, parties: Sequence[tuple[str, str]], earlier: list[str], whose: list[str]
) -> tuple[Element | None, list[str]]:
    """The payment of a clause, and the payers that a later clause of the item goes on with."""
    fee = FEE.search(text, start, end)
    end = fee.start() if fee else end
    verb = _PAY.search(text, start, end)
    if verb is None or _REFUSED.search(text, start, verb.start()):
        return None, earlier
    handed = _PAID_BEFORE.search(text, start, end)
    sums = sums_in(text, verb.end(), end)
    if not sums and handed:
        sums = sums_in(text, start, handed.start())[-1:]
    if not sums:
        return None, earlier
    at, stop, yuan, about = next((one for one in sums[1:] if _TOTAL.search(text, verb.end(), one[0])), sums[0])
    if handed and handed.start() <= verb.start():
        payers = _mentioned(handed["payer"], parties)
        beneficiaries = _mentioned(text[start : handed.start()], parties)
    else:
        payers, beneficiaries = _mentioned(text[start : verb.start()], parties), []
    to = regex.search(r"[向给对](?P<payee>[^;。\n]{1,60}?)$", text[start : verb.start()])
    if to and not (handed and handed.start() <= verb.start()):
        beneficiaries = _mentioned(to["payee"], parties)
        payers = [name for name in payers if name not in beneficiaries]
    payers = payers or earlier
    named = _mentioned(text[verb.end() : at], parties) if at > verb.end() else []
    payees = [name for name in (named or beneficiaries or whose) if name not in payers]
    return Element("payment", {"payers": payers, "payees": payees, "yuan": yuan, "about": about}, at, stop), payers


def _mentioned(piece: str, parties: Sequence[tuple[str, str]]) -> list[str]:
    """Parties that a piece names, in the order in which it does; where it only says 原告 or 被告, all of that side."""
    names = list(dict.fromkeys(name for _, name in parties))
    places = {name: piece.find(name) for name in names if name in piece}
    inside = {a for a in places for b in places if a != b and a in b and piece.count(a) == piece.count(b)}
    found = sorted((name for name in places if name not in inside), key=lambda name: places[name])
    if found:
        return found
    for side in ("被申请人", "申请人", "被告", "原告"):
        if side in piece:
            return list(dict.fromkeys(name for role, name in parties if role == side))
    return []


def _clauses(text: str, start: int, end: int) -> list[tuple[int, int]]:
    cuts = [match.end() for match in _CLAUSE.finditer(text, start, end)]
    borders = sorted({start, *cuts, end})
    return list(pairwise(borders))


def _first_from(text: str, start: int, end: int) -> int:
    """Where an item comes to who pays: 由被告…; its beginning where it never says 由."""
    at = text.find("由", start, end)
    return at if at >= 0 else start
