"""How far generation is: a bar in a terminal, elsewhere a line now and then."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from rl.inference.backend import Answer, Ask, Backend, Messages
from rl.language import Lang, sayer

LINE_S = 30.0
"""Time between two lines (seconds)."""


class Pace:
    """What is done of a known number of things, tokens a second, cost so far, time left; for a ``with`` block.

    In a terminal it is a bar. Elsewhere it is a line at most every ``line_s`` seconds, with the speed since the last.
    """

    def __init__(
        self,
        console: Console,
        title: str,
        total: int,
        cost: Callable[[], float] = lambda: 0.0,
        line_s: float = LINE_S,
        lang: Lang = "en",
    ) -> None:
        """``cost`` gives the money that was spent so far."""
        t = self.say = sayer(lang)
        self.console, self.title, self.total, self.cost, self.line_s = console, title, total, cost, line_s
        self.done = self.tokens = 0
        self._started = self._last = time.monotonic()
        self._before = (0, 0)
        self._terminal = console.is_terminal
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"),
            TimeElapsedColumn(), TextColumn(t("left")), TimeRemainingColumn(), console=console,
            disable=not self._terminal,
        )  # fmt: skip
        self._row = self._bar.add_task(title, total=total, speed="")

    def __enter__(self) -> Pace:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def advance(self, done: int = 1, tokens: int = 0) -> None:
        """Note things that are done, and tokens that were generated."""
        self.done, self.tokens = self.done + done, self.tokens + tokens
        now = time.monotonic()
        if self._terminal:
            parts = self._parts(self.tokens / max(1e-9, now - self._started))
            self._bar.update(self._row, advance=done, speed=" · ".join(parts))
        elif now - self._last >= self.line_s:
            self._line(now - self._last)
            self._last, self._before = now, (self.done, self.tokens)

    def _line(self, seconds: float) -> None:
        done, tokens = self.done - self._before[0], self.tokens - self._before[1]
        t = self.say
        now = t("{title}: {done:,} of {total:,}", title=self.title, done=self.done, total=self.total)
        parts = [now, *self._parts(tokens / seconds)]
        if done:
            left = datetime.timedelta(seconds=round((self.total - self.done) * seconds / done))
            parts.append(t("{time} left", time=left))
        self.console.print(" · ".join(parts), highlight=False)

    def _parts(self, speed: float) -> list[str]:
        spent, t = self.cost(), self.say
        speeds = [t("{speed:,.0f} tokens/s", speed=speed)] * (self.tokens > 0)
        return speeds + [t("cost {spent:,.2f}", spent=spent)] * (spent > 0)


class Metered:
    """A backend that counts what it generates, and shows how far it is."""

    def __init__(self, backend: Backend, console: Console, lang: Lang = "en") -> None:
        self.backend, self.console, self.lang = backend, console, lang
        self.title = "generating"
        """Title of the bar."""
        self.pace: Pace | None = None
        """What several calls advance together, with tokens alone; None is a bar for each call."""
        self.answered = self.tokens = 0
        """Asks answered, and tokens of their completions."""
        self.seconds = 0.0

    def generate(self, asks: Sequence[Ask], done: Callable[[Ask, list[Answer]], None]) -> None:
        """As the backend's."""
        if self.pace is not None:
            self._generate(asks, done, self.pace, 0)
        else:
            with Pace(self.console, self.title, len(asks), lang=self.lang) as pace:
                self._generate(asks, done, pace, 1)

    def _generate(self, asks: Sequence[Ask], done: Callable[[Ask, list[Answer]], None], pace: Pace, each: int) -> None:
        started = time.monotonic()

        def counted(ask: Ask, answers: list[Answer]) -> None:
            self.answered += 1
            tokens = sum(answer.completion_tokens for answer in answers)
            self.tokens += tokens
            pace.advance(each, tokens)
            done(ask, answers)

        try:
            self.backend.generate(asks, counted)
        finally:
            self.seconds += time.monotonic() - started

    def count_tokens(self, messages: Messages) -> int:
        """As the backend's."""
        return self.backend.count_tokens(messages)

    def close(self) -> None:
        """Close the backend."""
        self.backend.close()
