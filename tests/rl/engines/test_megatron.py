"""The megatron-core engine against the FSDP2 engine, with every cut of a model, on real gloo ranks."""

import math
import shutil
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from rl.config.algorithm import AlgorithmConfig
from rl.config.stages import OptimConfig
from rl.engines import state
from rl.engines.megatron import te
from rl.samples import packed_batch
from tests.rl.ranks import on_ranks, policy_examples, ragged

MEGATRON = {"engine": "megatron"}
WHOLE = {"distributed_optimizer": False}
CONTEXT = {"context_parallel": 2}
LAYOUTS = {
    "tp1": (1, {}),
    "tp2": (2, {"tensor_parallel": 2}),
    "tp2 with sequence parallelism": (2, {"tensor_parallel": 2, "sequence_parallel": True, "recompute": "full"}),
    "pp2": (2, {"pipeline_parallel": 2, "recompute": "selective"}),
    "dp2": (2, {}),
    "dp2 without distributed optimizer": (2, WHOLE),
    "cp2": (2, CONTEXT),
    "cp2 without distributed optimizer": (2, CONTEXT | WHOLE | {"recompute": "selective"}),
    "cp2 tp2": (4, CONTEXT | WHOLE | {"tensor_parallel": 2}),
    "cp2 tp2 with sequence parallelism": (
        4,
        CONTEXT | WHOLE | {"tensor_parallel": 2, "sequence_parallel": True, "recompute": "full"},
    ),
    "cp2 pp2": (4, CONTEXT | WHOLE | {"pipeline_parallel": 2}),
    "cp2 dp2": (4, CONTEXT),
}
PARTS = ("dp2", "cp2", "cp2 dp2")
"""Layouts in which every rank has a part of the gradients."""
CASES = [("qwen3", layout) for layout in LAYOUTS if layout != "cp2 tp2"]
CASES += [
    (family, layout) for family in ("qwen2", "llama") for layout in ("tp1", "tp2 with sequence parallelism", "pp2")
]
CASES += [("llama", "cp2 pp2")]
# These cut nothing that is not cut the same way above: tensors with and without sequence parallelism alike, and the
# data and the rows of another family in no way of their own.
MORE_CASES = [
    (family, layout) for family in ("qwen2", "llama") for layout in ("tp2", "dp2", "dp2 without distributed optimizer")
]
MORE_CASES += [("qwen3", "cp2 tp2"), ("qwen2", "cp2 tp2 with sequence parallelism")]
CASES += [pytest.param(*case, marks=pytest.mark.slow) for case in MORE_CASES]
OPTIM = OptimConfig(lr=1e-3, schedule="cosine", warmup_steps=2, weight_decay=0.1, clip_grad=0.5)
MUON = OptimConfig(lr=1e-3, optimizer="muon", matrix_lr_ratio=3, weight_decay=0.1, clip_grad=0.5)
POLICY = AlgorithmConfig(kl_coef=0.1, entropy_coef=0.01)
LIMITS = {"max_tokens_per_microbatch": 160}


@pytest.fixture(scope="session")
def families(models, tmp_path_factory):
    """Small models of the families that megatron can train. Norms and biases differ from 1 and 0."""
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

    size = {
        "vocab_size": 1500,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "bos_token_id": None,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    llama3 = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    made = {
        "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**size, head_dim=32, tie_word_embeddings=True)),
        "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**size, tie_word_embeddings=False)),
        "llama": lambda: LlamaForCausalLM(
            LlamaConfig(
                **size, tie_word_embeddings=False, rope_parameters=llama3 | {"original_max_position_embeddings": 64}
            )
        ),
    }
    found = {}
    for name, make in made.items():
        torch.manual_seed(0)
        model, folder = make(), tmp_path_factory.mktemp(name) / "model"
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if "norm" in key or key.endswith("bias"):
                    parameter.add_(0.2 * torch.randn_like(parameter))
        model.save_pretrained(folder)
        for file in models["tied"].glob("*token*"):
            shutil.copy(file, folder)
        found[name] = folder
    return found


def packed():
    rng = np.random.default_rng(0)
    rows, segments = [], []
    for _ in range(5):
        lengths = rng.integers(5, 50, size=3)
        rows.append(rng.integers(10, 1400, size=lengths.sum()).tolist())
        segments.append(np.repeat(np.arange(3), lengths).tolist())
    return packed_batch(rows, segments)


def gradients(engine):
    """The gradients of the last update by the checkpoint's names; of this pipeline stage with megatron."""
    if hasattr(engine, "module"):
        found = ((name, p.grad.full_tensor()) for name, p in engine.module.named_parameters())
        return {name: tensor.numpy().copy() for name, tensor in engine.format.to_checkpoint(found)}
    weights, found = engine._weights, {}
    for part in weights.parts:
        if not part.copy:
            found |= {name: t.numpy().copy() for name, t in weights.join(part, part.parameter.main_grad)}
    return found


def answers(actor, batches):
    """For each batch: log-probs, and metrics and gradient of an update that moves nothing. Then metrics of two updates
    that do for each, and the weights after all of them."""
    found, limits = [], LIMITS | {"max_completion_tokens": 40}
    for batch, algorithm in batches:
        actor.begin_stage(OptimConfig(lr=1e-30, clip_grad=1e9, weight_decay=0.0), 10)
        rows, log_probs = actor.log_probs(batch, **LIMITS)
        held = {}
        if hasattr(actor.engine, "module"):
            actor.engine.optimizer.register_step_pre_hook(lambda *_, held=held: held.update(gradients(actor.engine)))
        metrics = actor.update(batch, algorithm, **limits)
        held = held or gradients(actor.engine)
        found.append({"rows": rows, "log_probs": log_probs, "gradients": held, "metrics": [metrics]})
    actor.begin_stage(OPTIM, 10)
    for one, (batch, algorithm) in zip(found, batches, strict=True):
        one["metrics"] += [actor.update(batch, algorithm, **limits) for _ in range(2)]
    return found, whole_weights(actor.engine)


def whole_weights(engine):
    """Every weight by the checkpoint's name."""
    return {name: tensor.numpy().copy() for name, tensor in engine.format.to_checkpoint(engine.full_weights())}


@pytest.fixture(scope="session")
def expected(families):
    """What the FSDP2 engine makes of each model."""
    batches = [(policy_examples(), POLICY), (packed(), None)]
    return batches, {name: on_ranks(answers, path, 1, batches)[0] for name, path in families.items()}


@pytest.mark.parametrize(("family", "layout"), CASES)
def test_every_layout_computes_what_fsdp_computes(families, expected, family, layout):
    world_size, keys = LAYOUTS[layout]
    batches, wanted = expected
    ranks = on_ranks(answers, families[family], world_size, batches, **MEGATRON, **keys)
    compare(batches, ranks, wanted[family], gradients=layout not in PARTS)


@pytest.mark.parametrize("experts", [False, True])
def test_transformer_engine_takes_the_places_that_it_has_a_layer_for(experts):
    from megatron.core.extensions import transformer_engine as layers
    from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
    from megatron.core.transformer.identity_op import IdentityOp

    spec, own = (get_gpt_layer_local_spec(qk_layernorm=True, normalization="RMSNorm") for _ in range(2))
    own, inside = own.submodules, te.put_into(spec, experts=experts).submodules
    attention = inside.self_attention.submodules
    assert inside.input_layernorm is IdentityOp
    assert attention.linear_qkv is layers.TELayerNormColumnParallelLinear
    assert attention.linear_proj is layers.TERowParallelLinear
    assert attention.q_layernorm is own.self_attention.submodules.q_layernorm, "norms of queries and keys stay"
    assert attention.core_attention is own.self_attention.submodules.core_attention
    if experts:
        assert inside.mlp.submodules == own.mlp.submodules and inside.pre_mlp_layernorm is own.pre_mlp_layernorm
    else:
        assert inside.pre_mlp_layernorm is IdentityOp
        assert inside.mlp.submodules.linear_fc1 is layers.TELayerNormColumnParallelLinear
        assert inside.mlp.submodules.linear_fc2 is layers.TERowParallelLinear


def fused_answers(actor, batches):
    from tests.rl.engines.te_stand_ins import rebuild

    return rebuild(actor), answers(actor, batches)


def test_norms_inside_the_matrix_products_after_them_change_nothing(families, expected):
    """With the layers that TransformerEngine has, here made of megatron-core's."""
    world_size, keys = LAYOUTS["tp2 with sequence parallelism"]
    batches, wanted = expected
    ranks = on_ranks(fused_answers, families["qwen3"], world_size, batches, **MEGATRON, **keys)
    layer = ["mlp.linear_fc1.layer_norm_weight", "self_attention.k_layernorm.weight",
             "self_attention.linear_qkv.layer_norm_weight", "self_attention.q_layernorm.weight"]  # fmt: skip
    norms = [f"decoder.layers.{number}.{name}" for number in (0, 1) for name in layer]
    assert [names for names, _ in ranks] == [["decoder.final_layernorm.weight", *norms]] * 2
    compare(batches, [found for _, found in ranks], wanted["qwen3"], gradients=True)


def compare(batches, ranks, wanted, gradients):
    """Compare the answers of all ranks with those of the other engine."""
    wanted, weights = wanted
    for number, (batch, _) in enumerate(batches):
        found = [answer[number] for answer, _ in ranks]
        assert sorted(row for one in found for row in one["rows"]) == list(range(len(batch)))
        for one in found:
            own = [slice(batch.offsets[row], batch.offsets[row + 1]) for row in one["rows"]]
            if own:
                compared = np.concatenate([wanted[number]["log_probs"][span] for span in own])
                assert np.abs(one["log_probs"] - compared).max() < 1e-5
        (metrics,) = {str(one["metrics"]): one["metrics"] for one in found if one["metrics"][0] is not None}.values()
        for left, right in zip(metrics, wanted[number]["metrics"], strict=True):
            assert left.keys() == right.keys()
            for name, value in right.items():
                assert left[name] == pytest.approx(value, rel=1e-4, abs=1e-5), name
        assert metrics[0]["grad_norm"] == pytest.approx(wanted[number]["metrics"][0]["grad_norm"], rel=1e-6)
        if gradients:
            gradient = {name: values for one in found for name, values in one["gradients"].items()}
            assert gradient.keys() == wanted[number]["gradients"].keys()
            for name, values in wanted[number]["gradients"].items():
                assert np.abs(gradient[name] - values).max() <= 1e-5 * np.abs(values).max(), name
    for _, held in ranks:
        assert held.keys() == weights.keys()
        # Adam divides gradients near zero by themselves: the tolerance is a share of the learning rate.
        assert max(np.abs(held[name] - values).max() for name, values in weights.items()) < 2e-4


def exported(actor, folder):
    actor.export(folder)
    return sum(tensor.nbytes for tensor in actor.engine.weight_metadata.values())


@pytest.mark.parametrize(
    ("family", "layout"), [*((f, way) for f in ("qwen3", "qwen2", "llama") for way in ("tp2", "pp2")), ("llama", "cp2")]
)
def test_weights_go_in_and_out_without_a_changed_bit(families, tmp_path, family, layout):
    world_size, keys = LAYOUTS[layout]
    folder = tmp_path / "exported"
    size, *_ = on_ranks(exported, families[family], world_size, str(folder), **MEGATRON, **keys)
    given, found = (load_file(path / "model.safetensors") for path in (families[family], folder))
    assert given.keys() == found.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in given.items())
    assert size == sum(tensor.numel() * tensor.element_size() for tensor in given.values())


def limits(actor):
    from megatron.core import parallel_state as groups

    found = [groups.get_tensor_model_parallel_group(), groups.get_pipeline_model_parallel_group()]
    return [group._get_backend(torch.device("cpu")).options._timeout.total_seconds() for group in found]


def test_a_rank_that_hangs_is_waited_for_no_longer_than_configured(families):
    ranks = on_ranks(limits, families["qwen2"], 2, **MEGATRON, tensor_parallel=2, timeout_s=240)
    assert ranks == [[240, 240]] * 2


def exported_in_parts(actor, folder):
    with mock.patch.object(state, "EXPORT_BYTES", 200_000):
        actor.export(folder)
    return log_probs(actor)


def log_probs(actor):
    return actor.log_probs(ragged(), **LIMITS)[1]


def test_an_export_in_several_files_is_read_again(families, tmp_path):
    folder = tmp_path / "exported"
    (expected,) = on_ranks(exported_in_parts, families["llama"], 1, str(folder), **MEGATRON)
    assert len(list(folder.glob("model-0000*-of-00*.safetensors"))) > 2
    for engine in (MEGATRON, {}):
        (found,) = on_ranks(log_probs, folder, 1, **engine)
        assert np.abs(found - expected).max() < 1e-5


def go_on(actor, batch):
    return [actor.update(batch, None, **LIMITS) for _ in range(2)]


def save_and_go_on(actor, batch, folder, optim):
    actor.begin_stage(optim, 10)
    go_on(actor, batch)
    actor.save(folder)
    return go_on(actor, batch)


def resume(actor, batch, folder, optim):
    actor.begin_stage(optim, 10)
    actor.load(folder, weights_only=False)
    return go_on(actor, batch)


def metrics_of(ranks):
    """The metrics of the ranks that have some; all the same."""
    found = [metrics for metrics in ranks if metrics[0] is not None]
    assert all(metrics == found[0] for metrics in found)
    return found[0]


def goes_on(model, layouts, folder, written, read, optim):
    """A checkpoint of one layout continues bit by bit in the same, and as closely as rounding lets it in others."""
    batch = ragged()

    def run(function, layout):
        world_size, keys = (1, {}) if layout == "fsdp" else layouts[layout]
        engine = {} if layout == "fsdp" else MEGATRON
        return metrics_of(on_ranks(function, model, world_size, batch, str(folder), optim, **engine, **keys))

    straight = run(save_and_go_on, written)
    assert {path.suffix for path in folder.iterdir()} == {".safetensors", ".json"}
    assert run(resume, written) == straight
    for other in (read, "fsdp"):
        for left, right in zip(run(resume, other), straight, strict=True):
            for name in ("loss", "grad_norm", "lr"):
                assert left[name] == pytest.approx(right[name], rel=1e-4), name


@pytest.mark.parametrize(
    ("written", "read", "optim"),
    [
        ("tp1", "tp2", OPTIM),
        ("tp2", "pp2", OPTIM),
        ("pp2", "dp2", OPTIM),
        ("dp2", "dp2 without distributed optimizer", OPTIM),
        ("fsdp", "tp2", OPTIM),
        pytest.param("tp1", "cp2", OPTIM, marks=pytest.mark.slow),  # the way back of the next
        ("cp2", "tp1", OPTIM),
        ("tp2", "dp2", MUON),
        ("fsdp", "pp2", MUON),
    ],
)
def test_a_checkpoint_continues_bit_by_bit_and_in_other_layouts(families, tmp_path, written, read, optim):
    goes_on(families["qwen3"], LAYOUTS, tmp_path / "engine", written, read, optim)


def trained(actor, batch, optim):
    actor.begin_stage(optim, 10)
    metrics = go_on(actor, batch) + go_on(actor, batch)
    return metrics, whole_weights(actor.engine)


@pytest.mark.parametrize("layout", ["tp2 with sequence parallelism", "pp2", "dp2", "cp2"])
def test_muon_makes_the_matrices_orthogonal_that_fsdp_has(families, layout):
    batch, path = ragged(), families["qwen2"]
    expected, weights = on_ranks(trained, path, 1, batch, MUON)[0]
    before = load_file(path / "model.safetensors")
    world_size, keys = LAYOUTS[layout]
    ranks = on_ranks(trained, path, world_size, batch, MUON, **MEGATRON, **keys)
    for left, right in zip(metrics_of([metrics for metrics, _ in ranks]), expected, strict=True):
        for name, value in right.items():
            assert left[name] == pytest.approx(value, rel=1e-4), name
    for _, held in ranks:
        for name, values in weights.items():
            moved = np.abs(values - before[name].numpy()).max()
            orthogonal = values.ndim == 2 and "layers" in name  # the others use AdamW: see the tolerance above
            assert np.abs(held[name] - values).max() < (2e-3 * moved if orthogonal else 2e-4), name


def nan_update(actor, batch):
    before = {name: tensor.clone() for name, tensor in actor.engine.full_weights()}
    actor.begin_stage(OPTIM, 10)
    broken_loss = batch.with_field("rollout_log_probs", np.where(batch.loss_mask, np.nan, 0.0))
    broken_gradient = replace(batch, rewards=np.full(len(batch), np.nan, dtype=np.float32))
    metrics = [actor.update(b, AlgorithmConfig(), **LIMITS) for b in (broken_loss, broken_gradient)]
    return metrics, all(torch.equal(before[name], tensor) for name, tensor in actor.engine.full_weights())


@pytest.mark.parametrize("layout", ["tp2", "pp2"])
def test_a_non_finite_gradient_leaves_the_weights_alone(families, layout):
    world_size, keys = LAYOUTS[layout]
    ranks = on_ranks(nan_update, families["qwen3"], world_size, policy_examples(), **MEGATRON, **keys)
    assert not any(math.isfinite(step["grad_norm"]) for step in metrics_of([metrics for metrics, _ in ranks]))
    assert all(unchanged for _, unchanged in ranks)
