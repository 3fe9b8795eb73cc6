"""``python -m rl.inference strategies``: accuracy of inference strategies against the tokens that they cost.

python -m rl.inference strategies --benchmark unilaw --root DIR --model FOLDER --out DIR --outcome classifier:FOLDER
python -m rl.inference strategies --task exam_single exam_multi --model FOLDER --out DIR

The same command resumes where it was interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from curricula.command import command, program, resumable
from rewards.judge.options import add_judge
from rl.errors import USER_ERRORS, UserError
from rl.evaluation import judging, own
from rl.evaluation.asking import TaskRun
from rl.evaluation.run_command import ROOT_ENV, find_benchmark, read_tasks
from rl.evaluation.strategies.majority import KINDS
from rl.evaluation.strategies.methods import Model, Result, Strategies, StrategySettings
from rl.evaluation.strategies.outcome import outcome_model
from rl.evaluation.strategies.scores import plot, score, table
from rl.files import write_json
from rl.inference.journal import BATCH, Journal, OpenFolder
from rl.inference.json_lines import write_lines
from rl.inference.model_options import Sized, add_model, identity, kind_of, open_backend, positive
from rl.inference.progress import Metered

METHODS = ("cot", "best-of-n", "majority", "iterative")


@command(*USER_ERRORS)
def main(argv: Sequence[str] | None = None) -> int:
    """0, or 2 with a sentence when something is missing or does not fit."""
    chosen = _parser().parse_args(argv)
    console = Console() if sys.stdout.isatty() else Console(width=120)
    with resumable(chosen.out):
        _run(chosen, console)
    return 0


def _parser() -> argparse.ArgumentParser:
    defaults = StrategySettings()
    parser = argparse.ArgumentParser(prog=program("rl.inference strategies"), description="Inference strategies.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--benchmark", help="name of a benchmark, or a YAML file that describes one")
    source.add_argument("--task", nargs="+", help="our own tasks, by their held-out questions")
    parser.add_argument("--tasks", nargs="+", default=[], help="tasks of the benchmark (default: all)")
    parser.add_argument("--root", type=Path, help=f"folder of the benchmarks' data (default: {ROOT_ENV})")
    parser.add_argument("--out", type=Path, required=True, help="folder of chains and results; can be continued")
    parser.add_argument("--limit", type=positive, help="only the first questions of each task")
    parser.add_argument("--batch", type=positive, default=BATCH, help="answers written at once (%(default)s)")
    parser.add_argument(
        "--answers", choices=sorted(KINDS), help="what is voted on (default: the task's own, or choice)"
    )
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS, help="(all)")
    add_model(parser)
    group = parser.add_argument_group("strategies")
    group.add_argument("--chains", type=positive, default=defaults.chains, help="of each question (%(default)s)")
    group.add_argument("--temperature", type=float, default=defaults.temperature, help="of chains (%(default)s)")
    group.add_argument("--top-p", type=float, default=defaults.top_p, help="(%(default)s)")
    group.add_argument("--max-tokens", type=positive, default=defaults.max_tokens, help="of a chain (%(default)s)")
    group.add_argument("--assess-tokens", type=positive, default=defaults.assess_tokens, help="(%(default)s)")
    group.add_argument("--threshold", type=float, default=defaults.threshold, help="in [0, 1] (%(default)s)")
    group.add_argument("--rounds", type=positive, default=defaults.rounds, help="(%(default)s)")
    group.add_argument("--seed", type=int, default=0)
    group.add_argument("--prompt", choices=("cot", "plain"), help="default: cot; plain for our own tasks")
    group.add_argument("--outcome", default="reward:legal_validity", help="judge, reward:NAME or classifier:FOLDER")
    group.add_argument("--helper-model", metavar="FOLDER", help="Assessor and Reviser (default: the policy itself)")
    group.add_argument("--helper-server", metavar="URL", help="the same, served")
    group.add_argument("--helper-served-model", metavar="NAME")
    add_judge(group, "is asked with --outcome judge")
    return parser


def _settings(chosen: argparse.Namespace) -> StrategySettings:
    if chosen.temperature <= 0 or not 0 < chosen.top_p <= 1:
        raise UserError(f"--temperature {chosen.temperature} --top-p {chosen.top_p}: above 0, and in (0, 1]")
    return StrategySettings(
        chains=chosen.chains,
        temperature=chosen.temperature,
        top_p=chosen.top_p,
        max_tokens=chosen.max_tokens,
        assess_tokens=chosen.assess_tokens,
        threshold=chosen.threshold,
        rounds=chosen.rounds,
        seed=chosen.seed,
        reasoning=(chosen.prompt or ("plain" if chosen.task else "cot")) == "cot",
    )


def _run(chosen: argparse.Namespace, console: Console) -> None:
    settings = _settings(chosen)
    benchmark = find_benchmark(own.NAME if chosen.task else chosen.benchmark)
    tasks = read_tasks(benchmark, chosen.task or chosen.tasks, chosen.root, 0, chosen.limit, console.print)
    helper = _helper(chosen)
    head = {
        "benchmark": benchmark.name,
        "model": identity(chosen),
        "helper": identity(helper) if helper else identity(chosen),
        "backend": kind_of(chosen),
        "max_length": chosen.max_length,
        "chat_template_kwargs": chosen.chat_template_kwargs,
        "outcome": chosen.outcome,
        **{key: value for key, value in asdict(settings).items() if key != "rounds"},
    }
    folder = OpenFolder(chosen.out, head)
    try:
        outcome = outcome_model(chosen.outcome, judging.service_of(chosen))
        questions = [(f"{task.name}/{question.id}", question) for task in tasks for question in task.questions]
        kinds = [chosen.answers or question.facets.get("answer_kind", "choice") for _, question in questions]
        with ExitStack() as stack:
            policy = _model(stack.enter_context(open_backend(chosen, folder.date)), chosen, console)
            other = policy
            if helper:
                other = _model(stack.enter_context(open_backend(helper, folder.date)), chosen, console)
            strategies = Strategies(questions, kinds, policy, other, outcome, settings)
            results = _results(strategies, chosen.methods)
        _save(chosen, console, benchmark, tasks, kinds, head, results, strategies.records)
    finally:
        folder.close()


def _helper(chosen: argparse.Namespace) -> argparse.Namespace | None:
    """The options of Assessor and Reviser; None where the policy does their work."""
    if not (chosen.helper_model or chosen.helper_server):
        return None
    other = {
        "model": chosen.helper_model,
        "server": chosen.helper_server,
        "served_model": chosen.helper_served_model,
        "backend": None if chosen.backend == "server" or chosen.helper_server else chosen.backend,
        "tokenizer": None,
        "max_length": None,
        "chat_template_kwargs": None,
    }
    return argparse.Namespace(**vars(chosen) | other)


def _model(backend: Sized, chosen: argparse.Namespace, console: Console) -> Model:
    def notice(text: str) -> None:
        console.print(f"[yellow]{text}[/yellow]", soft_wrap=True, highlight=False)

    return Model(Journal(Metered(backend, console), chosen.out / "chains", chosen.batch, notice), backend.max_length)


def _results(strategies: Strategies, methods: Sequence[str]) -> list[Result]:
    found: list[Result] = []
    if "cot" in methods:
        found.append(strategies.chain_of_thought())
    if "best-of-n" in methods:
        found.append(strategies.best_of_n())
    if "majority" in methods:
        found.append(strategies.majority_vote())
    if "iterative" in methods:
        found += strategies.rounds()
    return found


def _save(
    chosen: argparse.Namespace,
    console: Console,
    benchmark: Any,
    tasks: Sequence[TaskRun],
    kinds: Sequence[str],
    head: dict[str, Any],
    results: Sequence[Result],
    records: Sequence[dict[str, Any]],
) -> None:
    scores = [score(benchmark, [(task.name, task.questions) for task in tasks], kinds, one) for one in results]
    title = f"{benchmark.title}: {head['model']}"
    write_json(chosen.out / "strategies.json", {**head, "title": title, "methods": [one.to_json() for one in scores]})
    write_lines(chosen.out / "rounds.jsonl", records)
    plot(title, scores, chosen.out / "strategies.svg")
    console.print(table(title, scores))
    console.print(
        f"{chosen.out}/strategies.json · strategies.svg · rounds.jsonl · chains/", soft_wrap=True, highlight=False
    )
