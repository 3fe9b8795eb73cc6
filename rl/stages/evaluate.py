"""Evaluation: held-out accuracy of the policy as it stands, per task, and the scores of benchmarks.

Answers are kept in ``answers/<stage>`` of the run folder until the stage is done. A run that was killed continues from
them, as long as weights, questions and sampling are the same.
"""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from curricula.prompts import Prompt
from curricula.records import read_prompts
from curricula.tasks import make_prompts
from rewards.cache import key_of
from rl.config.stages import EvaluateStage
from rl.data.tokens import encode_prompts, identity
from rl.driver.runtime import Runtime
from rl.evaluation.own import EVALUATION_SEED
from rl.evaluation.stage import answer_benchmarks, sampling_of, score_benchmarks
from rl.inference.backend import Answer, Ask, Backend, SampledAnswer
from rl.inference.journal import Journal
from rl.models.stops import completion_text
from rl.models.template import for_stage
from rl.records.results import EvalResult, save
from rl.records.rollouts import rows
from rl.samples import Completion, Group

QUESTIONS = "questions"
"""File of the answers to held-out questions of tasks and of a stage's own data."""


def questions(stage: EvaluateStage) -> list[Prompt]:
    """The held-out questions of a stage."""
    found = [
        prompt
        for task in stage.tasks
        for prompt in make_prompts(task, stage.split, stage.questions, EVALUATION_SEED, fewer_ok=True)
    ]
    return found + (read_prompts(stage.data) if stage.data else [])


def run(stage: EvaluateStage, runtime: Runtime) -> None:
    """Answer every question once and record accuracy, format and the majority answer's share for each task, and the
    scores of benchmarks."""
    prompts = questions(stage)
    groups: list[Group] = []
    folder = runtime.run_dir / "answers" / stage.name
    with runtime.tracker.stage(stage.name, total=1, start=0):
        with runtime.tracker.phase("rollout"):
            held_out, benchmarks = journals(stage, runtime, folder)
            if prompts:
                groups = answer(stage, prompts, held_out, runtime)
            found = answer_benchmarks(stage, benchmarks, runtime.config.model.max_length, runtime.config.seed)
        with runtime.tracker.phase("reward"):
            if prompts:
                groups = runtime.scorer.score(groups, {"accuracy": 1.0, "format": 0.0})
    if reused := held_out.reused + benchmarks.reused:
        runtime.tracker.console.print(f"stage {stage.name} went on from {reused} answers on the disk")
    after = runtime.lineage.weights_from or "base"
    metrics = score_benchmarks(stage, found, runtime.run_dir, after)
    if prompts:
        result = summarise(stage, groups, after)
        save(runtime.run_dir / "results.json", result)
        metrics = result.metrics | metrics
    runtime.tracker.log(stage.name, 0, metrics)
    if groups and runtime.config.tracker.dump_rollouts:
        runtime.tracker.dump_groups(stage.name, 0, [row for group in groups for row in rows(group, 0)])
        runtime.tracker.wait()
    remove(folder)


def journals(stage: EvaluateStage, runtime: Runtime, folder: Path) -> tuple[Journal, Journal]:
    """The backends of held-out questions, whose answers hold tokens for the rollout files, and of benchmarks.

    Both keep answers in ``folder``, bound to the policy's weights and to all else that decides a completion. Sampled
    answers are drawn from one seed and kept only as a whole: what a killed run leaves of them are the short ones, and
    with a second draw for the others the sample would be biased to short answers.
    """
    tokenizer = for_stage(runtime.tokenizer, runtime.config, stage)
    model = runtime.config.model
    weights = runtime.lineage.weights_id(), runtime.fleet.model_path, model.max_length
    bound = key_of(weights, stage.sampling.model_dump(), identity(tokenizer))
    together = stage.sampling.temperature > 0

    def notice(text: str) -> None:
        runtime.tracker.console.print(text, markup=False, soft_wrap=True)

    def journal(tokens: bool) -> Journal:
        return Journal(runtime.policy(stage, tokens), folder, notice=notice, bound=bound, together=together)

    return journal(tokens=True), journal(tokens=False)


def answer(stage: EvaluateStage, prompts: Sequence[Prompt], backend: Backend, runtime: Runtime) -> list[Group]:
    """One completion of each prompt, in the order of the prompts."""
    sampling = sampling_of(stage, runtime.config.seed)
    uids = [f"{number:07d}-{prompt.uid}" for number, prompt in enumerate(prompts)]
    asks = [
        sampling.ask(f"{QUESTIONS}/{uid}", tuple((turn["role"], turn["content"]) for turn in prompt.messages))
        for uid, prompt in zip(uids, prompts, strict=True)
    ]
    found: dict[str, Completion] = {}

    def keep(ask: Ask, answers: list[Answer]) -> None:
        found[ask.key] = _completion(answers[0], runtime)

    backend.generate(asks, keep)
    ids = encode_prompts(for_stage(runtime.tokenizer, runtime.config, stage), prompts)
    return [
        Group(f"{stage.name}-{uid}", prompt, prompt_ids.tolist(), [found[ask.key]], index=number)
        for number, (uid, prompt, prompt_ids, ask) in enumerate(zip(uids, prompts, ids, asks, strict=True))
    ]


def _completion(answer: Answer, runtime: Runtime) -> Completion:
    assert isinstance(answer, SampledAnswer)
    return Completion(
        token_ids=np.asarray(answer.token_ids, dtype=np.int64),
        log_probs=np.asarray(answer.log_probs, dtype=np.float32),
        text=completion_text(runtime.tokenizer, answer.token_ids),
        finish_reason="length" if answer.truncated else "stop",
        weight_version=runtime.fleet.weights.version,
    )


def remove(folder: Path) -> None:
    """Remove the answers of a stage that is done: rollout files and benchmark folders hold them."""
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):  # of other stages
        folder.parent.rmdir()


def summarise(stage: EvaluateStage, groups: list[Group], after: str) -> EvalResult:
    """Counts for each task from scored groups of one completion."""
    per_task: dict[str, dict[str, float]] = {}
    majority: dict[str, float] = {}
    for task in dict.fromkeys(group.prompt.task for group in groups):
        mine = [group for group in groups if group.prompt.task == task]
        scored = [group.parts[0] for group in mine if group.error is None]
        per_task[task] = {
            "correct": sum(part["accuracy"] for part in scored),
            "n": len(scored),
            "format": sum(part["format"] for part in scored) / max(1, len(scored)),
            "errors": len(mine) - len(scored),
        }
        answers = Counter(group.prompt.reference for group in mine)
        majority[task] = answers.most_common(1)[0][1] / len(mine)
    return EvalResult(stage.name, after, stage.split, per_task, majority)
