"""What a run sends to W&B and metrics.jsonl, and that a resume sends nothing twice. With wandb itself, offline."""

import io
import json
import re

import pytest
import wandb
from rich.console import Console

from rl.config.schema import TrackerConfig
from rl.records.eta import Ahead, Eta, about
from rl.records.rollouts import rollout_files, step_of
from rl.records.tracking import Tracker
from rl.report.read import is_number
from tests.rl.records.wandb_files import history, step_metrics


def life(run_dir, steps, offset, state=None, wandb_id=None):
    """A process that logs some steps of a stage; returns the state after its first step, and the W&B run's id."""
    said = io.StringIO()
    tracker = Tracker(run_dir, TrackerConfig(wandb="offline", progress=False), Console(file=said))
    tracker.start_wandb({"seed": 0}, wandb_id)
    assert said.getvalue() == ""
    if state is not None:
        tracker.load_state_dict(state)
    after_first = None
    for stage, step in steps:
        loss = float("nan") if step == 2 else float("-inf") if step == 3 else step + offset
        tracker.log(stage, step, {"loss": loss, "reward": step + offset})
        after_first = after_first or json.loads(json.dumps(tracker.state_dict()))
    tracker.close()
    wandb.teardown()  # ends W&B's own process, which may write its file for a moment longer
    return after_first, tracker.wandb_id


def strictly(text):
    def refuse(constant):
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def resumed(tmp_path_factory):
    """A run that was cut off after its third step, went on from after its first, and did a stage more."""
    run_dir = tmp_path_factory.mktemp("run")
    state, wandb_id = life(run_dir, [("a", 0), ("a", 1), ("a", 2)], 0.0)
    life(run_dir, [("a", 1), ("a", 2), ("a", 3), ("b", 0)], 0.5, state, wandb_id)
    return run_dir


def test_wandb_gets_every_step_once_in_order(resumed):
    found = history(resumed)
    assert [values["global_step"] for _, values in found] == [0, 1, 2, 3, 4]
    assert [step for step, _ in found] == [0, 1, 2, 3, 4], "W&B's own count goes on where it was"
    assert [values.get("a/step", values.get("b/step")) for _, values in found] == [0, 1, 2, 3, 0]
    assert [values.get("a/reward", values.get("b/reward")) for _, values in found] == [0.0, 1.0, 2.0, 3.5, 0.5]
    assert all("time/b/step" in values or "time/a/step" in values for _, values in found)
    assert step_metrics(resumed)["*"] == "global_step"


def test_wandb_gets_what_is_not_finite_as_it_is(resumed):
    nan, infinite = (history(resumed)[number][1]["a/loss"] for number in (2, 3))
    assert nan != nan and infinite == float("-inf")


def test_metrics_are_json_and_hold_the_steps_as_they_were_done_last(resumed):
    lines = [strictly(line) for line in (resumed / "metrics.jsonl").read_text().splitlines()]
    assert [(line["stage"], line["step"], line["reward"]) for line in lines] == [
        ("a", 0, 0.0), ("a", 1, 1.5), ("a", 2, 2.5), ("a", 3, 3.5), ("b", 0, 0.5)
    ]  # fmt: skip
    assert [line["loss"] for line in lines] == [0.0, 1.5, None, None, 0.5]
    assert [is_number(line["loss"]) for line in lines] == [True, True, False, False, True]


def test_a_run_without_wandb_keeps_no_account_of_it(tmp_path):
    tracker = Tracker(tmp_path, TrackerConfig(wandb="disabled", progress=False), Console(quiet=True))
    tracker.log("a", 0, {"loss": 1.0})
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_replay_of_a_step_that_was_not_finite_is_the_same(tmp_path):
    from tools.replay import compare

    tracker = Tracker(tmp_path, TrackerConfig(wandb="disabled", progress=False), Console(quiet=True))
    tracker.log("a", 0, {"loss": float("nan"), "grad_norm": 1.0})
    assert compare(tmp_path, "a", 0, {"loss": float("nan"), "grad_norm": 1.0})[1]
    assert not compare(tmp_path, "a", 0, {"loss": 0.0, "grad_norm": 1.0})[1]


def test_the_tracker_goes_back_to_a_state(tmp_path):
    tracker = Tracker(tmp_path, TrackerConfig(progress=False), Console())
    tracker.log("a", 0, {"loss": 1.0})
    state = json.loads(json.dumps(tracker.state_dict()))
    with tracker.phase("train"):
        tracker.log("a", 1, {"loss": 0.5})
    Tracker(tmp_path, TrackerConfig(progress=False), Console()).load_state_dict(state)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [{**line, "time": sorted(line["time"])} for line in lines] == [
        {"stage": "a", "step": 0, "loss": 1.0, "time": ["step"]}
    ]


def test_only_the_last_rollouts_stay_where_that_is_asked(tmp_path):
    row = {"parts": {}, "meta": {}, "reward": 1.0}
    for kept, left in ((None, 5), (2, 2)):
        tracker = Tracker(tmp_path / str(kept), TrackerConfig(progress=False, keep_rollouts=kept), Console())
        for stage in ("first", "second"):
            for step in range(5):
                tracker.dump_groups(stage, step, [row])
        tracker.wait()
        steps = [step_of(path) for path in rollout_files(tracker.run_dir, "second", None)]
        assert sorted(steps) == list(range(5))[-left:]
        assert len(rollout_files(tracker.run_dir, None, None)) == 2 * left


def test_the_time_that_is_left_is_that_of_all_stages():
    eta = Eta([Ahead("sft", "sft", 10, 100), Ahead("rl", "grpo", 4, 1000), Ahead("more", "grpo", 2, 500)])
    assert eta.left("sft", 0) is None and eta.left("elsewhere", 0) is None
    eta.note("sft", 1.0)
    assert eta.left("sft", 1) == (pytest.approx(9), ["grpo"]), "a kind without a timed step is named, not guessed"
    eta.note("rl", 5.0)
    assert eta.left("rl", 1) == (pytest.approx(15 + 5), [])
    assert eta.left("more", 2) == (0, [])
    assert [about(one) for one in (59.6, 130, 700, 9000)] == ["60 s", "2.2 min", "12 min", "2.5 h"]


def test_a_line_of_progress_says_what_is_left_of_the_run(tmp_path):
    said = io.StringIO()
    eta = Eta([Ahead("a", "sft", 2, 10), Ahead("b", "sft", 100_000_000, 10), Ahead("c", "grpo", 2, 10)])
    tracker = Tracker(tmp_path, TrackerConfig(wandb="disabled"), Console(file=said, width=200), eta)
    with tracker.stage("a", 2, 0):
        tracker.log("a", 0, {"loss": 1.0})
    assert re.search(r"a step 1: .*run: about [\d.]+ (s|min|h) left, without grpo$", said.getvalue().rstrip())
