"""Tiny models of many architectures under the engine, the weight sync and the main job, against transformers."""

import json
from dataclasses import replace

import numpy as np
import pytest
import ray

from curricula.prompts import ask
from rl.config.algorithm import AlgorithmConfig
from rl.config.schema import ModelConfig, RolloutConfig, TrainerConfig
from rl.config.stages import OptimConfig, SamplingConfig
from rl.samples import Group, TokenBatch, packed_batch, policy_batch
from tests.rl.engines.architectures import ARCHITECTURES, SAMPLED, build
from tests.rl.ranks import on_ranks, policy_examples, ragged

LIMIT = {"max_tokens_per_microbatch": 512}
OPTIM = OptimConfig(lr=1e-3, schedule="constant", clip_grad=1e9)
SYNCED = ("qwen2",)
"""Architectures whose weight sync is tested by default; ``-m slow`` tests the others."""


@pytest.fixture(scope="module")
def model_of(tmp_path_factory):
    """The folder of an architecture's model, built on first use."""
    base, folders = tmp_path_factory.mktemp("architectures"), {}

    def model(name):
        if name not in folders:
            folders[name] = build(name, base / name)
        return folders[name]

    return model


def documents(batch: TokenBatch) -> list[np.ndarray]:
    """Places in the batch of each document."""
    starts = np.flatnonzero(batch.position_ids == 0)
    return [np.arange(a, b) for a, b in zip(starts, [*starts[1:], len(batch.input_ids)], strict=True)]


def reference(folder, batch, gradients=False):
    """Log-probs from transformers, each document by itself, without randomness; with the gradient norm on request."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    found, total = np.zeros(len(batch.input_ids), dtype=np.float32), 0.0
    for places in documents(batch):
        ids, mask = torch.from_numpy(batch.input_ids[places]), torch.from_numpy(batch.loss_mask[places])
        with torch.set_grad_enabled(gradients):
            log_probs = model(ids[None]).logits[0, :-1].log_softmax(-1).gather(-1, ids[1:, None])[:, 0]
            total = total - log_probs[mask[1:]].sum() / batch.num_targets
        found[places[1:]] = np.where(batch.loss_mask[places][1:], log_probs.detach().numpy(), 0.0)
    if not gradients:
        return found
    total.backward()
    norm = torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.grad is not None], 1e9)
    return found, total.item(), norm.item()


def packed():
    """Two rows of three documents each."""
    whole = ragged(seed=4, rows=6, vocabulary=1000)
    pieces = [whole.input_ids[a:b].tolist() for a, b in zip(whole.offsets, whole.offsets[1:], strict=False)]
    parts = (pieces[:3], pieces[3:])
    rows = [[token for piece in part for token in piece] for part in parts]
    return packed_batch(rows, [np.repeat(np.arange(3), [len(piece) for piece in part]) for part in parts])


def groups():
    """Completions that share their prompts."""
    batch = policy_examples(seed=2, groups=2, samples=3)
    return replace(batch, input_ids=batch.input_ids % 1000, temperature=1.0)


def measure(actor, folder):
    found = {"groups": actor.log_probs(groups(), **LIMIT)[1], "packed": actor.log_probs(packed(), **LIMIT)[1]}
    actor.begin_stage(OPTIM, 10)
    step = actor.update(packed(), None, **LIMIT)
    actor.update(groups(), AlgorithmConfig(), **LIMIT)
    actor.export(folder)
    return found, step, actor.log_probs(packed(), **LIMIT)[1]


def largest(record_property, name, found, wanted):
    difference = float(np.abs(np.asarray(found) - np.asarray(wanted)).max())
    record_property(name, f"{difference:.0e}")
    return difference


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_engine_equals_transformers(model_of, tmp_path, record_property, name):
    """Log-probs in evaluation, loss and gradient in training (nothing random is left), and the export."""
    record_property("architecture", name)
    folder = model_of(name)
    found, step, trained = on_ranks(measure, folder, 1, str(tmp_path / "hf"))[0]
    wanted, loss, norm = reference(folder, packed(), gradients=True)
    evaluated = [*(found["packed"] - wanted), *(found["groups"] - reference(folder, groups()))]
    assert largest(record_property, "log-probs", evaluated, 0) < 1e-5
    assert largest(record_property, "loss in training", step["loss"], loss) < 1e-5
    assert largest(record_property, "gradient", step["grad_norm"] / norm, 1) < 1e-4
    exported = reference(tmp_path / "hf", packed())
    assert np.abs(trained - wanted).max() > 1e-3, "it was trained"
    assert largest(record_property, "export", trained, exported) < 1e-5
    beside = {path.name: path.read_text() for path in folder.iterdir() if path.suffix != ".safetensors"}
    copied = {name: (tmp_path / "hf" / name).read_text() for name in beside}
    assert json.loads(copied.pop("config.json")) == json.loads(beside.pop("config.json"))
    assert copied == beside


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_adapter_is_merged_on_export(model_of, tmp_path, record_property, name):
    record_property("architecture", name)
    folder = model_of(name)
    found, _, trained = on_ranks(measure, folder, 1, str(tmp_path / "hf"), lora_rank=4)[0]
    assert np.abs(trained - found["packed"]).max() > 1e-4, "it was trained"
    assert largest(record_property, "LoRA export", trained, reference(tmp_path / "hf", packed())) < 1e-5


# Each starts an engine and a trainer; tests/rl/actors/test_rollout.py does the same with qwen2.
@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLED)
def test_the_sampler_follows_the_trainer(ray_cluster, model_of, tmp_path, record_property, name):
    """vLLM's log-probs of its samples against the trainer's, after an update and a weight sync."""
    from rl.actors import rollout as rollout_module
    from rl.actors.group import TrainerGroup
    from rl.actors.rollout import RolloutActor, RolloutSpec
    from rl.actors.trainer import TrainerSpec

    record_property("architecture", name)
    path = str(model_of(name))
    model = ModelConfig(path=path, max_length=256)
    spec = RolloutSpec(model, RolloutConfig(threads=1), path, "cpu", 0, "shm")
    environment = {"env_vars": rollout_module.environment(spec)}
    rollout = ray.remote(RolloutActor).options(num_cpus=0, runtime_env=environment).remote(spec)
    shared = str(tmp_path / "weights.safetensors")
    trainer_spec = TrainerSpec(model, TrainerConfig(threads=1), path, "cpu", 0, 0, "shm", shared)
    trainer = TrainerGroup(trainer_spec, f"trainer-{name}", lambda rank: {"num_cpus": 0}, 300)
    prompts = [np.random.default_rng(seed).integers(10, 1000, size=30 * (seed + 1)).tolist() for seed in range(4)]
    try:
        trainer.setup()
        trainer.begin_stage(OptimConfig(lr=1e-2), 10)
        worst = 0.0
        for version in (1, 2):
            trainer.update(ragged(seed=version, vocabulary=1000), None, max_tokens_per_microbatch=1024)
            ray.get(rollout.sync.remote(trainer.publish(version)))
            answers = ray.get(rollout.generate.remote(prompts, 2, SamplingConfig(max_tokens=40), 5))
            sampled = [
                Group(str(i), ask("t", "q", "a"), ids, found, rewards=[0.0] * 2)
                for i, (ids, found) in enumerate(zip(prompts, answers, strict=True))
            ]
            batch = policy_batch(sampled, 1.0)
            difference = np.abs(
                trainer.log_probs(batch, max_tokens_per_microbatch=4096) - batch.fields["rollout_log_probs"]
            )
            worst = max(worst, float(difference[batch.loss_mask].max()))
        assert largest(record_property, "after a sync", worst, 0) < 1e-4
    finally:
        trainer.stop()
        ray.kill(rollout)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLED)
def test_a_whole_run(model_of, tmp_path, record_property, name):
    from tests.e2e.runs import finish, metrics

    record_property("architecture", name)
    finish(tmp_path / "run", f"model.path={model_of(name)}", "model.max_length=256", "rollout.verify_sync=true")
    stages = {line["stage"] for line in metrics(tmp_path / "run")}
    record_property("whole run", "yes" if "eval" in stages else "no")
    assert stages == {"scores", "mid", "sft", "look", "grpo", "eval"}
