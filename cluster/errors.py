"""Errors of the cluster."""


class ClusterError(Exception):
    """Ray can't be started or can't give what is needed. The message says why and how to fix it."""


class Lost(RuntimeError):
    """Something that a run can't go on without was lost: Ray itself, or an actor more often than it may be replaced.
    The message says what. The same command goes on from what was saved."""
