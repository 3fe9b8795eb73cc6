"""Mixtures of experts in the megatron-core engine against the FSDP2 engine, on real gloo ranks."""

import json
import shutil
import weakref
from unittest import mock

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass

from tests.rl.engines.test_megatron import (
    LIMITS,
    MEGATRON,
    MUON,
    OPTIM,
    POLICY,
    answers,
    compare,
    exported,
    goes_on,
    log_probs,
    metrics_of,
    packed,
    trained,
)
from tests.rl.ranks import on_ranks, policy_examples, ragged
from tests.rl.weights.mixtures import make_mixture

SEQUENCE = {"tensor_parallel": 2, "sequence_parallel": True}
LAYOUTS = {
    "tp1": (1, {}),
    "ep2": (2, {"expert_parallel": 2, "distributed_optimizer": False}),
    "dp2": (2, {}),
    "pp2": (2, {"pipeline_parallel": 2, "recompute": "selective"}),
    "tp2": (2, SEQUENCE | {"distributed_optimizer": False}),  # else each rank has a part of the experts' gradients
    "tp2 ep2": (2, SEQUENCE | {"expert_parallel": 2, "recompute": "full"}),
    "cp2 ep2": (2, {"context_parallel": 2, "expert_parallel": 2, "distributed_optimizer": False}),
    "cp2 tp2 ep2": (4, SEQUENCE | {"context_parallel": 2, "expert_parallel": 2}),
    "pp2 ep2": (4, {"pipeline_parallel": 2, "expert_parallel": 2}),
}


@pytest.fixture(scope="session")
def mixture(models, tmp_path_factory):
    """A tiny Qwen3-MoE."""
    folder = tmp_path_factory.mktemp("qwen3-moe") / "model"
    make_mixture("qwen3_moe", models["untied"], folder)
    return folder


@pytest.fixture(scope="session")
def batches():
    return [(policy_examples(), POLICY), (packed(), None)]


@pytest.fixture(scope="session")
def expected(mixture, batches):
    """What the FSDP2 engine makes of it."""
    return on_ranks(answers, mixture, 1, batches)[0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_computes_what_fsdp_computes(mixture, batches, expected, layout):
    world_size, keys = LAYOUTS[layout]
    ranks = on_ranks(answers, mixture, world_size, batches, **MEGATRON, **keys)
    compare(
        batches, ranks, expected, gradients=layout not in ("dp2", "pp2 ep2", "cp2 tp2 ep2")
    )  # there every rank has a part


def changed(mixture, folder, **values):
    """The model with another config.json, which changes how its weights are used."""
    shutil.copytree(mixture, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))
    return folder


def rows_and_log_probs(actor):
    return actor.log_probs(ragged(), **LIMITS)


@pytest.mark.parametrize("values", [{"norm_topk_prob": True}, {"num_experts_per_tok": 1}, {"num_experts_per_tok": 4}])
def test_the_router_is_that_of_transformers(mixture, tmp_path, values):
    folder = changed(mixture, tmp_path / "model", **values)
    (expected,) = on_ranks(log_probs, folder, 1)
    (other,) = on_ranks(log_probs, mixture, 1)
    assert np.abs(other - expected).max() > 1e-4, "the change has an effect"
    (found,) = on_ranks(log_probs, folder, 1, **MEGATRON)
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize(
    ("values", "distributed"), [({"mlp_only_layers": [1]}, False), ({"decoder_sparse_step": 2}, True)]
)
def test_some_layers_may_have_no_experts(models, batches, tmp_path, values, distributed):
    """Each pipeline stage has a layer, one with experts and one without."""
    folder = tmp_path / "model"
    make_mixture("qwen3_moe", models["untied"], folder, **values)
    expected = on_ranks(answers, folder, 1, batches[:1])[0]
    keys = {"pipeline_parallel": 2, "distributed_optimizer": distributed}
    compare(batches[:1], on_ranks(answers, folder, 2, batches[:1], **MEGATRON, **keys), expected, gradients=True)


@pytest.mark.parametrize("layout", ["tp1", "tp2", "ep2", "pp2", "tp2 ep2", "pp2 ep2"])
def test_weights_go_in_and_out_without_a_changed_bit(mixture, tmp_path, layout):
    world_size, keys = LAYOUTS[layout]
    folder = tmp_path / "exported"
    size, *_ = on_ranks(exported, mixture, world_size, str(folder), **MEGATRON, **keys)
    given, found = (load_file(path / "model.safetensors") for path in (mixture, folder))
    assert given.keys() == found.keys() and any(".experts.3.up_proj." in name for name in found)
    assert all(torch.equal(found[name], tensor) for name, tensor in given.items())
    assert size == sum(tensor.numel() * tensor.element_size() for tensor in given.values())


class Live(TorchDispatchMode):
    """Counts the bytes of all tensors that are made inside and are still alive, except those of ``own``; the largest
    count is :attr:`peak`."""

    def __init__(self, own):
        super().__init__()
        self.peak, self._sizes = 0, {}
        self._own = {tensor.untyped_storage().data_ptr() for tensor in own}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        answer = function(*args, **(kwargs or {}))
        for tensor in answer if isinstance(answer, tuple | list) else [answer]:
            plain = isinstance(tensor, torch.Tensor) and not is_traceable_wrapper_subclass(tensor)
            if plain and not tensor.is_meta:
                storage = tensor.untyped_storage()
                if storage.data_ptr() not in self._sizes.keys() | self._own:
                    self._sizes[storage.data_ptr()] = storage.nbytes()
                    weakref.finalize(storage, self._sizes.pop, storage.data_ptr(), None)
        self.peak = max(self.peak, sum(self._sizes.values()))
        return answer


def gathered(actor):
    """Peak of the gathered bytes, the largest tensor and the whole model."""
    with Live(actor.engine._model.module.parameters()) as live:
        sizes = [tensor.nbytes for _, tensor in actor.engine.full_weights()]
    return live.peak, max(sizes), sum(sizes)


def published(actor):
    """The same of a whole publication to the rollout, except the log-probs that go with it."""
    module = actor.engine._model.module if hasattr(actor.engine, "_model") else actor.engine.module
    own = [p.to_local() if isinstance(p, DTensor) else p for p in [*module.parameters(), *module.buffers()]]
    with mock.patch.object(actor, "_probe"), Live(own) as live:
        actor.publish(1)
    sizes = [tensor.nbytes for tensor in actor.engine.weight_metadata.values()]
    return live.peak, max(sizes), sum(sizes)


@pytest.mark.parametrize("layout", ["fsdp", "tp2", "pp2 ep2"])
def test_what_publishes_the_weights_never_holds_the_whole_model(mixture, models, layout):
    model = models["tied"] if layout == "fsdp" else mixture
    world_size, keys = (2, {}) if layout == "fsdp" else LAYOUTS[layout]
    engine = {} if layout == "fsdp" else MEGATRON
    for peak, largest, whole in on_ranks(published, model, world_size, **engine, **keys):
        assert 0 < peak <= 3 * largest and peak < 0.75 * whole


@pytest.mark.parametrize("layout", ["ep2", "tp2 ep2", "pp2 ep2"])
def test_no_rank_ever_holds_the_whole_model(mixture, layout):
    world_size, keys = LAYOUTS[layout]
    for peak, largest, whole in on_ranks(gathered, mixture, world_size, **MEGATRON, **keys):
        assert 0 < peak <= 3 * largest < whole


@pytest.mark.parametrize(
    ("written", "read", "optim"),
    [
        ("tp1", "ep2", OPTIM),
        ("tp2 ep2", "pp2", OPTIM),
        ("pp2 ep2", "tp2", OPTIM),
        ("fsdp", "tp2 ep2", OPTIM),
        ("ep2", "pp2", MUON),
    ],
)
def test_a_checkpoint_continues_bit_by_bit_and_in_other_layouts(mixture, tmp_path, written, read, optim):
    goes_on(mixture, LAYOUTS, tmp_path / "engine", written, read, optim)


@pytest.mark.parametrize("layout", ["tp2 ep2", "pp2"])
def test_muon_makes_the_matrices_orthogonal_that_fsdp_has(mixture, layout):
    """Matrices of experts use AdamW in both, those of attention and routers Muon."""
    batch = ragged()
    expected, weights = on_ranks(trained, mixture, 1, batch, MUON)[0]
    before = load_file(mixture / "model.safetensors")
    world_size, keys = LAYOUTS[layout]
    ranks = on_ranks(trained, mixture, world_size, batch, MUON, **MEGATRON, **keys)
    for left, right in zip(metrics_of([metrics for metrics, _ in ranks]), expected, strict=True):
        for name, value in right.items():
            assert left[name] == pytest.approx(value, rel=1e-4), name
    for _, held in ranks:
        for name, values in weights.items():
            moved = np.abs(values - before[name].numpy()).max()
            orthogonal = values.ndim == 2 and "layers" in name and ".experts." not in name
            assert np.abs(held[name] - values).max() < (2e-3 * moved if orthogonal else 2e-4), name


def alone(actor, batch):
    actor.begin_stage(OPTIM, 10)
    return actor.update(batch, None, **LIMITS)


@pytest.mark.parametrize("layout", ["ep2", "pp2 ep2", "cp2 ep2"])
def test_a_rank_without_rows_takes_part(mixture, layout):
    """One sequence for two data-parallel ranks: its tokens go to experts on both."""
    batch = ragged(rows=1)
    (expected,) = on_ranks(alone, mixture, 1, batch)
    world_size, keys = LAYOUTS[layout]
    found = metrics_of([[one] for one in on_ranks(alone, mixture, world_size, batch, **MEGATRON, **keys)])[0]
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-4), name
