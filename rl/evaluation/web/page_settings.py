"""Folders and servers that the page may use, and its language, from the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rl.language import Lang, sayer


@dataclass(frozen=True)
class PageSettings:
    """Folders and servers of the page. It reads and writes only there, and sends a key only to these servers."""

    runs: Path
    """Folder of the evaluations; new ones and the votes are written there."""
    models: Path | None = None
    """Folder of the models that may be evaluated."""
    root: Path | None = None
    """Folder of the benchmarks' data."""
    servers: tuple[str, ...] = ()
    """Addresses of servers that get the key from the environment."""
    lang: Lang = "en"
    """Language of the page."""

    @property
    def votes(self) -> Path:
        """File of the votes."""
        return self.runs / "votes.sqlite"

    @property
    def t(self) -> Callable[..., str]:
        """Says a text in the page's language, see :func:`rl.language.say`."""
        return sayer(self.lang)
