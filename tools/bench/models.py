"""The models of the benchmarks: the nano model, and one that stops at random."""

from __future__ import annotations

from pathlib import Path

from rl.config.schema import NanoConfig
from rl.models.nano import ensure_nano

MAX_LENGTH = 512


def nano(folder: Path) -> Path:
    """The nano model with random weights."""
    return ensure_nano(NanoConfig(), 0, MAX_LENGTH, folder)


def stopping(folder: Path, rate: float) -> Path:
    """A nano model whose stop token has about probability ``rate`` at every position, so that lengths are ragged.

    Its embeddings share a direction, which the residual stream carries to the output layer, and the stop token's output
    weights point that way.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    target = folder / f"stopping-{rate:g}"
    if target.exists():
        return target
    source = ensure_nano(NanoConfig(tie_embeddings=False), 0, MAX_LENGTH, folder)
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(source)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        embeddings = model.get_input_embeddings().weight
        direction = torch.randn(embeddings.shape[1], generator=generator)
        embeddings += 3 * embeddings.norm(dim=1).mean() * direction / direction.norm()
        ids = torch.randint(10, len(embeddings) - 10, (8, 64), generator=generator)
        hidden = model.model(ids).last_hidden_state.flatten(0, 1)
        towards = hidden.mean(dim=0) / hidden.mean(dim=0).norm()
        low, high = 0.0, 10.0
        for _ in range(40):  # the mean probability grows with the length of the stop token's output weights
            length = (low + high) / 2
            model.lm_head.weight[tokenizer.eos_token_id] = length * towards
            found = (hidden @ model.lm_head.weight.T).softmax(-1)[:, tokenizer.eos_token_id].mean()
            low, high = (low, length) if found > rate else (length, high)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    return target
