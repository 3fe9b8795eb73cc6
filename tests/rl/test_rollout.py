"""Trainer and rollout on real Ray, real vLLM and the real engine: the same weights must give the same log-probs."""

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


@pytest.mark.parametrize(("embeddings", "lora_rank"), [("tied", 0), ("untied", 4)])
def test_log_probs_agree_after_every_sync(ray_cluster, models, embeddings, lora_rank, tmp_path):
    path = str(models[embeddings])
    model = ModelConfig(path=path, max_length=128, lora_rank=lora_rank)
    spec = RolloutSpec(model, RolloutConfig(threads=1), path, "cpu", 0, "shm")
    environment = {"env_vars": rollout_module.environment(spec)}
    rollout = ray.remote(RolloutActor).options(num_cpus=0, runtime_env=environment).remote(spec)
    trainer_spec = TrainerSpec(
        model, TrainerConfig(threads=1), path, "cpu", 0, 0, "shm", str(tmp_path / "w.safetensors")
    )
    trainer = TrainerGroup(trainer_spec, f"trainer-{embeddings}", lambda rank: {"num_cpus": 0}, 300)
    try:
        trainer.setup()
        trainer.begin_stage(OptimConfig(lr=1e-2), 10)
        for version, temperature in ((1, 1.0), (2, 0.7), (3, 1.0)):
            moved = trainer.update(ragged(seed=version), None, 1024)["grad_norm"]
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
            difference = np.abs(trainer.log_probs(batch, 1024) - batch.fields["rollout_log_probs"])[batch.loss_mask]
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
