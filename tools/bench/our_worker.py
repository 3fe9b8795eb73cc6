"""Our engines as measured processes: the trainer on a batch, or the rollout actor on prompts, one step each turn."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from curricula.prompts import ask
from rl.config.algorithm import AlgorithmConfig
from rl.config.schema import ModelConfig, RolloutConfig, TrainerConfig
from rl.config.stages import OptimConfig, SamplingConfig
from rl.samples import Completion, Group, TokenBatch, policy_batch
from tools.bench.protocol import answer, wait_for_turn
from tools.gpu_engines import gradients

ALGORITHM = AlgorithmConfig(old_log_probs="recompute", clip_low=0.2, clip_high=0.28, aggregation="token-mean")
"""The equivalent of TRL's ``dapo`` loss with one iteration: ratio 1, mean over the tokens of the batch."""


def batch_of(rollouts: dict[str, Any]) -> TokenBatch:
    """Frozen rollouts as a batch of groups."""
    n = rollouts["samples"]
    groups = []
    for start in range(0, len(rollouts["completion_ids"]), n):
        completions = [
            Completion(np.asarray(ids, dtype=np.int64), np.zeros(len(ids), dtype=np.float32), "", "stop", 0)
            for ids in rollouts["completion_ids"][start : start + n]
        ]
        rewards = rollouts["rewards"][start : start + n]
        prompt = rollouts["prompt_ids"][start]
        groups.append(Group(str(start), ask("bench", "", ""), prompt, completions, rewards=rewards))
    return policy_batch(groups, temperature=1.0)


def train(job: dict[str, Any]) -> None:
    """Updates on the batch of the job, or on the batch in a turn's command."""
    from rl.actors.trainer import TrainerActor, TrainerSpec

    spec = TrainerSpec(
        ModelConfig(path=job["model"]), TrainerConfig(threads=1, engine=job.get("engine", "fsdp")), job["model"],
        "cpu", 0, 0, "shm", job["shared"],
    )  # fmt: skip
    actor = TrainerActor(spec)
    actor.setup(*actor.rendezvous("127.0.0.1"))
    actor.begin_stage(OptimConfig(lr=job["lr"], clip_grad=1e9), 10**6)
    engine: Any = actor.engine
    gradient = Path(job["gradient"]) if job.get("gradient") else None
    if gradient and hasattr(engine, "module"):  # FSDP2 forgets it after the step
        engine.optimizer.register_step_pre_hook(lambda *_: _save_first(engine, gradient))
    frozen = batch_of(job["frozen"]) if "frozen" in job else None
    answer({"ready": True})
    while True:
        command = wait_for_turn()
        batch = frozen or batch_of(command)
        started = time.process_time()
        metrics = actor.update(
            batch, ALGORITHM, max_tokens_per_microbatch=job["max_tokens"], max_completion_tokens=job["longest"]
        )
        assert metrics is not None
        trained = time.process_time()
        if gradient:
            _save_first(engine, gradient)
        if frozen is None:
            actor.publish(1)
        answer({
            "training_s": trained - started, "sync_s": time.process_time() - trained, "loss": metrics["loss"],
            "total_s": time.process_time() - started,
        })  # fmt: skip


def _save_first(engine: Any, path: Path) -> None:
    """The gradients by transformers' names, if the file is not there yet."""
    from safetensors.torch import save_file

    if not path.exists():
        save_file(gradients(engine), path)


def sample(job: dict[str, Any]) -> None:
    """Completions of the job's prompts by the rollout actor, or by bare vLLM in turn with it."""
    from rl.actors.rollout import RolloutActor, RolloutSpec

    spec = RolloutSpec(
        ModelConfig(path=job["model"], max_length=job["max_length"]),
        RolloutConfig(threads=1), job["model"], "cpu", 0, "shm",
    )  # fmt: skip
    actor = RolloutActor(spec)
    prompts = [actor.tokenizer.encode(text, add_special_tokens=False) for text in job["prompts"]]
    sampling = SamplingConfig(max_tokens=job["longest"], min_tokens=job["shortest"])
    answer({"ready": True, "prompt_tokens": [len(ids) for ids in prompts]})
    turn = 0
    while True:
        command, turn = wait_for_turn(), turn + 1
        started = time.process_time()
        if command.get("bare"):
            found = _bare(actor, prompts, job, turn)
        else:
            groups = actor.generate(prompts, job["samples"], sampling, turn)
            found = [[completion.token_ids.tolist() for completion in group] for group in groups]
        seconds = time.process_time() - started
        completions = [ids for group in found for ids in group]
        answer({
            "sampling_s": seconds, "completion_tokens": sum(map(len, completions)), "completion_ids": completions,
            "prompt_ids": [ids for ids in prompts for _ in range(job["samples"])], "samples": job["samples"],
            "rewards": [1000.0 * (i % job["samples"]) for i in range(len(completions))],
        })  # fmt: skip


def _bare(actor: Any, prompts: list[list[int]], job: dict[str, Any], seed: int) -> list[list[list[int]]]:
    """The same with only ``LLM.generate``."""
    import torch
    from vllm import SamplingParams

    torch.manual_seed(seed)
    params = SamplingParams(
        n=job["samples"], temperature=1.0, max_tokens=job["longest"], min_tokens=job["shortest"], logprobs=0,
        detokenize=False, stop_token_ids=[actor.tokenizer.eos_token_id],
    )  # fmt: skip
    outputs = actor.llm.generate([{"prompt_token_ids": ids} for ids in prompts], params, use_tqdm=False)
    return [[list(choice.token_ids) for choice in output.outputs] for output in outputs]


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text())
    {"train": train, "sample": sample}[given["role"]](given)
