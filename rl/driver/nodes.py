"""What the nodes of a run must share, looked at before its actors start: the run folder, models and laws, the code."""

from __future__ import annotations

import secrets
import sysconfig
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cluster.nodes import ask, names, own
from cluster.shipping import OURS
from curricula.statutes import law_setting
from rl.config.derive import reward_sum
from rl.config.places import serves_judge
from rl.config.schema import RunConfig
from rl.config.stages import PromptedStage
from rl.errors import UserError

LOOK_S = 300.0
"""Longest wait for all nodes (seconds); the first process of Ray on a busy node takes a while."""
CALLED = {"model.path": "the model", "judge.model": "the judge's model", "statutes.folder": "the laws"}
"""What is in the folders that actors read, by their keys."""


def own_modules(config: RunConfig) -> list[Path]:
    """Files and folders of the modules in which a run's own rewards are (``module:function``), as far as they are not
    installed."""
    sums = [reward_sum(config, stage) for stage in config.curriculum.stages if isinstance(stage, PromptedStage)]
    modules = {name.partition(":")[0].partition(".")[0] for parts in sums for name in parts if ":" in name}
    installed = {Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib", "stdlib")}
    found = []
    for spec in filter(None, map(find_spec, sorted(modules))):
        place = next(iter(spec.submodule_search_locations or ()), spec.origin)
        if place is not None and not installed & set(Path(place).parents):
            found.append(Path(place))
    return found


def folders_read(config: RunConfig, model_path: str) -> dict[str, Path]:
    """The folders that actors read, by their keys. A model's name on a hub, which every node reads itself, is none."""
    judge = config.judge.model if serves_judge(config) else None
    named = {"model.path": model_path, "judge.model": judge, "statutes.folder": law_setting().folder}
    return {key: Path(path).absolute() for key, path in named.items() if path is not None and Path(path).is_dir()}


def require_shared(nodes: Iterable[str], run_dir: Path, folders: Mapping[str, Path], shared_file: Path) -> None:
    """Refuse a run of which a node has no code, sees another run folder, or has not the same files. What earlier
    processes of the run have left in a node's shared memory is removed on the way.

    Args:
        nodes: ids of the nodes of the run; the driver's own is not looked at.
        run_dir: folder of the run.
        folders: see :func:`folders_read`.
        shared_file: see :func:`rl.weights.shared.shared_file`.

    Raises:
        UserError: naming the node and what it lacks.
    """
    others = sorted(set(nodes) - {own()})
    if not others:
        return
    token = secrets.token_hex(16)
    probe = run_dir.resolve() / f".probe-{token}"
    given = {key: str(path) for key, path in folders.items()}
    probe.mkdir()
    try:
        (probe / "driver").write_text(token)
        found = ask(others, _look(), str(probe), token, given, str(shared_file), timeout_s=LOOK_S)
        called = names(others)
        for node, seen in found.items():
            if problem := problem_of(seen, probe / node, folders):
                raise UserError(f"node {called[node]} {problem}")
    finally:
        for path in probe.iterdir():
            path.unlink(missing_ok=True)
        with suppress(OSError):  # a file system that hides a deleted file for a while
            probe.rmdir()


def problem_of(seen: Mapping[str, Any], written: Path, folders: Mapping[str, Path]) -> str:
    """What is wrong with a node; empty if nothing is.

    Args:
        seen: what it answered.
        written: the file that it has written.
        folders: see :func:`folders_read`.
    """
    run_dir = written.parent.parent
    disk = "give run_dir on a disk that all nodes share: every rank writes its part of a checkpoint there"
    if "code" in seen:
        if seen["missing"] not in OURS:
            return f"can't load Themis ({seen['code']}); install the packages of the lock files there"
        return (
            f"has no code of Themis ({seen['code']}); set cluster.ship_code=true to send it there, or put the checkout "
            f"at the same path"
        )
    if not seen["reads"]:
        return f"does not see run_dir {run_dir} as it is here; {disk}"
    if "writes" in seen:
        return f"can't write to run_dir {run_dir} ({seen['writes']}); {disk}"
    if not written.is_file():
        return f"writes to another folder than this process, though both call it {run_dir}; {disk}"
    for key, folder in folders.items():
        mine, theirs = files(folder), seen["folders"][key]
        if mine != theirs:
            missing = sorted(mine.keys() - theirs.keys())
            what = f"lacks {missing[0]}" if missing else "has other files"
            return (
                f"has not {CALLED[key]} in {folder} as here (it {what}); put that folder on a disk that all nodes "
                f"share, and give it as {key}"
            )
    return ""


def files(folder: Path) -> dict[str, int]:
    """Names and sizes of the files of a folder."""
    return {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}


def remove_elsewhere(nodes: Iterable[str], shared_file: Path) -> None:
    """Remove the files on the way of this run's weights from the nodes that are not the driver's."""
    with suppress(Exception):  # it is the end of the run; the next start looks again
        ask(set(nodes) - {own()}, _remove(), str(shared_file), timeout_s=30.0)


def _look() -> Callable[..., dict[str, Any]]:
    def look(probe: str, token: str, folders: dict[str, str], shared_file: str) -> dict[str, Any]:
        import importlib
        from pathlib import Path

        import ray

        try:
            for name in ("rl.driver.nodes", "rewards.registry", "curricula.statutes"):
                importlib.import_module(name)
        except ImportError as error:
            return {"code": str(error), "missing": (error.name or "").partition(".")[0]}
        from rl.driver.nodes import files
        from rl.weights.shared import remove_earlier

        remove_earlier(Path(shared_file))
        seen: dict[str, Any] = {}
        try:
            seen["reads"] = Path(probe, "driver").read_text() == token
            Path(probe, ray.get_runtime_context().get_node_id()).touch()
        except OSError as error:
            seen |= {"reads": seen.get("reads", False), "writes": str(error)}
        seen["folders"] = {key: files(Path(path)) if Path(path).is_dir() else {} for key, path in folders.items()}
        return seen

    return look


def _remove() -> Callable[[str], None]:
    def remove(shared_file: str) -> None:
        from pathlib import Path

        from rl.weights.shared import remove_shared

        remove_shared(Path(shared_file))

    return remove
