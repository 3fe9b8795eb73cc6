"""One run of a recipe: read, ask, refine, drop, write."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from curricula.statutes import law_setting, load_statutes, use_law
from rl.config.synthesis import SynthesisConfig
from rl.files import digest
from rl.inference.journal import OpenFolder
from rl.synthesis.askers import asked, cost, open_askers, require_named, require_same_models, unnamed
from rl.synthesis.card import write_card
from rl.synthesis.choices import rl_questions
from rl.synthesis.documents import read_documents
from rl.synthesis.engine import Decide, Engine
from rl.synthesis.law.step import read_laws
from rl.synthesis.outputs import write_outputs
from rl.synthesis.questions import read_questions
from rl.synthesis.reasoning import index_cache
from rl.synthesis.recipe import STEPS, require_order, steps_of
from rl.synthesis.records import Outcome
from rl.synthesis.results import StepResult, read_result
from rl.synthesis.step import Context

UNREADABLE = "not readable"
"""The reason of files that can't be read; each has a line of its own."""
FREE = ("run_dir", "plan", "cache", "runner", "lang")
"""Keys of the configuration that a resume may change, and of a server those in FREE_OF_SERVER."""
FREE_OF_SERVER = (
    "base_url", "api_key_env", "concurrency", "requests_per_s", "timeout_s", "retries", "replicas", "tensor_parallel",
)  # fmt: skip


def synthesize(config: SynthesisConfig, console: Console | None = None) -> list[StepResult]:
    """Run a recipe, or go on with it; with ``plan`` only show it.

    Raises:
        UserError: if the configuration, the input or the teacher can't be used, or the teacher is gone. What was
            answered is kept, and the same call goes on from there.
    """
    console = console or Console(soft_wrap=True)
    require_order(config.recipe)
    queries = read_queries(config)
    if config.plan:
        print_plan(config, console)
        return []
    require_named(config)
    folder = Path(config.run_dir)
    opened = OpenFolder(folder, settings(config), "run_dir=FOLDER")
    stack = ExitStack()
    results: list[StepResult] = []
    try:
        use_law(config.as_of or opened.date)
        load_statutes()
        context = Context(config.seed, queries, index_cache())
        steps = steps_of(config.recipe, context)
        if config.runner == "ray" or any(who.path for who in asked(config).values()):
            _connect(config, stack)
        askers = open_askers(config, console, stack, opened.date)
        require_same_models(folder, askers)
        decide = _on_ray(config, context) if config.runner == "ray" else None
        engine = Engine(folder, askers, config.seed, console, decide)
        results.append(read_result(folder, read_input(config)))
        _report(config, results[-1], console)
        for number, step in enumerate(steps, 1):
            results.append(engine.run(number, step, results[-1]))
            _report(config, results[-1], console)
        written = write_outputs(folder, config.recipe.name, results, rl_questions(config, results))
        card = write_card(folder, config, results, written)
        console.print(" · ".join(f"{name} {count}" for name, count in written.items() if count))
        console.print(f"card: {card}")
        return results
    except BaseException:
        if opened.new and not results:  # so that a typo may be corrected in the same folder
            opened.forget()
        raise
    finally:
        stack.close()
        opened.close()


def _connect(config: SynthesisConfig, stack: ExitStack) -> None:
    """Connect to the Ray of RAY_ADDRESS, or to one on this machine, until the stack is closed."""
    from cluster.ray_cluster import connect

    engines = sum(who.replicas for who in asked(config).values() if who.path)
    stack.enter_context(connect(None, (os.cpu_count() or 1) + engines, 500, None, ship=()))


def _on_ray(config: SynthesisConfig, context: Context) -> Decide:
    from rl.synthesis.on_ray import OnRay

    return OnRay(config.recipe, context, law_setting())


def read_input(config: SynthesisConfig) -> Iterable[Outcome]:
    """What became of each document or question of the input. Raises as its readers do."""
    if config.recipe.reads == "statutes":
        return read_laws(config.input, config.limit)
    read = read_questions if config.recipe.reads == "choices" else read_documents
    return read(Path(config.input), config.limit)


def settings(config: SynthesisConfig) -> dict[str, Any]:
    """What a run folder is bound to: all that its records depend on."""
    found = config.model_dump(mode="json", exclude=set(FREE))
    if "policy" not in asked(config):
        del found["policy"]
    for name in {"teacher", "judge", "policy"} & found.keys():
        options = {key: value for key, value in found[name].items() if key not in FREE_OF_SERVER}
        found[name] = {key: value for key, value in options.items() if key != "path" or value}
    if config.queries:
        found["queries_sha256"] = digest(Path(config.queries))
    return found


def read_queries(config: SynthesisConfig) -> tuple[str, ...]:
    """Real queries, one a line, without repeated ones.

    Raises:
        UserError: if the file can't be read or holds none.
    """
    from rl.inference.structuring.judgment_text import read_text

    if not config.queries:
        return ()
    return tuple(dict.fromkeys(line.strip() for line in read_text(Path(config.queries)).splitlines() if line.strip()))


def _report(config: SynthesisConfig, result: StepResult, console: Console) -> None:
    entered, kept = len(result.outcomes), result.count("kept")
    lost = f"{result.count('dropped'):>6} dropped{result.count('failed'):>5} failed"
    line = f"{result.name:<12}{entered:>6} in{kept:>7} kept{lost}"
    if len(result.kept) != kept:
        line += f" · {len(result.kept)} made"
    if entered:
        line += f" · yield {kept / entered:.0%}"
    if result.usage.requests:
        line += f" · {result.usage.completion_tokens:,} tokens in {result.usage.requests} answers"
        if spent := cost(config, result.name, result.usage):
            line += f" · cost {spent:,.2f}"
    console.print(line, highlight=False)
    for reason, count in result.reasons().items():
        console.print(f"  {count} {reason}", highlight=False)
        if reason == f"failed: {UNREADABLE}":
            for one in (one for one in result.lost if one["reason"] == UNREADABLE):
                console.print(f"  {one['detail']}", highlight=False)


def print_plan(config: SynthesisConfig, console: Console) -> None:
    """The steps and the requests to expect at most, if every record is kept. Nothing is asked."""
    lost: Counter[str] = Counter()
    count = total = 0
    for outcome in read_input(config):
        count += outcome.fate == "kept"
        if outcome.fate != "kept":
            lost[f"{outcome.fate}: {outcome.reason}"] += 1
            if outcome.reason == UNREADABLE:
                console.print(f"  {outcome.detail}", highlight=False)
    for reason, number in sorted(lost.items()):
        console.print(f"  {number} {reason}", highlight=False)
    table = Table(title=f"Recipe {config.recipe.name}: {count} {config.recipe.reads}")
    for column in ("step", "asks", "records", "requests at most"):
        table.add_column(column, justify="right" if column in ("records", "requests at most") else "left")
    for options in config.recipe.steps:
        who = getattr(STEPS[options.step], "asks", "")
        requests = count if who else 0
        total += requests
        table.add_row(options.step, who, str(count), str(requests or ""))
        count *= getattr(options, "questions", getattr(options, "rewritings", 1))
    console.print(table)
    console.print(f"{total} requests at most; an answer is never longer than {config.teacher.max_tokens} tokens")
    for name, who in asked(config).items():
        if who.base_url is None and who.path is None:
            console.print(unnamed(name, " yet"), style="yellow")
