"""Which checkpoint a stage starts from: real manifest and checkpoints; the actors note what they are given to load."""

from pathlib import Path

import pytest

from rl.config.compose import load
from rl.driver.lineage import Lineage
from rl.errors import UserError
from rl.records.checkpoint import Checkpoints
from rl.records.manifest import Manifest

TRAINED = {"steps": 4, "tasks": {"age": 1.0}}
STAGES = [
    {"name": "first", "kind": "grpo", **TRAINED},
    {"name": "look", "kind": "evaluate", "tasks": ["age"], "questions": 1},
    {"name": "second", "kind": "grpo", **TRAINED},
    {"name": "third", "kind": "grpo", **TRAINED},
]


class Actors:
    """In place of the fleet, with trainer, reference and weight sync in one."""

    def __init__(self, model_path=""):
        self.model_path, self.seen = str(model_path), []
        self.trainer = self.weights = self
        self.reference = Reference(self.seen)

    def call(self, method, folder, weights_only):
        assert method == "load" and weights_only
        self.seen.append(Path(folder).parent.name)

    def restart_trainer(self):
        self.seen.append("base")

    def restart_reference(self):
        self.seen.append("reference base")

    def changed(self):
        self.seen.append("changed")


class Reference:
    def __init__(self, seen):
        self.seen = seen

    def call(self, method, folder, weights_only):
        self.seen.append(f"reference {Path(folder).parent.name}")


@pytest.fixture
def run(tmp_path):
    config = load({"run_dir": str(tmp_path), "curriculum": {"name": "x", "stages": STAGES}})
    manifest, checkpoints = Manifest(tmp_path / "manifest.json", {"stages": {}}), Checkpoints(tmp_path, 9)

    def write(folder):
        folder.mkdir()
        (folder / "weights").write_bytes(folder.parents[1].name.encode() + folder.parent.name.encode())

    for number, stage in enumerate(("first", "second"), start=1):
        for step in (10 * number, 10 * number + 1):
            checkpoints.save(stage, step, write, {}, None)
    actors = Actors()
    return Lineage(config, manifest, checkpoints, actors), actors


def test_a_stage_starts_from_the_last_one_that_left_weights(run):
    lineage, actors = run
    lineage.load_before("first")
    assert actors.seen == [] and lineage.weights_from is None, "a new trainer holds the base model"
    lineage.load_before("look")
    lineage.load_before("second")
    assert actors.seen == ["step-000011", "changed"] and lineage.weights_from == "first", "nothing is loaded twice"
    lineage.begin_training()
    lineage.load_before("third")
    assert actors.seen[2:] == ["step-000021", "changed"] and lineage.weights_from == "second"
    lineage.begin_training()
    lineage.load_before("first")
    assert actors.seen[4:] == ["base", "changed"] and lineage.weights_from is None


def test_a_stage_that_was_skipped_or_fell_back_leaves_nothing(run):
    lineage, actors = run
    lineage.manifest.record("second", skipped="no reason")
    assert lineage.trained_up_to("third") == "third" and lineage.trained_up_to("second") == "first"
    lineage.manifest.content["stages"]["second"] = {"ended": {"weights_after": 0}}
    lineage.load_before("third")
    assert actors.seen[0] == "step-000011"
    lineage.manifest.content["stages"]["second"] = {"ended": {"weights_after": 20}}
    lineage.load_after("second")
    assert actors.seen[2] == "step-000020", "it ended with earlier weights than its last"
    lineage.end_training("second")
    assert lineage.weights_from == "second"


@pytest.mark.parametrize(
    ("record", "left"),
    [
        ({"done": True}, ["second/step-000021"]),
        ({"done": True, "ended": {"weights_after": 20}}, ["second/step-000020"]),
        ({"done": True, "ended": {"weights_after": 0}}, ["first/step-000011"]),
    ],
)
def test_only_what_the_next_stage_starts_from_is_needed(run, record, left):
    lineage, actors = run
    root = lineage.checkpoints.root
    (root / "first" / "step-mine").mkdir()
    lineage.manifest.record("second", **record)
    lineage.drop_unneeded("second")
    found = sorted(f"{path.parent.name}/{path.name}" for path in root.glob("*/step-0*"))
    assert found == left and (root / "first" / "step-mine").is_dir()
    lineage.load_before("third")
    assert actors.seen == [left[0].partition("/")[2], "changed"]


def test_the_reference_follows_and_missing_checkpoints_are_a_sentence(run):
    lineage, actors = run
    lineage.load_reference_before("first")
    lineage.load_reference_before("second")
    lineage.load_reference_before("second")
    assert actors.seen == ["reference step-000011"]
    lineage.manifest.record("second", ended={"weights_after": 7})
    with pytest.raises(UserError, match=r"stage third starts from the weights of second.*resume=restart"):
        lineage.load_before("third")


def test_after_a_loss_trainer_and_reference_are_replaced_and_load_what_they_had(run):
    lineage, actors = run
    for _ in range(2):
        lineage.load_before("second")
        lineage.load_reference_before("second")
        lineage.begin_training()
        lineage.restart_lost()
    loaded = ["step-000011", "changed", "reference step-000011"]
    assert actors.seen == [*loaded, "base", "reference base"] * 2


def test_equal_weights_have_equal_ids(run, tmp_path):
    lineage, actors = run
    ids = []
    for stage in ("first", "second", "first"):
        lineage.load_after(stage)
        ids.append(lineage.weights_id())
    assert ids[0] == ids[2] != ids[1]
    (lineage.checkpoints.at("first", 11).engine / "weights").write_bytes(b"")
    assert lineage.weights_id() == ids[0], "it comes from the list of files; reading them all is for a load"
    lineage.restart_trainer()
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        actors.model_path = str(tmp_path / name)
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(content)
        ids.append(lineage.weights_id())
    assert ids[3] == ids[4] != ids[5]
