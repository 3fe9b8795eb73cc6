"""``python -m rl.evaluate score``: scores of predictions made elsewhere, without loading a model.

python -m rl.evaluate score --benchmark lawbench --task 3-6 --predictions FILE [--data FILE] --json
"""

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rl.evaluation import lawbench
from rl.evaluation.predictions import read_examples

BENCHMARKS = {"lawbench": lawbench.evaluate}


def main(argv: Sequence[str] | None = None) -> int:
    """0, or 2 with a sentence when something can't be read."""
    command, *rest = [*(sys.argv[1:] if argv is None else argv), ""]
    if command in ("run", "report"):
        module = importlib.import_module({"run": "rl.evaluation.run", "report": "rl.evaluation.page"}[command])
        return int(module.main(rest[:-1]))
    parser = argparse.ArgumentParser(prog="python -m rl.evaluate", description="Evaluation.")
    commands = parser.add_subparsers(dest="command", required=True)
    score = commands.add_parser("score", help="score a file of predictions")
    score.add_argument("--benchmark", choices=sorted(BENCHMARKS), required=True)
    score.add_argument("--task", required=True, help="number of the task, such as 3-6")
    score.add_argument("--predictions", type=Path, required=True, help="JSON file in LawBench's or LegalKit's shape")
    score.add_argument("--data", type=Path, help="the benchmark's own file, where the predictions hold no references")
    score.add_argument("--json", action="store_true", help="print JSON alone")
    chosen = parser.parse_args(argv)
    try:
        found = BENCHMARKS[chosen.benchmark](chosen.task, read_examples(chosen.predictions, chosen.task, chosen.data))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if chosen.json:
        print(json.dumps(found))
    else:
        print(f"{chosen.benchmark} {chosen.task}: {', '.join(f'{name} {value:.5g}' for name, value in found.items())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
