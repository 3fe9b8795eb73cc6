"""What the checks of :mod:`tools.gpu_check` train: Qwen3's shapes with random weights, with either engine."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

SHAPES = {
    "nano": {"hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 6,
             "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 3072},
    "0.6b": {"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16,
             "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151_936},
    "1.7b": {"hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28, "num_attention_heads": 16,
             "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151_936},
}  # fmt: skip
"""Qwen3's shapes; weights are random."""


def engine_of(shape: str, device: str, sequences: int, length: int, **trainer: Any) -> tuple[Any, Path, Any]:
    """A trainer rank with random weights of a shape, in place of an earlier one of this process, the folder of its
    model, and a batch. The same shape has the same weights each time."""
    import numpy as np
    import torch
    from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

    from rl.actors.trainer import TrainerActor, TrainerSpec
    from rl.config.schema import ModelConfig, TrainerConfig
    from rl.samples import supervised_batch
    from tools.bench.models import nano

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    folder = Path(tempfile.mkdtemp())
    path = folder / shape
    torch.manual_seed(0)
    config = Qwen3Config(**SHAPES[shape], tie_word_embeddings=True, max_position_embeddings=4096)
    Qwen3ForCausalLM(config).to(torch.bfloat16 if shape != "nano" else torch.float32).save_pretrained(path)
    AutoTokenizer.from_pretrained(nano(folder)).save_pretrained(path)
    model = ModelConfig(path=str(path), max_length=4096)
    spec = TrainerSpec(model, TrainerConfig(threads=1, **trainer), str(path), device, 0, 0, "shm", str(folder / "w"))
    actor = TrainerActor(spec)
    actor.setup(*actor.rendezvous("127.0.0.1"))
    rng = np.random.default_rng(0)
    rows = [(rng.integers(10, 3000, size=length).tolist(), 8) for _ in range(sequences)]
    return actor, path, supervised_batch(rows)


def distance(device: str, left: dict[str, Any], right: dict[str, Any]) -> dict[str, float]:
    """How far apart the log-probs and the gradients of two engines are; keywords are those of the trainer.

    Returns:
        the largest and the mean difference of log-probs (nats), and the length of the difference of the gradients as a
        share of the length of the gradient.
    """
    import numpy as np

    found = [_answers(device, trainer) for trainer in (left, right)]
    (log_probs, gradient), (others, gradients) = found
    gap = np.abs(log_probs - others)
    apart = sum(float((gradient[name].double() - tensor.double()).square().sum()) for name, tensor in gradients.items())
    whole = sum(float(tensor.double().square().sum()) for tensor in gradients.values())
    return {"log_probs": float(gap.max()), "mean": float(gap.mean()), "gradient": (apart / whole) ** 0.5}


def _answers(device: str, trainer: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Log-probs of the targets, and the gradients of an update by transformers' names, on the CPU."""
    from rl.config.stages import OptimConfig

    actor, _, batch = engine_of("nano", device, sequences=16, length=64, **trainer)
    log_probs = actor.log_probs(batch, max_tokens_per_microbatch=4096)[1][batch.loss_mask]
    engine, held = actor.engine, {}
    actor.begin_stage(OptimConfig(lr=1e-30, clip_grad=1e9, weight_decay=0.0), 10)
    if hasattr(engine, "module"):  # FSDP2 forgets them after the step
        engine.optimizer.register_step_pre_hook(lambda *_: held.update(gradients(engine)))
    actor.update(batch, None, max_tokens_per_microbatch=4096)
    return log_probs, held or gradients(engine)


def gradients(engine: Any) -> dict[str, Any]:
    """Copies of an engine's gradients by transformers' names, on the CPU; of an engine of one rank."""
    if hasattr(engine, "module"):
        found = {name: p.grad.full_tensor() for name, p in engine.module.named_parameters()}
    else:
        weights = engine._weights
        found = {n: t for part in weights.parts for n, t in weights.join(part, part.parameter.main_grad)}
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in found.items()}


def attention(device: str) -> dict[str, Any]:
    """A group with a shared prompt through the kernel for sequences of several lengths, and in padded blocks."""
    import time

    import torch

    from rl.engines.attention import Span, attend, table
    from rl.engines.varlen import Attention
    from rl.engines.varlen import attention as attention_by

    kernel = attention_by("auto", torch.bfloat16)
    if kernel is attend:
        raise RuntimeError("neither torch nor flash-attn has a kernel for this GPU")
    lengths = [1024, *range(200, 1000, 50)]
    starts = [sum(lengths[:number]) for number in range(len(lengths))]
    spans = table([Span(s, n, None if s == 0 else 0) for s, n in zip(starts, lengths, strict=True)], sum(lengths))
    spans, inputs = spans.to(torch.device(device)), []
    torch.manual_seed(0)
    for heads in (16, 8, 8):
        states = torch.randn(1, heads, sum(lengths), 128, dtype=torch.bfloat16, device=device)
        inputs.append(states.requires_grad_())
    towards = torch.randn(1, sum(lengths), 16, 128, dtype=torch.bfloat16, device=device)
    found: dict[str, Any] = {}
    answers = {}
    ways: dict[str, Attention] = {"blocks": attend, "varlen": kernel}
    for name, way in ways.items():
        for _ in range(3):  # the last one is timed
            torch.cuda.synchronize()
            started = time.perf_counter()
            out, _ = way(torch.nn.Module(), *inputs, None, scaling=128**-0.5, spans=spans)
            answers[name] = [out.detach(), *torch.autograd.grad((out * towards).sum(), inputs)]
            torch.cuda.synchronize()
            found[f"{name}_ms"] = round(1000 * (time.perf_counter() - started), 2)
    for what, left, right in zip(("answer", "queries", "keys", "values"), *answers.values(), strict=True):
        found[what] = float((left.float() - right.float()).norm() / left.float().norm())
        if not found[what] < 2e-2:
            raise RuntimeError(f"the kernel's {what} are not those of the blocks: {found}")
    return found
