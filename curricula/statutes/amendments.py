"""Amendments: what each item of one changes, and the consolidated text with it.

The forms that the National People's Congress uses are read: an article, paragraphs or an item 修改为; articles,
paragraphs or items 增加; articles or paragraphs 删去. An item in another form is not read; the text of the articles
that it names is then unknown.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from curricula.numerals import ARTICLE, article_key, to_int
from curricula.statutes.article import DELETED, Article, paragraphs

Key = tuple[int, int]
Kind = Literal["replace", "insert", "delete"]

_N = "[一二两三四五六七八九十百千零〇]+"
_QUOTES = '"“”'
_TARGET = (
    rf"第(?P<article>{_N})条(?:之(?P<insertion>{_N}))?(?P<paragraphs>(?:、?第{_N}款)*)"
    rf"(?:第[（(]?(?P<item>{_N})[)）]?项)?"
)
_NEW_ARTICLES = re.compile(rf"增加{_N}条，?(?:分别)?作为(?P<new>第.+?)[:：]?$")
_NEW_PARAGRAPHS = re.compile(rf"增加{_N}款，?作为(?P<new>第.+?款)[:：，。]?")
_NEW_ITEM = re.compile(rf"增加一项，?作为第[（(]?(?P<new>{_N})[)）]?项")
_REPLACED = re.compile(rf"{_TARGET}(?:修改为|.*将该条修改为)")
_MOVED = re.compile(rf"^原?第{_N}款(?:改|作)为第(?P<new>{_N})款(?:，修改为)?")
_DELETED = re.compile(rf"删去.*?{_TARGET}")
_FOLLOWING = re.compile(r"^[。；]?原?第[^条]+?[款项](?:相应)?地?(?:改|作)为第.+?[款项]。?$")
_RENUMBERED = re.compile(rf"第{_N}条改为第|合并|顺序")
_MOVES = re.compile(rf"{_RENUMBERED.pattern}|增加{_N}[条章节]")
_HEAD = re.compile(rf"^第{_N}条(?:之{_N})?")


@dataclass(frozen=True)
class Change:
    """One change of one article."""

    kind: Kind
    article: Key
    paragraphs: tuple[int, ...] = ()
    """Numbers of the paragraphs concerned; none means the article."""
    item: int | None = None
    """Number of the item concerned."""
    text: str = ""
    """New wording, a line for each paragraph and item."""


def read_item(text: str) -> list[Change] | None:
    """The changes that an item of an amendment makes; empty for one that makes none (when it takes effect).

    None if it is in a form that is not read.
    """
    changes: list[Change] = []
    target: Key | None = None
    for said, lines in _segments(text):
        found = _read(said, lines, target)
        if found is None:
            return None
        changes += found
        target = found[-1].article if found else target
    return changes


def named_articles(text: str) -> list[Key]:
    """Articles that an item names outside of what it quotes."""
    return [article_key(match[0]) for said, _ in _segments(text) for match in ARTICLE.finditer(said)]


def moves_articles(text: str) -> bool:
    """Whether an item may change the numbers of articles that it does not name."""
    return any(_MOVES.search(said) for said, _ in _segments(text))


def quoted(text: str) -> list[str]:
    """New wordings of an item in any form: what it quotes after 修改为, 增加 or 作为, a string for each line."""
    found: list[str] = []
    for said, lines in _segments(text):
        inline = re.findall(rf"(?:修改为|增加)[:：]?[{_QUOTES}]([^{_QUOTES}]+)[{_QUOTES}]", said)
        found += inline or lines
    return found


def _segments(text: str) -> list[tuple[str, list[str]]]:
    """(what is said, lines that are quoted after it). Each quoted line opens with a mark, the last one closes."""
    found: list[tuple[str, list[str]]] = []
    open_quote = False
    for raw in text.split("\n"):
        line = raw.strip()
        if not line:
            continue
        if open_quote and line[0] not in _QUOTES + "（":
            open_quote = False  # the closing mark is missing
        if open_quote:
            said, rest = "", line if line[0] in _QUOTES else f'"{line}'
        else:
            start = re.search(rf"[:：][{_QUOTES}]|^[{_QUOTES}]", line)
            at = start.end() - 1 if start else len(line)
            said, rest = line[:at], line[at:]
            if said or not found:
                found.append((said, []))
        if not rest:
            continue
        end = re.search(rf"[{_QUOTES}](?P<after>[。；]?|[。；]?原?第.*改为.*)$", rest[1:])
        body = rest[1:] if end is None else rest[1 : 1 + end.start()]
        found[-1][1].append(body.strip())
        open_quote = end is None
        if end is not None and end["after"].strip("。；"):
            found.append((end["after"], []))
    return found


def _read(said: str, lines: list[str], before: Key | None) -> list[Change] | None:
    text = "\n".join(lines)
    if _RENUMBERED.search(said):
        return None  # the numbers that it names are those before or after others move
    if (_FOLLOWING.match(said) and not lines) or re.search(r"自.{1,20}起施行|重新公布", said):
        return []
    moved = _MOVED.match(said)
    if moved and before is not None:
        return [Change("replace", before, (to_int(moved["new"]),), text=text)] if lines else []
    if new := _NEW_ARTICLES.search(said):
        return _inserted([article_key(m[0]) for m in ARTICLE.finditer(new["new"])], lines)
    found = _REPLACED.search(said)
    if found and lines:
        places = () if "该条修改为" in said else tuple(_paragraph_numbers(found["paragraphs"]))
        item = to_int(found["item"]) if found["item"] and "该条修改为" not in said else None
        return [Change("replace", _key(found), places, item, text)]
    target = re.search(_TARGET, said)
    article = _key(target) if target else before
    if article is None:
        return None
    if (new := _NEW_PARAGRAPHS.search(said)) and lines:
        return [Change("insert", article, tuple(_paragraph_numbers(new["new"]))[:1], text=text)]
    if (new := _NEW_ITEM.search(said)) and target and lines:
        return [Change("insert", article, tuple(_paragraph_numbers(target["paragraphs"])), to_int(new["new"]), text)]
    if (gone := _DELETED.search(said)) and not lines and not gone["item"]:
        return [Change("delete", _key(gone), tuple(_paragraph_numbers(gone["paragraphs"])))]
    return None


def _key(match: "re.Match[str]") -> Key:
    return to_int(match["article"]), to_int(match["insertion"]) if match["insertion"] else 0


def _paragraph_numbers(text: str) -> list[int]:
    return [to_int(number) for number in re.findall(rf"第({_N})款", text)]


def _inserted(keys: list[Key], lines: list[str]) -> list[Change] | None:
    """New articles, those between two others such as 第一百二十条之二. A new 第五条 moves others and is not read."""
    if not lines or any(insertion == 0 for _, insertion in keys):
        return None
    if len(keys) == 1:
        return [Change("insert", keys[0], text="\n".join(lines))]
    bodies: dict[Key, list[str]] = {}
    for line in lines:
        head = _HEAD.match(line)
        if head and article_key(head[0]) in keys:
            bodies[article_key(head[0])] = [line[head.end() :].strip()]
        elif bodies:
            bodies[list(bodies)[-1]].append(line)
    if list(bodies) != keys:
        return None
    return [Change("insert", key, text="\n".join(body)) for key, body in bodies.items()]


def apply(changes: Iterable[Change], articles: dict[Key, Article], law: str) -> set[Key]:
    """Make the changes in ``articles``. Returns the articles whose text is then unknown, as a change does not fit."""
    unknown = set()
    for change in changes:
        own = articles.get(change.article)
        text = _changed(change, own)
        if text is None:
            unknown.add(change.article)
        elif own is None:
            number, insertion = change.article
            near = articles.get((number, insertion - 1)) or articles.get((number, 0))
            printed = _printed(number, insertion)
            articles[change.article] = Article(law, printed, text, near.chapter if near else None)
        else:
            articles[change.article] = replace(own, text=text)
    return unknown


def _changed(change: Change, own: Article | None) -> str | None:
    """The article's text after a change; None if it does not fit."""
    if not change.paragraphs and change.item is None:
        if (own is None) != (change.kind == "insert"):
            return None
        return DELETED if change.kind == "delete" else change.text
    if own is None:
        return None
    parts, places = paragraphs(own.text), [number - 1 for number in change.paragraphs]
    if change.item is not None:
        at = places[0] if places else _with_items(parts)
        if at is None or at >= len(parts):
            return None
        listed = _item_changed(parts[at], change)
        if listed is None:
            return None
        parts[at] = listed
    elif change.kind == "insert":
        if not 0 < places[0] <= len(parts):
            return None
        parts[places[0] : places[0]] = paragraphs(change.text)
    elif places[-1] >= len(parts) or places != list(range(places[0], places[-1] + 1)):
        return None
    else:
        parts[places[0] : places[-1] + 1] = [] if change.kind == "delete" else paragraphs(change.text)
    return "\n".join(parts)


def _with_items(parts: list[str]) -> int | None:
    """Which paragraph has items, if just one has."""
    found = [place for place, part in enumerate(parts) if "\n" in part]
    return found[0] if len(found) == 1 else None


def _item_changed(paragraph: str, change: Change) -> str | None:
    head, *listed = paragraph.split("\n")
    bodies = [re.sub(r"^\s*[（(][^)）]+[)）]", "", line) for line in listed]
    new = re.sub(r"^\s*[（(][^)）]+[)）]", "", change.text)
    assert change.item is not None
    place = change.item - 1
    if place > len(bodies) or (place == len(bodies) and change.kind != "insert"):
        return None
    bodies[place : place + (change.kind != "insert")] = [] if change.kind == "delete" else [new]
    return "\n".join([head, *(f"（{_numeral(at)}）{body}" for at, body in enumerate(bodies, start=1))])


def _printed(number: int, insertion: int) -> str:
    return f"第{_numeral(number)}条" + (f"之{_numeral(insertion)}" if insertion else "")


def _numeral(number: int) -> str:
    """A number below a thousand in Chinese, such as 二百六十四."""
    digits = "零一二三四五六七八九"
    hundreds, tens, ones = number // 100, number // 10 % 10, number % 10
    text = (digits[hundreds] + "百" if hundreds else "") + (digits[tens] + "十" if tens else "")
    if hundreds and not tens and ones:
        text += "零"
    return ("十" if number < 20 and tens else text) + (digits[ones] if ones or not number else "")
