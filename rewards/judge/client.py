"""Requests to an OpenAI-compatible server, each tried until it is answered or given up."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import regex

from rewards.judge.connection import connected_async, proxy_note, without_secrets
from rewards.judge.replies import texts_of, usage_of

LONGEST_WAIT_S = 30.0
"""Longest pause between two attempts."""
LONGEST = 1_000_000
"""Characters of an answer that is read."""
MOST_DEEP = 20
"""Most places in a text from which brackets lie within brackets more deeply than Python reads."""

T = TypeVar("T")

_JSON = json.JSONDecoder()
_OPENING = regex.compile(r"\{(?=\s*\")")
_CODE = regex.compile(r"\s*```(?:json)?\s*(.*?)\s*```\s*", regex.DOTALL)


class JudgeError(Exception):
    """No usable answer."""


class Refused(JudgeError):
    """The server refuses this request for what it asks, so that it would refuse it again."""


REFUSALS = (400, 413, 422)
"""Statuses of a refusal: a content filter, a prompt that is too long."""


@dataclass(frozen=True)
class JudgeSettings:
    """How a served model is asked."""

    base_url: str
    model: str
    api_key: str | None = None
    """Sent as bearer token; comes from the environment and is never logged."""
    temperature: float = 0.0
    max_tokens: int = 512
    votes: int = 1
    """Answers for each sample; the median counts."""
    concurrency: int = 16
    """Requests in flight."""
    requests_per_s: float = 0.0
    """Rate limit; 0 is none."""
    timeout_s: float = 60.0
    """Longest wait for one whole answer, however slowly it arrives."""
    retries: int = 4
    """Further attempts after a failed one."""
    backoff_s: float = 0.5
    """First pause before trying again; it doubles each time, with jitter."""
    guided: Literal["json", "choice", "off"] = "json"
    """``json``: the server holds the answer to its JSON schema (OpenAI's response_format); ``choice``: to one of the
    few answers without a reason (vLLM alone; a few tokens, and any model can give them); ``off``: neither."""
    price_in: float = 0.0
    price_out: float = 0.0
    """Price of a million prompt and completion tokens."""


class TokenBucket:
    """At most ``rate`` permits a second, bursts of one second's worth."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._level, self._at = max(1.0, rate), time.monotonic()

    async def take(self) -> None:
        """Wait for a permit."""
        if self.rate <= 0:
            return
        now = time.monotonic()
        self._level = min(max(1.0, self.rate), self._level + (now - self._at) * self.rate)
        self._at = now
        self._level -= 1  # may go below 0: those who come later wait longer
        if self._level < 0:
            await asyncio.sleep(-self._level / self.rate)


class Client:
    """Asks a served model, within limits of rate and concurrency, and counts what happened."""

    def __init__(self, settings: JudgeSettings, bucket: TokenBucket, counts: Counter[str]) -> None:
        self.settings, self.bucket, self.counts = settings, bucket, counts
        # Retries are made here, so that each passes the rate limit and an answer that can't be read is asked for again.
        self.openai = connected_async(settings.base_url, settings.api_key, timeout=settings.timeout_s, max_retries=0)
        self._free = asyncio.Semaphore(settings.concurrency)

    async def ask(
        self, text: Callable[[], str], schema: dict[str, Any], seed: int, material: Collection[str] = ()
    ) -> dict[str, Any]:
        """The answer as a JSON object that fits the schema.

        Args:
            text: makes the text of each attempt.
            schema: form of the answer.
            seed: of the server's sampling.
            material: the texts in it that others wrote, whose objects are never the answer.

        Raises:
            JudgeError: when every attempt failed, or one failed in a way that trying again can't fix.
        """

        async def once(attempt: int) -> dict[str, Any]:
            return fitting(await self._complete(text(), schema, seed + 1000 * attempt), schema, material)

        return await self.attempt(once)

    async def attempt(self, once: Callable[[int], Awaitable[T]]) -> T:
        """What ``once(attempt)`` gives, tried again with growing pauses after a failure that may pass: the network, a
        status of overload, a ValueError about the answer.

        Raises:
            JudgeError: when every attempt failed, or one failed in a way that trying again can't fix.
        """
        import openai

        problem = ""
        for attempt in range(self.settings.retries + 1):
            if attempt:
                self.counts["retries"] += 1
                await asyncio.sleep(self._pause(attempt, problem))
            async with self._free:
                await self.bucket.take()
                self.counts["requests"] += 1
                started = time.monotonic()
                try:
                    async with asyncio.timeout(self.settings.timeout_s):
                        return await once(attempt)
                except TimeoutError:
                    problem = f"no answer within {self.settings.timeout_s:g} s"
                except openai.APIConnectionError as error:
                    why = self._shown(error.__cause__ or error)
                    problem = f"{type(error).__name__}: {why}{proxy_note(self.settings.base_url)}"
                except openai.APIStatusError as error:
                    problem = f"HTTP {error.status_code}: {self._shown(error.message)[:200]}"
                    if error.status_code < 500 and error.status_code not in (408, 409, 425, 429):
                        raise (Refused if error.status_code in REFUSALS else JudgeError)(problem) from None
                    wait = error.response.headers.get("retry-after", "")
                    problem += f" (retry-after {wait})" if wait.replace(".", "", 1).isdigit() else ""
                except (openai.OpenAIError, ValueError) as error:
                    problem = f"{type(error).__name__}: {self._shown(error)[:200]}"
                finally:
                    self.counts["latency_ms"] += round(1000 * (time.monotonic() - started))
                self.counts["failed_requests"] += 1
        raise JudgeError(f"{problem}, after {self.settings.retries + 1} attempts")

    async def _complete(self, text: str, schema: dict[str, Any], seed: int) -> str:
        settings = self.settings
        extra: dict[str, Any] = {}
        if settings.guided == "choice":
            extra["extra_body"] = {"structured_outputs": {"choice": bare_answers(schema)}}
        elif settings.guided == "json":
            extra["response_format"] = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": schema}}
        found = await self.openai.chat.completions.create(
            model=settings.model,
            messages=[{"role": "user", "content": text}],
            temperature=settings.temperature,
            top_p=1.0,  # else the server's own, which may come from the model's folder
            max_tokens=settings.max_tokens,
            seed=seed,
            **extra,
        )
        if used := usage_of(found):
            self.counts["prompt_tokens"] += used[0]
            self.counts["completion_tokens"] += used[1]
        return self._shown(texts_of(found)[0].message.content or "")

    def _shown(self, said: object) -> str:
        return without_secrets(str(said), self.settings.api_key)

    def _pause(self, attempt: int, problem: str) -> float:
        asked = regex.search(r"\(retry-after ([\d.]+)\)$", problem)
        backoff = self.settings.backoff_s * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)
        return min(LONGEST_WAIT_S, max(backoff, float(asked[1]) if asked else 0.0))

    async def close(self) -> None:
        """Close the connections."""
        await self.openai.close()


def bare_answers(schema: dict[str, Any]) -> list[str]:
    """The answers that a schema of enumerated fields allows, without a reason and the same in every field."""
    fields = {name: field["enum"] for name, field in schema["properties"].items() if "enum" in field}
    values = next(iter(fields.values()))
    return [json.dumps({"reason": ""} | dict.fromkeys(fields, value)) for value in values]


def fitting(text: str, schema: dict[str, Any], material: Collection[str] = ()) -> dict[str, Any]:
    """The JSON object of an answer, which may stand alone or, after the reasoning, in prose.

    Objects in the reasoning do not count. Nor does prose that repeats one of the material: it quotes.

    Raises:
        ValueError: if there is none that fits the schema, if there are several and they differ, or if it is too long.
    """
    if len(text) > LONGEST:
        raise ValueError(f"an answer of {len(text):,} characters, more than {LONGEST:,}")
    given = list(_objects(text, schema))
    ends = [match.end() for match in regex.finditer("</think>", text)]
    reasoned = max((end for end in ends if not any(begin < end < stop for begin, stop, _ in given)), default=0)
    answers = [(text[begin:stop], answer) for begin, stop, answer in given if begin >= reasoned]
    code = _CODE.fullmatch(text, reasoned)
    if len(answers) == 1 and answers[0][0] == (code[1] if code else text[reasoned:].strip()):
        return answers[0][1]
    held = [answer for other in material for _, _, answer in _objects(other, schema)]
    own = [answer for _, answer in answers if answer not in held]
    if not own or any(answer != own[0] for answer in own):
        what = "several verdicts" if own else "only a quoted verdict" if answers else "no answer of the asked form"
        raise ValueError(f"{what} in {text[:80]!r}")
    return own[0]


def _objects(text: str, schema: dict[str, Any]) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """(begin, end, value) of the JSON objects in a text that fit a schema, the outer of two.

    Raises:
        ValueError: for a text whose brackets only cost time.
    """
    from jsonschema.validators import validator_for

    validator, deep = validator_for(schema)(schema), 0
    begin = _OPENING.search(text)
    while begin:
        end = begin.start() + 1
        try:
            found, stop = _JSON.raw_decode(text, begin.start())
        except RecursionError:
            deep += 1
            if deep > MOST_DEEP:
                raise ValueError("brackets within brackets without end") from None
        except ValueError:  # no JSON, or a number of thousands of digits
            pass
        else:
            if validator.is_valid(found):
                end = stop
                yield begin.start(), end, found
        begin = _OPENING.search(text, end)
