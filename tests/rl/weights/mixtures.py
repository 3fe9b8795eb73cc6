"""Tiny mixtures of experts, whose experts transformers holds as one parameter."""

from pathlib import Path
from typing import Any

SHAPE = {
    "vocab_size": 1500, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": 256, "bos_token_id": None, "tie_word_embeddings": False,
}  # fmt: skip
MIXTURES: dict[str, dict[str, Any]] = {
    "qwen2_moe": {"moe_intermediate_size": 64, "shared_expert_intermediate_size": 96, "num_experts": 4,
                  "num_experts_per_tok": 2, "decoder_sparse_step": 1},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 32},
    "qwen3_moe": {"moe_intermediate_size": 64, "num_experts": 4, "num_experts_per_tok": 2, "decoder_sparse_step": 1,
                  "head_dim": 32},
    "glm4_moe": {"moe_intermediate_size": 64, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1,
                 "first_k_dense_replace": 1, "head_dim": 32, "n_group": 1, "topk_group": 1},
}  # fmt: skip


def make_mixture(kind: str, tokenizer_of: Path, folder: Path, **changes: Any) -> Any:
    """A random model of an architecture, saved in ``folder`` with the tokenizer of another, and returned.

    Further keywords change its configuration.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_of)
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = AutoConfig.for_model(kind, **SHAPE | ends | MIXTURES[kind] | changes)
    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_config(config).float()
    for name, buffer in model.named_buffers():
        if name in model.state_dict():
            torch.nn.init.uniform_(buffer, 0, 0.3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model
