"""Run folders as a run leaves them, made by the code that writes them, without engines."""

from __future__ import annotations

import random
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from curricula.card import SourceFacts, TokenLedger, corpus_card
from curricula.mixture import Cell
from curricula.pas import PHASES
from curricula.prompts import Prompt
from curricula.records import Document
from curricula.sampler import Sampler
from curricula.tasks import make_prompts
from rewards.total import compose
from rewards.verdict import Sample
from rl.config.derive import BatchNumbers
from rl.config.schema import RunConfig, TrackerConfig
from rl.driver.updates import StepUpdate, shaped
from rl.evaluation.asking import TaskRun
from rl.evaluation.benchmark import Benchmark, Question
from rl.evaluation.benchmarks.lexeval import BENCHMARK as LEXEVAL
from rl.evaluation.stage import score_benchmarks
from rl.files import write_json
from rl.inference.backend import Answer
from rl.records.manifest import Manifest
from rl.records.results import save
from rl.records.rollouts import rows
from rl.records.tracking import Tracker
from rl.samples import Completion, Group, solved
from rl.stages.evaluate import summarise
from rl.stages.grpo import group_metrics

HOSTILE = "<script>document.title = 'taken'</script><img src=x onerror=alert(1)>"
WRONG = "<think>无从判断</think><answer>不明</answer>"
STEPS, LEFT_AFTER, GROUPS, SIZE = 30, 24, 6, 4


def config(run_dir: Path, seed: int = 0, **changes: Any) -> RunConfig:
    """A curriculum with every kind of stage."""
    leave = {"metric": "reward/accuracy", "above": 0.8, "steps": 3}
    stages = [
        {"name": "ppl", "kind": "perplexity", "corpus": [{"laws": ["刑法"]}, {"laws": ["民法典"], "kind": "general"}]},
        {
            "name": "mid", "kind": "mid_training", "steps": 12, "held_out": 4, "optim": {"lr": 1e-3, "schedule": "wsd"},
            "corpus": [{"laws": ["刑法"]}, {"laws": ["民法典"], "kind": "general"}], "pas": {"scores": "ppl"},
        },
        {"name": "sft", "kind": "sft", "steps": 20, "demonstrations": {"age": 8}, "held_out": 4, "held_out_every": 5},
        {"name": "look", "kind": "evaluate", "tasks": ["age", "charge"], "split": "dev", "questions": 20},
        {
            "name": "grpo", "kind": "grpo", "steps": STEPS, "tasks": {"age": 1, "charge": 1}, "difficulty": 0.5,
            "reward": {"accuracy": 1.0, "format": 0.1}, "optim": {"lr": 2e-4}, "gates": {"leave": [leave]},
            "sampling": {"max_tokens": 32}, "algorithm": {"kl_coef": 0.01, "overlong_buffer": 8},
        },
        {"name": "later", "kind": "grpo", "steps": 5, "tasks": {"age": 1}},
        {"name": "again", "kind": "evaluate", "tasks": ["age", "charge"], "split": "dev", "questions": 20},
        {"name": "test", "kind": "evaluate", "tasks": ["age", "charge"], "questions": 20},
    ]  # fmt: skip
    values = {"run_dir": str(run_dir), "seed": seed, "curriculum": {"name": "small", "stages": stages}, **changes}
    return RunConfig.model_validate(values)


def run_folder(run_dir: Path, seed: int = 0, skill: float = 1.0, hostile: bool = False, **changes: Any) -> Path:
    """A run folder in which the reward rises with ``skill``; ``hostile`` puts markup into a completion and meta."""
    found = config(run_dir, seed, **changes)
    stages: dict[str, Any] = {stage.name: stage for stage in found.curriculum.stages}
    manifest = Manifest.open(run_dir, found)
    tracker = Tracker(run_dir, TrackerConfig(wandb="disabled", progress=False), Console(quiet=True))
    rng = random.Random(seed)
    with tracker.stage("ppl", total=1, start=0):
        tracker.log("ppl", 0, {"documents": 452.0, "tokens": 30720.0, "perplexity": 14.0, "perplexity/median": 12.3})
    manifest.record("ppl", done=True)
    _mid(tracker, rng)
    manifest.record("mid", done=True, export="exports/mid")
    _sft(tracker, rng)
    best = {"step": 20, "kind": "best", "why": "held-out loss 2.0000 after step 15", "weights_after": 15}
    manifest.record("sft", done=True, export="exports/sft", ended=best)
    _evaluate(tracker, stages["look"], "sft", 0.3, rng)
    manifest.record("look", done=True)
    _grpo(tracker, stages["grpo"], rng, skill, hostile)
    why = "reward/accuracy ≥ 0.8 for 3 steps"
    manifest.record("grpo", done=True, ended={"step": LEFT_AFTER, "why": why, "kind": "leave", "weights_after": None})
    manifest.record("later", done=True, skipped="accuracy ≥ 0.99 does not hold: it is 0.85 (evaluation look)")
    for name in ("again", "test"):
        _evaluate(tracker, stages[name], "grpo", 0.9 * skill, rng)
        manifest.record(name, done=True)
    for name, after, right in (("look", "sft", 4), ("test", "grpo", 7)):
        score_benchmarks(stages[name], [_benchmark(right)], run_dir, after)
    (run_dir / "corpus").mkdir(exist_ok=True)
    write_json(run_dir / "corpus" / "mid.json", card())
    return run_dir


def card() -> dict[str, Any]:
    """A corpus card of two sources under PAS, by the code that a stage makes it with."""
    cells = [Cell(source, bucket, [Document("文", "刑法")]) for source in (0, 1) for bucket in ("low", "mid", "high")]
    ledger, tokens = TokenLedger(), [0] * len(cells)
    for phase, shares in zip(PHASES, ((6, 3, 1), (2, 5, 3), (1, 4, 5)), strict=True):
        for _ in range(4):
            asked = [3.0 * share for share in shares] + [1.0 * share for share in shares]
            after = [n + round(100 * share) for n, share in zip(tokens, asked, strict=True)]
            ledger.add(asked, tokens, after, phase)
            tokens = after
    buckets: Any = ["low"] * 120 + ["mid"] * 200 + ["high"] * 118 + ["dropped"] * 14
    sources = [
        SourceFacts("刑法", "legal", 452, {"near_duplicate": 3, "too_short": 11}, buckets),
        SourceFacts("news", "general", 90, {"too_short": 2}, buckets[100:190], {"licence": {"CC0-1.0": 80, "": 10}}),
    ]
    return corpus_card("mid", sources, cells, ledger, [2.0 + 0.08 * i for i in range(542)])


def answered(uid: str, prompt: Prompt, texts: list[str], rng: random.Random, form: float, index: int = -1) -> Group:
    """A group of completions with the real verdicts of ``accuracy`` and, with weight ``form``, of ``format``."""
    verdict = compose({"accuracy": 1.0, "format": form})
    question = prompt.messages[-1]["content"]
    verdicts = [verdict(Sample(question, text, prompt.reference, prompt.answer_kind)) for text in texts]
    completions = [
        Completion(np.arange(rng.randint(8, 32)), -np.ones(4, np.float32), text, _reason(text), 3) for text in texts
    ]
    rewards = [float(verdict.score) for verdict in verdicts if verdict.score is not None]
    parts, reasons = [verdict.parts for verdict in verdicts], [verdict.reason for verdict in verdicts]
    return Group(uid, prompt, [1, 2, 3], completions, rewards, parts, index=index, reasons=reasons)


def _reason(text: str) -> str:
    return "stop" if text.endswith("</answer>") else "length"


def _right(prompt: Prompt) -> str:
    assert prompt.demonstration is not None
    return prompt.demonstration


def _mid(tracker: Tracker, rng: random.Random) -> None:
    with tracker.stage("mid", total=12, start=0):
        for step in range(12):
            with tracker.phase("train"):
                pass
            metrics = {"loss": 6 - 0.3 * step + rng.gauss(0, 0.05), "lr": 1e-3, "grad_norm": 1.5, "tokens": 1024.0}
            metrics |= {"share/low": 0.6 - step / 30, "share/mid": 0.4 + step / 30, "alpha": step / 11}
            metrics |= {"drawn/low": 0.6 - step / 60, "drawn/mid": 0.4 + step / 60}
            if step in (0, 11):
                metrics |= {"perplexity/legal": 400.0 - 30 * step, "perplexity/general": 300.0 + 5 * step}
            tracker.log("mid", step, metrics)


def _sft(tracker: Tracker, rng: random.Random) -> None:
    with tracker.stage("sft", total=20, start=0):
        for step in range(20):
            metrics = {"loss": 4 * 0.85**step + rng.gauss(0, 0.02), "lr": 1e-3, "grad_norm": 1.2, "tokens": 512.0}
            if (step + 1) % 5 == 0:
                metrics["held_out_loss"] = 2.0 + abs(step + 1 - 15) / 10
            tracker.log("sft", step, metrics)


def _grpo(tracker: Tracker, stage: Any, rng: random.Random, skill: float, hostile: bool) -> None:
    sampler = Sampler(stage.tasks, {}, seed=0, stage=stage.name, difficulty=stage.difficulty)
    with tracker.stage(stage.name, total=STEPS, start=0):
        for step in range(LEFT_AFTER):
            chance = 0.2 + 0.7 * skill * step / LEFT_AFTER
            numbers: Any = BatchNumbers(GROUPS, SIZE, 1, 4096)
            no_trainer: Any = None
            update = StepUpdate(stage, numbers, no_trainer, no_trainer, lambda name: nullcontext(), eager=False)
            for index in range(step * GROUPS, (step + 1) * GROUPS):
                prompt = replace(sampler.at(index), meta={"teacher": HOSTILE, "verdicts": ["对", 1]} if hostile else {})
                texts = [_right(prompt) if rng.random() < chance else WRONG for _ in range(SIZE)]
                if hostile and step == LEFT_AFTER - 1:
                    texts[0] = HOSTILE
                scored = answered(f"grpo-{index}", prompt, texts, rng, 0.1, index)
                update.add(shaped([scored], stage.sampling.max_tokens, stage.algorithm.overlong_buffer))
            for group in update.groups:
                sampler.observe(group.index, group.rewards, solved(group))
            found = group_metrics(update, version=3) | sampler.metrics()
            found |= {
                "loss": rng.gauss(0, 0.02), "policy_loss": rng.gauss(0, 0.02), "kl": 0.001 * step, "entropy": 0.5,
                "clip_fraction": 0.0, "mismatch_kl": 1e-12, "token_mult_prob_error": 1.0, "log_prob_difference": 1e-5,
                "ratio": 1.0, "ratio_p99": 1.0, "lr": 2e-4, "grad_norm": 0.8 + rng.random() / 10, "bad_updates": 0.0,
            }  # fmt: skip
            for phase in ("sync", "rollout", "reward", "train"):
                with tracker.phase(phase):
                    pass
            tracker.log(stage.name, step, found, sampler_busy_s=0.0)
            tracker.dump_groups(stage.name, step, [row for group in update.groups for row in rows(group, 0)])
        tracker.wait()


def _benchmark(right: int) -> tuple[Benchmark, list[TaskRun]]:
    """LexEval's 3_4, which consists of another benchmark's questions, with ``right`` of ten answered as they should
    be, the last cut off; and 1_2, of which two questions are too long."""
    tasks = []
    for name, count in (("1_2", 8), ("3_4", 10)):
        task = TaskRun(name, [Question(str(n), f"问{n}", "A") for n in range(10)], too_long=10 - count)
        for n in range(count):
            task.answers[str(n)] = [Answer("A" if n < right else "B", "", 3, 9, truncated=n == 9)]
        tasks.append(task)
    return LEXEVAL, tasks


def _evaluate(tracker: Tracker, stage: Any, after: str, chance: float, rng: random.Random) -> None:
    with tracker.stage(stage.name, total=1, start=0):
        groups = [
            answered(f"{stage.name}-{i}", p, [_right(p) if rng.random() < chance else WRONG], rng, 0.0)
            for task in stage.tasks
            for i, p in enumerate(make_prompts(task, stage.split, stage.questions, seed=1))
        ]
        result = summarise(stage, groups, after)
        save(tracker.run_dir / "results.json", result)
        tracker.log(stage.name, 0, {"accuracy": result.average})
        tracker.dump_groups(stage.name, 0, [row for group in groups for row in rows(group, 0)])
        tracker.wait()
