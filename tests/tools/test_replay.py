"""Groups out of the rollout files, as they were trained on."""

import numpy as np
from rich.console import Console

from curricula.prompts import ask
from rl.config.schema import TrackerConfig
from rl.driver.steps import rows
from rl.records.rollouts import read_rows
from rl.records.tracking import Tracker
from rl.samples import Completion, Group, policy_batch
from tools.replay import groups_of


def test_what_is_trained_comes_back_from_a_dump(tmp_path):
    def completion(trained):
        return Completion(np.array([5, 6, 7]), np.array([-1, -2, -3], np.float32), "", "stop", 1, trained)

    groups = [
        Group(
            f"u{i}", ask("t", "q", "a"), [3], [completion(mask) for mask in masks], [1.0, 0.0], [{"accuracy": 1.0}] * 2
        )
        for i, masks in enumerate([(np.array([True, False, True]), None), (None, None)])
    ]
    tracker = Tracker(tmp_path, TrackerConfig(wandb="disabled", progress=False), Console())
    for step, dumped in enumerate((groups, groups[1:])):
        tracker.dump_groups("rl", step, [row for group in dumped for row in rows(group, 0)])
        tracker.wait()
        (found,) = groups_of(read_rows(tmp_path, "rl", step))
        assert [one.uid for one in found] == [one.uid for one in dumped]
        left, right = policy_batch(found, 1.0), policy_batch(dumped, 1.0)
        assert left.loss_mask.tolist() == right.loss_mask.tolist() and left.num_targets == right.num_targets
    assert found[0].completions[0].trained is None
