"""Supervised fine-tuning: the loss covers what follows the prompt."""

import random

from curricula.prompts import Prompt
from curricula.records import read_demonstrations
from curricula.tasks import make_prompts
from rl.config.derive import batch_numbers
from rl.config.stages import SFTStage
from rl.models.chat import render_demonstration
from rl.runtime import Runtime
from rl.samples import supervised_batch
from rl.steps import StepLoop


def demonstrations(stage: SFTStage, seed: int) -> list[Prompt]:
    """Generated and given demonstrations of a stage, shuffled by the seed."""
    found = [p for task, n in stage.demonstrations.items() for p in make_prompts(task, "train", n, seed)]
    if stage.data:
        found += read_demonstrations(stage.data)
    random.Random(seed).shuffle(found)
    return found


def run(stage: SFTStage, runtime: Runtime) -> None:
    """Train on demonstrations, in an order that starts anew each epoch."""
    batch = batch_numbers(runtime.config, stage)
    examples = [
        render_demonstration(runtime.tokenizer, prompt) for prompt in demonstrations(stage, runtime.config.seed)
    ]
    for step in StepLoop(stage, runtime, stage.optim, stage.steps, {}):
        with step.phase("data"):
            picked = rows_at(
                step.number * batch.prompts_per_step, batch.prompts_per_step, len(examples), runtime.config.seed
            )
            sequences = supervised_batch([examples[i] for i in picked])
        with step.phase("train"):
            metrics = runtime.trainer.update(sequences, None, batch.max_tokens_per_microbatch)
        step.finish({**metrics, "tokens": sequences.num_targets}, score=-metrics["loss"])


def rows_at(position: int, n: int, total: int, seed: int) -> list[int]:
    """Rows number ``position`` to ``position + n`` of an endless walk over ``total`` rows, shuffled anew each epoch."""
    found = []
    for index in range(position, position + n):
        epoch, place = divmod(index, total)
        order = list(range(total))
        random.Random(f"{seed}/{epoch}").shuffle(order)
        found.append(order[place])
    return found
