"""How many tokens the stages of a run read, sample and train on, from the data themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from curricula.prompts import Prompt
from curricula.records import is_file
from curricula.tasks import make_prompts
from rl.config.derive import batch_numbers, task_weights
from rl.config.schema import RunConfig
from rl.config.stages import EvaluateStage, GRPOStage, MidTrainingStage, PerplexityStage, SFTStage, Stage
from rl.data.corpus import load_corpus
from rl.data.demonstrations import demonstrations
from rl.data.held_out import questions
from rl.data.prompt_files import prompts_of
from rl.data.tokens import encode_demonstrations, encode_prompts, encode_texts
from rl.models.template import for_stage

LOOKED_AT = 100
"""Rows of each source whose mean length counts."""


@dataclass(frozen=True)
class StageTokens:
    """What a stage computes, in all its steps."""

    name: str
    updates: int = 0
    trained: float = 0
    """Tokens that go forward and backward."""
    read: float = 0
    """Tokens that only go forward."""
    batches: int = 0
    """Times that completions are sampled together."""
    sequences: int = 0
    """Completions of one such time."""
    length: float = 0
    """Tokens of a completion."""
    measurements: int = 0
    """Times that held-out questions are answered."""
    questions: int = 0
    """Questions of one such time."""
    longest: bool = False
    """Whether nothing is known of the completions, so that they count as the longest allowed."""


def tokens_of(config: RunConfig, tokenizer: Any) -> list[StageTokens]:
    """What each stage computes. Completions are taken to be as long as the demonstrations that the policy has been
    trained on, of the same task where there are such; without them as long as ``sampling.max_tokens``.

    Raises:
        UserError, DataError: for data that can't be read.
    """
    found, learnt = [], None
    for stage in config.curriculum.stages:
        bound = for_stage(tokenizer, config, stage)
        if isinstance(stage, SFTStage):
            given, _ = demonstrations(stage, config.seed)
            learnt = _lengths(bound, given)
        found.append(_tokens(config, stage, bound, learnt))
    return found


def _tokens(config: RunConfig, stage: Stage, tokenizer: Any, learnt: tuple[float, float] | None) -> StageTokens:
    batch = batch_numbers(config, stage)
    if isinstance(stage, MidTrainingStage):
        return StageTokens(stage.name, stage.steps, stage.steps * batch.prompts_per_step * stage.sequence_length)
    if isinstance(stage, PerplexityStage):
        return StageTokens(stage.name, read=_corpus_tokens(tokenizer, stage))
    if isinstance(stage, SFTStage):
        assert learnt is not None
        return StageTokens(stage.name, stage.steps, stage.steps * batch.prompts_per_step * sum(learnt))
    if isinstance(stage, EvaluateStage):
        sources: list[Sequence[Prompt]] = [_questions(task, stage.split, stage.questions) for task in stage.tasks]
        sources += [prompts_of(stage.data)] if stage.data else []
        number = sum(map(len, sources))
        shares: list[tuple[Sequence[Prompt], float]] = [(source, len(source) / number) for source in sources]
        prompt, answer = _mean(tokenizer, shares, learnt, stage.sampling.max_tokens)
        return StageTokens(
            stage.name, 0, 0, number * prompt, min(1, number), number, answer, longest=bool(number) and learnt is None
        )
    weights = task_weights(config, stage).items()
    shares = [(prompts_of(name) if is_file(name) else _questions(name), share) for name, share in weights]
    prompt, answer = _mean(tokenizer, shares, learnt, stage.sampling.max_tokens)
    completions, group = batch.prompts_per_step * batch.samples_per_prompt, batch.samples_per_prompt
    read = stage.steps_that_sample * batch.prompts_per_step * prompt
    measurements = asked = 0
    if isinstance(stage, GRPOStage):
        if stage.held_out:
            measurements = 1 + math.ceil(stage.steps / stage.held_out_every)
            asked = sum(len(questions(name, stage.held_out)) for name, _ in weights)
            read += measurements * asked * prompt
        updates, row = stage.steps * batch.updates_per_step, prompt + group * answer
        trained = stage.steps * batch.prompts_per_step * row
        read += trained if stage.algorithm.kl_coef > 0 else 0
    else:  # one answer for each prompt
        updates = stage.rounds * stage.training_steps
        trained = updates * batch.prompts_per_step * (prompt + answer)
    return StageTokens(
        stage.name, updates, trained, read, stage.steps_that_sample, completions, answer, measurements, asked,
        learnt is None,
    )  # fmt: skip


@cache
def _questions(task: str, split: Literal["train", "dev", "test"] = "train", number: int = LOOKED_AT) -> list[Prompt]:
    return make_prompts(task, split, number, 0, fewer_ok=True)


def _mean(
    tokenizer: Any, shares: Sequence[tuple[Sequence[Prompt], float]], learnt: tuple[float, float] | None, most: int
) -> tuple[float, float]:
    """(tokens of a prompt, of a completion) of sources with their shares."""
    prompt = answer = 0.0
    for source, share in shares:
        asked, answered = _lengths(tokenizer, source)
        prompt += share * asked
        answer += share * min(most, (answered or learnt[1]) if learnt is not None else most)
    return prompt, answer


def _lengths(tokenizer: Any, prompts: Sequence[Prompt]) -> tuple[float, float]:
    """(mean tokens of a prompt, of a demonstration) of some of the rows, evenly over all; 0 where there is none."""
    rows = [prompts[place] for place in range(0, len(prompts), -(-len(prompts) // LOOKED_AT) or 1)]
    shown = [row for row in rows if row.demonstration is not None]
    answers = [len(ids) - head for ids, head in encode_demonstrations(tokenizer, shown)]
    asked = [len(ids) for ids in encode_prompts(tokenizer, rows)]
    return sum(asked) / max(1, len(asked)), sum(answers) / max(1, len(answers))


def _corpus_tokens(tokenizer: Any, stage: PerplexityStage) -> float:
    if any(source.on_hub for source in stage.corpus):  # which a plan does not read; it says so
        return 0.0
    texts = [document.text for part in load_corpus(stage.corpus, stage.clean).kept for document in part]
    some = texts[:: -(-len(texts) // LOOKED_AT) or 1]
    tokens = sum(len(ids) for ids in encode_texts(tokenizer, some))
    return tokens * sum(map(len, texts)) / max(1, sum(map(len, some)))
