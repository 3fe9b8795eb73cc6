"""A folder of laws that a user adds or corrects, and the list of dates that comes with the project.

laws.yaml      a list of dates: law, adopted, effective, repealed, replaced_by, in_force (as in laws.yaml beside this)
NAME.txt, .md  an official text below a head between two lines ``---``:

    ---
    law: 中华人民共和国刑法修正案（十二）
    amends: 中华人民共和国刑法
    adopted: 2023-12-29
    effective: 2024-03-01
    ---
    一、在刑法第一百六十五条中增加一款作为第二款，将该条修改为：“…”

``amends`` marks an amendment (items 一、二、…). Without it the text is a law (第一条 …); ``part: true`` says that it
holds some articles only, which take the place of those in force.
"""

import re
from dataclasses import dataclass, fields
from datetime import date, datetime
from pathlib import Path
from typing import Any

from curricula.errors import DataError
from curricula.statutes.article import Article

SHIPPED = Path(__file__).with_name("laws.yaml")

_N = "[一二三四五六七八九十百千零〇]+"
_ARTICLE = re.compile(rf"^\s*(?P<number>第{_N}条(?:之{_N})?)[\s　]*(?P<text>.*)$")
_ITEM = re.compile(rf"^\s*(?P<number>{_N})、(?P<text>.*)$")
_DAY, _MARK = (date, "a day such as 2024-03-01"), (bool, "true or false")
_FORMS: dict[str, tuple[type, str]] = {
    "adopted": _DAY, "effective": _DAY, "repealed": _DAY, "in_force": _MARK, "part": _MARK,
}  # fmt: skip
_HEADING = re.compile(rf"^\s*第{_N}(?:编|分编|章|节)(?:[\s　]|$)")


@dataclass(frozen=True)
class Fact:
    """What a list of dates says about a law; None and empty where it says nothing."""

    law: str
    adopted: date | None = None
    effective: date | None = None
    repealed: date | None = None
    replaced_by: str = ""
    in_force: bool = False


@dataclass(frozen=True)
class Pasted:
    """An official text of the folder."""

    law: str
    adopted: date
    effective: date
    articles: tuple[Article, ...]
    amends: str = ""
    """Title of the law that it amends; empty for a law."""
    part: bool = False
    """Whether it holds some articles of the law only."""


def read_facts(path: Path = SHIPPED) -> tuple[Fact, ...]:
    """A list of dates.

    Raises:
        DataError: naming file and entry, if one is not as it should be.
    """
    import yaml  # not needed to import the library

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) or []
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DataError(f"{path} can't be read ({error}); it should be a YAML list of laws") from None
    if not isinstance(found, list):
        raise DataError(f"{path} should be a list with an entry for each law: - {{law: 乙法, repealed: 2020-01-01}}")
    return tuple(_fact(entry, f"{path}, entry {place}") for place, entry in enumerate(found, start=1))


def read_folder(folder: Path) -> tuple[tuple[Fact, ...], tuple[Pasted, ...]]:
    """The dates and the texts of a folder.

    Raises:
        DataError: if the folder is missing or a file is not as it should be.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; statutes.folder (--laws) takes a folder of laws.yaml and texts")
    facts = read_facts(folder / "laws.yaml") if (folder / "laws.yaml").is_file() else ()
    files = sorted(path for path in folder.iterdir() if path.suffix in (".txt", ".md") and path.stem != "README")
    return facts, tuple(_pasted(path) for path in files)


def _fact(entry: Any, where: str) -> Fact:
    values = _checked(entry, where, Fact)
    if not values.get("repealed") and not (values.get("adopted") and values.get("effective")):
        raise DataError(f"{where} says nothing: give repealed, or adopted and effective")
    return Fact(**values)


def _pasted(path: Path) -> Pasted:
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} can't be read as UTF-8 text ({error})") from None
    parts = re.split(r"(?m)^---\s*$", text.lstrip("\ufeff"), maxsplit=2)
    if len(parts) != 3 or parts[0].strip():
        raise DataError(f"{path} lacks its head; begin with a line ---, then law, adopted and effective, then ---")
    try:
        head = yaml.safe_load(parts[1])
    except yaml.YAMLError as error:
        raise DataError(f"{path}: the head is not YAML ({error})") from None
    values = _checked(head, str(path), Pasted)
    missing = [name for name in ("law", "adopted", "effective") if not values.get(name)]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)} in its head")
    values["articles"] = _articles(values["law"], parts[2], _ITEM if values.get("amends") else _ARTICLE)
    if not values["articles"]:
        form = "items such as 一、将…修改为" if values.get("amends") else "articles such as 第一条 …"
        raise DataError(f"{path} holds no text; below the head it should have {form}")
    return Pasted(**values)


def _checked(entry: Any, where: str, kind: type[Fact] | type[Pasted]) -> dict[str, Any]:
    """The values of an entry or a head by key, each checked for its type."""
    known = [field.name for field in fields(kind) if field.name != "articles"]
    if not isinstance(entry, dict) or not isinstance(entry.get("law"), str):
        raise DataError(f"{where} names no law")
    unknown = sorted(map(str, set(entry) - set(known) - {"source"}))
    if unknown:
        raise DataError(f"{where}: no such key {unknown[0]}; known: {', '.join(known)}, source")
    for name, value in entry.items():
        right, form = _FORMS.get(name, (str, "text"))
        if not isinstance(value, right) or isinstance(value, datetime):
            raise DataError(f"{where}: {name} is {value!r}; it should be {form}")
    return {name: value for name, value in entry.items() if name != "source"}


def _articles(law: str, body: str, begins: "re.Pattern[str]") -> tuple[Article, ...]:
    """Articles, or the items of an amendment, with their paragraphs on lines of their own."""
    found: list[tuple[str, list[str], str | None]] = []
    chapter = None
    for line in body.splitlines():
        start = begins.match(line)
        if start:
            found.append((start["number"], [start["text"].strip()], chapter))
        elif _HEADING.match(line) and begins is _ARTICLE:
            chapter = line.strip()
        elif line.strip() and found:
            found[-1][1].append(line.strip())
    numbered = "" if begins is _ARTICLE else "条目"
    return tuple(
        Article(law, numbered + number, "\n".join(part for part in lines if part), above)
        for number, lines, above in found
    )
