"""Commands around a run: ``python -m tools.NAME``."""

from cluster.output import tolerate_encoding

tolerate_encoding()
