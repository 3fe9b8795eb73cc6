"""Articles, claims, payments, fees and the outcome: what any judgment may have, civil ones above all."""

from __future__ import annotations

from collections.abc import Sequence

import regex

from curricula.numerals import to_int
from rewards.parsing import amounts, article_refs
from rl.inference.structuring.elements import Element, number
from rl.inference.structuring.text import steadily

_PARAGRAPH = regex.compile(r"[、,和及](?P<place>第(?P<number>[一二三四五六七八九十]{1,3}|\d{1,2})款)")
BLOCK = 6_000
"""Characters that the parsers are given at once."""
_ITEM = regex.compile(r"(?:^|\n|(?<=[:;。]))[ \t]*(?:[一二三四五六七八九十]{1,3}|\d{1,2})[ \t]?[、.][ \t]?")
_PAY = regex.compile(r"支付|给付|偿还|返还|退还|退赔|赔偿|归还|清偿|补偿|连带")
_FEE = regex.compile(r"(?:案件)?(?:受理费|诉讼费用?)(?:人民币|为|共计|合计|:|,|减半收取(?:计|为)?)*[ \t]?")
_ASKS = regex.compile(r"(?:诉讼请求|请求判令|请求(?:依法)?判|上诉请求|请求:)")
_REASONS = regex.compile(r"事实(?:和|与|及)理由")
_SUM_END = regex.compile(r"[\d零〇一二两三四五六七八九十百千万亿余多.,壹贰叁肆伍陆柒捌玖拾佰仟 ]{0,40}(?:元|块钱|圆)?")
MOST = 200


def article_elements(text: str, start: int, end: int) -> list[Element]:
    """Articles that are cited with their law; the same place of a law once."""
    found: dict[tuple[object, ...], Element] = {}
    for begin, piece in _blocks(text, start, end):
        for ref in steadily(article_refs, piece) or []:
            if ref.law is None or not 2 <= len(ref.law) <= 200:
                continue
            for paragraph, first, last in [(ref.paragraph, ref.start, ref.end), *_further(piece, ref.end)]:
                item = ref.item if first == ref.start else None
                value = {"law": ref.law, "article": ref.place, "paragraph": paragraph, "item": item}
                if len(found) < MOST:
                    key = (ref.law, ref.key, paragraph, item)
                    found.setdefault(key, Element("article", value, begin + first, begin + last))
    return list(found.values())


def _further(text: str, at: int) -> list[tuple[int, int, int]]:
    """(paragraph, start, end) of the paragraphs that follow an article's first one: 第六十七条第一款、第三款."""
    found = []
    while match := _PARAGRAPH.match(text, at):
        found.append((to_int(match["number"]), match.start("place"), match.end()))
        at = match.end()
    return found


def _blocks(text: str, start: int, end: int) -> list[tuple[int, str]]:
    """Pieces of at most ``BLOCK`` characters, cut at line ends where there are any."""
    found, at = [], start
    while at < end:
        stop = min(end, at + BLOCK)
        line = text.rfind("\n", at + 1, stop) if stop < end else -1
        stop = line if line > at else stop
        found.append((at, text[at:stop]))
        at = stop
    return found


def _sums(text: str, start: int, end: int) -> list[tuple[int, int, int | float, bool]]:
    """(start, end, yuan, about) of the sums of money in a stretch."""
    found = []
    for begin, piece in _blocks(text, start, end):
        for amount in steadily(amounts, piece) or []:
            at = begin + amount.start
            tail = _SUM_END.match(text, at, end)
            found.append((at, tail.end() if tail else at, number(amount.yuan), amount.about))
    return found[:MOST]


def claim_elements(text: str, start: int, end: int) -> list[Element]:
    """Sums that the claims ask for, in yuan, up to their grounds (事实和理由)."""
    asks = _ASKS.search(text, start, end)
    if asks is None:
        return []
    grounds = _REASONS.search(text, asks.end(), end)
    sums = _sums(text, asks.end(), grounds.start() if grounds else end)
    return [Element("claim", {"yuan": yuan, "about": about}, at, stop) for at, stop, yuan, about in sums]


def payment_elements(text: str, start: int, end: int, parties: Sequence[str]) -> list[Element]:
    """The first sum of every item of the ruling that orders a payment: who pays and who is paid, in yuan."""
    starts = [match.start() for match in _ITEM.finditer(text, start, end)] or [start]
    found = []
    for begin, stop in zip(starts, [*starts[1:], end], strict=True):
        verb = _PAY.search(text, begin, stop)
        fee = _FEE.search(text, begin, stop)
        sums = (
            _sums(text, verb.end(), fee.start() if fee else stop)
            if verb and not (fee and fee.start() < verb.end())
            else []
        )
        if not verb or not sums or "驳回" in text[begin : verb.start()]:
            continue
        at, finish, yuan, about = sums[0]
        names = list(dict.fromkeys(parties))
        payers = [name for name in names if name in text[begin : verb.start()]]
        payees = [name for name in names if name in text[verb.end() : at] and name not in payers]
        value = {"payers": payers, "payees": payees, "yuan": yuan, "about": about}
        found.append(Element("payment", value, at, finish))
    return found


def fee_elements(text: str, start: int, end: int) -> list[Element]:
    """The court fee that is collected, in yuan: the half of it where the ruling says so (减半收取)."""
    fee = _FEE.search(text, start, end)
    sums = _sums(text, fee.end(), min(end, fee.end() + 40)) if fee else []
    if len(sums) > 1 and "减半" in text[sums[0][1] : sums[1][0]]:
        sums = sums[1:]
    return [Element("court_fee", {"yuan": yuan, "about": about}, at, stop) for at, stop, yuan, about in sums[:1]]


_OUTCOMES: tuple[tuple[str, str], ...] = (
    ("remanded", r"发回\p{Han}{0,20}重审"),
    ("affirmed", r"驳回\p{Han}{0,20}上诉,?\s?维持原(?:判|裁定)|驳回上诉"),
    ("amended", r"撤销[^。\n]{0,60}(?:判决|裁定|决定书?)|变更[^。\n]{0,40}判决"),
    ("withdrawn", r"准(?:许|予)[^。\n]{0,40}撤(?:回|诉)"),
    ("partly_granted", r"驳回[^。\n]{0,60}(?:其他|其余|其它)(?:的)?(?:诉讼)?请求"),
    ("dismissed", r"驳回[^。\n]{0,60}(?:诉讼请求|起诉|请求)"),
)


def outcome_element(text: str, start: int, end: int, kind: str, instance: str | None) -> list[Element]:
    """How the case ends, by the first of: sent back, affirmed, amended, withdrawn, granted in part, dismissed; else
    convicted or acquitted in a criminal case of first instance, granted in another."""
    for outcome, pattern in _OUTCOMES:
        if outcome in ("affirmed", "amended", "remanded") and instance == "first" and kind != "administrative":
            continue
        match = regex.search(pattern, text, pos=start, endpos=end)
        if match:
            changed = outcome == "amended" and instance == "first"
            return [Element("outcome", "granted" if changed else outcome, *match.span())]
    if kind == "criminal":
        match = regex.search(r"犯[^,，。;\n]{2,60}?罪", text, pos=start, endpos=end)
        match, outcome = (
            (match, "convicted") if match else (regex.search("无罪", text, pos=start, endpos=end), "acquitted")
        )
        return [Element("outcome", outcome, *match.span())] if match else []
    return [Element("outcome", "granted", start, end)] if end > start else []
