"""``python -m tools.bench.synthesis``: how a synthesis grows with its documents, without a teacher.

Each number of documents is measured in a process of its own: the steps that ask nothing (read, mask, segment, link,
copies) over judgments made from those of the examples, and the writing of the corpus. Every twentieth is a
near-duplicate. CPU-seconds count, because other work on the machine does not change them much. The exponent e is the
slope of a straight line through the figures in log-log scale: time, or memory beyond what was held before, grows with
the number of documents to the power of e, and 1 is linear. A few thousand documents need less than loading the statutes
did, so that their peak says nothing.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich import box
from rich.console import Console
from rich.table import Table

from curricula.statutes import load_statutes, use_law
from rl.config.synthesis import RecipeConfig
from rl.inference.json_lines import write_lines
from rl.synthesis.documents import read_documents
from rl.synthesis.engine import Engine
from rl.synthesis.outputs import write_outputs
from rl.synthesis.recipe import steps_of
from rl.synthesis.results import read_result
from rl.synthesis.step import Context

JUDGMENTS = Path(__file__).resolve().parents[2] / "docs" / "examples" / "judgments"
RECIPE = RecipeConfig.model_validate(
    {"name": "scale", "steps": [{"step": name} for name in ("mask", "segment", "link", "copies")]}
)
FACTS = "经审理查明"
NEAR = 20
"""One document in so many is a near-duplicate of the one before it."""
WIDTH = 140
"""Of the table (characters)."""
WARM = 20
"""Documents that go through before, for what is loaded once."""
SENTENCES = 12
"""Sentences that are put into the facts, so that two documents of one judgment are not near-duplicates."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table; 0."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.synthesis", description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--documents", type=int, nargs="+", default=[12_500, 25_000, 50_000, 100_000], help="numbers of them"
    )
    parser.add_argument("--one", action="store_true", help="measure the first number in this process; print JSON")
    chosen = parser.parse_args(argv)
    if chosen.one:
        print(json.dumps(measured(chosen.documents[0])))
        return 0
    found = []
    for count in chosen.documents:
        command = [sys.executable, "-m", "tools.bench.synthesis", "--one", "--documents", str(count)]
        answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found.append(json.loads(answer.stdout))
        Console().print(
            f"{count:,} documents: {found[-1]['cpu_s']:.1f} CPU s, {found[-1]['peak_mb']:,.0f} MB at the peak"
        )
    Console(width=WIDTH).print(table(found))
    return 0


def measured(count: int) -> dict[str, Any]:
    """CPU-seconds of each step and of all, wall-clock seconds, memory held before and at most (MB)."""
    use_law()
    load_statutes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "documents.jsonl"
        engine = Engine(Path(folder), {}, 0)
        write_lines(path, ({"text": document(number)} for number in range(WARM)))
        through(engine, path)  # what is loaded once is not counted
        write_lines(path, ({"text": document(number)} for number in range(count)))
        before, wall = psutil.Process().memory_info().rss / 2**20, time.perf_counter()
        steps, kept = through(engine, path)
        wall = time.perf_counter() - wall
    found = {"documents": count, "kept": kept, "steps": steps, "cpu_s": sum(steps.values()), "wall_s": wall}
    return found | {"before_mb": before, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10}


def through(engine: Engine, path: Path) -> tuple[dict[str, float], int]:
    """(CPU-seconds of each step, documents that are kept)."""
    at = time.process_time()
    results = [read_result(engine.folder, read_documents(path))]
    steps = {"read": time.process_time() - at}
    for number, step in enumerate(steps_of(RECIPE, Context(0)), 1):
        at = time.process_time()
        results.append(engine.run(number, step, results[-1]))
        steps[step.name] = time.process_time() - at
    at = time.process_time()
    write_outputs(engine.folder, RECIPE.name, results)
    steps["outputs"] = time.process_time() - at
    return steps, len(results[-1].kept)


def document(number: int) -> str:
    """The text of a number, the same in every process: a judgment of the examples with further facts."""
    rng = random.Random(number - 1 if number % NEAR == NEAR - 1 else number)
    text = _examples()[rng.randrange(len(_examples()))]
    before, mark, after = text.partition(FACTS)
    more = "".join(sentence(rng) for _ in range(SENTENCES))
    return f"{before}{mark}，{more}{after}" + ("\n" if number % NEAR == NEAR - 1 else "") + f"（{number % 10}）"


def sentence(rng: random.Random) -> str:
    """An event of drawn characters, numbers and a name."""
    name = f"{rng.choice('赵钱孙李周吴郑王冯陈')}某{rng.choice('甲乙丙丁戊己庚辛')}"
    place = "".join(chr(rng.randrange(0x4E00, 0x6E00)) for _ in range(12))
    return f"{rng.randrange(2018, 2025)}年{rng.randrange(1, 13)}月，{name}在{place}取得{rng.randrange(100, 99999)}元。"


_TEXTS: list[str] = []


def _examples() -> list[str]:
    if not _TEXTS:
        _TEXTS.extend(path.read_text(encoding="utf-8") for path in sorted(JUDGMENTS.glob("*.txt")))
    return _TEXTS


def exponent(counts: Sequence[float], values: Sequence[float]) -> float:
    """Slope of the least-squares line through log values over log counts."""
    return float(np.polyfit(np.log(counts), np.log(values), 1)[0])


def table(found: Sequence[dict[str, Any]]) -> Table:
    """Figures by number of documents, and the exponents below if there are several numbers."""
    steps = list(found[0]["steps"])
    names = ["documents", "kept", *(f"{step} CPU s" for step in steps), "CPU s", "wall s", "documents/CPU s", "peak MB"]
    made = Table(title="Steps of a synthesis that ask nothing", box=box.SIMPLE)
    for name in names:
        made.add_column(name, justify="right")
    for row in found:
        each = [f"{row['steps'][step]:.1f}" for step in steps]
        speed = row["documents"] / row["cpu_s"]
        made.add_row(
            f"{row['documents']:,}", f"{row['kept']:,}", *each, f"{row['cpu_s']:.1f}", f"{row['wall_s']:.1f}",
            f"{speed:.0f}", f"{row['peak_mb']:,.0f}",
        )  # fmt: skip
    if len(found) > 1:
        counts = [row["documents"] for row in found]
        each = [f"{exponent(counts, [max(row['steps'][step], 1e-3) for row in found]):.2f}" for step in steps]
        cpu = exponent(counts, [row["cpu_s"] for row in found])
        grown = exponent(counts, [max(row["peak_mb"] - row["before_mb"], 1) for row in found])
        made.add_row("exponent", "", *each, f"{cpu:.2f}", "", "", f"{grown:.2f}")
    return made


if __name__ == "__main__":
    sys.exit(main())
