"""``python -m tools.bench.data``: the cost of reading, tokenizing and measuring a file of demonstrations at a start.

"One by one" calls the tokenizer for each prompt. The first start tokenizes in batches and keeps the ids; the second
finds them. Times are wall-clock seconds and CPU-seconds of all threads; memory is that of the ids.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

import rl.data.tokens
from curricula.records import read_demonstrations
from curricula.statutes import load_statutes
from rl.data.tokens import encode_demonstrations
from rl.models.chat import load_tokenizer, render_demonstration
from rl.stages.sft import rows_at
from tools.bench.models import nano


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table; 0."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.data", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=50_000, help="demonstrations in the file")
    parser.add_argument("--model", type=Path, help="folder with a tokenizer instead of the nano model's")
    chosen = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = load_tokenizer(str(chosen.model or nano(Path(".cache/models"))))
        rl.data.tokens.FOLDER = Path(folder) / "tokens"
        path = written(Path(folder) / "demonstrations.jsonl", chosen.rows)
        prompts, reading = timed(lambda: read_demonstrations(path))
        single, one_by_one = timed(lambda: [render_demonstration(tokenizer, prompt) for prompt in prompts])
        first, batched = timed(lambda: encode_demonstrations(tokenizer, prompts))
        second, kept = timed(lambda: encode_demonstrations(tokenizer, prompts))
        _, rows = timed(lambda: rows_at(0, 32, chosen.rows, 0))
    for found in (first, second):
        assert all(a == b.tolist() and m == n for (a, m), (b, n) in zip(single, found, strict=True))
    lists = sum(sys.getsizeof(ids) + sum(map(sys.getsizeof, ids)) for ids, _ in single) / 2**20
    arrays = sum(ids.nbytes + sys.getsizeof(np.empty(0, np.int32)) for ids, _ in first) / 2**20
    table = Table(title=f"{chosen.rows:,} demonstrations, {sum(len(ids) for ids, _ in first):,} tokens", box=box.SIMPLE)
    for name in ("what", "s", "CPU s", "MB"):
        table.add_column(name, justify="left" if name == "what" else "right")
    for what, (wall, cpu), size in (
        ("reading the file", reading, ""),
        ("tokenizing, one by one", one_by_one, f"{lists:.0f}"),
        ("tokenizing, first start", batched, f"{arrays:.0f}"),
        ("tokenizing, second start", kept, ""),
        ("rows of the first SFT step (32)", rows, ""),
    ):
        table.add_row(what, f"{wall:.2f}", f"{cpu:.2f}", size)
    Console().print(table)
    return 0


def written(path: Path, rows: int) -> Path:
    """A file of demonstrations about statute articles, no two alike."""
    articles = [article for law in ("刑法", "民法典") for article in load_statutes().articles(law)]
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            article = articles[number % len(articles)]
            question = f"第{number}题：{article.law}第{article.number}条怎么规定？"
            answer = f"<think>{article.text}</think><answer>{article.short}{article.number}</answer>"
            file.write(json.dumps({"prompt": question, "demonstration": answer}, ensure_ascii=False) + "\n")
    return path


def timed(call: Callable[[], Any]) -> tuple[Any, tuple[float, float]]:
    """The result of a call, and its wall-clock and CPU-seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = call()
    return found, (time.perf_counter() - wall, time.process_time() - cpu)


if __name__ == "__main__":
    sys.exit(main())
