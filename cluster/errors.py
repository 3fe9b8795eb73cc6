"""Errors of the cluster."""


class ClusterError(Exception):
    """Ray can't be started or can't give what is asked. The message says why and how to mend it."""
