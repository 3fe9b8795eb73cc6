"""``python -m tools.floors``: the rooms of the code by floor, and every import that breaks the rule.

A room is a package (cluster, curricula, rewards, tools), a folder right under rl, or a file of rl's root. Imports point
down: to a room on a lower floor. They count everywhere: at the top, in a function, under TYPE_CHECKING, and as the name
of a module in a string, as in a table of commands.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from itertools import pairwise
from pathlib import Path

PACKAGES = ("cluster", "curricula", "hydra_plugins", "rewards", "rl", "tools")
FLOORS = (
    ("cluster", "curricula"),
    ("rewards",),
    ("rl.errors",),
    ("rl.files", "rl.seeds", "rl.device", "rl.samples", "rl.language"),
    ("rl.config",),
    ("rl.records", "rl.models", "rl.algorithms", "rl.retrieval"),
    ("rl.data", "rl.engines", "rl.weights"),
    ("rl.actors",),
    ("rl.inference",),
    ("rl.driver",),
    ("rl.report",),
    ("rl.evaluation",),
    ("rl.synthesis",),
    ("rl.stages",),
    ("rl.curriculum", "rl.preflight", "rl.plan"),
    ("rl.job",),
    ("rl.sweeps",),
    ("rl.main", "rl.evaluate", "rl.synthesize", "rl.inference.__main__", "rl", "hydra_plugins"),
    ("tools",),
)
"""Rooms of each floor, the lowest first. Rooms on one floor don't import each other. Entry points are on top; ``rl`` is
what one imports from Python, the package's own file."""
ALLOWED = {
    "ray": ("rl", "cluster"),
    "torch": ("rl",),
    "verl": ("rl.engines", "rl.algorithms.verl_bridge"),
    "megatron": ("rl.engines", "rl.algorithms.verl_bridge"),
    "vllm": ("rl.actors", "rl.weights.transfer"),
}
"""Heavy package to the modules and packages of ours that may import it. tools may import all of them."""


@dataclass(frozen=True, order=True)
class Import:
    """One import: the importing module, with file and line, and the imported one."""

    source: str
    file: str
    line: int
    target: str
    named: bool = False
    """Whether it is a name in a string, such as in a table of commands, and no import statement."""

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"


def imports(root: Path) -> list[Import]:
    """Every import, in the packages below ``root``, of a module of ours or of a package in ALLOWED."""
    known = _modules(root)
    return [
        Import(module, str(path.relative_to(root)), line, name, named)
        for module, path in known.items()
        for line, name, named in _names(path, module, known)
        if name != module and (name in known or name.partition(".")[0] in ALLOWED)
    ]


def room(module: str) -> str:
    """The room of a module. A ``__main__`` below rl is its own room, because it may name modules of higher floors."""
    package, *rest = module.split(".")
    if package != "rl" or "__main__" in rest:
        return module if package == "rl" else package
    return ".".join((package, *rest[:1]))


def rooms(root: Path) -> dict[str, int]:
    """Each room with its number of files."""
    found: dict[str, int] = {}
    for module in _modules(root):
        found[room(module)] = found.get(room(module), 0) + 1
    return found


def arrows(found: Sequence[Import]) -> set[tuple[str, str]]:
    """Pairs of rooms, of which the first imports the second."""
    pairs = {(room(one.source), room(one.target)) for one in found if one.target.partition(".")[0] in PACKAGES}
    return {(source, target) for source, target in pairs if source != target}


def problems(root: Path, found: Sequence[Import]) -> list[str]:
    """A sentence, with the place, for each of the imports that breaks the rule; none if the floors hold."""
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    existing = rooms(root)
    return [
        *(f"{name} has no floor: add it to FLOORS in tools/floors.py" for name in sorted({*existing} - {*floor})),
        *(f"{name} doesn't exist: take it out of FLOORS in tools/floors.py" for name in floor if name not in existing),
        *(sentence for one in sorted(found) if (sentence := _problem(one, floor))),
        *_circles(found),
    ]


def _problem(one: Import, floor: Mapping[str, int]) -> str | None:
    package = one.target.partition(".")[0]
    source, target = room(one.source), room(one.target)
    what = f"{one.place} imports {one.target}"
    if package in ALLOWED:
        allowed = (*ALLOWED[package], "tools")
        if not any(f"{one.source}.".startswith(f"{name}.") for name in allowed):
            return f"{what}: only {', '.join(allowed)} may import {package}"
    elif source != target and source in floor and target in floor:
        if floor[source] < floor[target]:
            return f"{what}: {source} is on a lower floor than {target}, and imports point down"
        if floor[source] == floor[target]:
            return f"{what}: {source} and {target} are on the same floor, and such rooms don't import each other"
    return None


def _circles(found: Sequence[Import]) -> Iterator[str]:
    """Circles of import statements in one room. A circle of several rooms has an import that points up, which is found;
    a table may name the command that reads the table."""
    place: dict[tuple[str, str], str] = {}
    graph: dict[str, set[str]] = {}
    for one in sorted(found):
        if room(one.source) == room(one.target) and not one.named:
            place.setdefault((one.source, one.target), one.place)
            graph.setdefault(one.source, set()).add(one.target)
    while True:
        try:
            TopologicalSorter(graph).prepare()
            return
        except CycleError as error:
            circle = error.args[1][::-1]  # graphlib lists the imported module before the one that imports it
            yield f"{place[circle[0], circle[1]]} closes a circle: {' imports '.join(circle)}"
            graph[circle[0]].remove(circle[1])


def _modules(root: Path) -> dict[str, Path]:
    files = (path for package in PACKAGES for path in sorted((root / package).rglob("*.py")))
    return {".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


def _names(path: Path, module: str, known: Mapping[str, Path]) -> Iterator[tuple[int, str, bool]]:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    started = _after_dash_m(nodes)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            full = ((alias.lineno, f"{base}.{alias.name}") for alias in node.names)
            yield from ((line, name if name in known else base, False) for line, name in full)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in started:
            name = node.value.partition(":")[0]  # module, or module:function
            if "." in name and name in known:
                yield node.lineno, name, True


def _after_dash_m(nodes: Sequence[ast.AST]) -> set[ast.AST]:
    """What follows "-m" in a command: another process runs it, so it is no import."""
    lists = [node.elts for node in nodes if isinstance(node, ast.List | ast.Tuple)]
    pairs = (pair for elements in lists for pair in pairwise(elements))
    return {second for first, second in pairs if isinstance(first, ast.Constant) and first.value == "-m"}


def _draw(root: Path, found: Sequence[Import]) -> Iterator[str]:
    pairs, files = arrows(found), rooms(root)
    floors = [*FLOORS, tuple(sorted({*files} - {name for names in FLOORS for name in names}))]
    yield f"{'floor':>5}  {'room':<22}{'files':>5}{'imports':>9}{'imported by':>13}"
    for number, names in reversed(list(enumerate(floors))):
        for name in (name for name in names if name in files):
            out, into = (sum(pair[side] == name for pair in pairs) for side in (0, 1))
            shown = number if number < len(FLOORS) else "none"
            yield f"{shown:>5}  {name:<22}{files[name]:>5}{out:>9}{into:>13}"
    floor = {name: number for number, names in enumerate(floors) for name in names}
    back = sum(floor[source] <= floor[target] for source, target in pairs)
    yield f"{len(files)} rooms, {len(pairs)} arrows between them, {back} not pointing down"


def main(argv: Sequence[str] | None = None) -> int:
    """Draw the floors; 1 if an import breaks the rule, which is then printed."""
    parser = argparse.ArgumentParser(prog="python -m tools.floors", description="The rooms of the code by floor.")
    parser.add_argument("--root", type=Path, help="checkout (default: this one)")
    root = parser.parse_args(argv).root or Path(__file__).parents[1]
    found = imports(root)
    broken = problems(root, found)
    print("\n".join([*_draw(root, found), *broken]))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
