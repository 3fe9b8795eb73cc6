"""``python -m tools.judge_agreement``: the agreement of a judge with labelled verdicts.

    python -m tools.judge_agreement                                   the statute judge on the 200 cases shipped
    python -m tools.judge_agreement --judge http://127.0.0.1:8000/v1 --judge-model NAME [--cases FILE.jsonl]

A case is a line {"prompt", "completion", "reference", "points": 0, 1 or 2, "kind"}.
"""

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from curricula.command import command, program
from curricula.errors import DataError
from rewards.judge.options import add_judge, judge_settings
from rewards.judge.service import JudgeService
from rewards.statute_judge import judge
from rewards.verdict import Sample, Verdict

CASES = Path(__file__).parent.parent / "rewards" / "data" / "judge_cases.jsonl"
POINTS = (0, 1, 2)


def read_cases(path: Path) -> list[dict[str, Any]]:
    """Labelled cases.

    Raises:
        DataError: naming file and line of a malformed case.
    """
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            case = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}:{number}: not valid JSON: {error}") from None
        if (
            not isinstance(case, dict)
            or case.get("points") not in POINTS
            or not isinstance(case.get("completion"), str)
        ):
            raise DataError(f"{path}:{number}: a case needs completion (text) and points (0, 1 or 2)")
        found.append(case)
    if not found:
        raise DataError(f"{path}: the file holds no case")
    return found


def kappa(labels: Sequence[int], given: Sequence[int]) -> float:
    """Cohen's kappa: agreement beyond chance, 1 for perfect agreement (Cohen 1960)."""
    table = np.zeros((len(POINTS), len(POINTS)))
    for label, point in zip(labels, given, strict=True):
        table[label, point] += 1
    table /= table.sum()
    chance = float(table.sum(0) @ table.sum(1))
    return float((np.trace(table) - chance) / (1 - chance)) if chance < 1 else 1.0


def agreement(cases: Sequence[dict[str, Any]], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Accuracy, kappa, calibration (mean label at each verdict), length bias and accuracy by kind.

    Length bias is the correlation of the judge's error (points given less label) with the completion's length: above 0,
    it favours long answers. Errored verdicts are counted and left out.
    """
    kept = [(c, round(2 * v.score)) for c, v in zip(cases, verdicts, strict=True) if v.score is not None]
    if not kept:
        return {"cases": len(cases), "errors": len(cases)}
    labels, given = [c["points"] for c, _ in kept], [points for _, points in kept]
    lengths = np.array([len(c["completion"]) for c, _ in kept], dtype=float)
    wrong = np.array(given, dtype=float) - np.array(labels)
    by_kind: dict[str, list[bool]] = defaultdict(list)
    at: dict[int, list[int]] = defaultdict(list)
    for case, points in kept:
        by_kind[case.get("kind", "all")].append(points == case["points"])
        at[points].append(case["points"])
    bias = float(np.corrcoef(lengths, wrong)[0, 1]) if wrong.std() > 0 and lengths.std() > 0 else 0.0
    return {
        "cases": len(cases),
        "errors": len(cases) - len(kept),
        "accuracy": float(np.mean([a == b for a, b in zip(labels, given, strict=True)])),
        "kappa": kappa(labels, given),
        "length_bias": bias,
        "calibration": {points: float(np.mean(found)) for points, found in sorted(at.items())},
        "confusion": {
            f"{a} as {b}": n for (a, b), n in sorted(Counter(zip(labels, given, strict=True)).items()) if a != b
        },
        "by_kind": {kind: float(np.mean(found)) for kind, found in by_kind.items()},
    }


def position_bias(service: JudgeService, cases: Sequence[dict[str, Any]], pairs: int) -> dict[str, float]:
    """Pairs of a better and a worse answer asked in both orders: how often the order changes the judge's answer, and
    how often the better one wins when it does not."""
    best = [case for case in cases if case["points"] == 2][:pairs]
    worst = [case for case in cases if case["points"] == 0][: len(best)]
    found = []
    for good, bad in zip(best, worst, strict=False):
        found += service.prefer(Sample.from_json(_plain(good)), [(good["completion"], bad["completion"])])
    kept = [verdict for verdict in found if verdict.score is not None]
    steady = [verdict for verdict in kept if not verdict.reason]
    return {
        "pairs": len(kept),
        "order_changed": 1 - len(steady) / max(1, len(kept)),
        "better_preferred": float(np.mean([v.score == 1.0 for v in steady])) if steady else 0.0,
    }


def _plain(case: dict[str, Any]) -> dict[str, Any]:
    return {key: case[key] for key in ("prompt", "completion", "reference") if key in case}


@command(DataError, OSError)
def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog=program("tools.judge_agreement"), description="How good is a judge?")
    parser.add_argument("--cases", type=Path, default=CASES, help="JSONL file of labelled cases")
    add_judge(parser, "is measured; without it the statute judge is", model="default")
    parser.add_argument("--language", choices=("zh", "en"), default="zh")
    parser.add_argument("--pairs", type=int, default=20, help="pairs for the position bias of a served judge")
    parser.add_argument("--json", type=Path, help="also write the figures to a file")
    chosen = parser.parse_args(argv)
    cases = read_cases(chosen.cases)
    samples = [Sample.from_json(_plain(case)) for case in cases]
    settings = judge_settings(chosen)
    if settings:
        service = JudgeService(settings, language=chosen.language)
        figures = agreement(cases, service.verdicts("legal_validity", samples))
        figures |= {"position": position_bias(service, cases, chosen.pairs)} | service.metrics()
    else:
        points = [judge(sample) for sample in samples]
        figures = agreement(cases, [Verdict(given / 2, reason=reason) for given, reason in points])
    table = Table("figure", "value", box=box.SIMPLE_HEAD)
    for name, value in figures.items():
        shown = f"{value:.3f}" if isinstance(value, float) else str(value)
        if isinstance(value, dict):
            shown = ", ".join(f"{key}: {v:.3f}" if isinstance(v, float) else f"{key}: {v}" for key, v in value.items())
        table.add_row(name, shown)
    Console().print(table)
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
