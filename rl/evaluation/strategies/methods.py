"""The strategies: zero-shot chain of thought, best of n, majority vote, and Assessor and Reviser in rounds.

Each phase is one call over all questions, so that engines stay full. Best of n, majority vote and the rounds start from
the same n chains; each is charged for them in full.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rl.evaluation.asking import TooLong, fitted
from rl.evaluation.benchmark import Question
from rl.evaluation.strategies.asked import assessment_of, to_assess, to_revise, with_reasoning
from rl.evaluation.strategies.majority import majority
from rl.evaluation.strategies.outcome import OutcomeModel, best, better
from rl.inference.backend import Answer, Ask, Backend
from rl.inference.thinking import prediction


@dataclass(frozen=True)
class StrategySettings:
    """Settings of the strategies. The paper leaves n and the threshold open."""

    chains: int = 8
    """Chains sampled for each question (the paper's n)."""
    temperature: float = 0.9
    top_p: float = 1.0
    max_tokens: int = 1024
    """Of a chain."""
    assess_tokens: int = 512
    """Of an assessment."""
    threshold: float = 0.8
    """A chain is revised if its steps score less on average, in [0, 1]."""
    rounds: int = 3
    seed: int = 0
    reasoning: bool = True
    """Whether the prompt asks the policy to reason first; not for a policy that was trained on bare questions."""


@dataclass(frozen=True)
class Model:
    """A backend and its limit of tokens."""

    backend: Backend
    max_length: int | None


@dataclass
class Chain:
    """One line of reasoning on its way through the rounds."""

    question: int
    """Place of its question."""
    sample: int
    answer: Answer
    outcome: float | None = None
    """By the outcome reward model."""
    assessed: float | None = None
    """Mean score of its steps; None before it is assessed, or if the assessment can't be read."""
    feedback: str = ""
    stale: bool = True
    """Whether its text is newer than its assessment."""


@dataclass(frozen=True)
class Result:
    """The answers of a strategy."""

    name: str
    predictions: list[str]
    """One a question, in order."""
    tokens: float
    """Completion tokens a question, on average, of all models together."""
    prompt_tokens: float
    """Prompt tokens a question, on average; a prompt that samples share counts once."""
    counts: dict[str, int] = field(default_factory=dict)
    """Number of chains that were revised, improved, or without a readable assessment."""


class Strategies:
    """The strategies on one set of questions."""

    def __init__(
        self,
        questions: Sequence[tuple[str, Question]],
        kinds: Sequence[str],
        policy: Model,
        helper: Model,
        outcome: OutcomeModel,
        settings: StrategySettings,
    ) -> None:
        """``questions`` are pairs of a unique key and a question, ``kinds`` say how answers are compared; ``helper`` is
        Assessor and Reviser."""
        self.questions, self.kinds, self.settings = list(questions), list(kinds), settings
        self.policy, self.helper, self.outcome = policy, helper, outcome
        self.records: list[dict[str, Any]] = []
        """Every chain after every round."""
        self._chains: list[list[Chain]] | None = None
        self._spent: Counter[str] = Counter()

    def chain_of_thought(self) -> Result:
        """One greedy answer to each question."""
        asked = {key: self._asked(question) for key, question in self.questions}
        spent: Counter[str] = Counter()
        found = self._ask(self.policy, "cot", asked, self.settings.max_tokens, spent)
        texts = [found[key][0].text if key in found else "" for key, _ in self.questions]
        return self._result("zero-shot CoT", [prediction(text) for text in texts], spent)

    def best_of_n(self) -> Result:
        """Of n chains the one with the best score by the outcome reward model."""
        chains = self._sampled()
        self._judge([chain for some in chains for chain in some])
        chosen = [some[best([chain.outcome for chain in some])].answer.text if some else "" for some in chains]
        return self._result("best of n", [prediction(text) for text in chosen], self._spent)

    def majority_vote(self) -> Result:
        """The most frequent content of n chains."""
        return self._result("majority", self._voted(self._sampled()), self._spent)

    def rounds(self) -> list[Result]:
        """Assess, revise what is below the threshold, keep the better, for each round; then the majority vote."""
        chains = [[replace(chain) for chain in some] for some in self._sampled()]
        every = [chain for some in chains for chain in some]
        self._judge(every)
        spent, found = Counter(self._spent), []
        self._record(0, every)
        for number in range(1, self.settings.rounds + 1):
            counts = self._assess(number, [chain for chain in every if chain.stale], spent)
            weak = [c for c in every if c.assessed is not None and c.assessed < self.settings.threshold]
            counts = counts | self._revise(number, weak, spent)
            self._record(number, every)
            found.append(self._result(f"iterative, round {number}", self._voted(chains), spent, counts))
        return found

    def _asked(self, question: Question) -> Question:
        return with_reasoning(question) if self.settings.reasoning else question

    def _sampled(self) -> list[list[Chain]]:
        """The n chains of each question; none where it is too long."""
        if self._chains is None:
            settings = self.settings
            asked = {key: self._asked(question) for key, question in self.questions}
            found = self._ask(
                self.policy, "samples", asked, settings.max_tokens, self._spent, settings.temperature, settings.chains
            )
            self._chains = [
                [Chain(place, sample, answer) for sample, answer in enumerate(found.get(key, []))]
                for place, (key, _) in enumerate(self.questions)
            ]
        return self._chains

    def _judge(self, chains: Sequence[Chain]) -> None:
        new = [chain for chain in chains if chain.outcome is None]
        scores = self.outcome.scores([(self.questions[chain.question][1], chain.answer) for chain in new])
        for chain, found in zip(new, scores, strict=True):
            chain.outcome = found

    def _assess(self, number: int, chains: Sequence[Chain], spent: Counter[str]) -> dict[str, int]:
        by_key = {self._key(chain): chain for chain in chains}
        asked = {key: to_assess(self.questions[chain.question][1], chain.answer) for key, chain in by_key.items()}
        found = self._ask(self.helper, f"assess-{number}", asked, self.settings.assess_tokens, spent)
        for key, chain in by_key.items():
            read = assessment_of(found[key][0]) if key in found else None
            chain.stale = False
            chain.assessed, chain.feedback = read if read is not None else (None, "")
        return {"assessed": len(chains), "unreadable": sum(chain.assessed is None for chain in chains)}

    def _revise(self, number: int, chains: Sequence[Chain], spent: Counter[str]) -> dict[str, int]:
        by_key = {self._key(chain): chain for chain in chains}
        asked = {
            key: to_revise(self.questions[chain.question][1], chain.answer, chain.feedback)
            for key, chain in by_key.items()
        }
        settings = self.settings
        found = self._ask(
            self.helper, f"revise-{number}", asked, settings.max_tokens, spent, settings.temperature, seed=number
        )
        refined = [
            (by_key[key], Chain(by_key[key].question, by_key[key].sample, answers[0])) for key, answers in found.items()
        ]
        self._judge([new for _, new in refined])
        improved = 0
        for chain, new in refined:
            if better(new.outcome, chain.outcome):
                chain.answer, chain.outcome, chain.stale = new.answer, new.outcome, True
                improved += 1
        return {"revised": len(refined), "improved": improved}

    def _ask(
        self,
        model: Model,
        phase: str,
        asked: dict[str, Question],
        max_tokens: int,
        spent: Counter[str],
        temperature: float = 0.0,
        samples: int = 1,
        seed: int = 0,
    ) -> dict[str, list[Answer]]:
        """Answers by key in one call of the backend; questions that are too long have none."""
        asks = []
        for key, question in asked.items():
            try:
                messages, _ = fitted(question, model.backend.count_tokens, model.max_length, max_tokens)
            except TooLong:
                spent["too_long"] += 1
                continue
            top_p = self.settings.top_p if temperature else 1.0
            seed_of_phase = self.settings.seed + seed
            asks.append(Ask(f"{phase}/{key}", messages, samples, temperature, max_tokens, top_p, seed_of_phase))
        found: dict[str, list[Answer]] = {}

        def keep(ask: Ask, answers: list[Answer]) -> None:
            found[ask.key.partition("/")[2]] = answers
            spent["completion"] += sum(answer.completion_tokens for answer in answers)
            spent["prompt"] += answers[0].prompt_tokens

        model.backend.generate(asks, keep)
        return {key: found[key] for key in asked if key in found}

    def _key(self, chain: Chain) -> str:
        return f"{self.questions[chain.question][0]}/{chain.sample}"

    def _voted(self, chains: Sequence[Sequence[Chain]]) -> list[str]:
        found = []
        for some, kind in zip(chains, self.kinds, strict=True):
            texts = [prediction(chain.answer.text) for chain in some]
            found.append(texts[majority(texts, kind)] if texts else "")
        return found

    def _record(self, number: int, chains: Sequence[Chain]) -> None:
        for chain in chains:
            self.records.append(
                {
                    "round": number,
                    "question": self.questions[chain.question][0],
                    "sample": chain.sample,
                    "thinking": chain.answer.thinking,
                    "answer": chain.answer.text,
                    "outcome": chain.outcome,
                    "assessed": chain.assessed,
                    "feedback": chain.feedback,
                }
            )

    def _result(
        self, name: str, predictions: list[str], spent: Counter[str], counts: dict[str, int] | None = None
    ) -> Result:
        count = max(1, len(self.questions))
        further = dict(counts or {}) | ({"too_long": spent["too_long"]} if spent["too_long"] else {})
        return Result(name, predictions, spent["completion"] / count, spent["prompt"] / count, further)
