"""The policy in training as a backend: its rollout actors complete conversations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from cluster.errors import Away, Lost
from cluster.health import Supervised
from curricula.prompts import Prompt
from rl.config.stages import SamplingConfig
from rl.data.tokens import encode_prompts
from rl.driver.calls import complete
from rl.errors import UserError
from rl.inference.backend import Answer, Ask, Messages, SampledAnswer
from rl.inference.backends.merged import merged
from rl.inference.thinking import parted
from rl.models.chat import opens_thinking, render_prompt
from rl.samples import Completion
from rl.seeds import stable_seed

RETURN_S = 1.0
"""How often it is looked whether an actor has come back, where all are away (seconds)."""


class PolicyBackend:
    """Answers by the rollout actors of a run, with the policy's current weights.

    The actors take the asks in turn. An actor draws all of its sampled answers from one seed, so a sampled answer
    depends on what else is asked; a greedy one doesn't, except for rounding.
    """

    def __init__(
        self,
        actors: Sequence[Supervised],
        tokenizer: Any,
        sampling: SamplingConfig,
        name: str,
        max_length: int,
        timeout_s: float,
        tokens: bool = False,
        before: Callable[[], None] = lambda: None,
        after: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Args:
            actors: the rollout actors.
            tokenizer: the policy's, bound to the arguments of its chat template.
            sampling: sets what an ask does not: ``top_k`` and ``min_tokens``.
            name: the stage that asks; seeds depend on it.
            max_length: longest prompt and answer together (tokens).
            timeout_s: longest silence of an actor (seconds).
            tokens: whether answers are :class:`SampledAnswer`, with their tokens.
            before: called before the actors are asked; brings them to the policy's weights.
            after: called when all asks are answered; frees a shared GPU.
        """
        self.actors, self.tokenizer, self.sampling, self.name = actors, tokenizer, sampling, name
        self.max_length, self.timeout_s, self.tokens = max_length, timeout_s, tokens
        self.before, self.after = before, after

    def generate(self, asks: Sequence[Ask], done: Callable[[Ask, list[Answer]], None]) -> None:
        """Complete all; asks with different sampling are completed one after the other.

        Raises:
            UserError: if a prompt leaves no room for an answer, or a fresh actor does not answer.
            Lost: if an actor was lost too often, or Ray itself was.
        """
        prompts = self._encoded(asks)
        self.before()
        for _, alike in groupby(sorted(asks, key=_drawn), _drawn):
            self._complete(list(alike), prompts, done)
        self.after()

    def count_tokens(self, messages: Messages) -> int:
        """Tokens of the prompt."""
        return len(render_prompt(self.tokenizer, _turns(messages)))

    def close(self) -> None:
        """Do nothing: the actors belong to the run."""

    def _encoded(self, asks: Sequence[Ask]) -> dict[str, list[int]]:
        given = [Prompt(self.name, _turns(ask.messages), "", where=ask.key) for ask in asks]
        prompts = {ask.key: ids.tolist() for ask, ids in zip(asks, encode_prompts(self.tokenizer, given), strict=True)}
        for key, ids in prompts.items():
            if len(ids) >= self.max_length:
                raise UserError(
                    f"stage {self.name}: {key} has {len(ids)} tokens, and the model takes {self.max_length} with the "
                    f"answer; raise model.max_length or leave the question out"
                )
        return prompts

    def _complete(
        self, asks: Sequence[Ask], prompts: Mapping[str, list[int]], done: Callable[[Ask, list[Answer]], None]
    ) -> None:
        """Complete asks of the same sampling, each actor driven by a thread. What an actor that goes away has not
        completed is asked of the others."""
        left = {ask.key: ask for ask in asks}
        while left:
            there = [place for place, actor in enumerate(self.actors) if not actor.away]
            rest = list(left.values())
            shares = {place: rest[turn :: len(there)] for turn, place in enumerate(there[: len(rest)])}
            for found in merged([self._parts(place, share, prompts) for place, share in shares.items()]):
                for ask, completions in found:
                    done(ask, [self._answer(prompts[ask.key], one) for one in completions])
                    del left[ask.key]
            if not there:
                time.sleep(RETURN_S)

    def _parts(
        self, place: int, share: Sequence[Ask], prompts: Mapping[str, list[int]]
    ) -> Iterator[list[tuple[Ask, list[Completion]]]]:
        """What one actor completes of its share, part by part; nothing more once it is away."""
        first = share[0]
        asked = {"temperature": first.temperature, "top_p": first.top_p, "max_tokens": first.max_tokens}
        sampling = self.sampling.model_copy(update=asked)
        seed = stable_seed(first.seed, self.name, place)
        ids = [prompts[ask.key] for ask in share]
        try:
            for part in complete(self.actors[place], ids, sampling, seed, self.timeout_s, first.samples):
                yield [(share[number], completions) for number, completions in part]
        except Away:
            return
        except Lost:
            raise
        except (RuntimeError, TimeoutError) as problem:
            raise UserError(f"stage {self.name}: {problem}; run the same command again to go on") from problem

    def _answer(self, prompt: Sequence[int], completion: Completion) -> Answer:
        thinking, text = parted(completion.text, opens_thinking(self.tokenizer, prompt))
        ids = completion.token_ids.tolist()
        cut = completion.finish_reason == "length"
        if self.tokens:
            return SampledAnswer(text, thinking, len(ids), len(prompt), cut, ids, completion.log_probs.tolist())
        return Answer(text, thinking, len(ids), len(prompt), cut)


def _drawn(ask: Ask) -> tuple[float, ...]:
    """What is equal in asks that are completed together."""
    return ask.temperature, ask.top_p, ask.max_tokens, ask.samples, ask.seed


def _turns(messages: Messages) -> tuple[dict[str, str], ...]:
    return tuple({"role": role, "content": content} for role, content in messages)
