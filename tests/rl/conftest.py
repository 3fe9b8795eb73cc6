"""What tests of the training system share."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module", autouse=True)
def _quiet_ranks() -> Iterator[None]:
    """What a module has left of ranks with many threads does not take time from the tests of others."""
    yield
    if ranks := sys.modules.get("tests.rl.ranks"):  # most modules use none, and no torch
        ranks.end_ranks()


@pytest.fixture(scope="session")
def actor_model(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of ``actor``."""
    from tests.rl.slow_actor import make_model

    return make_model(models["tied"], tmp_path_factory.mktemp("qwen2") / "model")


@pytest.fixture(scope="session")
def actor(ray_cluster: None, actor_model: Path) -> Iterator[Any]:
    """A supervised rollout actor with the model's weights. It takes 12 CPU-seconds to start, so tests share it: one
    that gives it other weights gives the model's back."""
    from tests.rl.slow_actor import MAX_LENGTH, SlowActor, spec_of, start

    found = start(spec_of(str(actor_model), MAX_LENGTH), SlowActor, most_restarts=5)
    yield found
    found.stop()
