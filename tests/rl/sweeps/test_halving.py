"""Early stopping by Ray Tune's scheduler, over the metrics that runs have written."""

import json

import pytest

from rl.config.compose import load
from rl.errors import UserError
from rl.sweeps.halving import MARK, Goal, Halving, goal


def config(gates=None, steps=9, name="rl"):
    stage = {"name": name, "kind": "grpo", "steps": steps, "tasks": {"age": 1.0}, "gates": gates or {}}
    first = {**stage, "name": "first", "steps": 3, "gates": {}}
    return load({"run_dir": "run", "curriculum": {"name": "c", "stages": [first, stage]}})


@pytest.fixture
def log(tmp_path):
    """Adds the next steps of a stage to what a run has logged."""

    def add(name, *values, stage="rl", metric="reward"):
        (tmp_path / name).mkdir(exist_ok=True)
        with (tmp_path / name / "metrics.jsonl").open("a") as file:
            for value in values:
                file.write(json.dumps({"stage": stage, "step": 0, metric: value, "time": {}}) + "\n")
        return tmp_path / name

    return add


def test_the_worse_half_is_stopped_at_each_comparison_and_stays_stopped(log):
    folders = [log(name) for name in "abcd"]
    a, b, c, d = folders
    asked = Goal("rl", "reward", "max", steps=9, grace=2, reduction=2)
    halving = Halving(asked, folders)
    log("a", 5, 5, 5, 5, stage="first")
    assert not halving.stops(a), "another stage counts for nothing"
    log("a", 0.8, 1.0)
    assert not halving.stops(a), "the first one goes on"
    log("b", 0.9)
    assert not halving.stops(b), "before the first comparison"
    log("b", 0.1)
    assert halving.stops(b) and halving.stopped[b] == json.loads((b / MARK).read_text())
    assert halving.stopped[b] == {"stage": "rl", "step": 2, "metric": "reward", "value": 0.5}
    log("c", 0.7, 0.7)
    log("d", 0.95, 0.95)
    assert not halving.stops(c) and not halving.stops(d), "as good as half of them"
    log("a", 0.9, 0.9)
    assert not halving.stops(a)
    log("c", 0.7, 0.7)
    assert halving.stops(c) and halving.stopped[c]["step"] == 4
    log("d", *[0.95] * 7)
    assert not halving.stops(d)
    again = Halving(asked, folders)
    assert set(again.stopped) == {b, c} and again.stops(b) and not again.stops(d)
    log("a", 0.9, 0.9)
    assert again.best([a, d]) == d and again.best([]) is None
    (c / MARK).unlink()
    assert c not in Halving(asked, folders).stopped, "the user wants it"


def test_the_smallest_is_the_best_where_that_is_asked(log):
    folders = [log("a"), log("b")]
    halving = Halving(Goal("rl", "loss", "min", steps=9, grace=1, reduction=2), folders)
    log("a", 0.1, metric="loss")
    log("b", 0.2, metric="loss")
    assert [halving.stops(folder) for folder in folders] == [False, True] and halving.best(folders) == folders[0]


def test_runs_are_compared_by_the_gate_of_the_last_stage_or_its_reward():
    assert goal([config()], None, None, None, 2, 2) == Goal("rl", "reward", "max", 9, 2, 2)
    gates = {"leave": [{"metric": "task/age/accuracy", "above": 0.9}]}
    assert goal([config(gates), config(gates, steps=12)], None, None, None, 5, 3) == Goal(
        "rl", "task/age/accuracy", "max", 12, 5, 3
    )
    gates = {"leave": [{"metric": "truncated", "below": 0.1}]}
    assert goal([config(gates)], None, None, None, 5, 3).mode == "min"
    assert goal([config(gates)], "first", "reward/accuracy", None, 2, 2) == Goal(
        "first", "reward/accuracy", "max", 3, 2, 2
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("other", None, None, 5, 2), "no GRPO stage other"),
        ((None, "rewrd", None, 5, 2), "hydra.launcher.metric: rewrd is not .* did you mean reward"),
        ((None, None, "best", 5, 2), "mode=best is neither max nor min"),
        ((None, None, None, 9, 2), r"grace=9 must be 1 to 8 \(stage rl has 9 steps\)"),
        ((None, None, None, 5, 1), "reduction=1 at least 2"),
    ],
)
def test_what_cannot_be_compared_is_a_sentence(given, said):
    with pytest.raises(UserError, match=said):
        goal([config()], *given)


def test_a_sweep_over_curricula_without_the_stage_is_refused():
    with pytest.raises(UserError, match="not every run of the sweep has the GRPO stage rl"):
        goal([config(), config(name="other")], None, None, None, 2, 2)
