"""The project that ``themis new`` writes works as it stands, down to its task and its reward."""

import json

import pytest
from hydra import compose, initialize_config_dir

from curricula.records import read_prompts
from curricula.tasks import make_prompts
from rewards.total import score
from rewards.verdict import Sample
from rl.config.compose import accept_overrides, load
from rl.config.derive import check, derive
from rl.config.sources import CONF
from rl.config.tested_on import seen_in_training
from rl.data.demonstrations import demonstrations
from tools import new

FILES = ("questions", "test")


@pytest.fixture
def lab(tmp_path, monkeypatch, capsys):
    """A new project, as the folder of the process."""
    monkeypatch.chdir(tmp_path)
    assert new.main(["lab-7"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("then: cd lab-7 && themis plan")
    monkeypatch.chdir("lab-7")
    monkeypatch.syspath_prepend(".")
    return tmp_path / "lab-7"


def test_the_project_can_be_planned_and_its_data_read(lab):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        words = accept_overrides(["curriculum=./curriculum.yaml", "run_dir=runs/x"])
        config = load(compose("config", overrides=[*words, "run_dir=x"]))
    check(config)
    assert config.curriculum.name == "lab-7" and len(derive(config).stages) == 4
    assert "my-lab" not in "".join(path.read_text(encoding="utf-8") for path in lab.rglob("*.*") if path.is_file())
    given, _ = demonstrations(config.curriculum.stages[0], seed=0)
    trained, tested = ({one.messages[-1]["content"] for one in read_prompts(f"data/{name}.jsonl")} for name in FILES)
    assert len(given) == 200 and len(trained) == len(tested) == 8 and not trained & tested
    assert seen_in_training(config.curriculum.stages) == []


def test_its_task_and_its_reward_agree(lab):
    prompts = {split: make_prompts("lab_task:appeal", split, 60, 0, fewer_ok=True) for split in ("train", "test")}
    questions = {split: {one.messages[-1]["content"] for one in found} for split, found in prompts.items()}
    assert not questions["train"] & questions["test"] and {one.task for one in prompts["test"]} == {"lab_task:appeal"}
    for one in prompts["train"]:
        sample = Sample(one.messages[-1]["content"], one.demonstration, one.reference, one.answer_kind)
        for name in ("accuracy", "format", "lab_reward:names_the_period"):
            assert score(name, sample).score == 1, name
    answers = [json.loads(line) for line in (lab / "data" / "answers.jsonl").read_text(encoding="utf-8").splitlines()]
    scores = [score("lab_reward:names_the_period", Sample.from_json(one)).score for one in answers]
    assert scores == [1, 0]


@pytest.mark.parametrize(
    ("name", "said"), [("full", "exists and is not empty"), ("a b", "the curriculum's name"), ("file/x", "be written")]
)
def test_a_folder_that_can_not_be_used_is_a_sentence(name, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    (tmp_path / "file").touch()
    assert new.main([name]) == 2 and said in capsys.readouterr().err
