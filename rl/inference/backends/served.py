"""An OpenAI-compatible server. Many questions are asked at once; each is retried until it is answered or given up."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import regex

from rewards.judge.client import Client, JudgeError, JudgeSettings, Refused, TokenBucket
from rewards.judge.connection import ProxyError, connected, proxy_note, without_secrets
from rewards.judge.replies import texts_of, usage_of
from rl.errors import UserError
from rl.inference.backend import KEY_ENV, Answer, Ask, Messages, RefusedAnswer
from rl.inference.thinking import parted
from rl.seeds import stable_seed

MOST_FAILED = 8
"""After so many failed questions no further one is asked: the questions are not the cause."""
PER_MESSAGE = 8
"""Estimated tokens that a chat template adds to a message."""
NEUTRAL = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
"""Fields that switch off what the model's generation_config.json may switch on."""
TAKES_NEUTRAL = ("vllm", "sglang")
"""Names that servers which accept these fields give themselves."""

_WORD = regex.compile(r"[\p{Latin}\d]+")


class ServedBackend:
    """Answers with a model on a server."""

    def __init__(
        self,
        settings: JudgeSettings,
        tokenizer: str | None = None,
        max_length: int | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        keep_refusals: bool = False,
    ) -> None:
        """Ask the server for its models.

        Args:
            settings: the server's address and limits; temperature and lengths come from each ask instead.
            tokenizer: folder of the served model's tokenizer, for exact token counts.
            max_length: longest prompt and completion together (tokens); None asks the server.
            chat_template_kwargs: variables of the chat template; vLLM and SGLang accept them.
            keep_refusals: answer a question that the server refuses with a RefusedAnswer, instead of failing.

        Raises:
            UserError: if it does not answer, refuses the key or does not serve the model.
        """
        self.settings, self.keep_refusals = settings, keep_refusals
        self.chat = None
        if tokenizer is not None:
            from rl.inference.backends.conversation import Chat

            self.chat = Chat(tokenizer, arguments=chat_template_kwargs)
        served = served_model(settings)
        self.extra: dict[str, Any] = dict(NEUTRAL) if getattr(served, "owned_by", None) in TAKES_NEUTRAL else {}
        """Fields of a request beyond OpenAI's."""
        if chat_template_kwargs:
            self.extra["chat_template_kwargs"] = dict(chat_template_kwargs)
        self.max_length: int | None = max_length or getattr(served, "max_model_len", None)
        """Longest prompt and completion together (tokens); None where the server doesn't say."""

    def generate(self, asks: Sequence[Ask], done: Callable[[Ask, list[Answer]], None]) -> None:
        """Complete all, ``settings.concurrency`` at a time."""
        failed = asyncio.run(self._all(asks, done))
        if failed:
            key, problem = failed[0]
            server = without_secrets(self.settings.base_url)
            raise UserError(
                f"{len(failed)} of {len(asks)} questions have no answer from {server}; {key}: "
                f"{problem}. Fix that and run the same command again; it asks only what is missing"
            )

    async def _all(self, asks: Sequence[Ask], done: Callable[[Ask, list[Answer]], None]) -> list[tuple[str, str]]:
        client = Client(self.settings, TokenBucket(self.settings.requests_per_s), Counter())
        failed: list[tuple[str, str]] = []
        waiting = list(reversed(asks))

        async def work() -> None:
            while waiting and len(failed) < MOST_FAILED:
                ask = waiting.pop()
                try:
                    answers = await client.attempt(partial(self._complete, client, ask))
                except JudgeError as error:
                    if self.keep_refusals and isinstance(error, Refused):
                        done(ask, [RefusedAnswer("", refused=str(error))] * ask.samples)
                        continue
                    failed.append((ask.key, str(error)))
                    continue
                done(ask, answers)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.settings.concurrency, len(asks))):
                    group.create_task(work())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            await client.close()
        return failed + [(ask.key, "not asked") for ask in reversed(waiting)]

    async def _complete(self, client: Client, ask: Ask, attempt: int) -> list[Answer]:
        found: Any = await client.openai.chat.completions.create(
            model=self.settings.model,
            messages=[{"role": role, "content": content} for role, content in ask.messages],  # type: ignore[misc]
            n=ask.samples,
            temperature=ask.temperature,
            top_p=ask.top_p,
            max_tokens=ask.max_tokens,
            seed=stable_seed(ask.seed, ask.key) + attempt,
            extra_body=self.extra or None,
        )
        choices, used = texts_of(found, ask.samples), usage_of(found)
        opened = self.chat is not None and self._opens(ask.messages)
        prompt = used[0] if used else self.count_tokens(ask.messages)
        # The server counts the tokens of all samples together.
        written = used[1] if used and ask.samples == 1 else None
        return [self._answer(choice, opened, prompt, written) for choice in choices]

    def _answer(self, choice: Any, opened: bool, prompt: int, written: int | None) -> Answer:
        message = choice.message
        text = message.content or ""
        # Servers that separate thinking and answer use one of these names for the thinking.
        apart = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
        thinking, answer = (str(apart).strip(), text.strip()) if apart else parted(text, opened)
        tokens = estimate(f"{apart or ''}{text}") if written is None else written
        return Answer(answer, thinking, tokens, prompt, getattr(choice, "finish_reason", None) == "length")

    def _opens(self, messages: Messages) -> bool:
        from rl.models.chat import opens_thinking

        assert self.chat is not None
        return opens_thinking(self.chat.tokenizer, self.chat.encode(messages))

    def count_tokens(self, messages: Messages) -> int:
        """Tokens of the prompt: exact with a tokenizer, else an estimate that tends to be too high."""
        if self.chat is not None:
            return len(self.chat.encode(messages))
        return sum(estimate(content) + PER_MESSAGE for _, content in messages)

    def close(self) -> None:
        """Nothing is held between calls."""


def estimate(text: str) -> int:
    """Estimated tokens of a text: one per Chinese character or mark, one per three Latin letters or digits."""
    words = _WORD.findall(text)
    letters = sum(map(len, words))
    return len(text) - letters + sum(-(-len(word) // 3) for word in words)


def settings_of(
    url: str, model: str, key_env: str = KEY_ENV, concurrency: int = 16, timeout_s: float = 600.0, retries: int = 4
) -> JudgeSettings:
    """Settings of a server, with its key from the environment."""
    return JudgeSettings(
        base_url=url.rstrip("/"),
        model=model,
        api_key=os.environ.get(key_env),
        concurrency=concurrency,
        timeout_s=timeout_s,
        retries=retries,
    )


def served_model(settings: JudgeSettings) -> Any:
    """What the server reports about ``settings.model``. Raises like :func:`served_models`."""
    return _asked(settings)[settings.model]


def served_models(settings: JudgeSettings) -> dict[str, int | None]:
    """Longest length of each served model (tokens; None where the server doesn't say).

    Raises:
        UserError: if the server does not answer, refuses the key or does not serve ``settings.model``.
    """
    return {name: getattr(model, "max_model_len", None) for name, model in _asked(settings).items()}


def _asked(settings: JudgeSettings) -> dict[str, Any]:
    return asked_models(settings, f"the server at {settings.base_url}", KEY_ENV, "correct --server")


def asked_models(settings: JudgeSettings, server: str, key_env: str, otherwise: str, key: str = "") -> dict[str, Any]:
    """What a server reports about each of its models, by name. Raises like :func:`served_models`.

    A setting without a model takes any server.
    In error messages ``server`` is its name, ``otherwise`` what else the user can do, ``key`` the model's setting.
    """
    import openai

    server = without_secrets(server)
    try:
        with connected(settings.base_url, settings.api_key, timeout=10, max_retries=1) as client:
            found = {model.id: model for model in client.models.list()}
    except openai.AuthenticationError:
        raise UserError(f"{server} refused the key; set it in {key_env}") from None
    except ProxyError as error:
        raise UserError(f"{server} can't be asked: {error}") from None
    except (openai.OpenAIError, ValueError) as error:
        why = without_secrets(f"{error} {error.__cause__ or ''}".strip(), settings.api_key)
        raise UserError(
            f"{server} does not answer: {why}{proxy_note(settings.base_url)}; start it, or {otherwise}"
        ) from None
    if settings.model and settings.model not in found:
        raise UserError(f"{server} serves {', '.join(found)} and not {key}{settings.model}")
    return found
