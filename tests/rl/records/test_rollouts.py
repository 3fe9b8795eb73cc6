import json
from dataclasses import replace

import numpy as np
from rich.console import Console

from curricula.prompts import ask
from rl.config.schema import TrackerConfig
from rl.driver.steps import rows
from rl.records.rollouts import read_rows
from rl.records.tracking import Tracker
from rl.samples import Completion, Group

META = {"来源": "题库", "verdicts": [{"by": "甲", "score": 0.5}, True], "empty": {}}


def dumped(run_dir, *metas):
    """The rows of one completion for each meta, read back from a run's folder."""
    done = Completion(np.array([5, 6]), np.array([-0.1, -0.2], np.float32), "<answer>乙</answer>", "stop", 3)
    groups = [
        Group(f"g-{n}", replace(ask("age", f"第{n}问？", "乙"), meta=meta), [1], [done], [1.0], [{"accuracy": 1.0}])
        for n, meta in enumerate(metas)
    ]
    tracker = Tracker(run_dir, TrackerConfig(progress=False), Console())
    tracker.dump_groups("s", 0, [row for group in groups for row in rows(group, 0)])
    tracker.wait()
    return read_rows(run_dir, "s", 0)


def test_meta_is_all_that_meta_changes_in_a_rollout_file(tmp_path):
    with_meta = dumped(tmp_path / "with", META, {}, {"licence": 1})
    without = dumped(tmp_path / "without", {}, {}, {})
    assert [row["meta"] for row in with_meta] == [META, {}, {"licence": 1}]
    assert [row["meta"] for row in without] == [{}, {}, {}]
    assert json.dumps([{**row, "meta": {}} for row in with_meta]) == json.dumps(without)
