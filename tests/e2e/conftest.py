"""What tests of whole runs share."""

import pytest

from tests.e2e.canaries import CANARIES
from tests.e2e.runs import finish


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory):
    """An unbroken run that others are compared with: its folder, and what it printed."""
    run_dir = tmp_path_factory.mktemp("unbroken") / "run"
    printed = finish(run_dir, "rollout.verify_sync=true", "tracker.wandb=offline", given=CANARIES)
    return run_dir, printed
