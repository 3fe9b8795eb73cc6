"""Errors of the cluster."""


class ClusterError(Exception):
    """Ray can't be started or can't give what is needed. The message says why and how to fix it."""
