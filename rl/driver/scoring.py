"""Scores of groups: their completions as samples, asked of reward actors and judges, and verdicts as rewards."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from cluster.health import Supervised
from rewards.registry import JUDGED, Weights
from rewards.total import score_apart
from rewards.verdict import Sample, Verdict
from rl.config.schema import JudgeConfig, RunConfig
from rl.driver.calls import Limits, Panel, patience
from rl.errors import UserError
from rl.models.chat import THINK, opens_thinking
from rl.samples import Group

PIECE = 512
"""Most samples that a reward actor is sent in one call."""
JUDGE_ROUNDS = 4
"""About so many requests for each of a served judge's places in flight are made in one call."""


class GroupScorer:
    """Has groups scored: by the reward actors, and by the judges where a reward needs one."""

    def __init__(
        self,
        config: RunConfig,
        tokenizer: Any,
        rewards: Sequence[Supervised],
        judges: Sequence[Supervised],
        tell: Callable[[str, str, str], None] = lambda who, why, done: None,
    ) -> None:
        """``tell`` is told what the actors have lost and replaced by themselves."""
        self.tokenizer, self.tell = tokenizer, tell
        served = config.judge.kind == "llm"
        by_rules = Limits(PIECE, patience(config.reward.timeout_s), config.reward.timeout_s)
        self._rewards = Panel(rewards, by_rules)
        self._judges = Panel(judges, judge_limits(config.judge) if served else by_rules)
        self._counts = served and bool(judges)

    def score(self, groups: Sequence[Group], weights: Weights) -> list[Group]:
        """The groups with rewards. One with an errored verdict is tried once more, then marked with its error."""
        scored = self._once(groups, weights)
        again = [i for i, group in enumerate(scored) if group.error is not None]
        if again:
            for i, group in zip(again, self._once([groups[i] for i in again], weights), strict=True):
                scored[i] = group
        for panel in (self._rewards, self._judges):
            for who, why in panel.losses():
                self.tell(who, f"lost its {why}", "replaced, and asked again")
        return scored

    def _once(self, groups: Sequence[Group], weights: Weights) -> list[Group]:
        samples = [sample for group in groups for sample in samples_of(group, self.tokenizer)]
        verdicts = iter(score_apart(samples, weights, self._rewards.verdicts, self._judges.verdicts))
        return [with_verdicts(group, [next(verdicts) for _ in group.completions]) for group in groups]

    def judge_metrics(self) -> dict[str, float]:
        """What a language model as judge has cost since it started; nothing without one."""
        if not self._counts:
            return {}
        found = self._judges.call(0, "metrics")
        assert isinstance(found, dict)
        return found


def refuse_unscored(groups: Sequence[Group], where: str) -> None:
    """Stop a run whose rewards or judge fail altogether: its steps would pass without training anything, and
    held-out answers would all count as wrong.

    Raises:
        UserError: if there are groups and none has rewards; the message has the most frequent error.
    """
    errors = Counter(group.error for group in groups)
    if not errors or None in errors:
        return
    error, times = errors.most_common(1)[0]
    raise UserError(
        f"{where}: none of its {len(groups)} groups could be scored, each tried twice; {times} of them failed with: "
        f"{error}. Repair the reward or judge, and start the same command again; it goes on from the last checkpoint"
    )


def judge_limits(judge: JudgeConfig) -> Limits:
    """How a served judge is asked.

    It ends a batch itself, with errors, when no answer comes for ``batch_timeout_s``. So a call takes longer than that
    for each round of requests only where the actor hangs.
    """
    rounds = JUDGE_ROUNDS * judge.votes * len(JUDGED)
    return Limits(JUDGE_ROUNDS * judge.concurrency, None, judge.batch_timeout_s * rounds + 30)


def samples_of(group: Group, tokenizer: Any) -> list[Sample]:
    """What rewards are shown of a group's completions. What the template opened for the policy counts as written by
    it."""
    question = group.prompt.messages[-1]["content"]
    opened = THINK if opens_thinking(tokenizer, group.prompt_ids) else ""
    return [
        Sample(question, opened + completion.text, group.prompt.reference, group.prompt.answer_kind)
        for completion in group.completions
    ]


def with_verdicts(group: Group, verdicts: Sequence[Verdict]) -> Group:
    """The group with the rewards of its verdicts, or with the error of the first that has one."""
    failed = next((verdict.error for verdict in verdicts if verdict.error is not None), None)
    if failed is not None:
        return replace(group, error=failed)
    scores = [float(verdict.score) for verdict in verdicts if verdict.score is not None]
    if not all(math.isfinite(score) for score in scores):
        return replace(group, error="a reward is not a finite number")
    reasons = [verdict.reason for verdict in verdicts]
    return replace(group, rewards=scores, parts=[dict(verdict.parts) for verdict in verdicts], reasons=reasons)
