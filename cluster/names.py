"""Names of a run's actors on a Ray that other runs use, too."""

from __future__ import annotations

import secrets
from pathlib import Path


class Names:
    """One start of a run, in a Ray namespace of its own: it meets neither another run's actors nor what is left of its
    own that was killed."""

    def __init__(self, folder: Path) -> None:
        self.run = folder.resolve().name
        """The name of the run folder, by which people know the run."""
        self.namespace = f"{self.run}-{secrets.token_hex(4)}"

    def options(self, name: str) -> dict[str, str]:
        """Ray's options for the actor that messages of the run call ``name``. Ray's dashboard shows it with its folder,
        such as ``legal-nano-seed0/trainer/0``."""
        return {"name": f"{self.run}/{name}", "namespace": self.namespace}


def name_in_run(name: str) -> str:
    """What messages of the run call an actor, by its name on Ray."""
    return name.partition("/")[2]
