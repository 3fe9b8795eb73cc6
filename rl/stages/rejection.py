"""Rejection sampling: sample the policy, keep its right answers, fine-tune it on them, in rounds.

RAFT (Dong et al. 2023, arXiv 2304.06767) keeps the answer of each prompt with the highest reward. STaR (Zelikman et al.
2022, arXiv 2203.14465) and ReST-EM (Singh et al. 2023, arXiv 2312.06585) keep right answers, ReST-EM up to ten of a
prompt. Chosen here:

- Both: of the answers that reach a threshold, the best, or up to ``keep.per_prompt``.
- A round trains the policy of the round before, as RAFT does; STaR and ReST-EM begin with the base model each time.
- A round trains on its own answers alone, on the tokens that were sampled.
- One optimizer and one schedule run over the training steps of all rounds.
- STaR's second attempt, with the answer as a hint, is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rl.config.derive import BatchNumbers, batch_numbers
from rl.config.stages import RejectionStage
from rl.data.kept_answers import (
    Answer,
    answers_file,
    demonstrations_file,
    is_right,
    read_answers,
    right_answers,
    select,
    write_answers,
    write_demonstrations,
)
from rl.data.tokens import Example
from rl.driver.runtime import Runtime
from rl.driver.scoring import refuse_unscored
from rl.driver.steps import Step, StepLoop
from rl.driver.stream import GroupStream
from rl.driver.updates import mean
from rl.errors import UserError
from rl.models.template import for_stage
from rl.samples import Group
from rl.seeds import stable_seed
from rl.stages.evaluate import remove
from rl.stages.grpo import observe, sampling_metrics
from rl.stages.sft import train_on


def run(stage: RejectionStage, runtime: Runtime) -> None:
    """Sample and train in turn; the sampler gets the new weights at the border of a round."""
    batch, sampler = batch_numbers(runtime.config, stage), runtime.sampler(stage)
    folder, made = (runtime.run_dir / name / stage.name for name in ("answers", "demonstrations"))
    kept: list[Answer] | None = None
    with runtime.stream(stage, sampler) as stream:
        updates = stage.rounds * stage.training_steps
        for step in StepLoop(stage, runtime, stage.optim, updates, {"sampler": sampler, "stream": stream}):
            number, place = divmod(step.number, stage.steps_of_a_round)
            if step.number == 0:  # what it has left if it starts from scratch
                remove(folder)
                remove(made)
            if kept is None or place == 0:
                kept = kept_before(stage, step.number, folder)
            if place < stage.sampling_steps:
                parts = sample(number * stage.sampling_steps + place, batch, stream, step, runtime)
                groups = [group for part in parts for group in part]
                refuse_unscored(groups, f"stage {stage.name}: step {step.number}")
                observe(sampler, groups)
                right = right_answers(groups, stage.keep, for_stage(runtime.tokenizer, runtime.config, stage))
                write_answers(answers_file(folder, step.number), right)
                kept = select([*kept, *right], stage.keep)
                metrics = answer_metrics(groups, stage) | {"answers/kept": float(len(kept))}
                metrics |= sampling_metrics(groups, runtime.fleet.weights.version) | sampler.metrics()
                metrics |= runtime.scorer.judge_metrics()
                with step.phase("dump"):
                    step.dump(parts, metrics)
                if place == stage.sampling_steps - 1:
                    tell_kept(stage, number, kept, batch, runtime)
                    write_demonstrations(demonstrations_file(made, number), kept, number)
            else:
                turn, seed = place - stage.sampling_steps, stable_seed(runtime.config.seed, stage.name, number)
                examples = partial(_examples, kept)
                metrics = train_on(examples, len(kept), turn, seed, batch, step, runtime)
                metrics["passes"] = (turn + 1) * batch.prompts_per_step / len(kept)
            step.finish({"round": float(number), **metrics}, score=None, trained=place >= stage.sampling_steps)
    remove(folder)


def _examples(kept: Sequence[Answer], rows: Sequence[int]) -> list[Example]:
    return [kept[row].example for row in rows]


def kept_before(stage: RejectionStage, step: int, folder: Path) -> list[Answer]:
    """The answers that the round of a step has kept before it, from the files of its earlier steps."""
    number, place = divmod(step, stage.steps_of_a_round)
    first = number * stage.steps_of_a_round
    fix = f"remove checkpoints/{stage.name} from the run folder, so that the stage starts from scratch"
    kept: list[Answer] = []
    for earlier in range(first, first + min(place, stage.sampling_steps)):
        kept = select([*kept, *read_answers(answers_file(folder, earlier), fix)], stage.keep)
    return kept


def sample(drawn: int, batch: BatchNumbers, stream: GroupStream, step: Step, runtime: Runtime) -> list[list[Group]]:
    """The groups of a step, in the parts in which they came; ``drawn`` is how many steps have sampled before it."""
    with step.phase("sync"):
        runtime.sync_weights()
    stream.fill(drawn)
    parts = list(stream.take(batch.prompts_per_step, drawn, step.phase))
    runtime.sampling_done()
    return parts


def answer_metrics(groups: Sequence[Group], stage: RejectionStage) -> dict[str, float]:
    """How many completions of the scored groups are right, and how many groups have one that is."""
    right = [
        [is_right(group, place, stage.keep) for place in range(len(group.completions))]
        for group in groups
        if group.error is None
    ]
    return {"answers/right": mean(one for group in right for one in group), "groups/solved": mean(map(any, right))}


def tell_kept(
    stage: RejectionStage, number: int, kept: Sequence[Answer], batch: BatchNumbers, runtime: Runtime
) -> None:
    """Say how many answers a round keeps.

    Raises:
        UserError: if there are none.
    """
    where = f"stage {stage.name}, round {number + 1} of {stage.rounds}"
    asked = stage.sampling_steps * batch.prompts_per_step
    more = "raise sampling_steps or samples_per_prompt"
    if not kept:
        what = f"the reward {stage.keep.reward}" if stage.keep.reward else "the sum of the rewards"
        raise UserError(
            f"{where}: no answer to its {asked} prompts is right ({what} at least {stage.keep.at_least:g}, and not cut "
            f"off), so there is nothing to train on. Look at them with python -m tools.rollouts {runtime.run_dir} "
            f"--stage {stage.name} --order best. Lower keep.at_least, raise sampling.max_tokens, {more}, or train more "
            f"before this stage; then remove {runtime.run_dir}/checkpoints/{stage.name}, and go on with resume=force"
        )
    solved, console = len({answer.prompt.uid for answer in kept}), runtime.tracker.console
    console.print(
        f"{where}: {len(kept)} answers to {solved} questions are kept, of {asked} that were asked",
        soft_wrap=True,
        highlight=False,
    )
    if len(kept) < batch.prompts_per_step:
        passes = stage.training_steps * batch.prompts_per_step / len(kept)
        console.print(
            f"[yellow]{where}: these are fewer than prompts_per_step={batch.prompts_per_step}, and each is trained on "
            f"{passes:.0f} times; {more}, or lower training_steps[/yellow]",
            soft_wrap=True,
            highlight=False,
        )
