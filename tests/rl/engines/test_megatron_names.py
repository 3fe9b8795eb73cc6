"""Weights between transformers' form and megatron-core's parts, by hand and bit by bit."""

import json

import pytest
import torch
from safetensors.torch import save_file

from rl.engines.megatron.names import Heads, layout_of
from rl.engines.megatron.weights import Tensors, of_model
from rl.errors import UserError

HEADS = Heads(heads=8, kv_heads=4, head_dim=2)
WIDTH = 6
NAMES = {
    "decoder.layers.1.self_attention.linear_qkv.layer_norm_weight": [(WIDTH,)],
    "decoder.layers.1.mlp.linear_fc1.layer_norm_weight": [(WIDTH,)],
    "decoder.layers.1.self_attention.linear_qkv.weight": [(16, WIDTH), (8, WIDTH), (8, WIDTH)],
    "decoder.layers.1.self_attention.linear_qkv.bias": [(16,), (8,), (8,)],
    "decoder.layers.1.self_attention.linear_proj.weight": [(WIDTH, 16)],
    "decoder.layers.1.self_attention.q_layernorm.weight": [(2,)],
    "decoder.layers.1.mlp.linear_fc1.weight": [(12, WIDTH), (12, WIDTH)],
    "decoder.layers.1.mlp.linear_fc2.weight": [(WIDTH, 12)],
    "embedding.word_embeddings.weight": [(20, WIDTH)],
    "decoder.final_layernorm.weight": [(WIDTH,)],
}


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_cut_and_joined_a_weight_is_the_same(name, dtype, size):
    layout = layout_of(name, HEADS, tied=True, first_layer=2)
    weights = [torch.randn(shape).to(dtype) for shape in NAMES[name]]
    parts = [layout.cut(weights, rank, size) for rank in range(size)]
    if layout.kind != "whole":
        assert sum(part.numel() for part in parts) == sum(weight.numel() for weight in weights)
    assert all(torch.equal(a, b) for a, b in zip(layout.join(parts), weights, strict=True))


def test_a_rank_has_whole_heads_with_their_keys_and_values():
    query, key, value = torch.arange(16), torch.arange(100, 108), torch.arange(200, 208)
    layout = layout_of("decoder.layers.0.self_attention.linear_qkv.bias", HEADS, tied=True, first_layer=0)
    mine = layout.cut([query, key, value], rank=1, size=2)
    assert mine.tolist() == [8, 9, 10, 11, 104, 105, 204, 205, 12, 13, 14, 15, 106, 107, 206, 207]


def test_layers_of_a_stage_have_their_numbers_in_the_model():
    layout = layout_of("decoder.layers.1.mlp.linear_fc1.weight", HEADS, tied=True, first_layer=2)
    assert layout.names == ("model.layers.3.mlp.gate_proj.weight", "model.layers.3.mlp.up_proj.weight")
    assert layout_of("output_layer.weight", HEADS, True, 2).names == ("model.embed_tokens.weight",)
    assert layout_of("output_layer.weight", HEADS, False, 2).names == ("lm_head.weight",)


def test_a_norm_inside_a_matrix_product_is_the_one_before_it():
    """TransformerEngine's layers hold the weight of the norm that comes first."""
    for fused, own, theirs in (
        ("self_attention.linear_qkv", "input_layernorm", "input_layernorm"),
        ("mlp.linear_fc1", "pre_mlp_layernorm", "post_attention_layernorm"),
    ):
        found = layout_of(f"decoder.layers.1.{fused}.layer_norm_weight", HEADS, tied=True, first_layer=2)
        assert found == layout_of(f"decoder.layers.1.{own}.weight", HEADS, tied=True, first_layer=2)
        assert (found.kind, found.names) == ("whole", (f"model.layers.3.{theirs}.weight",))


def test_an_expert_has_its_number_in_the_model():
    """The second expert of a rank whose first is number 4, in the second layer of a stage whose first is number 2."""
    name = "decoder.layers.1.mlp.experts.local_experts.1.linear_fc1.weight"
    layout = layout_of(name, HEADS, tied=True, first_layer=2, first_expert=4)
    experts = "model.layers.3.mlp.experts"
    assert layout.names == (f"{experts}.5.gate_proj.weight", f"{experts}.5.up_proj.weight")
    assert (layout.fused, layout.expert) == (f"{experts}.gate_up_proj", 5)
    gate, up = torch.randn(2, 12, WIDTH)
    whole = layout.cut([gate, up], 0, 1)
    assert torch.equal(whole, torch.cat([gate, up])) and all(map(torch.equal, layout.join([whole]), [gate, up]))
    down = layout_of(name.replace("fc1", "fc2"), HEADS, tied=True, first_layer=2, first_expert=4)
    assert (down.names, down.fused) == ((f"{experts}.5.down_proj.weight",), f"{experts}.down_proj")
    router = layout_of("decoder.layers.1.mlp.router.weight", HEADS, tied=True, first_layer=2, first_expert=4)
    assert (router.kind, router.names, router.expert) == ("whole", ("model.layers.3.mlp.gate.weight",), None)


def test_a_tensor_in_parts_is_put_together(tmp_path):
    whole = torch.arange(20.0).view(5, 4)
    for number, (start, end) in enumerate([(0, 3), (3, 5)]):
        sharding = {"w": {"saved_offsets": [start, 0]}}
        file = tmp_path / f"{number}.safetensors"
        save_file({"w": whole[start:end].clone()}, file, {"DCP_SHARDING_INFO": json.dumps(sharding)})
    read = Tensors(sorted(tmp_path.glob("*.safetensors")))
    assert torch.equal(read("w"), whole)
    assert all(torch.equal(read.row("w", row), whole[row]) for row in range(5))
    with pytest.raises(UserError, match="has no row 5 of w"):
        read.row("w", 5)
    with pytest.raises(UserError, match="has no tensor v"):
        read("v")


def test_a_folder_without_weights_in_safetensors_is_refused(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(UserError, match=r"has no model\.safetensors"):
        of_model(str(tmp_path))
