"""Articles that a judgment rests on, and how the case ends."""

from __future__ import annotations

import regex

from curricula.numerals import to_int
from rewards.parsing import article_refs
from rl.inference.structuring.elements import Element
from rl.inference.structuring.text import blocks, steadily

_PARAGRAPH = regex.compile(r"[、,和及](?P<place>第(?P<number>[一二三四五六七八九十]{1,3}|\d{1,2})款)")
MOST = 200


def article_elements(text: str, start: int, end: int) -> list[Element]:
    """Articles that are cited with their law; the same place of a law once."""
    found: dict[tuple[object, ...], Element] = {}
    for begin, piece in blocks(text, start, end):
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


_OUTCOMES: tuple[tuple[str, str], ...] = (
    ("confirmed", r"(?<!不)(?<!不予)核准\p{Han}{2}[^。\n]{0,120}(?:死刑|减轻处罚|判处|判决|裁定|假释)"),
    ("commuted", r"(?:减去|减为)[^。\n]{0,30}(?:徒刑|拘役|管制)|予以假释|准予假释"),
    ("remanded", r"发回\p{Han}{0,24}重(?:新)?审"),
    ("affirmed", r"驳回\p{Han}{0,20}上诉,?\s?维持原(?:判|裁定)|驳回上诉"),
    ("amended", r"撤销[^。\n]{0,60}(?:判决|裁定|决定书?)|变更[^。\n]{0,40}判决"),
    ("withdrawn", r"(?<!不)(?<!不予)准(?:许|予)[^。\n]{0,40}撤(?:回|诉)"),
    ("dismissed", r"不(?:准(?:许|予)?|予准许|予)[^。;\n]{0,60}离婚"),
    ("partly_granted", r"驳回[^。\n]{0,60}(?:其他|其余|其它)(?:的)?(?:诉讼)?请求"),
    ("dismissed", r"驳回[^。\n]{0,60}(?:诉讼请求|起诉|请求)"),
)


def outcome_element(text: str, start: int, end: int, kind: str, instance: str | None) -> list[Element]:
    """How the case ends, by the first of: confirmed on review, commuted, sent back, affirmed, amended, withdrawn,
    granted in part, dismissed; else convicted or acquitted in a criminal case of first instance, granted in another."""
    for outcome, pattern in _OUTCOMES:
        if outcome in ("affirmed", "amended", "remanded") and instance == "first" and kind != "administrative":
            continue
        if outcome in ("confirmed", "commuted") and (kind != "criminal" or instance in ("first", "second")):
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
