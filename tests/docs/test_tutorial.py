"""The tutorial: its files are valid, its data can be read, and its figures of memory are those of the plan."""

import re

import pytest

from rl import load_config
from rl.config.derive import check, derive
from rl.models.chat import load_tokenizer
from rl.models.template import bind
from rl.preflight import require_prompts_fit
from tests.docs.tutorial import PAGE, write

WORDS = ("curriculum=./first.yaml", "model=./my-model.yaml")


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path)


def test_its_data_can_be_read(lab, models):
    config = load_config(*WORDS)
    check(config)
    assert config.model.lora_rank == 16 and config.run_dir.endswith("runs/first-mine-seed0")
    require_prompts_fit(config, bind(load_tokenizer(str(models["tied"]))))


def test_its_figures_of_memory_are_those_of_the_plan(lab):
    rows = re.findall(r"^\| (.*?) \| `(.*?)` \| ([\d.]+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == 5
    for _, words, figure in rows:
        plan = derive(load_config(*WORDS, *words.split()))
        fullest = [card.in_phase(phase) for card in plan.gpus.cards for phase in card.phases] if plan.gpus else []
        assert f"{max(fullest) if fullest else sum(gib for _, gib in plan.memory):.1f}" == figure, words
        assert plan.gpus is None or not plan.gpus.problem
