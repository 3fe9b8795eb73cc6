"""``python -m tools.chaos``: kills, freezes, slows and starves the parts of small runs at random moments, and compares
what comes out with an unbroken run.

A campaign is one run of the curriculum chaos with several faults: after each that ends the command, the same command is
given again, until it ends well. Metrics, results, completions and exported weights must then be those of the unbroken
run (with rollout.overlap=async: every group trained on once), with no process, shared memory or temporary file left.
Everything is drawn from the seed.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tools.chaos import clock, sandbox
from tools.chaos.campaign import Outcome, Run, unbroken_run
from tools.chaos.plan import KINDS, MOST, VICTIMS, Campaign, campaign, short
from tools.chaos.summary import record, recorded, table
from tools.chaos.variants import MODES

NEEDS_SANDBOX = ("disk", "read-only", "shm")


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, try faults until so many have come, and say what was lost."""
    parser = argparse.ArgumentParser(prog="python -m tools.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="what the faults are drawn from")
    parser.add_argument("--faults", type=int, default=60, help="number of faults")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS), help="kinds of fault")
    parser.add_argument("--victims", nargs="+", choices=VICTIMS, default=list(VICTIMS), help="whom faults hit")
    parser.add_argument("--mode", nargs="+", choices=MODES, default=list(MODES), help="values of rollout.overlap")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2], help="numbers of trainer ranks")
    parser.add_argument("--served", type=float, default=0.15, help="share of runs whose judge is a served model")
    parser.add_argument("--campaign", type=int, metavar="N", help="only the campaign of this number")
    parser.add_argument("--go-on", action="store_true", help="go on with the series in --out, of the same seed")
    parser.add_argument("--short", action="store_true", help="an unbroken run and one with three kills, a few minutes")
    parser.add_argument("--out", type=Path, default=Path(".cache/chaos"), help="folder of runs, logs and chaos.json")
    given = list(sys.argv[1:] if arguments is None else arguments)
    args = parser.parse_args(given)
    private = sandbox.enter("tools.chaos", given)
    console = Console() if sys.stdout.isatty() else Console(width=150)
    missing = {**dict.fromkeys(() if private else NEEDS_SANDBOX, "this user can make no mount namespace")}
    if clock.compiler() is None:
        missing["clock"] = "this machine has no C compiler"
    for kind, why in missing.items():
        console.print(f"no fault of the kind {kind}: {why}")
    kinds = [kind for kind in args.kinds if kind not in missing]
    out: Path = args.out.resolve()
    outcomes: list[Outcome] = []
    problems: dict[int, list[str]] = {}
    number, began = args.campaign or 0, time.monotonic()
    if args.go_on:
        outcomes, problems, seconds = read_series(out, args.seed)
        number, began = max((one.campaign for one in outcomes), default=-1) + 1, began - seconds
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    while len(outcomes) < args.faults:
        most = min(MOST, args.faults - len(outcomes))
        drawn, again = short(args.seed), ["--short"]
        if not args.short:
            drawn = campaign(args.seed, number, kinds, args.victims, args.mode, args.ranks, args.served, most)
            chosen = {"kinds": kinds, "victims": args.victims, "mode": args.mode, "ranks": args.ranks}
            again = ["--campaign", str(number), "--faults", str(most), "--served", str(args.served)]
            again += [word for name, values in chosen.items() for word in (f"--{name}", *map(str, values))]
        found, lost = try_campaign(drawn, out, console, private)
        outcomes += found
        if lost:
            problems[number] = lost
            again = ["python", "-m", "tools.chaos", "--seed", str(args.seed), *again]
            console.print(f"  again: {shlex.join(again)}", soft_wrap=True, highlight=False)
        written = {
            "seed": args.seed, "command": ["python", "-m", "tools.chaos", *given], "seconds": time.monotonic() - began,
            "faults": [record(one) for one in outcomes], "lost": problems,
        }  # fmt: skip
        (out / "chaos.json").write_text(json.dumps(written, indent=1, ensure_ascii=False))
        number += 1
        if args.short or args.campaign is not None:
            break
    console.print(table(outcomes))
    console.print(f"seed {args.seed}, {time.monotonic() - began:.0f} s, {out / 'chaos.json'}", soft_wrap=True)
    sys.exit(1 if problems or not all(one.survived for one in outcomes) else 0)


def read_series(out: Path, seed: int) -> tuple[list[Outcome], dict[int, list[str]], float]:
    """Outcomes, losses by campaign and seconds of a series whose last campaigns are still to come.

    Raises:
        SystemExit: if there is none of this seed.
    """
    path = out / "chaos.json"
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        sys.exit(f"error: --go-on needs the file {path} of a series that was begun there ({error})")
    if written["seed"] != seed:
        sys.exit(f"error: {path} is of --seed {written['seed']}, not {seed}")
    lost = {int(number): found for number, found in written["lost"].items()}
    return [recorded(one) for one in written["faults"]], lost, float(written["seconds"])


def try_campaign(drawn: Campaign, out: Path, console: Console, private: bool) -> tuple[list[Outcome], list[str]]:
    """The outcomes of a campaign, and what was lost."""

    def say(text: str) -> None:
        console.print(text, soft_wrap=True, highlight=False, markup=False)

    judge = judge_model() if drawn.variant.served else None
    unbroken = unbroken_run(drawn.variant, out, judge, say)
    say(f"campaign {drawn.number}: {drawn.variant.name}, {len(drawn.faults)} faults")
    run = Run(drawn, unbroken, out / f"campaign-{drawn.number:04d}", judge, say, private)
    run.to_its_end()
    return run.outcomes, run.problems


def judge_model() -> Path:
    """A folder of a small model that can be served as a judge."""
    from rl.config.schema import NanoConfig
    from rl.models.nano import ensure_nano

    return ensure_nano(NanoConfig(layers=1), 0, 4096, Path(".cache/models").resolve())


if __name__ == "__main__":
    main()
