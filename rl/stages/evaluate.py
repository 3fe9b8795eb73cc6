"""Evaluation: held-out accuracy of the policy as it stands, per task."""

from collections import Counter

from curricula.prompts import Prompt
from curricula.records import read_prompts
from curricula.tasks import make_prompts
from rl.config.stages import EvaluateStage
from rl.driver.runtime import Runtime
from rl.evaluation.own import EVALUATION_SEED
from rl.evaluation.stage import answer_benchmarks, score_benchmarks
from rl.records.results import EvalResult, save
from rl.records.rollouts import rows
from rl.samples import Group


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
    with runtime.tracker.stage(stage.name, total=1, start=0):
        with runtime.tracker.phase("rollout"):
            if prompts:
                groups = runtime.answer(stage, prompts)
            found = answer_benchmarks(stage, runtime)
        with runtime.tracker.phase("reward"):
            if prompts:
                groups = runtime.scorer.score(groups, {"accuracy": 1.0, "format": 0.0})
    after = runtime.lineage.weights_from or "base"
    metrics = score_benchmarks(stage, found, runtime.run_dir, after)
    if prompts:
        result = summarise(stage, groups, after)
        save(runtime.run_dir / "results.json", result)
        metrics = result.metrics | metrics
    runtime.tracker.log(stage.name, 0, metrics)
    if groups and runtime.config.tracker.dump_rollouts:
        runtime.tracker.dump_groups(stage.name, 0, [row for group in groups for row in rows(group, 0)])


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
