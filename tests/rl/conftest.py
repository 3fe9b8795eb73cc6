"""What tests of the training system share."""

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def _quiet_ranks() -> Iterator[None]:
    """What a module has left of ranks with many threads does not take time from the tests of others."""
    yield
    if ranks := sys.modules.get("tests.rl.ranks"):  # most modules use none, and no torch
        ranks.end_ranks(ranks.FEW_THREADS)
