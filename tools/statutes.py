"""``python -m tools.statutes``: which law is read, and whether it includes the amendments.

python -m tools.statutes check [--as-of 2024-03-01] [--laws FOLDER]
python -m tools.statutes show 刑法 390
python -m tools.statutes show 合同法
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table

from curricula.command import command, program
from curricula.errors import DataError
from curricula.statutes import Statutes, law_read, load_statutes
from curricula.statutes.amendments import Change, named_articles, quoted, read_item
from curricula.statutes.options import add_law, use_options
from curricula.statutes.timeline import Amendment

State = Literal["carried", "applied", "superseded", "deleted", "not held", "not yet", "missing", "no change"]


@dataclass(frozen=True)
class AmendmentItem:
    """An item of an amendment, and whether the law in force has its text."""

    amendment: str
    effective: str
    number: str
    articles: tuple[str, ...]
    """What it changes, as far as it could be read."""
    state: State
    """``carried``: the stored text has it; ``applied``: it was added to that text; ``superseded``: a later amendment
    changed the same article; ``deleted``: it deletes, which no text shows; ``not held``: it changes a preamble, which
    is not stored; ``missing``: the law lacks it."""


def check(statutes: Statutes) -> list[AmendmentItem]:
    """Every item of every stored amendment."""
    found = []
    for amendment in statutes.amendments:
        for number, text in amendment.items:
            changes = read_item(text)
            names = tuple(dict.fromkeys(_place(change) for change in changes or ()))
            state = _state(statutes, amendment, text, changes)
            if state != "no change":
                found.append(AmendmentItem(amendment.title, str(amendment.effective), number, names, state))
    return found


def _place(change: Change) -> str:
    number, insertion = change.article
    return f"第{number}条" + (f"之{insertion}" if insertion else "")


def _state(statutes: Statutes, amendment: Amendment, text: str, changes: list[Change] | None) -> State:
    if changes == []:
        return "no change"
    if amendment.effective > statutes.as_of:
        return "not yet"
    wanted = [_bare(line) for line in quoted(text)]
    if changes is None:
        if not named_articles(text) and "序言" in text:
            return "not held"
        if _in_law(statutes, amendment.law, wanted):
            return "carried"
        later = [one for one in statutes.amendments if one.law == amendment.law and one.adopted > amendment.adopted]
        return "superseded" if later else "missing"
    if all(change.kind == "delete" for change in changes):
        return "deleted"
    states = [_change_state(statutes, amendment, change) for change in changes if change.kind != "delete"]
    return next((s for s in ("missing", "superseded", "applied") if s in states), "carried")


def _change_state(statutes: Statutes, amendment: Amendment, change: Change) -> State:
    article = statutes.find(amendment.law, _place(change))
    lines = [_bare(line) for line in change.text.split("\n")]
    if article is not None and all(line in _bare(article.text) for line in lines):
        return "applied" if amendment in statutes.applied(amendment.law) else "carried"
    later = (
        other.article == change.article
        for one in statutes.amendments
        if one.law == amendment.law and amendment.adopted < one.adopted and one.effective <= statutes.as_of
        for _, text in one.items
        for other in read_item(text) or ()
    )
    if any(later):
        return "superseded"
    return "carried" if _in_law(statutes, amendment.law, lines) else "missing"  # under another number


def _in_law(statutes: Statutes, law: str, lines: Sequence[str]) -> bool:
    whole = _bare("".join(article.number + article.text for article in statutes.articles(law)))
    return all(line in whole for line in lines)


def _bare(text: str) -> str:
    """Text without punctuation, which may differ between prints."""
    return "".join(character for character in text if character.isalnum())


@command(DataError)
def main(argv: Sequence[str] | None = None) -> int:
    """0, 1 when an amendment is missing from the law in force, or 2 with a sentence."""
    parser = argparse.ArgumentParser(prog=program("tools.statutes"), description="Which law is read.")
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="whether the law in force carries every amendment that is held")
    checking.add_argument("--json", action="store_true", help="print JSON alone, one line an item")
    showing = commands.add_parser("show", help="how a law stands, or an article as it is in force")
    showing.add_argument("law", help="title, such as 刑法")
    showing.add_argument("article", nargs="?", help="number, such as 390 or 第十七条之一")
    for one in (checking, showing):
        add_law(one)
    chosen = parser.parse_args(argv)
    use_options(chosen)
    statutes = load_statutes()
    return _show(statutes, chosen.law, chosen.article) if chosen.command == "show" else _check(statutes, chosen.json)


def _check(statutes: Statutes, as_json: bool) -> int:
    found = check(statutes)
    if as_json:
        for item in found:
            print(json.dumps(asdict(item), ensure_ascii=False))
        return int(any(item.state == "missing" for item in found))
    console = Console(width=None if sys.stdout.isatty() else 120)
    table = Table("amendment", "effective", "items", "carried", "applied", "superseded", "other", box=box.SIMPLE_HEAD)
    for title in dict.fromkeys(item.amendment for item in found):
        own = [item for item in found if item.amendment == title]
        counts = [sum(item.state == state for item in own) for state in ("carried", "applied", "superseded")]
        other = [
            f"{item.number} {item.state}" for item in own if item.state in ("deleted", "not held", "not yet", "missing")
        ]
        short = title.removeprefix("中华人民共和国").removeprefix("全国人民代表大会常务委员会")
        table.add_row(short, own[0].effective, str(len(own)), *(str(n or "") for n in counts), "、".join(other))
    console.print(table)
    console.print("law in force on {as_of}; newest text of the package {snapshot}".format(**law_read()))
    console.print(f"{len(statutes.articles()):,} articles of {len(statutes.laws)} laws")
    for reason in statutes.not_in_force():
        console.print(f"[dim]{reason}[/dim]", highlight=False, soft_wrap=True)
    return int(any(item.state == "missing" for item in found))


def _show(statutes: Statutes, law: str, number: str | None) -> int:
    standing = statutes.standing(law)
    if standing is None:
        raise DataError(f"the statutes hold nothing named {law}")
    print(f"{standing.title}: {standing.status}" + (f" ({standing.reason})" if standing.reason else ""))
    if number is not None and standing.status == "in force":
        article = statutes.find(law, number)
        if article is None:
            held = statutes.unknown(law, number)
            raise DataError(f"the text of {law} {number} is not known" if held else f"{law} has no article {number}")
        print(f"{article.number} {article.text}")
    print("law in force on {as_of}; newest text of the package {snapshot}".format(**law_read()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
