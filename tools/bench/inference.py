"""``python -m tools.bench.inference``: our engine backend against bare ``vllm`` generate on the same prompts.

Each has an engine with the same settings in its own Ray actor, and they take turns round by round on the same
conversations. The bare one renders them by the chat template and calls ``LLM.generate`` once. Ours goes through the
backend, including the journal with its syncs. Greedy answers must be equal. Compare wall-clock seconds on an idle
machine; on a busy one, CPU-seconds of the engine's process and this one together.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import ray

from cluster.ray_cluster import connect
from rl.actors.vllm_engine import EngineSpec, build, environment
from rl.config.schema import ModelConfig, NanoConfig, RolloutConfig
from rl.evaluation import own
from rl.inference.backend import Answer, Ask
from rl.inference.backends.engine import EngineBackend, EngineSettings
from rl.inference.journal import Journal
from rl.models.chat import render_prompt
from rl.models.nano import ensure_nano


class BareEngine:
    """vLLM as its documentation uses it."""

    def __init__(self, spec: EngineSpec) -> None:
        import os

        os.environ.update(environment(spec))
        self.llm = build(spec)

    def pid(self) -> int:
        """Process id."""
        import os

        return os.getpid()

    def generate(self, texts: Sequence[str], max_tokens: int) -> list[str]:
        """Greedy completions of rendered prompts."""
        from vllm import SamplingParams

        params = SamplingParams(temperature=0, max_tokens=max_tokens, skip_special_tokens=False)
        return [str(one.outputs[0].text) for one in self.llm.generate(list(texts), params, use_tqdm=False)]


def conversations(count: int) -> list[tuple[tuple[str, str], ...]]:
    """Held-out questions of all tasks, in turn."""
    questions = [question.prompt for task in own.BENCHMARK.tasks for question in own.read(Path(), task)[:count]]
    return [(("user", questions[number * len(questions) // count]),) for number in range(count)]


def _keep(answers: dict[str, Answer], ask: Ask, found: list[Answer]) -> None:
    answers[ask.key] = found[0]


def cpu_seconds(*pids: int) -> float:
    """CPU-seconds used by processes."""
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)


def main(argv: Sequence[str] | None = None) -> int:
    """Print medians and ratios; 1 if the answers differ."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.inference", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", help="folder of a model (default: the nano model)")
    parser.add_argument("--prompts", type=int, default=256)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--max-num-seqs", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    chosen = parser.parse_args(argv)
    path = chosen.model or str(ensure_nano(NanoConfig(), 0, 512, Path(".cache/models").resolve()))
    with connect(None, 2, 100, None), tempfile.TemporaryDirectory() as folder:
        found = measure(path, chosen, Path(folder))
    if chosen.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name:24} {value:.3f}" if isinstance(value, float) else f"{name:24} {value}")
    return 0 if found["different"] == 0 else 1


def measure(path: str, chosen: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Medians over rounds in which both take turns, after one round to warm up."""
    backend = EngineBackend(EngineSettings(path, max_num_seqs=chosen.max_num_seqs, gpu_memory_utilization=0.4))
    spec = EngineSpec(
        ModelConfig(path=path, max_length=backend.max_length),
        RolloutConfig(
            threads=1,
            max_num_seqs=chosen.max_num_seqs,
            gpu_memory_utilization=0.4,
            enforce_eager=not backend.device.compiles,
        ),
        path,
        backend.device.name,
        0,
    )
    share = {"num_cpus": 0, "num_gpus": 0, "runtime_env": {"env_vars": environment(spec)}}
    bare = ray.remote(BareEngine).options(**share).remote(spec)
    pids = {
        "ours": backend.actors[0].call("ready", timeout_s=600),
        "bare": ray.get(bare.pid.remote()),
    }
    me = psutil.Process().pid
    asked = conversations(chosen.prompts)
    asks = [Ask(f"t/{number}", one, max_tokens=chosen.max_tokens) for number, one in enumerate(asked)]
    tokenizer = backend.chat.tokenizer
    wall: dict[str, list[float]] = {"ours": [], "bare": []}
    cpu: dict[str, list[float]] = {"ours": [], "bare": []}
    tokens = different = 0
    for number in range(chosen.rounds + 1):
        for side in ("ours", "bare") if number % 2 else ("bare", "ours"):
            started, used = time.perf_counter(), cpu_seconds(pids[side], me)
            if side == "ours":
                answers: dict[str, Answer] = {}
                journal = Journal(backend, folder / str(number))
                journal.generate(asks, partial(_keep, answers))
            else:
                ids = [render_prompt(tokenizer, [{"role": r, "content": c} for r, c in one]) for one in asked]
                texts = [tokenizer.decode(one) for one in ids]
                written = ray.get(bare.generate.remote(texts, chosen.max_tokens))
            if number:
                wall[side].append(time.perf_counter() - started)
                cpu[side].append(cpu_seconds(pids[side], me) - used)
        tokens = sum(answer.completion_tokens for answer in answers.values())
        different = sum(
            answers[ask.key].text not in text for ask, text in zip(asks, written, strict=True)
        )  # the bare text includes thinking and tags
    backend.close()
    ray.kill(bare)
    ours, other = statistics.median(wall["ours"]), statistics.median(wall["bare"])
    ours_cpu, other_cpu = statistics.median(cpu["ours"]), statistics.median(cpu["bare"])
    return {
        "prompts": len(asks),
        "completion tokens": tokens,
        "ours, tokens/s": tokens / ours,
        "bare, tokens/s": tokens / other,
        "ratio": other / ours,
        "ours, tokens/CPU-s": tokens / ours_cpu,
        "bare, tokens/CPU-s": tokens / other_cpu,
        "ratio in CPU-seconds": other_cpu / ours_cpu,
        "different": different,
    }


if __name__ == "__main__":
    sys.exit(main())
