"""Sums of money, claims and court fees of a judgment."""

from __future__ import annotations

import regex

from rewards.parsing import amounts
from rl.inference.structuring.element_schema import Element, number
from rl.inference.structuring.judgment_text import blocks, steadily

FEE = regex.compile(r"(?:案件)?(?:受理费|诉讼费用?)(?:人民币|为|共计|合计|:|,|减半收取(?:计|为)?)*[ \t]?")
_ASKS = regex.compile(
    r"诉讼请求|请求判令|请求(?:依法)?判|上诉请求|请求:"
    r"|要求(?:依法)?(?:判令|判决|(?:各|[一二两三四五])?被告|被申请人|(?:支付|给付|偿还|返还|赔偿|解除|确认))"
)
_REASONS = regex.compile(r"事实(?:和|与|及)理由")
_SUM_END = regex.compile(r"[\d零〇一二两三四五六七八九十百千万亿余多.,壹贰叁肆伍陆柒捌玖拾佰仟 ]{0,40}(?:元|块钱|圆)?")
_BASE = regex.compile(r"(?:的本金)?(?:为基数|为本金|为基准|为限)")
"""After a sum on which interest is counted, or up to which somebody is liable."""
MOST = 200


def sums_in(text: str, start: int, end: int) -> list[tuple[int, int, int | float, bool]]:
    """(start, end, yuan, about) of the sums of money in a stretch."""
    found = []
    for begin, piece in blocks(text, start, end):
        for amount in steadily(amounts, piece) or []:
            at = begin + amount.start
            tail = _SUM_END.match(text, at, end)
            found.append((at, tail.end() if tail else at, number(amount.yuan), amount.about))
    return [one for one in found if not _BASE.match(text, one[1])][:MOST]


def claim_elements(text: str, start: int, end: int) -> list[Element]:
    """Sums that the claims ask for, in yuan, up to their grounds (事实和理由)."""
    asks = _ASKS.search(text, start, end)
    if asks is None:
        return []
    grounds = _REASONS.search(text, asks.end(), end)
    sums = sums_in(text, asks.end(), grounds.start() if grounds else end)
    return [Element("claim", {"yuan": yuan, "about": about}, at, stop) for at, stop, yuan, about in sums]


def fee_elements(text: str, start: int, end: int) -> list[Element]:
    """The court fee that is collected, in yuan: half of it where the ruling says so (减半收取)."""
    fee = FEE.search(text, start, end)
    sums = sums_in(text, fee.end(), min(end, fee.end() + 40)) if fee else []
    if len(sums) > 1 and "减半" in text[sums[0][1] : sums[1][0]]:
        sums = sums[1:]
    return [Element("court_fee", {"yuan": yuan, "about": about}, at, stop) for at, stop, yuan, about in sums[:1]]
