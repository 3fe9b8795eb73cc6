"""What tests of the driver share."""

import pytest


@pytest.fixture
def slow_actor(actor):
    """The shared rollout actor with a tenth of a second before every step."""
    actor.call("slow_down", 0.1, timeout_s=60)
    yield actor
    actor.call("slow_down", 0.0, timeout_s=60)
