"""The runs of a sweep on one Ray, for Hydra (hydra_plugins/themis.py)."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, open_dict, read_write
from rich.markup import escape

from curricula.command import print_error
from rl.config.compose import load
from rl.config.schema import RunConfig
from rl.config.sources import ADDITIONAL, search_path
from rl.errors import UserError
from rl.job import console, open_cluster
from rl.language import Lang
from rl.sweeps.halving import Goal, Halving
from rl.sweeps.processes import Job, command, run_all


def read(composed: DictConfig, number: int) -> RunConfig:
    """The configuration of a job of a sweep.

    Raises:
        UserError: if it is not valid.
    """
    with read_write(composed), open_dict(composed):
        hydra = composed.hydra
        hydra.job.id = hydra.job.num = number
        hydra.runtime.output_dir = os.path.abspath(os.path.join(hydra.sweep.dir, hydra.sweep.subdir))
        HydraConfig.instance().set_config(composed)  # which ${hydra:…} reads
        del composed["hydra"]
    return load(composed)


def launch(
    jobs: Sequence[tuple[Sequence[str], RunConfig]], at_once: int | None, goal: Goal | None = None
) -> list[JobReturn]:
    """Run jobs, and compare them on a page; the exit code is 1 if one of them failed.

    Args:
        jobs: the words of each on the command line, and what they give.
        at_once: most at the same time; None is as many as the cluster has room for.
        goal: by what runs are stopped early; None stops none.

    Raises:
        UserError: if two runs would have one folder, none may go on, or runs are compared and ``resume=restart`` is
            given.
        ClusterError: if Ray can't be reached or started.
    """
    folders = [Path(config.run_dir) for _, config in jobs]
    if twice := next((folder for folder in folders if folders.count(folder) > 1), None):
        raise UserError(f"two runs of the sweep would have the folder {twice}; give hydra.sweep.subdir another form")
    if at_once is not None and at_once < 1:
        raise UserError(f"hydra.launcher.at_once={at_once} lets no run go on; give at least 1, or leave it out")
    if goal is not None and any(config.resume == "restart" for _, config in jobs):
        raise UserError(
            "resume=restart would compare new runs with what the old ones did; give another hydra.sweep.dir"
        )
    halving = None if goal is None else Halving(goal, folders)
    codes = _run(jobs, at_once, halving)
    bad = {job: code for job, code in codes.items() if code and not (halving and job.folder in halving.stopped)}
    if halving is not None:
        _tell(halving, [job.folder for job in codes if job not in bad], jobs[0][1].lang)
    _compare(folders[0].parent, jobs[0][1].lang)
    failed = [f"{job.name} (exit code {code}, {job.log})" for job, code in bad.items()]
    if failed:
        print_error(
            f"{len(failed)} of {len(codes)} runs failed: {', '.join(failed)}. The same command goes on with them"
        )
        raise SystemExit(1)
    return [JobReturn(list(words), status=JobStatus.COMPLETED, _return_value=None) for words, _ in jobs]


def _run(
    jobs: Sequence[tuple[Sequence[str], RunConfig]], at_once: int | None, halving: Halving | None
) -> dict[Job, int]:
    import ray

    from cluster.address import LOCAL, chosen
    from cluster.placement import node_resources
    from cluster.ray_cluster import connect
    from rl import device
    from rl.driver.placement import bundles_of

    cluster = jobs[0][1].cluster
    port = cluster.dashboard_port if cluster.dashboard else None
    dashboard = open_cluster.enter_context(connect(cluster.address, cluster.num_cpus, cluster.object_store_mb, port))
    _say(f"Ray is up{f' · dashboard {dashboard}' if dashboard else ''}")
    own = chosen(cluster.address) is None
    more = [*folders_of_the_sweep(), *(["++cluster.address=auto"] if own and cluster.address == LOCAL else [])]
    gpus, found = ray.cluster_resources().get("GPU", 0), []
    for words, config in jobs:
        kind = device.chosen(config.trainer.device, gpus)
        folder = Path(config.run_dir)
        found.append(Job(folder, command([*words, *more], folder), tuple(bundles_of(config, kind, sampling=True))))
    free = [there for there, _ in node_resources()]
    within_s = max(config.trainer.stop_within_s for _, config in jobs)
    stops = halving.stops if halving else lambda folder: False
    return run_all(found, free, at_once or len(found), _environment() if own else {}, _say, within_s, stops)


def folders_of_the_sweep() -> list[str]:
    """The word by which a run finds the configuration groups in the folders that this command has added."""
    sources = HydraConfig.get().runtime.config_sources
    found = [f"{one.schema}://{one.path}" for one in sources if one.provider.endswith("command-line")]
    return [f"{ADDITIONAL}={search_path(found)}"] if found else []


def _environment() -> dict[str, str]:
    """By which a run joins the Ray that this process has started, and its workers get the variables of ours."""
    import ray

    context = ray.get_runtime_context()
    job: dict[str, Any] = {"runtime_env": {"env_vars": context.runtime_env["env_vars"]}, "metadata": {}}
    return {"RAY_ADDRESS": context.gcs_address, "RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps(job)}


def _tell(halving: Halving, folders: Sequence[Path], lang: Lang) -> None:
    """Say which runs were stopped early, write their pages, and say which of those that did not fail is the best."""
    from rl.report.page import write_report

    metric, stage = halving.goal.metric, halving.goal.stage
    for folder, why in halving.stopped.items():
        write_report(folder, lang=lang)
        _say(f"{folder.name} was stopped after step {why['step']} of stage {stage}: {metric} {why['value']:.3g}")
    best = halving.best([folder for folder in folders if folder not in halving.stopped])
    if best is not None:
        _say(f"best by {metric} at the end of stage {stage}: {best} ({halving.value(best):.3g})")


def _compare(folder: Path, lang: Lang) -> None:
    from rl.report.comparison import write_comparison

    with suppress(UserError):  # no run has begun
        _say(f"comparison of the sweep {write_comparison(folder, lang=lang)}")


def _say(text: str) -> None:
    console.print(escape(text), soft_wrap=True, highlight=False)
