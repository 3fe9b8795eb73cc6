"""Tiny random models of many architectures, each with a tokenizer of its own, and the table of what was measured.

An architecture is one line in ``ARCHITECTURES``. ``python -m tests.rl.engines.architectures REPORT.xml …`` makes the
table of docs/guides/models.md from pytest's ``--junitxml`` reports.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree
from functools import cache
from pathlib import Path
from typing import Any

VOCABULARY = 1024
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 128,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 512,
}
MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 48}
GROUPED = {"n_group": 1, "topk_group": 1, "n_shared_experts": 1, "first_k_dense_replace": 1}
DEEPSEEK = {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 48, **GROUPED}
MLA = {
    "topk_method": "noaux_tc",
    "num_key_value_heads": 4,
    "q_lora_rank": 32,
    "kv_lora_rank": 32,
    "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 32,
    "v_head_dim": 32,
}
LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 128}
LONG = {"short_factor": [1.0 + 0.1 * i for i in range(16)], "long_factor": [4.0] * 16}

GENERATION = '{"do_sample": false, "temperature": 0.6, "eos_token_id": 2}'
"""Settings that transformers reads and refuses to save."""

ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen2": ("qwen2", {"attention_dropout": 0.1}),
    "qwen2-tied": ("qwen2", {"tie_word_embeddings": True}),
    "qwen2-yarn": ("qwen2", {"rope": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}}),
    "qwen3": ("qwen3", {"tie_word_embeddings": True}),
    "qwen3-moe": ("qwen3_moe", MOE),
    "qwen2-moe": ("qwen2_moe", {**MOE, "shared_expert_intermediate_size": 48}),
    "llama": ("llama", {}),
    "llama-biases-tied": ("llama", {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
    "llama-3-rope": ("llama", {"rope": {"rope_type": "llama3", **LLAMA3}}),
    "llama-linear-rope": ("llama", {"rope": {"rope_type": "linear", "factor": 4.0}}),
    "llama-dynamic-rope": ("llama", {"rope": {"rope_type": "dynamic", "factor": 4.0}}),
    "deepseek-v3": ("deepseek_v3", {**DEEPSEEK, **MLA}),
    "dots1": ("dots1", DEEPSEEK),
    "glm": ("glm", {}),
    "glm4": ("glm4", {}),
    "glm4-moe": ("glm4_moe", DEEPSEEK),
    "ernie4-5": ("ernie4_5", {}),
    "ernie4-5-moe": ("ernie4_5_moe", {"moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 48}),
    "hunyuan-dense": ("hunyuan_v1_dense", {"rope": {"rope_type": "dynamic", "alpha": 1000.0, "factor": 1.0}}),
    "seed-oss": ("seed_oss", {"residual_dropout": 0.1, "attention_dropout": 0.1}),
    "minimax-m2": ("minimax_m2", {"num_local_experts": 4, "num_experts_per_tok": 2, "rotary_dim": 32}),
    "mistral": ("mistral", {"sliding_window": 24}),
    "mixtral": ("mixtral", {"num_local_experts": 4, "router_jitter_noise": 0.1}),
    "gemma": ("gemma", {}),
    "gemma-3": (
        "gemma3_text",
        {
            "sliding_window": 24,
            "layer_types": ["sliding_attention", "full_attention"],
            "query_pre_attn_scalar": 32,
            "tie_word_embeddings": True,
            "rope": {
                "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
                "full_attention": {"rope_type": "default", "rope_theta": 1_000_000.0},
            },
        },
    ),
    "phi-3": ("phi3", {"resid_pdrop": 0.1, "embd_pdrop": 0.1}),
    "phi-3-long-rope": (
        "phi3",
        {"rope": {"rope_type": "longrope", **LONG}, "original_max_position_embeddings": 256},
    ),
    "olmo-2": ("olmo2", {}),
    "granite": ("granite", {"embedding_multiplier": 3.0, "residual_multiplier": 0.5, "attention_dropout": 0.1}),
    "smollm3": ("smollm3", {}),
    "starcoder2": ("starcoder2", {"residual_dropout": 0.1, "embedding_dropout": 0.1, "num_key_value_heads": 2}),
    "exaone4": ("exaone4", {"sliding_window": 256}),
}
"""Row of the table: (model type, what differs from ``SIZES``)."""
SAMPLED = [name for name in ARCHITECTURES if name not in ("deepseek-v3", "ernie4-5-moe", "minimax-m2")]
"""Models that vLLM samples from on a CPU (:func:`rl.engines.support.require_sampled_on_cpu`)."""


def build(name: str, folder: Path) -> Path:
    """A random model of an architecture, in fp32, with every parameter away from zero and one."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    model_type, different = ARCHITECTURES[name]
    tokenizer = _tokenizer()
    tokens = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    rope = different.get("rope", {})
    if "full_attention" not in rope:  # one for each kind of layer
        rope = {"rope_theta": 10_000.0, "rope_type": "default", **rope}
    different = {key: value for key, value in different.items() if key != "rope"}
    settings = {"tie_word_embeddings": False, **SIZES, **tokens, "rope_parameters": rope, **different}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[model_type](**settings), dtype=torch.float32)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.add_(torch.randn_like(tensor), alpha=0.05)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "generation_config.json").write_text(GENERATION)
    return folder


@cache
def _tokenizer() -> Any:
    from rl.models.nano import build_tokenizer

    return build_tokenizer(VOCABULARY)


COLUMNS = ("log-probs", "loss in training", "gradient", "export", "LoRA export", "after a sync", "whole run")
OF_TEST = {"test_an_adapter": "LoRA export", "test_the_sampler": "after a sync", "test_a_whole_run": "whole run"}
"""The column that a test fills if it fails before it measures anything."""


def table(reports: list[Path]) -> str:
    """The Markdown table of junit reports: a row per architecture, a column per measurement; the last value counts."""
    rows: dict[str, dict[str, str]] = {}
    for case in (case for report in reports for case in xml.etree.ElementTree.parse(report).iter("testcase")):
        found = {p.attrib["name"]: p.attrib["value"] for p in case.iter("property")}
        name = found.pop("architecture", None)
        if name is not None:
            column = next((c for test, c in OF_TEST.items() if case.attrib["name"].startswith(test)), COLUMNS[0])
            rows.setdefault(name, {}).update(found or {column: "fails"})
    lines = [f"| architecture | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name in (name for name in ARCHITECTURES if name in rows):
        if name not in SAMPLED:
            rows[name].update(dict.fromkeys(COLUMNS[-2:], "refused"))
        lines.append(f"| {name} | " + " | ".join(rows[name].get(column, "not run") for column in COLUMNS) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table([Path(report) for report in sys.argv[1:]]))
