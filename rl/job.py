"""One run, from a valid configuration to the table of results."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from cluster.errors import Lost
from curricula.command import print_error
from curricula.statutes import law_read
from rl.config.derive import Plan, check, derive
from rl.config.gpu_plan import require_room
from rl.config.parallel import require_possible
from rl.config.schema import RunConfig
from rl.config.stages import EvaluateStage, MidTrainingStage, PerplexityStage, PromptedStage
from rl.device import CPU, Device, here, named
from rl.errors import UserError
from rl.language import Lang
from rl.plan import print_plan, print_stages
from rl.records.lock import FolderLock, Left
from rl.records.losses import NOTHING, Losses
from rl.records.manifest import Manifest, read_law, set_aside
from rl.records.results import EvalResult, read, table
from rl.records.status import read_status
from rl.records.task_figures import stage_figures
from rl.weights.shared import remove_earlier, shared_file

if TYPE_CHECKING:
    from rl.driver.progress import Progress

console = Console() if sys.stdout.isatty() else Console(width=120)
KEPT = ("report.html", "metrics.jsonl", "results.json", "rollouts/", "checkpoints/", "exports/")
"""What one looks for in a run folder."""
open_cluster = ExitStack()
"""Keeps the connection to Ray from the first to the last job of a process, so that a multirun stays on one Ray."""


@dataclass(frozen=True)
class RunResult:
    """What was planned, and what the run has left. :func:`rl.report.read.read_run` reads all else in its folder."""

    run_dir: Path
    """The run folder (docs/reference/run-folder.md)."""
    plan: Plan
    """Stages with their batch numbers, actors, memory."""
    results: tuple[EvalResult, ...] = ()
    """What its evaluation stages found on held-out questions, in order; nothing with ``plan=true``."""
    benchmarks: tuple[dict[str, Any], ...] = ()
    """What they found on benchmarks: the entries of benchmarks.json."""
    exports: Mapping[str, Path] = field(default_factory=dict)
    """The Hugging Face folder that each stage has left, by the stage's name."""


def run(config: RunConfig) -> RunResult:
    """Check, plan, connect, run the curriculum, show the results. The same folder resumes where it stopped.

    Raises:
        UserError, DataError, ClusterError: for what a user can fix.
        Lost: if something is gone that the run can't replace.
    """
    read_law(Path(config.run_dir), config)
    check(config)
    plan = derive(config)
    if config.plan:
        print_plan(config, plan, console)
        require_room(plan.gpus)
        _look_at_data(config, plan)
        return RunResult(Path(config.run_dir), plan)
    require_room(plan.gpus, certain=True)
    if plan.gpus is not None and plan.gpus.problem:
        console.print(f"[yellow]{escape(plan.gpus.problem)}[/yellow]", soft_wrap=True, highlight=False)

    run_dir = Path(config.run_dir)
    if config.resume == "restart" and run_dir.is_dir():
        with folder_of(run_dir):
            set_aside(run_dir)
    with folder_of(run_dir):
        return _run(config, plan, run_dir)


def _look_at_data(config: RunConfig, plan: Plan) -> None:
    """Read the data of a run as its start does, and print how long it takes on the CPUs of this machine."""
    from rl.config.parallel import model_shape
    from rl.estimate.table import print_times
    from rl.estimate.times import stage_times, start_time
    from rl.estimate.tokens import tokens_of
    from rl.models.at_hand import tokenizer_at_hand
    from rl.preflight import require_prompts_fit

    tokenizer, shape = tokenizer_at_hand(config.model), model_shape(config.model)
    require_prompts_fit(config, tokenizer, console, streams=False)
    lengths = "and no row is too long"
    if tokenizer is None:
        lengths = (
            f"but not known is whether rows are too long: the tokenizer of {config.model.path} is not on this machine"
        )
    console.print(f"data: every file can be read, {lengths}", soft_wrap=True)
    corpora = (MidTrainingStage, PerplexityStage)
    stages = [stage for stage in config.curriculum.stages if isinstance(stage, corpora)]
    if streamed := [stage.name for stage in stages if any(source.on_hub for source in stage.corpus)]:
        console.print(f"neither read nor counted: the corpora on the hub of {', '.join(streamed)}", soft_wrap=True)
    if plan.gpus is not None:
        return
    if tokenizer is None or shape is None:
        console.print("time on this machine's CPU: unknown, as the model's sizes or its tokenizer are not known here")
        return
    with console.status("measuring this machine"):
        tokens = tokens_of(config, tokenizer)
        times = stage_times(config, plan, shape, tokens)
    print_times(times, start_time(config, any(stage.sequences for stage in tokens)), console)


@contextmanager
def folder_of(run_dir: Path) -> Iterator[None]:
    """Write in a run folder, where nobody else does, and remove what a killed run of it left in shared memory.

    Raises:
        UserError: if another process writes there, or it can't be written to.
    """
    with FolderLock(
        run_dir, "run_dir=FOLDER", lambda text: console.print(text, soft_wrap=True, highlight=False)
    ) as lock:
        if lock.left is not None:
            _tell_left(run_dir, lock.left)
        remove_earlier(shared_file(run_dir))
        yield


def _tell_left(run_dir: Path, left: Left) -> None:
    """Tell that the driver of the run before ended without a word."""
    try:
        status = read_status(run_dir) or {}
    except UserError:
        status = {}
    place = status.get("stage"), status.get("step")
    losses = Losses(run_dir, console, lambda: place)
    losses.tell(
        "driver",
        f"ended without a word (pid {left.pid} on host {left.host})",
        "this start goes on from what was saved",
        f"{NOTHING}; steps after the last checkpoint are made again",
        pid=left.pid,
        host=left.host,
        at=left.seen,
    )


def _run(config: RunConfig, plan: Plan, run_dir: Path) -> RunResult:
    from rl.evaluation.stage import stage_table

    for partial in run_dir.glob("*.partial"):  # what a killed run was writing
        partial.unlink()
    manifest = Manifest.open(run_dir, config)
    print_stages(config, plan, console)
    console.print("law in force on {as_of} · newest text of the statute package {snapshot}".format(**law_read()))
    to_do = [stage.name for stage in config.curriculum.stages if not manifest.stage(stage.name).get("done")]
    done = len(config.curriculum.stages) - len(to_do)
    if not to_do:
        console.print("every stage of this run is done; resume=restart, or another run_dir, runs it again")
    elif done:
        console.print(f"the run goes on with stage {to_do[0]}: {done} of {done + len(to_do)} stages are done")
    if to_do:
        try:
            _run_stages(config, plan, manifest)
        except Exception:
            _report(run_dir, config.lang)  # the report matters most when a run fails
            raise
        _report(run_dir, config.lang)
    results, benchmarks = read(run_dir / "results.json"), stage_table(run_dir)
    if results:
        console.print(table(results))
    if benchmarks is not None:
        console.print(benchmarks)
    if not results and benchmarks is None:
        console.print("no evaluation stage in this curriculum")
    there = [name for name in KEPT if (run_dir / name).exists()]
    console.print(f"run folder {escape(str(run_dir))} · {', '.join(there)}", soft_wrap=True, highlight=False)
    records = manifest.content["stages"].items()
    exports = {name: run_dir / record["export"] for name, record in records if "export" in record}
    return RunResult(run_dir, plan, tuple(results), tuple(stage_figures(run_dir)), exports)


def _report(run_dir: Path, lang: Lang = "en") -> None:
    """Write the page of a run that has made a step, and that of its sweep. A failure is only reported."""
    if not (run_dir / "metrics.jsonl").is_file():
        return
    try:
        from rl.report.comparison import write_comparison
        from rl.report.page import write_report

        console.print(f"report {escape(str(write_report(run_dir, lang=lang)))}", soft_wrap=True)
        if (run_dir.parent / "multirun.yaml").is_file():
            page = write_comparison(run_dir.parent, lang=lang)
            console.print(f"comparison of the sweep {escape(str(page))}", soft_wrap=True)
    except Exception as error:
        console.print(f"[yellow]no report: {type(error).__name__}: {escape(str(error))}[/yellow]", soft_wrap=True)


def _run_stages(config: RunConfig, plan: Plan, manifest: Manifest) -> None:
    """Run the stages. Data and tokenizer are checked first, so that bad input is found before Ray starts."""
    from cluster.loopback import asks_for_token
    from cluster.ray_cluster import connect
    from rl.curriculum import run_curriculum
    from rl.driver.fleet import Fleet
    from rl.driver.nodes import own_modules
    from rl.driver.placement import bundles_of
    from rl.driver.progress import Progress
    from rl.driver.runtime import Runtime
    from rl.engines.support import (
        load_architecture,
        require_exportable,
        require_sampled_on_cpu,
        require_supported,
        require_vocabulary,
        require_weights,
    )
    from rl.models.adapters import require_portable_adapter
    from rl.models.chat import load_tokenizer
    from rl.models.nano import resolve_model
    from rl.models.template import bind
    from rl.preflight import require_caches, require_judge, require_prompts_fit
    from rl.records.checkpoint import Checkpoints
    from rl.records.eta import Ahead, Eta
    from rl.records.tracking import Tracker

    to_do = [stage for stage in config.curriculum.stages if not manifest.stage(stage.name).get("done")]
    samples = any(isinstance(stage, PromptedStage | EvaluateStage) for stage in to_do)
    with console.status("model and tokenizer"):
        model_path = resolve_model(config.model, config.seed, Path(".cache/models").resolve())
        tokenizer = bind(load_tokenizer(model_path, config.model.trust_remote_code), date=manifest.date)
        architecture = load_architecture(model_path, config.model.trust_remote_code)
        require_possible(config.trainer, architecture.to_dict())
        length, slides = config.model.max_length, config.trainer.engine == "fsdp"
        require_supported(architecture, length, config.model.trust_remote_code, slides)
        if samples and _on_cpu(config):
            require_sampled_on_cpu(architecture)
        require_vocabulary(architecture, tokenizer)
        require_weights(model_path, architecture)
        require_exportable(model_path, config.model.trust_remote_code)
        if config.rollout.weight_transfer == "adapter":
            require_portable_adapter(config.model, architecture)
    require_caches(config)
    require_prompts_fit(config, tokenizer, console)
    with console.status("judge"):
        require_judge(config)
    run_dir = Path(config.run_dir)
    ahead = [
        Ahead(one.name, one.kind, one.steps, one.work.trained + one.work.sampled)
        for one in plan.stages
        if not manifest.stage(one.name).get("done")
    ]
    tracker = Tracker(run_dir, config.tracker, console, Eta(ahead))
    losses = Losses(run_dir, console, lambda: tracker.place, tracker.gauges.lost)
    checkpoints = Checkpoints(run_dir, config.trainer.keep_last)

    cluster, started = config.cluster, time.monotonic()
    port = cluster.dashboard_port if cluster.dashboard else None
    bundles, code = bundles_of(config, _device(config), samples), own_modules(config) if cluster.ship_code else None
    joined = connect(cluster.address, cluster.num_cpus, cluster.object_store_mb, port, bundles, code, run_dir.name)
    dashboard = open_cluster.enter_context(joined)
    tracker.gauges.begin(losses.times)
    enter = " (it asks once for the token that `ray get-auth-token` prints)" if dashboard and asks_for_token() else ""
    console.print(f"Ray is up{f' · dashboard {dashboard}{enter}' if dashboard else ''}")
    tracker.start_wandb(config.model_dump(mode="json"), manifest.content.get("wandb_id"))
    manifest.content["wandb_id"] = tracker.wandb_id
    progress = Progress(run_dir, tracker)
    starting = f"starting trainer{', rollout and reward' if samples else ''} actors"
    with console.status(starting), _told(losses, progress, config.lang):
        fleet = Fleet(config, model_path, losses.tell, progress.look, samples)
    runtime = Runtime(config, tokenizer, manifest, checkpoints, tracker, fleet)
    with _told(losses, progress, config.lang):
        try:
            console.print(f"actors are ready after {time.monotonic() - started:.0f} s")
            run_curriculum(runtime)
        finally:
            runtime.close()
            tracker.close()
    progress.write("")
    (run_dir / "post-mortem.html").unlink(missing_ok=True)  # of an earlier start


@contextmanager
def _told(losses: Losses, progress: Progress, lang: Lang) -> Iterator[None]:
    """Leave word in the run folder when the run ends within this block."""
    from cluster.health import as_lost

    def end_stuck() -> None:
        assert progress.lost is not None
        _tell_end(losses, progress, progress.lost, progress.lost, lang)
        print_error(progress.lost.sentence)
        os._exit(1)

    progress.end_stuck = end_stuck
    try:
        yield
    except BaseException as error:
        lost = progress.lost or as_lost(error)
        if lost is None and not isinstance(error, Exception):
            progress.write("it was interrupted")
            raise
        progress.end_stuck = lambda: None
        _tell_end(losses, progress, lost, error, lang)
        if lost is not None:
            raise lost from error
        raise


def _tell_end(losses: Losses, progress: Progress, lost: Lost | None, error: BaseException, lang: Lang) -> None:
    if lost is not None:
        losses.tell(lost.who, lost.why, "the run ended, and the same command goes on")
    why = _in_short(lost or error)
    progress.write(why)
    _post_mortem(progress.run_dir, why, lang)


def _in_short(error: BaseException) -> str:
    """An error in a line: its first, or the last of the traceback that an actor's error holds."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return (lines[-1] if "ray::" in lines[0] else lines[0])[:1000]


def _post_mortem(run_dir: Path, why: str, lang: Lang) -> None:
    """Write how the run ended; a failure to do so is only reported."""
    try:
        from rl.report.post_mortem import write_post_mortem

        console.print(f"post-mortem {escape(str(write_post_mortem(run_dir, why, lang)))}", soft_wrap=True)
    except Exception as problem:
        console.print(f"[yellow]no post-mortem: {type(problem).__name__}: {escape(str(problem))}[/yellow]")


def _on_cpu(config: RunConfig) -> bool:
    """Whether the run will have no GPU, as far as this is known before Ray starts."""
    if config.trainer.device == "auto" and config.cluster.address:  # that cluster's GPUs are counted when Ray is up
        return False
    return _device(config) is CPU


def _device(config: RunConfig) -> Device:
    """The device of a run on this machine alone."""
    choice = config.trainer.device
    return here() if choice == "auto" else named(choice)
