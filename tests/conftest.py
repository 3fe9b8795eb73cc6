"""What tests share: one Ray for the session, and a small model on disk."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("shared machine", deadline=None)  # a test is no stopwatch
settings.load_profile("shared machine")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("WANDB_MODE", "offline")
ROOT = Path(__file__).resolve().parents[1]


RAY = (
    *(f"cluster/test_{name}" for name in ("children", "connect", "health", "loopback", "names", "scratch", "watch")),
    "e2e/", "rl/actors/", "rl/driver/", "rl/weights/", "rl/records/test_gauges",
    "rl/synthesis/test_askers", "rl/synthesis/test_on_ray",
)  # fmt: skip
"""Tests that share a Ray, or would find that of others: one worker has them all."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With ``-n 2`` one worker has all tests with Ray, and a file's tests go to one worker: they share fixtures."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0].removeprefix("tests/")
            return "Ray" if file.startswith(RAY) else file

    return ByFile(config, log)


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A local Ray with a small object store and no dashboard, whose metrics come every second."""
    from cluster.ray_cluster import connect

    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RAY_metrics_report_interval_ms", "1000")
            stack.enter_context(connect(address="local", num_cpus=4, object_store_mb=100, dashboard_port=None))
        yield


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny nano models on disk: ``tied`` and ``untied`` embeddings."""
    from rl.config.schema import NanoConfig
    from rl.models.nano import ensure_nano

    cache = tmp_path_factory.mktemp("models")
    shape = {"vocab_size": 1500, "hidden_size": 64, "layers": 2, "heads": 2, "kv_heads": 1, "head_dim": 32}
    return {
        name: ensure_nano(NanoConfig(**shape, intermediate_size=128, tie_embeddings=tied), 0, 256, cache)
        for name, tied in (("tied", True), ("untied", False))
    }
