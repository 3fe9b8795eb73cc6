"""Cuts of a model over ranks: what is refused, and what each rank holds. Nothing here needs torch."""

import json
import subprocess
import sys

import pytest

from rl.config.compose import load
from rl.config.derive import check, derive
from rl.config.parallel import architecture, require_possible, shape_of
from rl.config.schema import TrainerConfig
from rl.errors import UserError

QWEN3_14B = {
    "model_type": "qwen3",
    "num_hidden_layers": 40,
    "hidden_size": 5120,
    "num_attention_heads": 40,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "intermediate_size": 17408,
    "vocab_size": 151936,
    "tie_word_embeddings": False,
    "hidden_act": "silu",
}
QWEN3_30B_A3B = {
    "model_type": "qwen3_moe",
    "num_hidden_layers": 48,
    "hidden_size": 2048,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "intermediate_size": 6144,
    "vocab_size": 151936,
    "tie_word_embeddings": False,
    "hidden_act": "silu",
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 768,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
}


def run(trainer, **values):
    stage = {"name": "s", "kind": "sft", "steps": 1, "demonstrations": {"age": 4}}
    trainer = {"engine": "megatron", "device": "cpu", **trainer}
    return load({"run_dir": "r", "curriculum": {"name": "x", "stages": [stage]}, "trainer": trainer, **values})


@pytest.mark.parametrize(
    ("trainer", "values", "message"),
    [
        ({"world_size": 3, "tensor_parallel": 3}, {}, "does not divide the model's 2 key-value heads"),
        ({"world_size": 3, "tensor_parallel": 3}, {}, "can be 1, 2 and pipeline_parallel 1, 2, 4"),
        ({"world_size": 6, "pipeline_parallel": 3}, {}, "does not divide the model's 4 layers"),
        ({"world_size": 6, "pipeline_parallel": 3}, {}, r"with 6 ranks: 1 x 1 x 6, 1 x 2 x 3, 2 x 1 x 3;"),
        ({"tensor_parallel": 2}, {"model": {"nano": {"vocab_size": 3001}}}, "3001 tokens in its vocabulary"),
        ({"world_size": 3, "tensor_parallel": 2}, {}, "multiple of .* = 2 x 1.*trainer.world_size=4"),
        ({"world_size": 4, "context_parallel": 3}, {}, "= 1 x 1 x 3; layouts .*: 1 x 1 x 1 x 4, 1 x 2 x 1 x 2, .*=6;"),
        (
            {"world_size": 8, "context_parallel": 4, "tensor_parallel": 3},
            {},
            r"layouts \(tensor x pipeline x context x data parallel\) .*: 1 x 1 x 4 x 2, 1 x 2 x 4 x 1, 2 x 1 x 4 x 1",
        ),
        ({"engine": "fsdp", "context_parallel": 2}, {}, "context_parallel=2 needs trainer=megatron"),
        ({"sequence_parallel": True}, {}, "at least 2"),
        ({"offload_optimizer": True}, {}, "needs trainer=fsdp"),
        ({"kernels": "transformer_engine"}, {}, "needs a GPU and the package transformer_engine"),
        ({"engine": "fsdp", "kernels": "blocks"}, {}, "kernels=blocks needs trainer=megatron"),
        ({}, {"model": {"lora_rank": 4}}, "set model.lora_rank=0, or use trainer=fsdp"),
        ({"engine": "fsdp", "tensor_parallel": 2}, {}, "tensor_parallel=2 needs trainer=megatron"),
        ({"engine": "fsdp", "recompute": "full"}, {}, "recompute=full needs trainer=megatron"),
    ],
)
def test_a_cut_that_cannot_work_is_refused_with_those_that_would(trainer, values, message):
    with pytest.raises(UserError, match=message):
        check(run(trainer, **values))


@pytest.mark.parametrize(
    "trainer",
    [
        {},
        {"world_size": 2, "tensor_parallel": 2, "sequence_parallel": True},
        {"world_size": 8, "tensor_parallel": 2, "pipeline_parallel": 4, "recompute": "full"},
        {"world_size": 5, "distributed_optimizer": False},
        {"world_size": 12, "tensor_parallel": 2, "context_parallel": 3, "pipeline_parallel": 2},
        {"gradient_checkpointing": True},
    ],
)
def test_a_cut_that_works_is_accepted(trainer):
    check(run(trainer))


@pytest.mark.parametrize(
    ("change", "trainer", "message"),
    [
        ({"model_type": "qwen2_moe"}, {}, "this is qwen2_moe; use trainer=fsdp"),
        ({}, {"world_size": 2, "expert_parallel": 2}, "=2 needs a mixture of experts, and this model has none"),
        (QWEN3_30B_A3B, {"world_size": 3, "expert_parallel": 3}, "the model's 128 experts; here it can be 1$"),
        (
            QWEN3_30B_A3B,
            {"world_size": 6, "expert_parallel": 4},
            "the 6 ranks of .* can be 1, 2, or .*_size=8",
        ),
        (
            QWEN3_30B_A3B,
            {"world_size": 4, "pipeline_parallel": 2, "expert_parallel": 4},
            "the 2 ranks of each pipeline stage .* can be 1, 2, or set trainer.world_size=8",
        ),
        (QWEN3_30B_A3B, {"world_size": 2, "tensor_parallel": 2}, "needs trainer.sequence_parallel=true"),
        ({"attention_bias": True}, {}, "a bias in its attention"),
        ({"hidden_act": "gelu"}, {}, "the activation gelu"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4}}, {}, "yarn rope"),
        ({}, {"world_size": 16, "tensor_parallel": 16}, "8 key-value heads"),
        ({}, {"world_size": 3, "pipeline_parallel": 3}, "40 layers"),
    ],
)
def test_a_model_that_megatron_does_not_have_is_refused(tmp_path, change, trainer, message):
    values = QWEN3_14B | change
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=message):
        check(run(trainer, model={"path": str(tmp_path)}))
    with pytest.raises(UserError, match=message):
        require_possible(TrainerConfig(engine="megatron", **trainer), values)
    require_possible(TrainerConfig(**trainer), values)


@pytest.mark.parametrize("engine", ["fsdp", "megatron"])
@pytest.mark.parametrize(
    "change",
    [
        {"vocab_size": None},
        {"num_key_value_heads": None},  # 32 in transformers, however many heads there are
        {"head_dim": None},
        {"num_attention_heads": "40"},
        {"num_hidden_layers": 0},
        {"rope_scaling": "yarn"},
        {"model_type": None},
        QWEN3_30B_A3B | {"num_experts": None},
        QWEN3_30B_A3B | {"moe_intermediate_size": None},
        QWEN3_30B_A3B | {"decoder_sparse_step": 0},
    ],
)
def test_sizes_that_a_configuration_leaves_out_are_known_when_the_model_is_loaded(tmp_path, engine, change):
    values = {key: value for key, value in (QWEN3_14B | change).items() if value is not None}
    (tmp_path / "config.json").write_text(json.dumps(values))
    trainer = {"engine": engine, **({"tensor_parallel": 2, "world_size": 2} if engine == "megatron" else {})}
    found = run(trainer, model={"path": str(tmp_path)})
    check(found)
    if "rope_scaling" not in change:
        assert shape_of(values) is None and derive(found).ranks == () and derive(found).parameters is None


def test_sizes_that_follow_from_others_need_not_be_given():
    llama = {key: value for key, value in QWEN3_14B.items() if key not in ("num_key_value_heads", "head_dim")}
    shape = shape_of(llama | {"model_type": "llama"})
    assert (shape.kv_heads, shape.head_dim) == (40, 128)


def test_a_model_on_a_hub_is_checked_when_it_is_here():
    found = run({"world_size": 2, "tensor_parallel": 2}, model={"path": "no-such-owner/no-such-model"})
    assert architecture(found.model) is None
    check(found)
    assert derive(found).ranks == ()


def test_the_plan_has_what_each_rank_holds(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(QWEN3_14B))
    trainer = {"world_size": 16, "tensor_parallel": 2, "pipeline_parallel": 4, "device": "cuda"}
    ranks = derive(run(trainer, model={"path": str(tmp_path)})).ranks
    assert [(r.tensor, r.data) for r in ranks[:4]] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert [r.layers for r in ranks[::4]] == [(1, 10), (11, 20), (21, 30), (31, 40)]
    shape = shape_of(QWEN3_14B)
    small = 40 * (2 * shape.hidden + 2 * shape.head_dim) + shape.hidden  # norms, which every tensor-parallel rank has
    assert sum(r.parameters for r in ranks) == 2 * (14_768_307_200 + small)
    first = ranks[0]
    assert first.state_gib == pytest.approx(first.parameters * (2 + 4 + 12 / 2) / 2**30)
    assert first.activations_gib > ranks[-1].activations_gib > 0


def test_ranks_that_share_rows_have_the_same_weights_and_a_part_of_the_tokens(tmp_path):
    rows = planned(tmp_path, QWEN3_14B, world_size=16, tensor_parallel=2, context_parallel=2, pipeline_parallel=2)
    assert [(r.tensor, r.context, r.data) for r in rows[:6]] == [
        (0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0), (0, 0, 1), (1, 0, 1),
    ]  # fmt: skip
    copies = planned(tmp_path, QWEN3_14B, world_size=16, tensor_parallel=2, pipeline_parallel=2)
    assert [r.layers for r in rows] == [r.layers for r in copies]
    assert [r.state_gib for r in rows] == [r.state_gib for r in copies]  # the optimizer is cut over both alike
    # A little less than half: keys and values are of both ranks, but not repeated to the heads of the queries.
    shares = {one.activations_gib / other.activations_gib for one, other in zip(rows, copies, strict=True)}
    assert all(0.4 < share < 0.5 for share in shares)


def planned(tmp_path, values, **trainer):
    (tmp_path / "config.json").write_text(json.dumps(values))
    trainer = {"device": "cuda", "sequence_parallel": "tensor_parallel" in trainer, **trainer}
    found = run(trainer, model={"path": str(tmp_path)})
    check(found)
    return derive(found).ranks


def test_the_plan_deals_experts_over_the_ranks_of_a_stage(tmp_path):
    """Sizes of Qwen3-30B-A3B as published: 30,532,122,624 weights, of which 128 experts in each of 48 layers."""
    (whole,) = planned(tmp_path, QWEN3_30B_A3B)
    experts = 48 * 128 * 3 * 2048 * 768
    assert whole.parameters == 30_532_122_624
    assert whole.state_gib == pytest.approx(whole.parameters * (2 + 4 + 12) / 2**30)
    others = whole.parameters - experts
    for copies, expert in ((8, 8), (8, 2)):
        ranks = planned(tmp_path, QWEN3_30B_A3B, world_size=copies, expert_parallel=expert)
        assert {rank.parameters for rank in ranks} == {others + experts // expert}
        # The optimizer's state is cut over the copies of a weight; those of an expert are fewer.
        state = 12 * (others / copies + experts / copies)
        assert ranks[0].state_gib == pytest.approx((6 * ranks[0].parameters + state) / 2**30)
    ranks = planned(tmp_path, QWEN3_30B_A3B, world_size=8, tensor_parallel=2, pipeline_parallel=2, expert_parallel=4)
    assert [rank.experts for rank in ranks[:5]] == [(1, 32), (33, 64), (65, 96), (97, 128), (1, 32)]
    small = 48 * (128 * 2048 + 2 * 2048 + 2 * 128) + 2048  # routers and norms, which every tensor-parallel rank has
    assert sum(rank.parameters for rank in ranks) == 2 * (others + small) + experts


def test_the_plan_knows_which_layers_have_experts(tmp_path):
    (whole,) = planned(tmp_path, QWEN3_30B_A3B)
    values = QWEN3_30B_A3B | {"mlp_only_layers": [0, 1], "decoder_sparse_step": 2}  # 23 of 48, number 1 not
    (found,) = planned(tmp_path, values)
    mixture, dense = 128 * 2048 + 128 * 3 * 2048 * 768, 3 * 2048 * 6144
    assert whole.parameters - found.parameters == 25 * (mixture - dense)
    first, last = planned(tmp_path, values, world_size=2, pipeline_parallel=2)
    assert last.parameters - first.parameters == mixture - dense + 2048  # one mixture more, and the last norm


def test_refusing_needs_no_torch():
    code = (
        "import sys; from rl.config.derive import check; from rl.config.compose import load\n"
        "from rl.errors import UserError\n"
        "stage = {'name': 's', 'kind': 'sft', 'steps': 1, 'demonstrations': {'age': 4}}\n"
        "trainer = {'engine': 'megatron', 'tensor_parallel': 3, 'world_size': 3}\n"
        "try: check(load({'run_dir': 'r', 'curriculum': {'name': 'x', 'stages': [stage]}, 'trainer': trainer}))\n"
        "except UserError as error: print(error, 'torch' in sys.modules, 'ray' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert "key-value heads" in found.stdout and found.stdout.rstrip().endswith("False False"), found
