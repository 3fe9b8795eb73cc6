"""The trainer group over an engine whose two ranks are one model-parallel group, on real Ray."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

from rl.actors import group as group_module
from rl.actors.group import TrainerGroup, TrainerLost
from rl.actors.trainer import TrainerActor, TrainerSpec
from rl.config.algorithm import AlgorithmConfig
from rl.config.schema import ModelConfig, TrainerConfig
from rl.config.stages import OptimConfig
from rl.engines.base import Engine
from tests.rl.actors.dying import Dying
from tests.rl.ranks import on_ranks, policy_examples

OPTIM = OptimConfig(lr=1e-2, clip_grad=1e9)
LIMITS = {"max_tokens_per_microbatch": 128, "max_completion_tokens": 32}
SAME = ("begin_stage", "accumulate", "full_weights", "adapter_weights", "weight_metadata", "save", "load", "export")


class ModelParallel:
    """The FSDP engine, whose ranks all get the same rows; only the last one has log-probs and metrics.

    That is how a pipeline answers. FSDP averages over ranks, so the same rows on both make the same update as on one.
    """

    data_parallel_rank, data_parallel_size = 0, 1

    def __init__(self, engine, last):
        self._engine, self._last = engine, last
        vars(self).update({name: getattr(engine, name) for name in SAME})

    def step(self):
        metrics = self._engine.step()
        return metrics if self._last else None

    def log_probs(self, batch, *, max_tokens_per_microbatch, adapter=True):
        found = self._engine.log_probs(batch, max_tokens_per_microbatch=max_tokens_per_microbatch, adapter=adapter)
        return found if self._last else None


class ModelParallelTrainer(TrainerActor):
    """The trainer actor, with that engine."""

    def setup(self, address, port):
        seconds = super().setup(address, port)
        assert isinstance(self.engine, Engine)
        self.engine = ModelParallel(self.engine, self.spec.rank == 1)
        assert isinstance(self.engine, Engine)
        return seconds


@contextmanager
def group_of(models, folder, name, **keys):
    """A trainer with two ranks."""
    path = str(models["tied"])
    spec = TrainerSpec(
        ModelConfig(path=path, max_length=256), TrainerConfig(threads=1, world_size=2, **keys), path, "cpu", 0, 0,
        "shm", str(folder / "weights.safetensors"),
    )  # fmt: skip
    trainer = TrainerGroup(spec, name, lambda rank: {"num_cpus": 0}, 300)
    try:
        trainer.setup()
        yield trainer
    finally:
        trainer.stop()


@pytest.fixture(scope="module")
def model_parallel(ray_cluster, models, tmp_path_factory):
    """A trainer whose ranks all get the same rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group_module, "TrainerActor", ModelParallelTrainer)
        with group_of(models, tmp_path_factory.mktemp("group"), "trainer-model-parallel") as trainer:
            yield trainer


def _alone(actor, batch, algorithm):
    """The same with the FSDP engine on one rank."""
    before = actor.log_probs(batch, max_tokens_per_microbatch=128)[1]
    actor.begin_stage(OPTIM, 10)
    metrics = [actor.update(batch, algorithm, **LIMITS) for _ in range(2)]
    update, probe = actor.publish(1)
    return before, metrics, actor.log_probs(batch, max_tokens_per_microbatch=128)[1], update, probe


def test_ranks_of_a_model_parallel_group_train_the_same_rows(models, model_parallel):
    batch, algorithm = policy_examples(), AlgorithmConfig(preset="dr_grpo", kl_coef=0.1, entropy_coef=0.01)
    before, metrics, after, sent, probe = on_ranks(_alone, models["tied"], 1, batch, algorithm)[0]
    trainer = model_parallel
    assert trainer.call("log_probs", batch, max_tokens_per_microbatch=128)[0][0] == [], "rank 0 has no rows"
    assert np.abs(trainer.log_probs(batch, max_tokens_per_microbatch=128) - before).max() < 1e-5
    trainer.begin_stage(OPTIM, 10)
    updates = [trainer.update(batch, algorithm, **LIMITS)]
    for number in (1, 0, 2):
        part = batch.select(np.flatnonzero(batch.groups == number))
        trainer.accumulate(part, algorithm, **LIMITS)
    updates.append(trainer.step())
    for found, expected in zip(updates, metrics, strict=True):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
    assert np.abs(after - before).max() > 1e-2, "it was trained"
    assert np.abs(trainer.log_probs(batch, max_tokens_per_microbatch=128) - after).max() < 1e-4
    update = trainer.publish(1)
    assert update.sent.shapes == sent.sent.shapes and probe.token_ids == update.probe.token_ids
    assert np.abs(update.probe.log_probs - probe.log_probs).max() < 1e-4


def test_a_rank_killed_in_a_collective_is_a_lost_trainer(model_parallel):
    """The last test of this trainer."""
    _kill(model_parallel)


@pytest.mark.slow
def test_a_rank_of_megatron_killed_in_a_collective_is_a_lost_trainer(ray_cluster, models, tmp_path):
    with group_of(models, tmp_path, "killed-megatron", engine="megatron", pipeline_parallel=2) as trainer:
        _kill(trainer)


def _kill(trainer):
    trainer.begin_stage(OPTIM, 10)
    trainer.update(policy_examples(), AlgorithmConfig(), **LIMITS)
    pid = trainer.call("pid")[1]
    os.kill(pid, signal.SIGSTOP)  # so that the other rank waits for it
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(trainer.update, policy_examples(), AlgorithmConfig(), **LIMITS)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(TrainerLost):
            waiting.result(timeout=240)


def test_a_dead_rank_is_found_behind_the_error_of_another(ray_cluster, monkeypatch):
    monkeypatch.setattr(group_module, "TrainerActor", Dying)
    monkeypatch.setattr(group_module, "OTHERS_S", 3000.0)  # longer than a test may take
    spec = TrainerSpec(ModelConfig(path="none"), TrainerConfig(world_size=3), "none", "cpu", 0, 0, "shm", "none")
    trainer = TrainerGroup(spec, "trainer-dying", lambda rank: {"num_cpus": 0}, 300)
    try:
        with pytest.raises(RuntimeError, match="connection closed by peer"):
            trainer.call("update", False)
        with pytest.raises(TrainerLost, match="trainer-dying/1 died: its worker process has died") as lost:
            trainer.call("update", True)
        assert (lost.value.who, lost.value.handle) == ("trainer-dying/1", trainer.actors[1])
    finally:
        trainer.stop()
