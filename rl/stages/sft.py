"""Supervised fine-tuning: the loss covers the tokens after the prompt."""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from curricula.sampler import require_keys
from rl.config.derive import BatchNumbers, batch_numbers
from rl.config.stages import SFTStage
from rl.data.demonstrations import demonstrations
from rl.data.tokens import Example, encode_demonstrations
from rl.driver.runtime import Runtime
from rl.driver.steps import Step, StepLoop
from rl.models.template import for_stage
from rl.samples import supervised_batch


class Best:
    """The lowest held-out loss so far, and after how many steps it was measured."""

    def __init__(self) -> None:
        self.loss, self.step = float("inf"), 0

    def offer(self, loss: float, step: int) -> bool:
        """Note a measurement; returns whether it is the lowest so far."""
        if not loss < self.loss:  # NaN is not less either
            return False
        self.loss, self.step = loss, step
        return True

    def state_dict(self) -> dict[str, Any]:
        """State as JSON values."""
        return {"loss": self.loss if self.step else None, "step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        require_keys("best loss", state, self.state_dict())
        self.loss, self.step = state["loss"] if state["step"] else float("inf"), state["step"]


def run(stage: SFTStage, runtime: Runtime) -> None:
    """Train on demonstrations, in a new order each epoch; end with the best weights by held-out loss."""
    batch, seed = batch_numbers(runtime.config, stage), runtime.config.seed
    given, aside = demonstrations(stage, seed)
    tokenizer = for_stage(runtime.tokenizer, runtime.config, stage)
    held_out = encode_demonstrations(tokenizer, aside)

    def encoded(rows: list[int]) -> list[Example]:
        return encode_demonstrations(tokenizer, [given[row] for row in rows])

    best = Best()
    for step in StepLoop(stage, runtime, stage.optim, stage.steps, {"best": best}):
        metrics = train_on(encoded, len(given), step.number, seed, batch, step, runtime)
        if not held_out:
            step.finish(metrics, score=-metrics["loss"])
            continue
        improved = False
        if step.last or (step.number + 1) % stage.held_out_every == 0:
            with step.phase("held_out"):
                loss = held_out_loss(held_out, runtime, max_tokens_per_microbatch=batch.max_tokens_per_microbatch)
            metrics["held_out_loss"] = loss
            improved = best.offer(loss, step.number + 1)
        conclude(step, best)
        step.finish(metrics, score=-best.loss if improved else None, save=improved)


def train_on(
    encoded: Callable[[list[int]], list[Example]],
    total: int,
    turn: int,
    seed: int,
    batch: BatchNumbers,
    step: Step,
    runtime: Runtime,
) -> dict[str, float]:
    """One update on the next ``prompts_per_step`` of ``total`` examples, in a new order each epoch.

    ``encoded`` gives the examples of rows; ``turn`` counts the updates on these examples from 0. Returns the metrics.
    """
    with step.phase("data"):
        picked = rows_at(turn * batch.prompts_per_step, batch.prompts_per_step, total, seed)
        sequences = supervised_batch(encoded(picked))
    with step.phase("train"):
        metrics = runtime.trainer.update(sequences, None, max_tokens_per_microbatch=batch.max_tokens_per_microbatch)
    metrics["tokens"] = sequences.num_targets
    return metrics


def conclude(step: Step, best: Best) -> None:
    """At the last step, let the stage end with the weights of the lowest held-out loss."""
    if step.last and 0 < best.step <= step.number:
        step.end_stage("best", f"held-out loss {best.loss:.4f} after step {best.step}", weights_after=best.step)


def held_out_loss(examples: list[Example], runtime: Runtime, *, max_tokens_per_microbatch: int) -> float:
    """Mean negative log-likelihood of the held-out answers (nats a token)."""
    batch = supervised_batch(examples)
    log_probs = runtime.trainer.log_probs(batch, max_tokens_per_microbatch=max_tokens_per_microbatch)
    return float(-(log_probs.astype(np.float64) * batch.loss_mask).sum() / batch.num_targets)


def rows_at(position: int, n: int, total: int, seed: int) -> list[int]:
    """Rows ``position`` to ``position + n`` of an endless sequence that repeats ``total`` rows, shuffled each epoch."""
    found = []
    for index in range(position, position + n):
        epoch, place = divmod(index, total)
        found.append(_order(epoch, total, seed)[place])
    return found


@lru_cache(maxsize=2)
def _order(epoch: int, total: int, seed: int) -> array[int]:
    order = array("q", range(total))
    random.Random(f"{seed}/{epoch}").shuffle(order)
    return order
