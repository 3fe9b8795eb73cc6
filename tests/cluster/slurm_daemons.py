"""A Slurm of this machine's own: munged, slurmctld and two slurmd, on loopback, in one folder."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "scancel")
PATIENCE_S = 120
NODES = ("one", "two")


def missing() -> str:
    """Why Slurm can't be started here; empty if it can."""
    if os.geteuid() != 0:
        return "Slurm's daemons need root"
    absent = [name for name in PROGRAMS if not shutil.which(name)]
    return f"{', '.join(absent)} not installed (Debian: munge slurmctld slurmd slurm-client)" if absent else ""


class Slurm:
    """A running Slurm."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}

    def __call__(self, *command: str) -> str:
        """The output of one of Slurm's commands."""
        answer = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=PATIENCE_S)
        assert answer.returncode == 0, f"{command}: {answer.stdout}{answer.stderr}"
        return answer.stdout

    def submit(self, script: Path) -> str:
        """The number of a new job."""
        return self("sbatch", "--parsable", str(script)).strip()

    def job(self, number: str) -> dict[str, str]:
        """What Slurm knows of a job."""
        return dict(word.split("=", 1) for word in self("scontrol", "show", "job", number).split() if "=" in word)

    def wait(self, number: str, *states: str) -> dict[str, str]:
        """Wait until a job is in one of these states."""
        return until(lambda: found if (found := self.job(number))["JobState"] in states else None, self.logs)

    def idle(self) -> bool:
        """Whether the daemons answer and no job holds a node."""
        command = ("sinfo", "--noheader", "--Node", "--states=idle", "--format=%N")
        answer = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=PATIENCE_S)
        return set(answer.stdout.split()) == {*NODES}

    def logs(self) -> str:
        """The ends of all logs."""
        paths = [*self.folder.glob("*.log"), *self.folder.rglob("slurm-*.log")]
        return "\n".join(f"{path}:\n{path.read_text(errors='replace')[-2000:]}" for path in paths)


def until(ready: Callable, explain: Callable[[], str] = str, patience_s: float = PATIENCE_S):
    """What ``ready`` gives, once that is something."""
    end = time.monotonic() + patience_s
    while not (found := ready()):
        assert time.monotonic() < end, explain()
        time.sleep(0.1)
    return found


@contextmanager
def slurm(folder: Path) -> Iterator[Slurm]:
    """Start Slurm in a folder, with two nodes that are both this machine."""
    ports = _free_ports(1 + len(NODES))
    key, spool = folder / "munge.key", folder / "spool"
    for one in (folder, spool, *(spool / name for name in NODES)):
        one.mkdir(parents=True, exist_ok=True)
        one.chmod(0o755)
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    nodes = "\n".join(
        f"NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=2000"
        for name, port in zip(NODES, ports[1:], strict=True)
    )
    (folder / "slurm.conf").write_text(f"""\
ClusterName=pretended
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={spool}
SlurmdSpoolDir={spool}/%n
SlurmctldPidFile={folder}/ctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
KillWait=5
SchedulerParameters=sched_interval=1,bf_interval=1
{nodes}
PartitionName=all Nodes={",".join(NODES)} Default=YES MaxTime=INFINITE State=UP
""")
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")  # slurmd asks which, though nothing uses it
    with ExitStack() as stack:
        found = Slurm(folder)

        def start(name: str, *command: str) -> None:
            log = stack.enter_context((folder / f"{name}.log").open("w"))
            process = subprocess.Popen(command, env=found.environment, stdout=log, stderr=log)
            stack.callback(_stop, process)

        munge = [f"--{what}={folder}/munge.{what.split('-')[0]}" for what in ("socket", "pid-file", "seed-file")]
        start("munged", "munged", "--foreground", "--force", *munge, f"--key-file={key}")
        until((folder / "munge.socket").exists, found.logs)
        start("slurmctld", "slurmctld", "-D")
        for name in NODES:
            start(name, "slurmd", "-D", "-N", name)
        until(found.idle, found.logs)
        yield found


def _stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
