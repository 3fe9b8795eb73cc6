"""Commands around a run: ``python -m tools.NAME``."""

from curricula.command import tolerate_encoding

tolerate_encoding()
