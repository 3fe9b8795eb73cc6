"""Errors of the cluster."""


class ClusterError(Exception):
    """Ray can't be started or can't give what is needed. The message says why and how to fix it."""


class Away(RuntimeError):
    """An actor was lost together with its place. It comes back when there is a place; until then others do its work."""


class Lost(RuntimeError):
    """Something that a run can't go on without was lost: Ray itself, or an actor more often than it may be replaced.
    The same command goes on from what was saved."""

    def __init__(self, who: str, why: str) -> None:
        super().__init__(f"{who} {why}")
        self.who, self.why = who, why
        """What was lost, and what happened to it."""

    @property
    def sentence(self) -> str:
        """For whom the run was."""
        return f"{str(self).rstrip('.')}. The same command goes on from what was saved"
