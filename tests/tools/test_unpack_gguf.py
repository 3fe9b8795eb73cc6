"""A GGUF file becomes a Hugging Face folder: its parts joined, Gemma's merges in order, its weights as they were."""

import hashlib

import pytest
import torch

from curricula.errors import DataError
from tools.unpack_gguf import CONTROL, USER_DEFINED, joined, merges, unpack

PIECES = ["<pad>", "<eos>", "<bos>", "<unk>", "▁", "▁▁", "▁▁▁", "罪", "盗", "窃", "盗窃", "窃罪", "盗窃罪", "a"]
KINDS = [CONTROL] * 4 + [1, USER_DEFINED, USER_DEFINED] + [1] * 7
SCORES = [-1000.0] * 4 + [-9.0, -1000.0, -1000.0, -9.0, -9.0, -9.0, -2.0, -1.0, -3.0, -9.0]


def test_merges_come_by_score_after_those_of_white_space():
    assert list(merges(PIECES, KINDS, SCORES)) == [
        ("▁", "▁"),
        ("▁", "▁▁"),
        ("▁▁", "▁"),
        ("窃", "罪"),
        ("盗", "窃"),
        ("盗", "窃罪"),
        ("盗窃", "罪"),
    ]


def package(folder, parts, name="m.gguf"):
    (folder / "data").mkdir(parents=True)
    for number, part in enumerate(parts):
        (folder / "data" / f"{name}.part{number:02}").write_bytes(part)
    return folder


def test_parts_are_joined_in_order_and_compared_with_the_sum_of_the_package(tmp_path):
    source = package(tmp_path / "site", [b"GG", b"UF", b"!"])
    sums = source / "data" / "SHA256SUMS"
    sums.write_text(f"{hashlib.sha256(b'GGUF!').hexdigest()}  m.gguf\n")
    assert joined(source, tmp_path).read_bytes() == b"GGUF!"
    sums.write_text(f"{'0' * 64}  m.gguf\n")
    with pytest.raises(DataError, match="another SHA-256"):
        joined(source, tmp_path)


def test_a_source_with_no_file_or_with_two_is_refused_by_name(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds none; name the file itself"):
        joined(tmp_path / "empty", tmp_path)
    source = package(tmp_path / "site", [b"a", b"b"])
    (source / "other.gguf").write_bytes(b"c")
    with pytest.raises(DataError, match=r"holds m.gguf, other.gguf; name the file itself"):
        joined(source, tmp_path)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A Gemma 3 with two kinds of layers and random weights, and the folder made of its GGUF file."""
    gguf = pytest.importorskip("gguf", reason="the package gguf is not installed (no dependency of the project)")
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    from tools.unpack_gguf import NAMES

    torch.manual_seed(0)
    config = Gemma3TextConfig(
        vocab_size=len(PIECES), hidden_size=32, num_hidden_layers=6, intermediate_size=64, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, query_pre_attn_scalar=16, max_position_embeddings=64, sliding_window=4,
        rms_norm_eps=1e-6,
    )  # fmt: skip
    model = Gemma3ForCausalLM(config)
    folder = tmp_path_factory.mktemp("gguf")
    writer = gguf.GGUFWriter(folder / "m.gguf", "gemma3")
    for name, value in {
        "context_length": 64, "embedding_length": 32, "block_count": 6, "feed_forward_length": 64,
        "attention.head_count": 2, "attention.head_count_kv": 1, "attention.key_length": 16,
        "attention.sliding_window": 4,
    }.items():  # fmt: skip
        writer.add_uint32(f"gemma3.{name}", value)
    writer.add_float32("gemma3.attention.layer_norm_rms_epsilon", 1e-6)
    writer.add_float32("gemma3.rope.freq_base", 1e6)
    spaced = [
        piece.replace("▁", " ") if kind == USER_DEFINED else piece for piece, kind in zip(PIECES, KINDS, strict=True)
    ]
    writer.add_token_list(spaced)
    writer.add_token_scores(SCORES)
    writer.add_token_types(KINDS)
    short = {long: name for name, long in NAMES.items()}
    outside = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    for name, weight in model.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(weight, std=0.1)
        written = outside.get(name)
        if written is None:
            _, _, layer, *part, kind = name.split(".")
            written = f"blk.{layer}.{short['.'.join(part)]}.{kind}"
        writer.add_tensor(written, (weight + 1 if "norm" in name else weight).detach().numpy())
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()
    unpack(folder / "m.gguf", folder / "out")
    return model, folder / "out"


def test_the_folder_computes_what_the_model_does(tiny):
    from transformers import AutoModelForCausalLM

    model, folder = tiny
    ids = torch.arange(4, 14)[None]
    again = AutoModelForCausalLM.from_pretrained(folder)
    assert again.lm_head.weight is again.model.embed_tokens.weight
    torch.testing.assert_close(again(ids).logits, model(ids).logits, atol=1e-5, rtol=1e-5)


def test_its_tokenizer_encodes_as_sentencepiece_does(tiny):
    from rl.models.chat import load_tokenizer, render_prompt

    tokenizer = load_tokenizer(str(tiny[1]))
    ids = tokenizer("盗窃罪   a", add_special_tokens=False)["input_ids"]
    assert ids == [12, 6, 13]
    assert tokenizer.decode(ids) == "盗窃罪   a"
    assert render_prompt(tokenizer, [{"role": "user", "content": "a"}])[0] == 2
