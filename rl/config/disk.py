"""What a run leaves on the disk at most, as an estimate for its plan."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rl.config.cpu_memory import Held
from rl.config.gpu_plan import StageWork
from rl.config.schema import RunConfig
from rl.config.stages import EvaluateStage, PerplexityStage, PromptedStage, Stage

GIB = 2**30
TOKEN_BYTES = 16
"""Of a sampled token in a rollout file: its id, its log-prob and its text, compressed. With short answers it is more,
because each has its prompt and its verdict."""


def disk_use(config: RunConfig, parameters: int | None, work: Sequence[StageWork]) -> Held:
    """(what, GiB) of checkpoints, exports and rollouts of a run."""
    training = [stage for stage in config.curriculum.stages if not isinstance(stage, EvaluateStage | PerplexityStage)]
    numbers = [_checkpoints(config, stage) for stage in training]
    if config.trainer.keep == "needed":  # those of the stage that is being trained, and what it started from
        most = max(numbers, default=0) + (len(numbers) > 1)
        kept = "trainer.keep=needed"
    else:
        most, kept = sum(numbers), f"trainer.keep_last={config.trainer.keep_last} and the best of each stage"
    # Weights, and with full training two moments of each, in fp32; one more while it is written.
    state = None if parameters is None else (4 if config.model.lora_rank else 12) * parameters / GIB
    export = None if parameters is None else 4 * parameters / GIB
    found = [
        (f"checkpoints: {most} ({kept})", None if state is None else (most + bool(most)) * state),
        (f"exports: {len(training)}", None if export is None else len(training) * export),
    ]
    if config.tracker.dump_rollouts:
        tokens = sum(
            _steps(config, stage) * one.sampled for stage, one in zip(config.curriculum.stages, work, strict=True)
        )
        steps = config.tracker.keep_rollouts
        kept = "all steps" if steps is None else f"the last {steps} of each stage"
        found.append((f"rollouts: {kept}, completions of full length", tokens * TOKEN_BYTES / GIB))
    return tuple(found)


def _checkpoints(config: RunConfig, stage: Stage) -> int:
    """Most checkpoints that a training stage has at once: the last, and the best."""
    assert not isinstance(stage, EvaluateStage | PerplexityStage)
    return min(config.trainer.keep_last + 1, math.ceil(stage.steps / config.trainer.checkpoint_every))


def _steps(config: RunConfig, stage: Stage) -> int:
    """Steps of a stage whose rollouts stay."""
    steps = stage.steps_that_sample if isinstance(stage, PromptedStage) else 1
    return min(steps, config.tracker.keep_rollouts or steps)
