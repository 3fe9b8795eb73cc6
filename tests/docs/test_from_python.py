"""The code of the page from-python.md runs from top to bottom. Its run is one that is done, so only results are new."""

import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from rl.config.schema import TrackerConfig
from rl.records.manifest import Manifest
from rl.records.results import EvalResult, save
from rl.records.tracking import Tracker
from tests.conftest import ROOT
from tests.docs.pages import code_blocks

BLOCKS = code_blocks(ROOT / "docs" / "guides" / "from-python.md", "python")


def finish(config, model):
    """Leave the folder of a run as it is when it has nothing left to do, by the code that writes it."""
    run_dir = Path(config.run_dir)
    manifest = Manifest.open(run_dir, config)
    tracker = Tracker(run_dir, TrackerConfig(wandb="disabled"), Console(quiet=True))
    for step in range(3):
        tracker.log("grpo", step, {"reward": 0.5 * step})
    tracker.close()
    shutil.copytree(model, run_dir / "exports" / "grpo")
    for stage in config.curriculum.stages:
        manifest.record(stage.name, done=True, **({"export": "exports/grpo"} if stage.name == "grpo" else {}))
    figures = {"age": {"correct": 6.0, "n": 8.0, "format": 1.0, "errors": 0.0}}
    save(run_dir / "results.json", EvalResult("eval", "grpo", "dev", figures, {"age": 0.25}))


@pytest.fixture(scope="module")
def page(tmp_path_factory, models):
    """The variables of the page after its last block."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        for block in BLOCKS:
            exec(compile(block, "from-python.md", "exec"), found)
            if "config" in found and not Path(found["config"].run_dir).exists():
                finish(found["config"], models["tied"])
    return found


def test_the_run_gives_its_results(page):
    assert page["result"].run_dir.name == "smoke-nano-seed1" and page["result"].results[0].average == 0.75
    assert page["steps"] == [1, 2, 3] and page["rewards_of_steps"] == [0.0, 0.5, 1.0]
    assert len(page["plan"].stages) == 12


def test_the_verdict_and_the_scores_are_there(page):
    assert page["verdict"].error is None and page["verdict"].parts == {"accuracy": 1.0, "format": 1.0}
    kept = page["result"].run_dir.parent / "answers" / "scores.json"
    assert page["scores"]["tasks"]["age"]["n"] == 20 and json.loads(kept.read_text()) == page["scores"]


def test_what_the_page_says_of_an_error_is_so():
    (said,) = [line.partition("# ")[2] for line in BLOCKS[-1].splitlines() if "print(error)" in line]
    from rl import load_config
    from rl.errors import UserError

    with pytest.raises(UserError) as raised:
        load_config("curriculum=legal", "trainer.thread=2")
    assert str(raised.value) == said
