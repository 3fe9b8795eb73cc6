"""A run as launchers see it: a command, and what it needs of each node."""

from __future__ import annotations

import re
import shlex
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cluster.errors import ClusterError

HERE = Path.cwd()
"""Where a launched run starts unless another folder is given: relative paths and modules of its own are there."""
LOCAL_DISKS = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs", "ramfs", "overlay", "squashfs", "vfat"}
)
"""Types of file systems that one machine has for itself."""


@dataclass(frozen=True)
class Job:
    """A run to be started somewhere else. Launching it again resumes it."""

    words: tuple[str, ...]
    """What follows ``python`` to start the run, all but the address of Ray."""
    run_dir: str
    """Folder of the run: an absolute path that all nodes share."""
    nodes: int
    gpus: int
    """GPUs of each node; 0 for a run on CPUs."""
    cpus: int
    """CPUs of each node."""
    memory_gb: int
    """Memory of each node (GiB)."""
    folders: tuple[str, ...] = ()
    """Other files and folders that the run reads, absolute paths: its model, its data."""
    stop_s: int = 120
    """How long it may take to end after SIGTERM (seconds)."""

    def __post_init__(self) -> None:
        for what, text in (("run_dir", self.run_dir), *(("the word", word) for word in self.words)):
            if not text.isprintable():
                raise ClusterError(f"{what} {text!r} holds a line break or another control character; take it out")

    @property
    def name(self) -> str:
        """A name that Slurm, Kubernetes and Docker take: lower-case letters, digits and hyphens, at most 40. It ends
        with a checksum of the folder, since Kubernetes and compose would take a run of the same name for this one."""
        words = re.sub(r"[^a-z0-9]+", "-", Path(self.run_dir).name.lower()).strip("-")
        start = f"themis-{words or 'run'}"[:31].rstrip("-")
        return f"{start}-{zlib.crc32(bytes(Path(self.run_dir))):08x}"

    @property
    def image(self) -> str:
        """The name that the guide gives to our image for this run."""
        return "themis:gpu" if self.gpus else "themis:cpu"

    def shell(self, python: str, address: str, folder: str | None = None) -> str:
        """A line for a shell that becomes the run, so that a signal to the shell's process reaches it."""
        line = shlex.join([python, *self.words, f"cluster.address={address}"])
        return f"cd {shlex.quote(folder)} && exec {line}" if folder else line


@dataclass(frozen=True)
class Launch:
    """What a launcher will do: a file it writes, and the command that starts the run with it."""

    command: tuple[str, ...]
    """The command; the word ``FILE`` stands for the path of the file."""
    file: str = ""
    """Name of the file; empty without one."""
    text: str = ""
    """What is in it."""
    then: str = ""
    """What to type afterwards."""
    needs: Mapping[str, str] = field(default_factory=dict)
    """Files that must exist on this machine, and how each is made."""
    start: Callable[[], str] | None = None
    """What starts the run where no program does; gives a line about it."""


def stop_environment(job: Job) -> dict[str, dict[str, str]]:
    """The runtime environment that gives a job of Ray time to end; Ray's own limit is 3 s, after which it is killed."""
    return {"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(job.stop_s)}}


def require_one_node(job: Job, launcher: str) -> None:
    """Refuse a run over several nodes.

    Raises:
        ClusterError: if it needs more than one.
    """
    if job.nodes > 1:
        raise ClusterError(
            f"{launcher} starts one machine, and this run needs {job.nodes} nodes; launch it with slurm, kuberay, "
            f"ray-up or job, or lower trainer.world_size and rollout.replicas"
        )


def local_disk(path: str, mounts: str | None = None) -> str:
    """The type of the file system of a path if this machine has it for itself; empty if it may be shared.

    Args:
        path: an absolute path, which need not exist yet.
        mounts: text of ``/proc/mounts`` (default: this machine's).
    """
    lines = Path("/proc/mounts").read_text(encoding="utf-8") if mounts is None else mounts
    best, kind = "", ""
    for _, point, found, *_ in (line.split() for line in lines.splitlines()):
        point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), point)  # a space is \040 there
        if Path(path).is_relative_to(point) and len(point) >= len(best):
            best, kind = point, found
    return kind if kind in LOCAL_DISKS else ""
