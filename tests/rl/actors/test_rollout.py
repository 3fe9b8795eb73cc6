"""Trainer and rollout on real Ray, real vLLM and the real engine: equal weights must give equal log-probs."""

import itertools
from contextlib import contextmanager

import numpy as np
import pytest

from curricula.prompts import ask
from rl.actors.group import TrainerGroup
from rl.actors.trainer import TrainerSpec
from rl.config.schema import TrainerConfig
from rl.config.stages import OptimConfig, SamplingConfig
from rl.samples import Group, policy_batch
from tests.rl.ranks import ragged
from tests.rl.slow_actor import MAX_LENGTH, spec_of, start

PROMPTS = [[20 + i, 300 + 7 * i, 40, 50 + i] for i in range(6)]
VERSIONS = itertools.count(1)


@contextmanager
def trainer_of(rollout_spec, folder):
    """A trainer for the model of a rollout actor."""
    spec = TrainerSpec(
        rollout_spec.model, TrainerConfig(threads=1), rollout_spec.path, "cpu", 0, 0, rollout_spec.backend,
        str(folder / "w.safetensors"),
    )  # fmt: skip
    trainer = TrainerGroup(spec, f"trainer-of-{folder.name}", lambda rank: {"num_cpus": 0}, 300)
    try:
        trainer.setup()
        yield trainer
    finally:
        trainer.stop()


@pytest.fixture(scope="module")
def pair(actor, actor_model, tmp_path_factory):
    """A trainer, and the rollout actor that tests share."""
    folder = tmp_path_factory.mktemp("pair")
    with trainer_of(spec_of(str(actor_model), MAX_LENGTH), folder) as trainer:
        trainer.begin_stage(OptimConfig(), 1)
        trainer.call("save", str(folder / "given"))
        yield trainer, actor
        trainer.call("load", str(folder / "given"), weights_only=True)
        sync(trainer, actor)


def sync(trainer, rollout):
    version = next(VERSIONS)
    rollout.call("sync", trainer.publish(version), timeout_s=300)
    return version


def log_probs_agree(trainer, rollout):
    trainer.begin_stage(OptimConfig(lr=1e-2), 10)
    for number, temperature in enumerate((1.0, 0.7, 1.0)):
        assert trainer.update(ragged(seed=number), None, max_tokens_per_microbatch=1024)["grad_norm"] > 0
        version = sync(trainer, rollout)
        sampling = SamplingConfig(temperature=temperature, max_tokens=16)

        def sampled(seed, sampling=sampling):
            return rollout.call("generate", PROMPTS, 3, sampling, seed, timeout_s=300)

        answers = sampled(5)
        assert [len(group) for group in answers] == [3] * len(PROMPTS)
        groups = [
            Group(str(i), ask("t", "q", "a"), ids, found, rewards=[0.0] * 3)
            for i, (ids, found) in enumerate(zip(PROMPTS, answers, strict=True))
        ]
        batch = policy_batch(groups, temperature)
        difference = np.abs(
            trainer.log_probs(batch, max_tokens_per_microbatch=1024) - batch.fields["rollout_log_probs"]
        )[batch.loss_mask]
        assert difference.max() < 1e-4, (version, difference.max())
        assert all(c.weight_version == version for group in answers for c in group)
        assert _tokens(sampled(5)) == _tokens(answers), "equal weights, prompts and seed"
        assert _tokens(sampled(6)) != _tokens(answers)


def _tokens(answers):
    return [[completion.token_ids.tolist() for completion in group] for group in answers]


def test_log_probs_agree_after_every_sync(pair):
    log_probs_agree(*pair)


# Each row starts an engine and a trainer. That a merged adapter is what the trainer computes with is in
# tests/rl/engines/test_engine.py; a run with one is in tests/e2e/test_variants.py.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("embeddings", "lora_rank", "backend"), [("tied", 0, "shm"), ("untied", 4, "shm"), ("tied", 4, "adapter")]
)
def test_log_probs_agree_whatever_is_sent(ray_cluster, models, embeddings, lora_rank, backend, tmp_path):
    spec = spec_of(str(models[embeddings]), 128, lora_rank, backend)
    rollout = start(spec)
    try:
        with trainer_of(spec, tmp_path) as trainer:
            log_probs_agree(trainer, rollout)
    finally:
        rollout.stop()


def test_requests_go_on_across_a_weight_update(pair):
    """Tokens sampled before an update stay, later ones come from the new weights, and the log-probs show it.

    The sampling settings in the model's folder change nothing.
    """
    trainer, rollout = pair
    trainer.begin_stage(OptimConfig(lr=3e-2), 10)
    sampling = SamplingConfig(max_tokens=120)
    version = sync(trainer, rollout)
    requests = [(str(i), ids) for i, ids in enumerate(PROMPTS)]
    rollout.call("submit", requests, 2, sampling, 3, timeout_s=300)
    assert rollout.call("collect", 6, 0.05, timeout_s=300) == [], "interrupted before any has finished"

    def log_probs(answers):
        groups = [Group(u, ask("t", "q", "a"), dict(requests)[u], f, rewards=[0.0] * 2) for u, f in answers]
        batch = policy_batch(groups, 1.0)
        return (trainer.log_probs(batch, max_tokens_per_microbatch=4096) - batch.fields["rollout_log_probs"]), batch

    trainer.update(ragged(seed=1), None, max_tokens_per_microbatch=1024)
    sync(trainer, rollout)
    answers = rollout.call("collect", 6, timeout_s=300)
    assert sorted(uid for uid, _ in answers) == [uid for uid, _ in requests]
    assert all(c.weight_version == version for _, found in answers for c in found)
    differences, batch = log_probs(answers)
    rows = [differences[a:b][batch.loss_mask[a:b]] for a, b in zip(batch.offsets, batch.offsets[1:], strict=False)]
    long = [row for row in rows if len(row) > 60]
    assert long
    for row in long:
        off = np.flatnonzero(np.abs(row) > 1e-3)
        assert len(off) and off[-1] < len(row) - 10, "the first tokens are the old policy's"
        assert np.abs(row[off[-1] + 1 :]).max() < 1e-3 and np.abs(row[-10:]).max() < 1e-4
