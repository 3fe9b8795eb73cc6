"""A served model behind the judge's connection, and a cache of answers by what was asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rewards.cache import Cache, key_of
from rewards.judge.client import JudgeSettings
from rl.config.synthesis import TeacherConfig
from rl.errors import UserError
from rl.inference.backend import Answer, Ask, Backend, Messages
from rl.inference.backends.served import ServedBackend, asked_models
from rl.seeds import stable_seed

_ANSWERS = TypeAdapter(list[Answer])


class Cached:
    """A backend whose answers are kept by what was asked, for other runs."""

    def __init__(self, backend: Backend, model: str, cache: Cache) -> None:
        self.backend, self.model, self.cache = backend, model, cache

    def generate(self, asks: Sequence[Ask], done: Callable[[Ask, list[Answer]], None]) -> None:
        """As the backend's; known answers come first."""
        keys = {ask.key: self._key(ask) for ask in asks}
        known = self.cache.get(list(keys.values()), _fits)
        for ask in asks:
            if keys[ask.key] in known:
                done(ask, _ANSWERS.validate_python(known[keys[ask.key]]["answers"]))

        def keep(ask: Ask, answers: list[Answer]) -> None:
            if all(type(answer) is Answer for answer in answers):  # a refusal may be lifted
                self.cache.put(keys[ask.key], {"answers": [asdict(answer) for answer in answers]})
            done(ask, answers)

        missing = [ask for ask in asks if keys[ask.key] not in known]
        if missing:
            self.backend.generate(missing, keep)

    def _key(self, ask: Ask) -> str:
        seed = stable_seed(ask.seed, ask.key)
        return key_of(
            "teacher", self.model, ask.messages, ask.samples, ask.temperature, ask.top_p, ask.max_tokens, seed
        )

    def count_tokens(self, messages: Messages) -> int:
        """As the backend's."""
        return self.backend.count_tokens(messages)

    def close(self) -> None:
        """Close the backend and the cache."""
        self.backend.close()
        self.cache.close()


def _fits(key: str, answer: dict[str, Any]) -> bool:
    try:
        return bool(_ANSWERS.validate_python(answer.get("answers")))
    except ValidationError:
        return False


def connect(config: TeacherConfig, key: str) -> tuple[Backend, str]:
    """(backend, name of the model) of a configured server.

    Args:
        config: the server.
        key: where the configuration has it, such as ``teacher``.

    Raises:
        UserError: if it does not answer, or does not serve the model.
    """
    settings = JudgeSettings(
        base_url=(config.base_url or "").rstrip("/"),
        model=config.model or "",
        api_key=os.environ.get(config.api_key_env),
        concurrency=config.concurrency,
        requests_per_s=config.requests_per_s,
        timeout_s=config.timeout_s,
        retries=config.retries,
    )
    server = f"the {key} at {settings.base_url}"
    found = asked_models(settings, server, config.api_key_env, f"correct {key}.base_url", f"{key}.model=")
    if not config.model and len(found) != 1:
        raise UserError(f"{server} serves {', '.join(found) or 'no model'}; name one: {key}.model=NAME")
    settings = replace(settings, model=config.model or next(iter(found)))
    return ServedBackend(settings, keep_refusals=True), settings.model
