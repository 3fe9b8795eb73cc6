"""What the page may use, as the command line says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PageSettings:
    """Folders and servers of the page; nothing beyond them is read, written or asked with a key."""

    runs: Path
    """Holds the evaluations; new ones and the votes are written there."""
    models: Path | None = None
    """Holds the models that may be evaluated."""
    root: Path | None = None
    """Holds the data of the benchmarks."""
    servers: tuple[str, ...] = ()
    """Addresses of servers that are sent the key of the environment."""

    @property
    def votes(self) -> Path:
        """File of the votes."""
        return self.runs / "votes.sqlite"
