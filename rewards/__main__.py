"""``python -m rewards``: try a reward without a run.

python -m rewards list
python -m rewards score --reward article_f1 --input answers.jsonl
python -m rewards score --weights mix.yaml --input answers.jsonl --processes 2
"""

import argparse
import inspect
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from curricula.command import command, tolerate_encoding
from curricula.errors import DataError
from curricula.rows import decoded
from curricula.statutes.options import add_law, use_options
from curricula.strict_json import parse
from rewards.judge.options import add_judge, judge_settings
from rewards.published import PUBLISHED
from rewards.registry import JUDGED, REWARDS, Part, Weights
from rewards.scoring import scorer
from rewards.total import find
from rewards.verdict import Sample, Verdict

BATCH = 512
"""Lines that are scored together."""
Score = Callable[[Sequence[Sample]], Sequence[Verdict]]
"""Gives one verdict a sample, in order."""


@command(ValueError, OSError)
def main(argv: Sequence[str] | None = None) -> int:
    """0 when every line got a verdict (errors included), 2 when nothing could be scored."""
    tolerate_encoding()
    chosen = _parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a reason may quote what a terminal's encoding can't show
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    if chosen.command == "list":
        return _list()
    use_options(chosen)
    weights = _weights(chosen)
    how = chosen.processes, chosen.timeout, chosen.memory_mb, chosen.network
    judge = judge_settings(chosen), chosen.judge_cache
    with ExitStack() as stack:
        lines = sys.stdin.buffer if chosen.input == "-" else stack.enter_context(Path(chosen.input).open("rb"))
        _score(lines, weights, stack.enter_context(scorer(weights, *how, *judge)), chosen.input)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m rewards", description="Rewards without a run.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="names of the rewards and what they measure")
    score = commands.add_parser("score", help="score lines {prompt, completion, reference}, one JSON verdict a line")
    what = score.add_mutually_exclusive_group(required=True)
    what.add_argument("--reward", help="name of a reward or of a published total, or module:function")
    what.add_argument("--weights", type=Path, help="YAML file: a weight, or {weight, range, clip, options}, by name")
    score.add_argument("--input", required=True, help="JSONL file, - for standard input")
    score.add_argument("--options", default="{}", help="options of the reward, as JSON")
    score.add_argument("--processes", type=int, default=1, help="worker processes")
    score.add_argument("--timeout", type=float, default=10.0, help="seconds for one verdict")
    add_judge(score, "decides the judged rewards, instead of rules", model="default")
    score.add_argument("--judge-cache", type=Path, help="SQLite file of the judge's answers")
    add_law(score)
    score.add_argument("--memory-mb", type=int, default=2048, help="address space of a worker (MB)")
    score.add_argument("--network", action="store_true", help="let rewards open connections")
    return parser


def _weights(chosen: argparse.Namespace) -> Weights:
    if chosen.reward:
        options = json.loads(chosen.options)
        return {chosen.reward: Part(options=options) if options else 1.0}
    found = yaml.safe_load(chosen.weights.read_text(encoding="utf-8"))
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{chosen.weights}: expected weights by name, such as accuracy: 1.0")
    return {str(name): _part(name, value) for name, value in found.items()}


def _part(name: str, value: Any) -> float | Part:
    if isinstance(value, int | float):
        return float(value)
    try:
        return Part(**value)
    except TypeError as error:
        raise ValueError(f"{name}: give a weight, or weight, range, clip and options: {error}") from None


def _list() -> int:
    for name in sorted(REWARDS):
        first = (inspect.getdoc(find(name)) or "").split("\n\n")[0].replace("\n", " ")
        print(f"{name:18}{'(judge) ' if name in JUDGED else ''}{first}")
    for name, total in PUBLISHED.items():
        print(f"{name:18}total: {' + '.join(f'{w:g} {part}' for part, w in total.parts.items())}")
    return 0


def _score(lines: BinaryIO, weights: Weights, score: Score, where: str) -> None:
    alone = next(iter(weights)) if len(weights) == 1 else None
    for batch in _batches(lines, where):
        samples = [entry for entry in batch if isinstance(entry, Sample)]
        verdicts = iter(score(samples))
        for entry in batch:
            record = (next(verdicts) if isinstance(entry, Sample) else entry).to_json()
            if list(record.get("parts", {})) == [alone]:
                del record["parts"]
                record["reason"] = record["reason"].removeprefix(f"{alone}: ")
            print(json.dumps(record, ensure_ascii=False))


def _batches(lines: BinaryIO, where: str) -> Iterator[list[Sample | Verdict]]:
    batch: list[Sample | Verdict] = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            batch.append(_read(line, f"{where}:{number}"))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _read(line: bytes, where: str) -> Sample | Verdict:
    try:
        record = parse(decoded(line, where), halves=True)  # what a policy writes may end within a character
        if not isinstance(record, dict):
            raise ValueError(f"expected an object, found {type(record).__name__}")
        return Sample.from_json(record)
    except DataError as error:
        return Verdict.failed(str(error))
    except ValueError as error:
        return Verdict.failed(f"{where}: {error}")


if __name__ == "__main__":
    sys.exit(main())
