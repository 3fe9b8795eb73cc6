"""A progress bar of generation: answered questions, tokens per second, time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from rl.inference.backend import Answer, Ask, Backend, Messages


class Metered:
    """A backend that counts what it generates, and shows it if the output is a terminal."""

    def __init__(self, backend: Backend, console: Console) -> None:
        self.backend, self.console = backend, console
        self.title = "generating"
        """Title of the bar."""
        self.answered = self.tokens = 0
        """Asks answered, and tokens of their completions."""
        self.seconds = 0.0

    def generate(self, asks: Sequence[Ask], done: Callable[[Ask, list[Answer]], None]) -> None:
        """As the backend's."""
        started, before = time.monotonic(), self.tokens
        with Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=self.console,
            disable=not self.console.is_terminal,
        ) as progress:  # fmt: skip
            row = progress.add_task(self.title, total=len(asks), speed="")

            def counted(ask: Ask, answers: list[Answer]) -> None:
                self.answered += 1
                self.tokens += sum(answer.completion_tokens for answer in answers)
                speed = (self.tokens - before) / max(1e-9, time.monotonic() - started)
                progress.update(row, advance=1, speed=f"{speed:,.0f} tokens/s")
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
