"""What the nodes of a run must share, looked at before its actors start: the run folder, the model, the code."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cluster.nodes import ask, names, own
from rl.errors import UserError

LOOK_S = 300.0
"""Longest wait for all nodes (seconds); the first process of Ray on a busy node takes a while."""


def require_shared(nodes: Iterable[str], run_dir: Path, model_path: str, shared_file: Path) -> None:
    """Refuse a run of which a node has no code, sees another run folder, or has not the model. What earlier processes
    of the run have left in a node's shared memory is removed on the way.

    Args:
        nodes: ids of the nodes of the run; the driver's own is not looked at.
        run_dir: folder of the run.
        model_path: folder of the base model, or its name on a hub, which every node reads by itself.
        shared_file: see :func:`rl.weights.shared.shared_file`.

    Raises:
        UserError: naming the node and what it lacks.
    """
    others = sorted(set(nodes) - {own()})
    if not others:
        return
    token = secrets.token_hex(16)
    probe = run_dir.resolve() / f".probe-{token}"
    model = Path(model_path).resolve() if Path(model_path).is_dir() else None
    probe.mkdir()
    try:
        (probe / "driver").write_text(token)
        found = ask(others, _look(), str(probe), token, model and str(model), str(shared_file), timeout_s=LOOK_S)
        called = names(others)
        for node, seen in found.items():
            if problem := problem_of(seen, probe / node, None if model is None else files(model)):
                raise UserError(f"node {called[node]} {problem}")
    finally:
        for path in probe.iterdir():
            path.unlink(missing_ok=True)
        with suppress(OSError):  # a file system that hides a deleted file for a while
            probe.rmdir()


def problem_of(seen: Mapping[str, Any], written: Path, model: Mapping[str, int] | None) -> str:
    """What is wrong with a node; empty if nothing is.

    Args:
        seen: what it answered.
        written: the file that it has written.
        model: files of the driver's model folder, and their sizes.
    """
    run_dir = written.parent.parent
    disk = "give run_dir on a disk that all nodes share: every rank writes its part of a checkpoint there"
    if "code" in seen:
        return (
            f"can't load Themis ({seen['code']}); install it there at the same path with the same packages, or put the "
            f"checkout and its environment on a shared disk"
        )
    if not seen["reads"]:
        return f"does not see run_dir {run_dir} as it is here; {disk}"
    if "writes" in seen:
        return f"can't write to run_dir {run_dir} ({seen['writes']}); {disk}"
    if not written.is_file():
        return f"writes to another folder than this process, though both call it {run_dir}; {disk}"
    if model is not None and seen["model"] != model:
        missing = sorted(model.keys() - seen["model"].keys())
        what = f"lacks {missing[0]}" if missing else "has other files"
        return (
            f"has not the model that is in {seen['folder']} here (it {what}); put that folder on a disk that all nodes "
            f"share, and give it as model.path"
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
    def look(probe: str, token: str, model: str | None, shared_file: str) -> dict[str, Any]:
        import importlib
        from pathlib import Path

        import ray

        try:
            for name in ("rl.driver.nodes", "rewards.registry", "curricula.statutes"):
                importlib.import_module(name)
        except ImportError as error:
            return {"code": str(error)}
        from rl.driver.nodes import files
        from rl.weights.shared import remove_earlier

        remove_earlier(Path(shared_file))
        seen: dict[str, Any] = {"folder": model}
        try:
            seen["reads"] = Path(probe, "driver").read_text() == token
            Path(probe, ray.get_runtime_context().get_node_id()).touch()
        except OSError as error:
            seen |= {"reads": seen.get("reads", False), "writes": str(error)}
        seen["model"] = files(Path(model)) if model and Path(model).is_dir() else {}
        return seen

    return look


def _remove() -> Callable[[str], None]:
    def remove(shared_file: str) -> None:
        from pathlib import Path

        from rl.weights.shared import remove_shared

        remove_shared(Path(shared_file))

    return remove
