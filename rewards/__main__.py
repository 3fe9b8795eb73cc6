"""``python -m rewards``: try a reward without a run.

python -m rewards list
python -m rewards score --reward article_f1 --input answers.jsonl
python -m rewards score --weights mix.yaml --input answers.jsonl --processes 2
"""

import argparse
import inspect
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from curricula.errors import DataError
from curricula.rows import decoded
from curricula.statutes.options import add_law, use_options
from curricula.strict_json import parse
from rewards.judge.client import JudgeSettings
from rewards.judge.service import JudgeService
from rewards.pool import WorkerPool
from rewards.published import PUBLISHED
from rewards.registry import JUDGED, REWARDS, Part, Weights
from rewards.total import expand, find, score_apart
from rewards.verdict import Sample, Verdict

BATCH = 512
"""Lines that are scored together."""


def main(argv: Sequence[str] | None = None) -> int:
    """0 when every line got a verdict (errors included), 2 when nothing could be scored."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal's encoding may lack Chinese
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
    score.add_argument("--judge-url", help="OpenAI-compatible server that decides the judged rewards, instead of rules")
    score.add_argument("--judge-model", default="default", help="name of the model served there")
    score.add_argument("--judge-cache", type=Path, help="SQLite file of the judge's answers")
    add_law(score)
    score.add_argument("--memory-mb", type=int, default=2048, help="address space of a worker (MB)")
    chosen = parser.parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a reason may quote what a terminal's encoding can't show
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    if chosen.command == "list":
        return _list()
    try:
        use_options(chosen)
        weights = _weights(chosen)
        expand(weights)
        lines = sys.stdin.buffer if chosen.input == "-" else Path(chosen.input).open("rb")  # noqa: SIM115
    except (ValueError, OSError, DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if chosen.processes < 1:
        print(f"error: --processes={chosen.processes} must be at least 1", file=sys.stderr)
        return 2
    pool = WorkerPool(chosen.processes, chosen.timeout, chosen.memory_mb)
    judge = None
    if chosen.judge_url:
        settings = JudgeSettings(chosen.judge_url, chosen.judge_model, os.environ.get("JUDGE_API_KEY"))
        judge = JudgeService(settings, chosen.judge_cache)
    return _score(lines, weights, Scorer(pool, judge), chosen.input)


class Scorer:
    """Rules in worker processes and, where there is one, a served judge for the judged rewards."""

    def __init__(self, pool: WorkerPool, judge: JudgeService | None) -> None:
        self.pool, self.judge = pool, judge

    def score(self, samples: Sequence[Sample], weights: Weights) -> Sequence[Verdict]:
        """One verdict a sample, in order."""
        if self.judge is None:
            return self.pool.score(samples, weights)
        return score_apart(samples, weights, self.pool.score, self.judge.score)

    def close(self) -> None:
        """End the workers and close the cache."""
        self.pool.close()
        if self.judge is not None:
            self.judge.close()


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
    import rewards.library  # noqa: F401

    for name in sorted(REWARDS):
        first = (inspect.getdoc(find(name)) or "").split("\n\n")[0].replace("\n", " ")
        print(f"{name:18}{'(judge) ' if name in JUDGED else ''}{first}")
    for name, preset in PUBLISHED.items():
        print(f"{name:18}total: {' + '.join(f'{w:g} {part}' for part, w in preset.parts.items())}")
    return 0


def _score(lines: BinaryIO, weights: Weights, scorer: Scorer, where: str) -> int:
    alone = next(iter(weights)) if len(weights) == 1 else None
    try:
        for batch in _batches(lines, where):
            samples = [entry for entry in batch if isinstance(entry, Sample)]
            verdicts = iter(scorer.score(samples, weights))
            for entry in batch:
                record = (next(verdicts) if isinstance(entry, Sample) else entry).to_json()
                if list(record.get("parts", {})) == [alone]:
                    del record["parts"]
                    record["reason"] = record["reason"].removeprefix(f"{alone}: ")
                print(json.dumps(record, ensure_ascii=False))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        scorer.close()
        if lines is not sys.stdin.buffer:
            lines.close()
    return 0


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
