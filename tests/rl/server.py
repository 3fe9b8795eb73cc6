"""The scripted server, as tests of this package know it."""

from tools.scripted_server import Reply, Server

__all__ = ["Reply", "Server"]
