"""The controls of a study are given what the curriculum is given, and the figures are those of the runs."""

import json
from argparse import Namespace
from functools import partial

import pytest

from rl.config.compose import load
from rl.config.derive import check
from rl.config.stages import GRPOStage, RejectionStage
from rl.records.results import EvalResult
from tools.studies.__main__ import repeated_by
from tools.studies.gain import with_more_sft, without_mid_training
from tools.studies.outcomes import Outcome
from tools.studies.record import outcomes, record, tables
from tools.studies.runs import composed
from tools.studies.scarce import WHOLE, ahead, all_at_once, by_rejection


@pytest.fixture(scope="module")
def values():
    return composed("scarce", [])


@pytest.mark.parametrize("change", [all_at_once, by_rejection, partial(with_more_sft, steps=7), without_mid_training])
def test_a_control_is_a_curriculum_that_can_work(values, change):
    stages = values["curriculum"]["stages"]
    found = load({**values, "run_dir": "runs/x", "curriculum": {"name": "x", "stages": change(stages)}})
    check(found)
    assert found.curriculum.stages[-1].name == stages[-1]["name"]


def test_controls_sample_as_much_and_make_as_many_updates(values):
    stages = values["curriculum"]["stages"]
    whole = [stage for stage in load({**values, "run_dir": "x"}).curriculum.stages if isinstance(stage, GRPOStage)]
    steps = sum(stage.steps for stage in whole)
    once, rejection = (
        load({**values, "run_dir": "x", "curriculum": {"name": "x", "stages": change(stages)}}).curriculum.stages[-2]
        for change in (all_at_once, by_rejection)
    )
    assert isinstance(once, GRPOStage) and isinstance(rejection, RejectionStage)
    assert once.steps == rejection.steps_that_sample == rejection.rounds * rejection.training_steps == steps
    for stage in (once, rejection):
        assert (stage.prompts_per_step, stage.samples_per_prompt) == (64, 4)
        assert sum(stage.tasks.values()) == pytest.approx(1)
    drawn = sum(stage.tasks["parole"] / sum(stage.tasks.values()) * stage.steps for stage in whole)
    assert once.tasks["parole"] * steps == pytest.approx(drawn)


def result(correct):
    return EvalResult("test", "rl", "test", {"age": {"correct": correct, "n": 100, "format": 1, "errors": 0}}, {})


def test_a_record_holds_what_its_tables_show(tmp_path):
    manifest = {"date": "2026-01-02", "law": {"as_of": "2026-01-01"}, "git_commit": "0123456789"}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    given = [Outcome(WHOLE, 0, result(50), result(80)), Outcome(WHOLE, 1, result(60), result(59))]
    found = json.loads(json.dumps(record("python -m x", given, tmp_path)))
    assert outcomes(found) == given
    first, _, one, other, mean, _, where = tables(found).splitlines()
    assert first == "| variant | seed | after SFT | at the end | gain | lowest | age |"
    assert one == "| whole | 0 | 50.0 (40.4–59.6) | 80.0 (71.1–86.7) | +30.0 | +30.0 | 50.0 → 80.0 |"
    assert other.endswith("| -1.0 | -1.0 | 60.0 → 59.0 |") and mean.startswith(
        "| whole | mean | 55.0 | 69.5 | +14.5 ± "
    )
    assert where.startswith("`python -m x` on 2026-01-02, ") and where.endswith("commit 0123456, law of 2026-01-01")


def test_the_lead_is_the_mean_difference_of_equal_seeds():
    ends = {(WHOLE, 0): 80, (WHOLE, 1): 70, ("rejection", 0): 70, ("rejection", 1): 64, ("at_once", 0): 79}
    found = [Outcome(variant, seed, result(50), result(correct)) for (variant, seed), correct in ends.items()]
    assert ahead([one for one in found if one.variant != "at_once"]) == [
        "whole ends +8.0 ± 25.4 (95 %, Student's t) points from rejection over 2 seeds"
    ]
    assert ahead([found[0], found[-1]]) == ["whole ends +1.0 points from at_once over 1 seeds"]


def test_the_command_of_a_record_names_no_folder():
    chosen = Namespace(study="gain", curriculum=None, seeds=[0, 2], controls=[])
    assert repeated_by(chosen, ["trainer.threads=2"]) == (
        "python -m tools.studies gain --seeds 0 2 --controls trainer.threads=2"
    )
    chosen = Namespace(study="scarce", curriculum="mine", seeds=[1], controls=[0])
    assert repeated_by(chosen, []) == "python -m tools.studies scarce --curriculum mine --seeds 1"
