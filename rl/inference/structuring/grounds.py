"""Articles that a judgment rests on, and how the case ends."""

from __future__ import annotations

import regex

from curricula.numerals import to_int
from rewards.parsing import ArticleRef, article_refs
from rl.inference.structuring.element_schema import Element
from rl.inference.structuring.judgment_text import blocks, steadily

_N = r"(?P<number>[一二三四五六七八九十]{1,3}|\d{1,2})"
_PARAGRAPH = regex.compile(
    rf"[、,和及](?P<place>第{_N}款(?:第?\(?(?P<item>[一二三四五六七八九十]{{1,3}}|\d{{1,2}})\)?项)?)"
)
_ITEM = regex.compile(rf"[、,和及](?P<place>第?\(?{_N}\)?项)")
_LISTED = regex.compile(rf"(?<=[、和及])第?{_N}(?=(?:[、和及]第?[一二三四五六七八九十\d]{{1,3}})*\s?款)")
_NO_LAW = ("合同", "协议", "协议书", "章程")
"""Endings of the names of agreements between parties; their articles are not law."""
MOST = 200


def article_elements(text: str, start: int, end: int) -> list[Element]:
    """Articles that are cited with their law, each place of a law once."""
    found: dict[tuple[object, ...], Element] = {}
    for begin, piece in blocks(text, start, end):
        for ref in steadily(article_refs, piece) or []:
            if ref.law is None or not 2 <= len(ref.law) <= 200 or ref.law.endswith(_NO_LAW):
                continue
            for paragraph, item, first, last in _places(piece, ref):
                value = {"law": ref.law, "article": ref.place, "paragraph": paragraph, "item": item}
                if len(found) < MOST:
                    key = (ref.law, ref.key, paragraph, item)
                    found.setdefault(key, Element("article", value, begin + first, begin + last))
    return list(found.values())


def _places(text: str, ref: ArticleRef) -> list[tuple[int | None, int | None, int, int]]:
    """(paragraph, item, start, end) of an article's places: 第六十七条第一款、第三款, 第七十二条第一、三款,
    第七十条第(一)项、第(三)项."""
    found = [(ref.paragraph, ref.item, ref.start, ref.end)]
    found += [(to_int(m["number"]), None, *m.span()) for m in _LISTED.finditer(text, ref.start, ref.end)]
    at = ref.end
    while True:
        last = found[-1]
        if last[1] is not None and (match := _ITEM.match(text, at)):
            found.append((last[0], to_int(match["number"]), match.start("place"), match.end()))
        elif match := _PARAGRAPH.match(text, at):
            item = to_int(match["item"]) if match["item"] else None
            found.append((to_int(match["number"]), item, match.start("place"), match.end()))
        else:
            return found
        at = match.end()


_OUTCOMES: tuple[tuple[str, str], ...] = (
    ("confirmed", r"(?<!不)(?<!不予)核准\p{Han}{2}[^。\n]{0,120}(?:死刑|减轻处罚|判处|判决|裁定|假释)"),
    ("commuted", r"(?:减去|减为)[^。\n]{0,30}(?:徒刑|拘役|管制)|予以假释|准予假释"),
    ("remanded", r"发回\p{Han}{0,24}重(?:新)?审"),
    ("amended", r"(?<!(?:驳回|维持)[^。;\n]{0,80})(?:撤销[^。\n]{0,60}(?:判决|裁定|决定书?)|变更[^。\n]{0,40}判决)"),
    ("affirmed", r"驳回\p{Han}{0,20}(?:上诉|申诉|再审申请),?\s?维持|驳回上诉|(?<!不予)维持[^。;\n]{0,60}(?:判决|裁定)"),
    ("withdrawn", r"(?<!不)(?<!不予)准(?:许|予)[^。\n]{0,40}撤(?:回|诉)"),
    ("dismissed", r"不(?:准(?:许|予)?|予准许|予)[^。;\n]{0,60}离婚"),
    ("partly_granted", r"驳回[^。\n]{0,60}(?:其他|其余|其它)(?:的)?(?:诉讼)?请求"),
    ("partly_granted", r"(?:其他|其余|其它)(?:的)?(?:诉讼)?请求[^。,;\n]{0,10}不予支持"),
    ("dismissed", r"驳回[^。;\n]{0,200}(?:诉讼请求|起诉|请求|申请)|请求[^。,;\n]{0,10}不予支持"),
)


def outcome_element(text: str, start: int, end: int, kind: str, instance: str | None) -> list[Element]:
    """How the case ends, by the first of: confirmed on review, commuted, sent back, amended, affirmed, withdrawn,
    granted in part, dismissed; else convicted or acquitted in a criminal case of first instance, granted in another."""
    for outcome, pattern in _OUTCOMES:
        if outcome in ("affirmed", "amended", "remanded") and instance == "first" and kind != "administrative":
            continue
        if outcome in ("partly_granted", "dismissed") and kind == "criminal" and instance == "first":
            continue  # of the civil action that goes with it
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
