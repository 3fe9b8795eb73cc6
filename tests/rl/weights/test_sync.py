"""Weights in the checkpoint's form, and the checks of a sync, on real vLLM and the real engine."""

import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import ray
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from rl.actors import rollout as rollout_module
from rl.actors.group import TrainerGroup
from rl.actors.rollout import RolloutActor, RolloutSpec
from rl.actors.trainer import TrainerSpec
from rl.config.schema import ModelConfig, RolloutConfig, TrainerConfig
from rl.config.stages import OptimConfig
from rl.driver.fleet import bring_up
from rl.errors import UserError
from rl.models.adapters import require_portable_adapter
from rl.models.checkpoint_format import CheckpointFormat, WeightNamesError, weights_of
from rl.weights import shared as shared_files
from rl.weights import transfer
from rl.weights.checks import Probe, SyncError, WeightLedger, checksum
from rl.weights.stream import in_parts
from tests.rl.ranks import on_ranks, ragged
from tests.rl.weights.mixtures import MIXTURES, make_mixture


@pytest.fixture(scope="module")
def mixture(models, tmp_path_factory):
    """A tiny Qwen3-MoE on disk, whose experts peft adapts too."""
    folder = tmp_path_factory.mktemp("mixture")
    make_mixture("qwen3_moe", models["untied"], folder)
    return folder


@pytest.mark.parametrize("kind", MIXTURES)
def test_weights_leave_as_save_pretrained_writes_them(models, tmp_path, kind):
    model = make_mixture(kind, models["untied"], tmp_path)
    form, on_disk = CheckpointFormat(model.config), load_file(tmp_path / "model.safetensors")
    assert set(form.shapes) != set(on_disk), "transformers holds them under other names"
    found = dict(form.to_checkpoint(form.checked(weights_of(model))))
    assert form.checkpoint_shapes == {name: tuple(tensor.shape) for name, tensor in on_disk.items()}
    assert found.keys() == on_disk.keys() and all(torch.equal(found[name], on_disk[name]) for name in on_disk)
    again = dict(form.to_checkpoint(found.items()))
    assert again.keys() == on_disk.keys(), "what has the checkpoint's form already keeps it"


def test_weights_of_another_model_are_refused(models):
    form = CheckpointFormat(AutoConfig.from_pretrained(models["tied"]))
    model = AutoModelForCausalLM.from_pretrained(models["tied"], dtype=torch.float32)
    whole = dict(weights_of(model))
    name = "model.layers.1.mlp.up_proj.weight"
    with pytest.raises(WeightNamesError, match="1 weights of the model are missing, among them " + name):
        list(form.checked((n, t) for n, t in whole.items() if n != name))
    with pytest.raises(WeightNamesError, match="is not in the model"):
        list(form.checked({**whole, "model.layers.1.mlp.up_proj.base_layer.weight": whole[name]}.items()))
    with pytest.raises(WeightNamesError, match="has shape"):
        list(form.checked({**whole, name: whole[name].T}.items()))


def _trained_export(actor, folder):
    from peft.tuners.lora import LoraLayer

    from rl.engines.fsdp import _whole

    actor.begin_stage(OptimConfig(lr=2e-2), 10)
    for seed in (1, 2):
        assert actor.update(ragged(seed), None, max_tokens_per_microbatch=1024)["grad_norm"] > 0
    batch = ragged(3)
    rows, found = actor.log_probs(batch, max_tokens_per_microbatch=1024)
    actor.export(str(folder / "export"))
    base = dict(actor.engine.format.to_checkpoint(actor.engine.full_weights()))
    adapted = [layer for layer in actor.engine.module.modules() if isinstance(layer, LoraLayer)]
    factors = max(float(_whole(p).abs().max()) for a in adapted for n, p in a.named_parameters() if "lora_B" in n)
    return rows, found, sorted(base), factors


@pytest.mark.parametrize("world_size", [1, 2])
def test_an_adapter_on_fused_experts_is_merged_on_export(mixture, tmp_path, world_size):
    ranks = on_ranks(_trained_export, mixture, world_size, tmp_path, lora_rank=4)
    before, after = load_file(mixture / "model.safetensors"), load_file(tmp_path / "export" / "model.safetensors")
    assert {n: t.shape for n, t in before.items()} == {n: t.shape for n, t in after.items()}
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert any(".experts." in name for name in moved) and ranks[0][3] > 0
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "export", dtype=torch.float32).eval()
    batch = ragged(3)
    for rows, found, names, _ in ranks:
        assert names == sorted(before)
        wanted = [_log_probs(model, batch.input_ids[batch.offsets[row] : batch.offsets[row + 1]]) for row in rows]
        mask = np.concatenate([batch.loss_mask[batch.offsets[row] : batch.offsets[row + 1]] for row in rows])
        assert np.abs(np.concatenate(wanted) - found)[mask].max() < 1e-4


def _log_probs(model, ids):
    with torch.no_grad():
        logits = torch.log_softmax(model(torch.tensor(ids)[None]).logits[0], -1)
    return np.concatenate([[0.0], logits[:-1].gather(-1, torch.tensor(ids[1:])[:, None])[:, 0].numpy()])


def test_an_adapter_of_fused_experts_is_not_handed_over_alone(mixture, models):
    with pytest.raises(UserError, match=r"qwen3_moe.*model\.layers\.0\.mlp\.experts.*weight_transfer=auto"):
        require_portable_adapter(ModelConfig(lora_rank=4), AutoConfig.from_pretrained(mixture))
    require_portable_adapter(ModelConfig(lora_rank=4), AutoConfig.from_pretrained(models["tied"]))


@pytest.mark.slow  # engines of a mixture
def test_a_sync_brings_fused_experts_and_what_it_leaves_out_is_heard(ray_cluster, mixture, tmp_path):
    path, shared = str(mixture), str(tmp_path / "w.safetensors")
    model = ModelConfig(path=path, max_length=128, lora_rank=4)
    spec = RolloutSpec(model, RolloutConfig(threads=1, verify_sync=True), path, "cpu", 0, "shm", load_weights=False)
    environment = {"env_vars": rollout_module.environment(spec)}
    rollout = ray.remote(RolloutActor).options(num_cpus=0, runtime_env=environment).remote(spec)
    trainer_spec = TrainerSpec(model, TrainerConfig(threads=1), path, "cpu", 0, 0, "shm", shared)
    trainer = TrainerGroup(trainer_spec, "trainer-mixture", lambda rank: {"num_cpus": 0}, 300)
    try:
        trainer.setup()
        trainer.begin_stage(OptimConfig(lr=1e-2), 10)
        for version in (1, 2):
            update = trainer.publish(version)
            ray.get(rollout.sync.remote(update))
            found = ray.get(rollout.prompt_log_probs.remote(update.probe.token_ids))
            assert np.abs(found - update.probe.log_probs).max() < 1e-4
            assert update.sent.sums and len(update.sent.sums) < len(update.sent.shapes)
            trainer.update(ragged(seed=version), None, max_tokens_per_microbatch=1024)
        update = trainer.publish(3)
        whole = load_file(shared)
        fused = "model.layers.1.mlp.experts.down_proj"

        def hand_over(tensors, message):
            save_file(tensors, shared)
            with pytest.raises(SyncError, match=message):
                ray.get(rollout.sync.remote(update))

        hand_over({n: t for n, t in whole.items() if n != fused}, "did not reach")
        summed = min(update.sent.sums)
        hand_over({**whole, summed: whole[summed] + 1}, f"among them {summed}")
        object.__setattr__(update, "sent", None)  # as a transfer would do it that nothing is known of
        hand_over({n: t for n, t in whole.items() if n != fused}, "layers of its model without new weights")
        stray = {**whole, "model.layers.0.mlp.gate.bias": torch.ones(4)}
        hand_over(stray, "dropped the rest")
        hand_over({**whole, fused: whole[fused] + 0.1}, "log-probs of trainer and rollout differ")
        save_file(whole, shared)
        ray.get(rollout.sync.remote(update))
        _in_parts(rollout, trainer.publish(4), load_file(shared), tmp_path)
    finally:
        trainer.stop()
        ray.kill(rollout)


def _in_parts(rollout, update, weights, folder):
    """Weights in several updates of vLLM, as over CUDA IPC, that cut through the layers which vLLM fuses."""

    def hand_over(update, weights):
        ray.get(rollout.begin.remote(update.version))
        for number, part in enumerate(in_parts(weights.items(), 50_000)):
            save_file(dict(part), folder / f"part-{number}.safetensors")
            ray.get(rollout.take.remote(update.version, {"path": str(folder / f"part-{number}.safetensors")}))
        assert number > 5
        return ray.get(rollout.end.remote(update))

    lost = replace(update, version=5)
    assert ray.get(rollout.end.remote(lost)) is False, "an engine that was started again has begun nothing"
    ray.get(rollout.take.remote(5, {"path": "nowhere"}))
    ray.get(rollout.begin.remote(5))  # and the trainer was lost before the first part
    ray.get(rollout.begin.remote(6))
    with pytest.raises(FileNotFoundError):
        ray.get(rollout.take.remote(6, {"path": str(folder / "nowhere")}))
    assert hand_over(update, weights) is True
    found = ray.get(rollout.prompt_log_probs.remote(update.probe.token_ids))
    assert np.abs(found - update.probe.log_probs).max() < 1e-4
    with pytest.raises(SyncError, match="did not reach"):
        hand_over(update, dict(list(weights.items())[:-1]))
    assert hand_over(update, weights) is True


def test_ledgers_sum_other_tensors_each_time():
    tensors = {f"layers.{i}.weight": torch.randn(4, 3) for i in range(64)}
    seen = set()
    for version in range(8):
        sent, arrived = WeightLedger(version), WeightLedger(version)
        list(sent.watch(tensors.items()))
        list(arrived.watch(reversed(list(tensors.items()))))
        sent.compare(arrived)
        seen |= sent.sums.keys()
    assert seen == tensors.keys()
    assert checksum(torch.tensor([1.0, 2.0])) == checksum(torch.tensor([2.0, 1.0]).flip(0)) != checksum(torch.ones(2))
    arrived.shapes.pop("layers.5.weight")
    with pytest.raises(SyncError, match=r"1 weights .* layers\.5\.weight \(by its shape\)"):
        sent.compare(arrived)


def test_a_probe_allows_rounding_and_no_more():
    probe = Probe([1, 2, 3], np.array([-1.0, -2.0], np.float32))
    probe.compare(np.array([-1.00005, -2.0], np.float32), exact=True)
    probe.compare(np.array([-1.15, -2.0], np.float32), exact=False)
    for found, exact in (([-1.0002, -2.0], True), ([-1.3, -2.0], False), ([np.nan, -2.0], False)):
        with pytest.raises(SyncError, match="does not run the weights"):
            probe.compare(np.array(found, np.float32), exact)


@pytest.mark.parametrize(("rounding", "allowed"), [(0, 1e-4), (1e-5, 1e-4), (4e-5, 3.2e-4), (1, 1e-2)])
def test_a_model_that_rounding_moves_far_is_allowed_more(rounding, allowed):
    probe = Probe([1, 2, 3], np.zeros(2, np.float32), rounding)
    probe.compare(np.array([0, 0.99 * allowed], np.float32), exact=True)
    with pytest.raises(SyncError, match=f"allowed {allowed:.1e}"):
        probe.compare(np.array([0, -1.01 * allowed], np.float32), exact=True)


@pytest.mark.parametrize(
    ("takes_turns", "order"), [(True, ["rollouts", "trainers"]), (False, ["trainers", "rollouts"])]
)
def test_on_a_shared_gpu_the_engines_come_up_alone(takes_turns, order):
    seen = []
    bring_up(lambda: seen.append("rollouts"), lambda: seen.append("trainers"), takes_turns)
    assert seen == order


def test_a_small_shared_memory_is_left_for_the_temporary_folder(tmp_path, monkeypatch):
    small, large = tmp_path / "shm", tmp_path / "tmp"
    small.mkdir(), large.mkdir()
    monkeypatch.setattr(shared_files.tempfile, "gettempdir", lambda: str(large))
    usage = namedtuple("usage", "total used free")
    free = {small: 64 * 2**20, large: 2**30}
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(free[Path(folder)], 0, free[Path(folder)]))
    shared = small / "w.safetensors"
    assert transfer.roomy(shared, 32 * 2**20) == shared
    assert transfer.roomy(shared, 33 * 2**20) == large / "w.safetensors"
    shared.write_bytes(bytes(2 * 2**20))
    assert transfer.roomy(shared, 33 * 2**20) == shared, "the file that is there is replaced"
    with pytest.raises(UserError, match=r"shm has room for 66 MiB.*tmp has room for 1,024 MiB.*--shm-size=4g"):
        transfer.roomy(shared, 3 * 2**29)
    shared_files.remove_shared(shared)
    assert not shared.exists()


def test_a_full_shared_memory_is_not_called_a_full_disk(tmp_path, monkeypatch):
    weights = {"a": torch.ones(2**20)}
    monkeypatch.setattr(transfer, "make_file", lambda path: path.symlink_to("/dev/full"))
    with pytest.raises(UserError, match=f"^{tmp_path} is full: weights of 4 MiB .*--shm-size=1g"):
        transfer.write_shared(weights.items(), weights, tmp_path / "w.safetensors")
