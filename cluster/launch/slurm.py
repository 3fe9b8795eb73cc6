"""A Slurm batch script: Ray over the nodes of the job, the run, and a new start of the job before its time is up."""

from __future__ import annotations

import math
import re
import shlex
import sys
from pathlib import Path

import jinja2

from cluster.errors import ClusterError
from cluster.launch.job import HERE, Job, Launch

TEMPLATE = Path(__file__).with_name("slurm.sbatch.j2")
DURATION = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")


def launch(
    job: Job,
    *,
    time: str | None = None,
    partition: str | None = None,
    account: str | None = None,
    python: str = sys.executable,
    folder: str = str(HERE),
) -> Launch:
    """The batch script of a run.

    Args:
        job: the run.
        time: time limit, as Slurm writes it (``8:00:00``, ``1-12``); None leaves it to the partition.
        partition: partition to run in; None is Slurm's default.
        account: account that is charged; None is the user's default.
        python: Python of the environment with Themis, on every node.
        folder: where the run starts, the checkout or a project of one's own; relative paths are meant from there.

    Raises:
        ClusterError: if the time limit is malformed, or too short to stop before it.
    """
    if time is not None and seconds(time) < 2 * job.stop_s:
        raise ClusterError(
            f"--time {time} is {seconds(time)} s, and the run is stopped {job.stop_s} s before the limit and resumed "
            f"later; give at least {math.ceil(2 * job.stop_s / 60)} minutes, or leave it out"
        )
    own = Path(job.run_dir, "launch")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    environment.filters["quote"] = shlex.quote
    options = {"time": time, "partition": partition, "account": account}
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=f"The run of {job.run_dir}",
        name=job.name,
        nodes=job.nodes,
        cpus=job.cpus,
        gpus=job.gpus,
        memory_gb=job.memory_gb,
        options={name: value for name, value in options.items() if value is not None},
        folder=folder,
        log=f"{own}/".replace("%", "%%") + "slurm-%j.log",
        warning_s=job.stop_s,
        python=python,
        tokens=str(own),
        words=shlex.join(job.words),
    )
    return Launch(("sbatch", "FILE"), "slurm.sbatch", text, f"squeue --me   (the log is {own}/slurm-JOB.log)")


def seconds(time: str) -> int:
    """A time limit of Slurm (seconds): minutes, minutes:seconds, hours:minutes:seconds, days-hours[:minutes[:seconds]].

    Raises:
        ClusterError: if it is malformed.
    """
    found = DURATION.fullmatch(time)
    if not found:
        raise ClusterError(f"--time {time} is no time limit of Slurm; write 8:00:00 (hours) or 2-00 (days-hours)")
    days, *parts = found.groups()
    numbers = [int(part) for part in parts if part is not None]
    if days is not None:
        hours, minutes, rest = [*numbers, 0, 0][:3]
        return int(days) * 86400 + hours * 3600 + minutes * 60 + rest
    hours, minutes, rest = numbers if len(numbers) == 3 else (0, *[*numbers, 0][:2])
    return hours * 3600 + minutes * 60 + rest
