"""Trainer and rollout on real Ray, real vLLM and the real engine: equal weights must give equal log-probs."""

import json
import shutil

import numpy as np
import pytest
import ray

from curricula.prompts import ask
from rl.actors import rollout as rollout_module
from rl.actors.group import TrainerGroup
from rl.actors.rollout import RolloutActor, RolloutSpec
from rl.actors.trainer import TrainerSpec
from rl.config.schema import ModelConfig, RolloutConfig, TrainerConfig
from rl.config.stages import OptimConfig, SamplingConfig
from rl.samples import Group, policy_batch
from tests.rl.ranks import ragged

PROMPTS = [[20 + i, 300 + 7 * i, 40, 50 + i] for i in range(6)]


@pytest.mark.parametrize(
    ("embeddings", "lora_rank", "backend"),
    [
        pytest.param("tied", 0, "shm", marks=pytest.mark.slow),
        ("untied", 4, "shm"),
        pytest.param("tied", 4, "adapter", marks=pytest.mark.slow),
    ],
)
def test_log_probs_agree_after_every_sync(ray_cluster, models, embeddings, lora_rank, backend, tmp_path):
    path = str(models[embeddings])
    model = ModelConfig(path=path, max_length=128, lora_rank=lora_rank)
    spec = RolloutSpec(model, RolloutConfig(threads=1), path, "cpu", 0, backend)
    environment = {"env_vars": rollout_module.environment(spec)}
    rollout = ray.remote(RolloutActor).options(num_cpus=0, runtime_env=environment).remote(spec)
    trainer_spec = TrainerSpec(
        model, TrainerConfig(threads=1), path, "cpu", 0, 0, backend, str(tmp_path / "w.safetensors")
    )
    trainer = TrainerGroup(trainer_spec, f"trainer-{embeddings}-{backend}", lambda rank: {"num_cpus": 0}, 300)
    try:
        trainer.setup()
        trainer.begin_stage(OptimConfig(lr=1e-2), 10)
        for version, temperature in ((1, 1.0), (2, 0.7), (3, 1.0)):
            moved = trainer.update(ragged(seed=version), None, max_tokens_per_microbatch=1024)["grad_norm"]
            assert moved > 0
            update = trainer.publish(version)
            ray.get(rollout.sync.remote(update))
            sampling = SamplingConfig(temperature=temperature, max_tokens=16)
            answers = ray.get(rollout.generate.remote(PROMPTS, 3, sampling, 5))
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
            again = ray.get(rollout.generate.remote(PROMPTS, 3, sampling, 5))
            assert _tokens(again) == _tokens(answers), "equal weights, prompts and seed"
            assert _tokens(ray.get(rollout.generate.remote(PROMPTS, 3, sampling, 6))) != _tokens(answers)
    finally:
        trainer.stop()
        ray.kill(rollout)


def _tokens(answers):
    return [[completion.token_ids.tolist() for completion in group] for group in answers]


def test_requests_go_on_across_a_weight_update(ray_cluster, models, tmp_path):
    """Tokens sampled before an update stay, later ones come from the new weights, and the log-probs show it.

    The sampling settings in the model's folder change nothing.
    """
    path = str(shutil.copytree(models["tied"], tmp_path / "m"))
    wishes = {"eos_token_id": 2, "repetition_penalty": 3.0, "top_k": 5, "top_p": 0.5, "min_p": 0.2, "temperature": 0.3}
    (tmp_path / "m" / "generation_config.json").write_text(json.dumps(wishes))
    model = ModelConfig(path=path, max_length=256)
    spec = RolloutSpec(model, RolloutConfig(threads=1), path, "cpu", 0, "shm")
    environment = {"env_vars": rollout_module.environment(spec)}
    rollout = ray.remote(RolloutActor).options(num_cpus=0, runtime_env=environment).remote(spec)
    trainer_spec = TrainerSpec(model, TrainerConfig(threads=1), path, "cpu", 0, 0, "shm", str(tmp_path / "w"))
    trainer = TrainerGroup(trainer_spec, "trainer-across", lambda rank: {"num_cpus": 0}, 300)
    try:
        trainer.setup()
        trainer.begin_stage(OptimConfig(lr=3e-2), 10)
        sampling = SamplingConfig(max_tokens=120)
        ray.get(rollout.sync.remote(trainer.publish(1)))
        requests = [(str(i), ids) for i, ids in enumerate(PROMPTS)]
        ray.get(rollout.submit.remote(requests, 2, sampling, 3))
        assert ray.get(rollout.collect.remote(6, 0.05)) == [], "interrupted before any has finished"

        def log_probs(answers):
            groups = [Group(u, ask("t", "q", "a"), dict(requests)[u], f, rewards=[0.0] * 2) for u, f in answers]
            batch = policy_batch(groups, 1.0)
            return (trainer.log_probs(batch, max_tokens_per_microbatch=4096) - batch.fields["rollout_log_probs"]), batch

        trainer.update(ragged(seed=1), None, max_tokens_per_microbatch=1024)
        ray.get(rollout.sync.remote(trainer.publish(2)))
        answers = ray.get(rollout.collect.remote(6))
        assert sorted(uid for uid, _ in answers) == [uid for uid, _ in requests]
        assert all(c.weight_version == 1 for _, found in answers for c in found)
        differences, batch = log_probs(answers)
        rows = [differences[a:b][batch.loss_mask[a:b]] for a, b in zip(batch.offsets, batch.offsets[1:], strict=False)]
        long = [row for row in rows if len(row) > 60]
        assert long
        for row in long:
            off = np.flatnonzero(np.abs(row) > 1e-3)
            assert len(off) and off[-1] < len(row) - 10, "the first tokens are the old policy's"
            assert np.abs(row[off[-1] + 1 :]).max() < 1e-3 and np.abs(row[-10:]).max() < 1e-4
    finally:
        trainer.stop()
        ray.kill(rollout)
