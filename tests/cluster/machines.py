"""Machines of a pretended cluster: each has its own network, processes, host name, shared memory and disk, and all are
this machine. It needs root; nothing of it is seen outside."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("ip", "unshare", "nsenter", "mount")
SUBNET = "10.77.0"
LIVE = """\
hostname node{number}
mount -t tmpfs -o size=2g shm /dev/shm
mkdir -p {disk}
mount -t tmpfs -o size=2g disk {disk}
printf '%s\\n' '127.0.0.1 localhost' {hosts} > {disk}/hosts
mount --bind {disk}/hosts /etc/hosts
touch {disk}/ready
exec sleep infinity
"""


def missing() -> str:
    """Why there can be no machines here; empty if there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    absent = [name for name in PROGRAMS if not shutil.which(name)]
    if absent:
        return f"{', '.join(absent)} not installed (Debian: iproute2 util-linux mount)"
    tried = subprocess.run(["unshare", "--net", "--pid", "--fork", "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "this kernel lets root make no network namespace"


class Machine:
    """One of them."""

    def __init__(self, number: int, pid: int, disk: Path) -> None:
        self.number, self.pid, self.disk = number, pid, disk
        self.address = f"{SUBNET}.{number}"

    def command(self, *words: str) -> list[str]:
        """A command that runs on it."""
        return ["nsenter", "--target", str(self.pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--", *words]

    def run(self, *words: str, **options) -> subprocess.CompletedProcess:
        """Run something there and wait for it."""
        return subprocess.run(self.command(*words), capture_output=True, text=True, check=False, **options)

    def end_all(self) -> None:
        """End all that runs there, as when the machine is switched off."""
        self.run("bash", "-c", "kill -9 -1")  # all of its process namespace but the first, which stays

    def start_ray(self, head: str | None, cpus: int, environment: dict[str, str]) -> None:
        """Start Ray's processes there; ``head`` is the address of its first machine, None on that machine itself."""
        first = ["--head", "--port=6379", "--include-dashboard=false", f"--temp-dir={self.disk}/ray"]
        for last in (False, False, True):  # Ray gives its processes 30 s, which a busy machine may exceed
            answer = self.run(
                sys.executable, "-m", "ray.scripts.scripts", "start", f"--node-ip-address={self.address}",
                f"--num-cpus={cpus}", "--object-store-memory=200000000", *([f"--address={head}"] if head else first),
                env=environment, timeout=180,
            )  # fmt: skip
            if answer.returncode == 0:
                return
            assert not last, answer.stdout + answer.stderr
            self.end_all()


@contextmanager
def machines(number: int, folder: Path) -> Iterator[list[Machine]]:
    """So many machines on one switch. They share all disks of the machine that asks, except ``folder/disk``: each has
    one of its own there."""
    tag = f"t{os.getpid() % 100000}x"
    disk = folder / "disk"
    disk.mkdir()
    with ExitStack() as stack:
        _network(stack, f"{tag}s", "ip link add switch type bridge", "ip link set switch up")
        found = []
        hosts = " ".join(f"'{SUBNET}.{one} node{one}'" for one in range(1, number + 1))
        for one in range(1, number + 1):
            _network(stack, f"{tag}{one}")
            _ip("link", "add", "eth0", "netns", f"{tag}{one}", "type", "veth", "peer", f"port{one}", "netns", f"{tag}s")
            _ip("-n", f"{tag}s", "link", "set", f"port{one}", "master", "switch", "up")
            _ip("-n", f"{tag}{one}", "addr", "add", f"{SUBNET}.{one}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _ip("-n", f"{tag}{one}", "link", "set", device, "up")
            found.append(_boot(stack, f"{tag}{one}", one, disk, hosts))
        yield found


def _network(stack: ExitStack, name: str, *commands: str) -> None:
    _ip("netns", "add", name)
    stack.callback(_ip, "netns", "del", name)
    for command in commands:
        _ip("netns", "exec", name, *command.split())


def _boot(stack: ExitStack, network: str, number: int, disk: Path, hosts: str) -> Machine:
    script = LIVE.format(number=number, disk=disk, hosts=hosts)
    outer = subprocess.Popen(
        ["ip", "netns", "exec", network, "unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child",
         "--mount-proc", "bash", "-ec", script],
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    stack.callback(outer.wait, 60)
    stack.callback(outer.kill)  # its first process ends with it, and with that one all others
    end = time.monotonic() + 60
    while True:
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
        if children and Path(f"/proc/{children[0]}/root{disk}/ready").exists():
            return Machine(number, int(children[0]), disk)
        assert outer.poll() is None and time.monotonic() < end, "the machine did not start"
        time.sleep(0.05)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
