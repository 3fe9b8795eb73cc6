"""``python -m tools.launch LAUNCHER OVERRIDES``: start a run by Slurm, KubeRay, ``ray up``, Docker or a running Ray.

It stands above the run's room, because it reads the run's configuration; what the launchers write is in cluster/launch.
"""

from __future__ import annotations

import argparse
import math
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from cluster.launch import compose, docker, kuberay, ray_up, slurm, submit
from cluster.launch.job import Job, Launch, local_disk
from curricula.command import command, program, require_utf8
from rl.config.compose import options_of
from rl.config.composition import compose_run
from rl.config.derive import check, derive
from rl.config.fingerprint import data_files
from rl.config.gpu_plan import require_room
from rl.config.places import places, serves_judge
from rl.config.schema import RunConfig
from rl.config.sources import Options, absolute, read_for
from rl.device import chosen
from rl.errors import USER_ERRORS, UserError

GPU_CPUS, GPU_MEMORY_GB = 8, 64
"""CPUs and memory (GiB) that a node gets for each GPU, where nothing else is said."""
ENDS_S = 60
"""How long a run takes to end at most, after its step (seconds)."""
PROCESSES_GB = 4
"""Memory of a node beside what the plan counts (GiB)."""


COMMON = ("overrides", "dry_run", "nodes", "gpus_per_node", "cpus_per_node", "memory_gb")
"""Options of every launcher."""


class Launcher(NamedTuple):
    """One way to start a run."""

    what: str
    options: Callable[[argparse.ArgumentParser], None]
    launch: Callable[..., Launch]
    """Takes the job, and what its options give, by their names."""
    elsewhere: bool = True
    """Whether the run's folder and model may be out of this machine's sight."""


def read_run(overrides: Sequence[str], elsewhere: bool) -> RunConfig:
    """The valid configuration of a run, with its folder.

    Raises:
        UserError: for what the run itself would refuse, and for what can't be launched: a sweep, an address of Ray,
            a start from scratch, more than the GPUs can hold.
    """
    if any(word.startswith("-") for word in overrides):
        raise UserError("a sweep or another option of Hydra can't be launched; launch each run by itself")
    config = compose_run(overrides, absolute=False)
    if config.cluster.address is not None:
        raise UserError("cluster.address is set by the launcher; leave it out")
    if config.resume == "restart":
        raise UserError("resume=restart would begin from scratch at every new start of the job; use another run_dir")
    if config.plan:
        raise UserError("plan=true starts nothing; give it to python -m rl.main")
    check(config, elsewhere=elsewhere)
    require_room(derive(config).gpus, certain=True)
    return config


def job_of(config: RunConfig, overrides: Sequence[str], given: argparse.Namespace) -> Job:
    """What the run needs of each node.

    Raises:
        UserError: if its folder is not absolute, or the nodes don't have what it asks for.
    """
    if not Path(config.run_dir).is_absolute():
        raise UserError(
            f"run_dir={config.run_dir} is not absolute, and a launched run starts in another folder or on another "
            f"machine; give run_dir=/SHARED/{config.run_dir} on a disk that all nodes share"
        )
    options = options_of(overrides)
    folders = [*_folders(config), *read_for(overrides, options)]
    if tilde := next((path for path in folders if path.startswith("~")), None):
        raise UserError(f"{tilde}: another machine or a container has another home folder; give the whole path")
    device = chosen(config.trainer.device, given.gpus_per_node)
    asked = places(config, device.gpus > 0) + (serves_judge(config) and device.gpus)
    per_node = given.gpus_per_node if device.gpus else asked
    if device.gpus and not per_node:
        raise UserError("trainer.device=cuda needs GPUs, and --gpus-per-node is 0")
    nodes = given.nodes or math.ceil(asked / per_node)
    if device.gpus and asked > nodes * per_node:
        raise UserError(
            f"this run asks for {asked} GPUs ({_asked(config)}), and {nodes} node(s) of {per_node} have "
            f"{nodes * per_node}; give --nodes {math.ceil(asked / per_node)}, or lower what it asks for"
        )
    if nodes > asked:
        raise UserError(f"this run uses {asked} place(s) ({_asked(config)}), fewer than --nodes {nodes}; lower --nodes")
    here = math.ceil(asked / nodes)
    gpus = here * device.gpus
    threads = max(config.trainer.threads * math.ceil(config.trainer.world_size / nodes), config.rollout.threads, here)
    cpus = given.cpus_per_node or GPU_CPUS * gpus or threads
    if cpus < here:
        raise UserError(
            f"a node gets {here} of this run's {asked} places ({_asked(config)}), each of which takes a CPU, and "
            f"--cpus-per-node is {cpus}; give at least {here}"
        )
    return Job(
        ("-m", "rl.main", *(_fixed(word, config.run_dir, options) for word in overrides)),
        config.run_dir,
        nodes,
        gpus,
        cpus,
        given.memory_gb or GPU_MEMORY_GB * gpus or _memory_gb(config, nodes),
        tuple(folders),
        math.ceil(config.trainer.stop_within_s) + ENDS_S,
    )


def _memory_gb(config: RunConfig, nodes: int) -> int:
    """Memory of each node of a run on CPUs (GiB).

    Raises:
        UserError: if the plan can't say it.
    """
    config = config.model_copy(update={"trainer": config.trainer.model_copy(update={"device": "cpu"})})
    planned = [gib for _, gib in derive(config).memory]
    known = [gib for gib in planned if gib is not None]
    if len(known) < len(planned):
        raise UserError(
            f"the sizes of {config.model.name} are not known here, so what a node needs of memory is not either; give "
            f"--memory-gb, or model.path a folder of this machine"
        )
    return math.ceil(sum(known) / nodes) + PROCESSES_GB


def _fixed(word: str, run_dir: str, options: Options) -> str:
    """A word of the run, with the run's folder as it is now, since one that holds the time would be another at each
    start, and with absolute paths of configuration files."""
    is_folder = word.partition("=")[0] in ("run_dir", "hydra.run.dir")
    return f"run_dir={run_dir}" if is_folder else absolute(word, options)


def _asked(config: RunConfig) -> str:
    return (
        f"trainer.world_size={config.trainer.world_size}, rollout.replicas={config.rollout.replicas}, "
        f"cluster.placement={config.cluster.placement}"
    )


def _folders(config: RunConfig) -> list[str]:
    """Files and folders that the run reads and no image holds."""
    served = config.judge.model if config.judge.kind == "llm" and config.judge.base_url is None else None
    named = [config.model.path, served, config.statutes.folder, *data_files(config)]
    return [path for path in named if path and (path.startswith(("/", "~")) or Path(path).exists())]


def _own(given: argparse.Namespace) -> dict[str, str]:
    """The launcher's own options that were given, by name.

    Raises:
        UserError: if one holds a control character, which a script or a manifest would take for its own.
    """
    found = {key: value for key, value in vars(given).items() if key not in COMMON and value is not None}
    for key, value in found.items():
        if not "".join(value).isprintable():
            raise UserError(f"--{key} {value!r} holds a line break or another control character; take it out")
    return found


def _warn(job: Job, elsewhere: bool) -> None:
    """Say where several nodes don't share the run's folder, as far as this machine shows."""
    kind = "" if elsewhere and not Path(job.run_dir).parent.is_dir() else local_disk(job.run_dir)
    if job.nodes > 1 and kind:
        print(
            f"warning: {job.run_dir} is on a disk of this machine ({kind}); the {job.nodes} nodes of this run must all "
            f"see it, or its checkpoints can't be read",
            file=sys.stderr,
        )


def _slurm_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--time", help="time limit, such as 8:00:00 or 2-00 (default: the partition's)")
    parser.add_argument("--partition", help="partition (default: Slurm's)")
    parser.add_argument("--account", help="account (default: the user's)")
    _place_options(parser)


def _place_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", help="where the run starts on every node, checkout or project (default: here)")
    parser.add_argument("--python", help="Python of Themis, on every node (default: the one of this command)")


def _kuberay_options(parser: argparse.ArgumentParser) -> None:
    _image_option(parser)
    parser.add_argument("--claim", help="PersistentVolumeClaim (ReadWriteMany) of run and model (default: themis)")
    parser.add_argument("--mount", help="where pods see it (default: /shared)")
    parser.add_argument("--secret", help="Secret whose keys become environment variables, such as WANDB_API_KEY")
    parser.add_argument("--namespace", help="Kubernetes namespace (default: that of the context)")
    parser.add_argument("--kind", choices=("RayJob", "RayCluster"), help="a run, or a cluster alone (default: RayJob)")


def _hosts(text: str) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, text.split(","))))


def _ray_up_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--hosts", required=True, type=_hosts, help="machines, separated by commas; the first is Ray's head"
    )
    parser.add_argument("--user", required=True, help="user of ssh")
    parser.add_argument("--key", help="private key of ssh (default: what ssh takes)")
    _place_options(parser)


def _image_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--image", help="image of Themis (default: themis:gpu or themis:cpu)")


def _compose_options(parser: argparse.ArgumentParser) -> None:
    _image_option(parser)
    parser.add_argument("--port", help="port of Grafana on 127.0.0.1 (default: 3000)")


def _job_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--address", help="dashboard of the running Ray (default: http://127.0.0.1:8265)")
    _place_options(parser)


LAUNCHERS = {
    "slurm": Launcher(
        "a Slurm batch script, submitted by sbatch",
        _slurm_options,
        slurm.launch,
        elsewhere=False,
    ),
    "kuberay": Launcher(
        "a RayJob or RayCluster of KubeRay, applied by kubectl",
        _kuberay_options,
        kuberay.launch,
    ),
    "ray-up": Launcher("machines reached by ssh, as a cluster of ray up", _ray_up_options, ray_up.launch),
    "docker": Launcher("a container on this machine", _image_option, docker.launch, elsewhere=False),
    "compose": Launcher(
        "a container on this machine, with Prometheus and Grafana", _compose_options, compose.launch, elsewhere=False
    ),
    "job": Launcher("a job of a running Ray", _job_options, submit.launch),
}
"""The launcher of each name."""


def _parser(name: str) -> argparse.ArgumentParser:
    launcher = LAUNCHERS[name]
    parser = argparse.ArgumentParser(
        prog=program(f"tools.launch {name}"), description=f"Starts a run: {launcher.what}."
    )
    parser.add_argument("overrides", nargs="+", help="the run: +curriculum=NAME run_dir=FOLDER, then any key=value")
    parser.add_argument("--dry-run", action="store_true", help="print what would be submitted, and submit nothing")
    parser.add_argument("--nodes", type=_number(1), help="nodes (default: as many as the run's GPUs need)")
    parser.add_argument("--gpus-per-node", type=_number(0), default=8, help="GPUs of a node; 0 runs on CPUs")
    parser.add_argument("--cpus-per-node", type=_number(1), help="CPUs of a node (default: by GPUs or threads)")
    parser.add_argument("--memory-gb", type=_number(1), help="memory of a node, GiB (default: by GPUs or the plan)")
    launcher.options(parser)
    return parser


def _number(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is no whole number from {least} on")
        return int(text)

    return read


@command(*USER_ERRORS)
def main(argv: Sequence[str] | None = None) -> int:
    """Print or submit what starts the run; the exit code of the submitting program, or 2 for an error."""
    if argv is None:
        require_utf8()
    name, *rest = [*(sys.argv[1:] if argv is None else argv), ""]
    if name not in LAUNCHERS:
        print(f"usage: python -m tools.launch {{{','.join(LAUNCHERS)}}} …", file=sys.stderr)
        return 0 if name in ("-h", "--help") else 2
    given = _parser(name).parse_intermixed_args(rest[:-1])
    config = read_run(given.overrides, LAUNCHERS[name].elsewhere)
    job = job_of(config, given.overrides, given)
    launch = LAUNCHERS[name].launch(job, **_own(given))
    _warn(job, LAUNCHERS[name].elsewhere)
    if given.dry_run:
        return _show(launch)
    own = Path("runs/launch", job.name) if LAUNCHERS[name].elsewhere else Path(config.run_dir, "launch")
    return _start(launch, own)


def _show(launch: Launch) -> int:
    """Print the file, or where there is none the command; the rest goes to standard error."""
    print(launch.text if launch.file else shlex.join(launch.command), end="" if launch.file else "\n")
    if launch.file:
        print(f"would run: {shlex.join(launch.command)}", file=sys.stderr)
    print(f"then: {launch.then}", file=sys.stderr)
    return 0


def _start(launch: Launch, folder: Path) -> int:
    program, *words = launch.command
    found = shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))  # ray is there
    if launch.start is None and found is None:
        raise UserError(
            f"{program} is not on this machine; run this command where it is, or take there what --dry-run prints"
        )
    for needed, fix in launch.needs.items():
        if not Path(needed).expanduser().exists():
            raise UserError(f"{needed} does not exist; {fix}")
    path = folder / launch.file
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if launch.file:
            path.write_text(launch.text, encoding="utf-8")
            print(f"wrote {path}", flush=True)
    except OSError as error:
        raise UserError(f"{folder} can't be written to ({error.strerror}); give another run_dir") from None
    if launch.start is not None:
        print(launch.start())
    elif code := subprocess.run([str(found), *(str(path) if word == "FILE" else word for word in words)]).returncode:
        raise UserError(f"{program} ended with exit code {code}; its own words are above")
    print(f"then: {launch.then.replace('FILE', shlex.quote(str(path)))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
