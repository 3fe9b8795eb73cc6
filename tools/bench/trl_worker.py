"""TRL's GRPOTrainer as the measured process; runs in its own virtual environment.

``replay`` feeds frozen rollouts through TRL's own ``rollout_func``; ``generate`` lets TRL sample with transformers.
Every optimizer step waits for its turn, so that contenders alternate. CPU-seconds of generation and scoring are counted
separately.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

import json

import torch
from datasets import Dataset
from protocol import answer, wait_for_turn
from safetensors.torch import save_file
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer


class Timed(GRPOTrainer):
    """GRPOTrainer that notes CPU-seconds of sampling and of the preparation around it, and the loss."""

    sampling_s = preparing_s = 0.0
    completion_tokens = 0
    last_loss = 0.0

    def _generate_single_turn(self, *arguments: Any, **keywords: Any) -> Any:
        started = time.process_time()
        found = super()._generate_single_turn(*arguments, **keywords)
        self.sampling_s += time.process_time() - started
        self.completion_tokens += sum(len(ids) for ids in found[0])
        return found

    def _generate_and_score_completions(self, *arguments: Any, **keywords: Any) -> Any:
        started = time.process_time()
        found = super()._generate_and_score_completions(*arguments, **keywords)
        self.preparing_s += time.process_time() - started
        return found

    def compute_loss(self, *arguments: Any, **keywords: Any) -> Any:
        loss = super().compute_loss(*arguments, **keywords)
        self.last_loss = float(loss.detach())
        return loss


class Turns(TrainerCallback):
    """Waits for a command before each step and answers after it."""

    def __init__(self, gradient: str) -> None:
        self.gradient = gradient

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        wait_for_turn()
        trainer = self.trainer
        trainer.completion_tokens = 0
        self.before = trainer.sampling_s, trainer.preparing_s
        self.turn_began = time.process_time()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if self.gradient and not Path(self.gradient).exists():
            save_file({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}, self.gradient)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        now, trainer = time.process_time(), self.trainer
        sampling, preparing = trainer.sampling_s - self.before[0], trainer.preparing_s - self.before[1]
        answer({
            "total_s": now - self.turn_began, "sampling_s": sampling, "preparing_s": preparing - sampling,
            "training_s": now - self.turn_began - preparing,
            "loss": trainer.last_loss, "completion_tokens": trainer.completion_tokens,
        })  # fmt: skip


def main() -> None:
    """Train by the job file, one step each turn."""
    job = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(1)
    replay, n, rows = job["kind"] == "replay", job["samples"], len(job["prompts"]) * job["samples"]
    data = Dataset.from_dict({"prompt": job["prompts"] * job["rounds"]})
    frozen = job.get("frozen", {})

    def rollout(prompts: list[Any], trainer: Any) -> dict[str, Any]:
        zeros = [[0.0] * len(ids) for ids in frozen["completion_ids"]]
        return {"prompt_ids": frozen["prompt_ids"], "completion_ids": frozen["completion_ids"], "logprobs": zeros}

    def reward(completions: list[Any], **_: Any) -> list[float]:
        return list(frozen["rewards"]) if replay else [1000.0 * (i % n) for i in range(len(completions))]

    config = GRPOConfig(
        output_dir=job["folder"], per_device_train_batch_size=rows, gradient_accumulation_steps=1, num_generations=n,
        max_completion_length=job["longest"], beta=0.0, epsilon=0.2, epsilon_high=0.28, loss_type="dapo",
        scale_rewards="group", learning_rate=job["lr"], lr_scheduler_type="constant", weight_decay=0.0, adam_beta2=0.95,
        max_grad_norm=1e9, max_steps=job["rounds"], use_cpu=True, bf16=False, gradient_checkpointing=False,
        report_to=[], save_strategy="no", logging_steps=10**6, disable_tqdm=True, temperature=1.0, seed=0,
        shuffle_dataset=False, generation_kwargs=job.get("generation", {}), mask_truncated_completions=False,
    )  # fmt: skip
    turns = Turns(job.get("gradient", ""))
    trainer = Timed(
        model=job["model"], reward_funcs=reward, args=config, train_dataset=data, callbacks=[turns],
        rollout_func=rollout if replay else None,
    )  # fmt: skip
    turns.trainer = trainer
    answer({"ready": True})
    trainer.train()


if __name__ == "__main__":
    main()
