"""Verdicts by a language model: batched, cached, retried; an error when there is no answer, never a 0."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rewards.cache import Cache, key_of
from rewards.judge.client import Client, JudgeError, JudgeSettings, TokenBucket
from rewards.judge.fences import Language
from rewards.judge.prompts import (
    DIMENSIONS,
    HIGHEST,
    LOWEST,
    Asked,
    comparison,
    points_schema,
    preference_schema,
    question,
    speaks_to_judge,
)
from rewards.registry import Part
from rewards.total import score, weighted
from rewards.verdict import Sample, Verdict

NOT_IN_KEY = ("api_key", "base_url", "concurrency", "requests_per_s", "timeout_s", "retries", "backoff_s", "votes")
"""Settings that do not change an answer and so are not in its key in the cache."""


@dataclass(frozen=True)
class JudgeQuestion:
    """What is asked, in which form the answer must be, and its key in the cache."""

    asked: Asked
    schema: Mapping[str, Any]
    key: str
    seed: int


class JudgeService:
    """A served model that gives points to samples and compares them."""

    def __init__(
        self,
        settings: JudgeSettings,
        cache: Path | None = None,
        language: Language = "zh",
        fallback: Literal["none", "statute"] = "none",
        batch_timeout_s: float = 600.0,
    ) -> None:
        self.settings, self.language, self.fallback = settings, language, fallback
        self.batch_timeout_s = batch_timeout_s
        self.counts: Counter[str] = Counter()
        self._cache = None if cache is None else Cache(cache)
        self._bucket = TokenBucket(settings.requests_per_s)
        self._one_batch = threading.Lock()

    def score(self, samples: Sequence[Sample], parts: Mapping[str, Part]) -> list[Verdict]:
        """The weighted sum of judged rewards, one verdict a sample."""
        by_name = {name: self.verdicts(name, samples) for name in parts}
        return [weighted(parts, {name: by_name[name][i] for name in parts}) for i in range(len(samples))]

    def verdicts(self, name: str, samples: Sequence[Sample]) -> list[Verdict]:
        """Points of one criterion, scaled to [0, 1]; the median where there are votes. ``parts`` holds its dimensions.

        A completion that speaks to its judge gets the fewest points without a question. A sample without an answer to
        most of its votes is an error, or the statute judge's verdict where that is the fallback.
        """
        if name not in HIGHEST:
            raise ValueError(f"the judge has no criterion {name}; it has {', '.join(HIGHEST)}")
        schema = points_schema(name)
        tainted = [speaks_to_judge(sample.completion) for sample in samples]
        asked = [
            [] if bad else [self._question(question(name, sample, self.language), schema, vote) for vote in self._votes]
            for sample, bad in zip(samples, tainted, strict=True)
        ]
        answers = self._answers([q for some in asked for q in some])
        found = []
        for sample, some, bad in zip(samples, asked, tainted, strict=True):
            if bad:
                found.append(Verdict(0.0, reason="the completion speaks to its judge"))
            else:
                found.append(self._verdict(name, sample, [answers[q.key] for q in some]))
        self.counts["verdicts"] += len(found)
        self.counts["errors"] += sum(verdict.error is not None for verdict in found)
        return found

    def prefer(self, sample: Sample, others: Sequence[tuple[str, str]]) -> list[Verdict]:
        """How much better the first of each pair of completions is: 1, 0.5 (tie) or 0.

        Each pair is asked in both orders; where the two answers disagree about the better one, it is a tie.
        """
        schema = preference_schema()
        asked = []
        for first, second in others:
            orders = [comparison(sample, *pair, self.language) for pair in ((first, second), (second, first))]
            asked.append([self._question(order, schema, vote) for vote in self._votes for order in orders])
        answers = self._answers([q for some in asked for q in some])
        found = []
        for some in asked:
            got = [answers[q.key] for q in some]
            failed = next((answer for answer in got if isinstance(answer, str)), None)
            if failed is not None:
                found.append(Verdict.failed(f"judge: {failed}"))
                continue
            worth = {"first": 1.0, "second": 0.0, "tie": 0.5}
            scores = [
                worth[str(answer["better"])] if place % 2 == 0 else 1 - worth[str(answer["better"])]
                for place, answer in enumerate(got)
                if isinstance(answer, dict)
            ]
            mean = statistics.fmean(scores)
            agreed = 1.0 if mean > 0.5 else 0.0 if mean < 0.5 else 0.5
            swayed = len(set(scores)) > 1
            found.append(Verdict(agreed, reason="the order of the two changed the answer" if swayed else ""))
        return found

    def metrics(self) -> dict[str, float]:
        """Counts since the start, and what follows from them."""
        counts, settings = self.counts, self.settings
        asked, verdicts = max(1, counts["asked"]), max(1, counts["verdicts"])
        cost = counts["prompt_tokens"] * settings.price_in + counts["completion_tokens"] * settings.price_out
        return {
            "judge/requests": float(counts["requests"]),
            "judge/retries": float(counts["retries"]),
            "judge/hit_rate": counts["hits"] / asked,
            "judge/error_rate": counts["errors"] / verdicts,
            "judge/fallbacks": float(counts["fallbacks"]),
            "judge/latency_s": counts["latency_ms"] / 1000 / max(1, counts["requests"]),
            "judge/tokens": float(counts["prompt_tokens"] + counts["completion_tokens"]),
            "judge/cost": cost / 1e6,
        }

    def close(self) -> None:
        """Close the cache."""
        if self._cache is not None:
            self._cache.close()

    @property
    def _votes(self) -> range:
        return range(self.settings.votes)

    def _question(self, asked: Asked, schema: Mapping[str, Any], vote: int) -> JudgeQuestion:
        # The marks of a request, which are random, are not in the key.
        settings = {key: value for key, value in asdict(self.settings).items() if key not in NOT_IN_KEY}
        return JudgeQuestion(asked, schema, key_of(settings, asked.prompt.version, asked.texts, schema, vote), vote)

    def _verdict(self, name: str, sample: Sample, answers: list[dict[str, Any] | str]) -> Verdict:
        good = [answer for answer in answers if isinstance(answer, dict)]
        if 2 * len(good) > len(answers):
            low, high = LOWEST[name], HIGHEST[name]
            fields = ("points", *DIMENSIONS.get(name, ()))
            points = {field: statistics.median(float(answer[field]) for answer in good) for field in fields}
            nearest = min(good, key=lambda answer: abs(float(answer["points"]) - points["points"]))
            scores = {field: (found - low) / (high - low) for field, found in points.items()}
            return Verdict(scores.pop("points"), parts=scores, reason=str(nearest["reason"])[:200])
        if self.fallback == "statute" and name == "legal_validity":
            self.counts["fallbacks"] += 1
            found = score(name, sample)
            return (
                found if found.error else Verdict(found.score, reason=f"statute judge in place of it: {found.reason}")
            )
        return Verdict.failed(f"judge: {next(answer for answer in answers if isinstance(answer, str))}")

    def _answers(self, questions: Sequence[JudgeQuestion]) -> dict[str, dict[str, Any] | str]:
        """Answer, or what went wrong, by key. The model is asked each question at most once, and a cached one never."""
        distinct = {q.key: q for q in questions}
        with self._one_batch:
            answers: dict[str, dict[str, Any] | str] = {}
            if self._cache is not None:
                answers |= self._cache.get(list(distinct), lambda key, answer: _fits(answer, distinct[key].schema))
            self.counts["asked"] += len(questions)
            self.counts["hits"] += len(questions) - len(distinct.keys() - answers.keys())
            missing = [q for key, q in distinct.items() if key not in answers]
            if missing:
                answers |= asyncio.run(self._ask(missing))
        return answers

    async def _ask(self, questions: Sequence[JudgeQuestion]) -> dict[str, dict[str, Any] | str]:
        client = Client(self.settings, self._bucket, self.counts)
        answers: dict[str, dict[str, Any] | str] = {
            q.key: f"no answer within {self.batch_timeout_s:g} s of the last for the whole batch" for q in questions
        }
        last = time.monotonic()

        async def one(q: JudgeQuestion) -> None:
            nonlocal last
            try:
                answer = await client.ask(q.asked.text, dict(q.schema), q.seed, q.asked.texts.values())
            except JudgeError as error:
                answers[q.key] = str(error)
                return
            answers[q.key], last = answer, time.monotonic()
            if self._cache is not None:
                self._cache.put(q.key, answer)

        tasks = [asyncio.create_task(one(q)) for q in questions]
        try:
            done, pending = set[asyncio.Task[None]](), set(tasks)
            while pending and (left := last + self.batch_timeout_s - time.monotonic()) > 0:
                done, pending = await asyncio.wait(tasks, timeout=left)
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
            for task in done:
                task.result()
        finally:
            await client.close()
        return answers


def _fits(answer: Mapping[str, Any], schema: Mapping[str, Any]) -> bool:
    """Whether a cached answer has the form that was asked for."""
    from jsonschema.validators import validator_for

    return bool(validator_for(schema)(schema).is_valid(answer))
