"""The pages of the project, and what they say that can be checked: commands, links, paths and names."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tools.themis import COMMANDS, WORDS

ROOT = Path(__file__).resolve().parents[2]
COMMAND = re.compile(r"^(\w+=\S+ )*(\.venv/bin/)?((python|pip|make|pytest|lm_eval|docker) \S|themis \S+ \S)")
"""How a line of code begins that is a shell command."""


@dataclass(frozen=True)
class Place:
    """Where something stands."""

    page: Path
    line: int

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT) if self.page.is_relative_to(ROOT) else self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A shell command of a page, with its variables apart."""

    place: Place
    words: tuple[str, ...]
    variables: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The command in one line, without quotes."""
        return " ".join(self.words)


def pages() -> list[Path]:
    """README in both languages, CONTRIBUTING and everything below docs/."""
    return [ROOT / "README.md", ROOT / "README.zh.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def code_lines(page: Path) -> Iterator[tuple[int, str]]:
    """Lines of fenced and indented blocks without indentation; a line that ends with ``\\`` is joined to the next."""
    for number, block in _blocks(page)[0]:
        begun, first = "", number
        for offset, line in enumerate(block):
            first = first if begun else number + offset
            begun += line
            if begun.endswith("\\"):
                begun = begun[:-1]
                continue
            yield first, begun
            begun = ""


def code_blocks(page: Path, language: str) -> list[str]:
    """Fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    """The page without its blocks of code, line by line."""
    return _blocks(page)[1]


def blocks(page: Path) -> list[tuple[int, list[str]]]:
    """(line, lines of code) of every block, without indentation."""
    return _blocks(page)[0]


def _blocks(page: Path) -> tuple[list[tuple[int, list[str]]], str]:
    blocks: list[tuple[int, list[str]]] = []
    rest: list[str] = []
    fenced, inside, before = False, False, ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = line.strip().startswith("```")
        if fence:
            fenced = not fenced
            blocks += [(number + 1, [])] if fenced else []
        elif fenced:
            blocks[-1][1].append(line)
        elif line.startswith("    ") and (inside or not before.strip()):
            if not inside:
                blocks.append((number, []))
            inside = True
            blocks[-1][1].append(line[4:])
        elif inside and not line.strip():
            blocks[-1][1].append("")
        else:
            inside = False
        code = fence or fenced or inside
        rest.append("" if code else line)
        before = line
    return blocks, "\n".join(rest)


def inline(page: Path) -> Iterator[tuple[int, str]]:
    """Inline code of a page, white space made one."""
    text = prose(page)
    for found in re.finditer(r"(?<!`)`([^`]+)`(?!`)", text):
        yield text.count("\n", 0, found.start()) + 1, " ".join(found[1].split())


def commands(page: Path) -> list[Command]:
    """Every shell command of a page."""
    found = []
    for number, line in (*code_lines(page), *inline(page)):
        if COMMAND.match(line.strip()):
            words = shlex.split(line, comments=True)
            starts = [-1, *(place for place, word in enumerate(words) if word == "&&"), len(words)]
            for start, end in pairwise(starts):
                found.append(Command(Place(page, number), *_without_variables(_module(words[start + 1 : end]))))
    return found


def _module(words: list[str]) -> list[str]:
    """``themis NAME …`` as ``python -m MODULE …``, which is the same."""
    if words[0] != "themis" or words[1] not in COMMANDS:
        return words
    return ["python", "-m", COMMANDS[words[1]].module.removesuffix(".__main__"), *words[2:], *WORDS.get(words[1], [])]


def _without_variables(words: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    first = next(place for place, word in enumerate(words) if "=" not in word)
    return tuple(words[first:]), tuple(words[:first])


def links(page: Path) -> Iterator[tuple[int, str]]:
    """Targets of the links and pictures of a page."""
    text = prose(page)
    for found in re.finditer(r"\]\(([^)\s]+)\)", text):
        yield text.count("\n", 0, found.start()) + 1, found[1]


def anchors(page: Path) -> set[str]:
    """Names that a link can point to after ``#``."""
    return set(anchors_in_order(page))


def anchors_in_order(page: Path) -> list[str]:
    """Those names heading by heading, as GitHub makes them."""
    found: list[str] = []
    for line in prose(page).splitlines():
        if heading := re.match(r"#+ (.*)", line):
            name = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).lower()).replace(
                " ", "-"
            )
            found.append(name if name not in found else f"{name}-1")
    return found
