"""``python -m rl.main +curriculum=legal``: compose, validate, plan, connect, run the curriculum."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig
from rich.console import Console

from cluster.errors import ClusterError
from curricula.errors import DataError
from rl.config.compose import CONF, accept_overrides, load
from rl.config.derive import check, derive
from rl.config.schema import RunConfig
from rl.errors import UserError
from rl.plan import batch_table, print_plan

USER_ERRORS = (UserError, DataError, ClusterError)
console = Console() if sys.stdout.isatty() else Console(width=120)


def run(config: RunConfig) -> None:
    """One run, from a valid configuration to the table of results. The same folder resumes where it stopped."""
    check(config)
    plan = derive(config)
    if config.plan:
        print_plan(config, plan, console)
        return

    from rl.checkpoint import Checkpoints
    from rl.manifest import Manifest
    from rl.preflight import require_prompts_fit
    from rl.results import read, table
    from rl.tracking import Tracker

    run_dir = Path(config.run_dir)
    manifest = Manifest.open(run_dir, config)
    console.print(batch_table(plan))
    unfinished = [stage.name for stage in config.curriculum.stages if not manifest.stage(stage.name).get("done")]
    if unfinished:
        from rl.models.chat import load_tokenizer
        from rl.models.nano import resolve_model

        with console.status("model and tokenizer"):
            model_path = resolve_model(config.model, config.seed, Path(".cache/models"))
            tokenizer = load_tokenizer(model_path, config.model.trust_remote_code)
            require_prompts_fit(config, tokenizer)
        tracker = Tracker(run_dir, config.tracker, console)
        checkpoints = Checkpoints(run_dir, config.trainer.keep_last)
        _run_on_ray(
            config,
            str(Path(model_path).resolve()) if Path(model_path).is_dir() else model_path,
            tokenizer,
            manifest,
            checkpoints,
            tracker,
        )
    results = read(run_dir / "results.json")
    console.print(table(results) if results else "no evaluation stage in this curriculum")
    console.print(f"run folder {run_dir} · metrics.jsonl, results.json, rollouts/, checkpoints/, exports/")


def _run_on_ray(
    config: RunConfig, model_path: str, tokenizer: Any, manifest: Any, checkpoints: Any, tracker: Any
) -> None:
    from cluster.ray_cluster import connect
    from rl.curriculum import run_curriculum
    from rl.runtime import Runtime

    cluster = config.cluster
    port = cluster.dashboard_port if cluster.dashboard else None
    with connect(cluster.address, cluster.num_cpus, cluster.object_store_mb, port) as dashboard:
        console.print(f"Ray is up{f' · dashboard {dashboard}' if dashboard else ''}")
        tracker.start_wandb(config.model_dump(mode="json"), manifest.content.get("wandb_id"))
        manifest.content["wandb_id"] = tracker.wandb_id
        with console.status("starting trainer, rollout and reward actors"):
            runtime = Runtime(config, model_path, tokenizer, manifest, checkpoints, tracker)
        try:
            run_curriculum(runtime)
        finally:
            runtime.close()
            tracker.close()


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def _hydra_main(composed: DictConfig) -> None:
    try:
        run(load(composed))
    except USER_ERRORS as error:
        _exit(error)


def _exit(error: BaseException) -> None:
    Console(stderr=True).print(f"[bold red]error:[/bold red] {error}", highlight=False, soft_wrap=True)
    sys.exit(2)


def main() -> None:
    """Entry point of the command line."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `finally` stops Ray
    try:
        sys.argv[1:] = accept_overrides(sys.argv[1:])
    except USER_ERRORS as error:
        _exit(error)
    _hydra_main()


if __name__ == "__main__":
    main()
