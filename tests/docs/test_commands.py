"""Every command of the pages: the cheap ones are run, the others are parsed and name the test that runs them."""

import importlib
import json
import os
import shutil
from pathlib import Path

import pytest

from rl.config.sources import CONF
from tests.docs import tutorial
from tests.docs.checks import problem
from tests.docs.pages import ROOT, Command, Place, code_blocks, commands, pages
from tests.rl.report.folders import run_folder
from tools import new
from tools.launch import LAUNCHERS

RUN = ("rewards", "tools.report", "tools.rollouts", "tools.picture", "tools.statutes", "rl.evaluate list",
       "rl.inference retrieve", "rl.inference verify", "rl.inference structure")  # fmt: skip
"""Commands that are run here, on small files of the names that the pages use."""
NEEDS = ("--model", "--server", "--judge-url", "--tokenizer")
"""With one of these they need a model, and are parsed only."""
ELSEWHERE = {
    "rl.main": "tests/e2e/test_runs.py",
    "rl.synthesize": "tests/rl/synthesis/test_bad_input.py",
    "tools.scripted_teacher": "tests/rl/synthesis/test_faults.py",
    "rl.evaluate run": "tests/e2e/test_evaluate.py",
    "rl.evaluate report": "tests/e2e/test_evaluate.py",
    "rl.evaluate score": "tests/rl/evaluation/test_score_command.py",
    "rl.evaluate serve": "tests/rl/evaluation/test_web.py",
    "rl.inference answer": "tests/rl/retrieval/test_retrieval.py",
    "rl.inference strategies": "tests/rl/evaluation/test_strategies.py",
    "rl.inference retrieve": "tests/rl/retrieval/test_retrieval.py",
    "rl.inference structure": "tests/rl/inference/test_structuring.py",
    **{f"tools.launch {name}": "tests/tools/test_launch.py" for name in LAUNCHERS},
    "tools.chaos": "tests/tools/test_chaos.py",
    "tools.contamination": "tests/tools/test_contamination.py",
    "tools.doctor": "tests/tools/test_tools.py",
    "tools.export_lm_eval": "tests/tools/test_export_lm_eval.py",
    "tools.fuzz_parsers": "tests/rewards/test_parsing.py",
    "tools.gpu_check": "tests/tools/test_tools.py",
    "tools.judge_agreement": "tests/tools/test_tools.py",
    "tools.floors": "tests/test_floors.py",
    "tools.mask": "tests/tools/test_mask.py",
    "tools.new": "tests/tools/test_new.py",
    "tools.themis": "tests/test_package.py",
    "tests.rl.synthesis.measure_meaning": "a measurement of a model that is given",
    "tests.rl.synthesis.measure_privacy": "tests/rl/synthesis/test_privacy.py",
    "tests.rl.synthesis.measure_faithful": "tests/rl/synthesis/test_faithful.py",
    "tools.locks": "tests/tools/test_locks.py",
    "tools.lock_hashes": "tests/tools/test_lock_hashes.py",
    "tools.reference": "tests/docs/test_pages.py",
    "tools.replay": "tests/e2e/test_runs.py",
    "tools.retrieval": "tests/rl/retrieval/test_retrieval.py",
    "tools.static_model": "tests/rl/retrieval/test_retrieval.py",
    "tests.rewards.reading": "tests/rewards/test_reading.py",
    "tests.rl.engines.architectures": "tests/rl/engines/test_architectures.py",
    "examples": "tests/test_examples.py",
    "pytest": "is a test",
    "make": "CI makes the environment, lints and tests with it",
    "pip": "needs a network; the Makefile's set-up and CI install the same files",
    "docker": "needs a daemon and a network; the file is linted by hand",
    "lm_eval": "another program; tests/tools/test_export_lm_eval.py checks what it reads",
    "tools.bench": "minutes; a measurement, repeated by hand",
    "tools.studies": "minutes to hours; a measurement, repeated by hand",
    "tools.structuring_check": "needs JuDGE's data",
    "tools.unpack_e5": "needs a package of model weights",
    "tools.unpack_gguf": "tests/tools/test_unpack_gguf.py",
}
"""What runs a command that is not run here: a test, or why there is none."""
FOUND = [command for page in pages() for command in commands(page)]
ANSWERED = {
    "prompt": "几岁？", "completion": "<answer>刑法第264条</answer>", "reference": "刑法第264条",
    "answer": "依照《刑法》第二百六十四条",
}  # fmt: skip
"""A line for rewards, and for the check of citations."""
JUDGMENT = "某某市某某区人民法院\n刑事判决书\n（2021）某0101刑初1号\n被告人张某犯盗窃罪。\n审判员 李某\n"


def name_of(command):
    """``tools.report``, ``rl.inference verify``, ``make``: what RUN and ELSEWHERE name."""
    program, *rest = command.words
    program = program.removeprefix(".venv/bin/")
    if not program.endswith("python") or rest[:2] == ["-m", "pytest"]:
        return "pytest" if rest[:2] == ["-m", "pytest"] else program
    module = "examples" if rest[0].startswith("examples/") else rest[1]
    if module in ("rl.evaluate", "rl.inference", "tools.launch"):
        return " ".join([module, *rest[2:3]])
    return "tools.bench" if module.startswith("tools.bench") else module


def is_run(command):
    return name_of(command) in RUN and len(command.words) > 3 and not set(NEEDS) & set(command.words)


def unique(found):
    return list({command.text: command for command in found}.values())


def label(command):
    return f"{command.place}-{command.text[:60]}"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    """A folder with small files of the names that the pages use."""
    folder = tmp_path_factory.mktemp("pages")
    run = run_folder(folder / "runs" / "legal-nano-seed0")
    shutil.copytree(run, folder / "runs" / "first-mine-seed0")
    (run / "rollouts" / "grpo").rename(run / "rollouts" / "reasoning")
    run_folder(folder / "runs" / "legal-sweep" / "seed=1", seed=1)
    run_folder(folder / "runs" / "legal-sweep" / "seed=2", seed=2)
    for name in ("models/judge", "models/my-model", "laws", "judgments", "ROOT", "DIR", "docs"):
        (folder / name).mkdir(parents=True)
    (folder / "judgments" / "one.txt").write_text(JUDGMENT, encoding="utf-8")
    for made in (folder / "runs" / name for name in ("lead-example", "lead")):
        made.mkdir()
        for name in ("sft", "grpo", "corpus"):
            (made / f"{name}.jsonl").touch()
    (folder / "answers.jsonl").write_text(json.dumps(ANSWERED, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "mix.yaml").write_text("article_f1: 1.0\nformat: {weight: 0.1}\n", encoding="utf-8")
    (example,) = code_blocks(ROOT / "docs" / "guides" / "own-reward.md", "python")
    (folder / "my_rewards.py").write_text(example, encoding="utf-8")
    new.write(folder / "my-lab")
    shutil.copytree(folder / "my-lab", folder, dirs_exist_ok=True)  # a page goes into the folder at its beginning
    tutorial.write(folder)
    for group, name in (("curriculum", "smoke"), ("model", "nano")):
        (folder / "my-lab" / group).mkdir()
        shutil.copy2(CONF / group / f"{name}.yaml", folder / "my-lab" / group / f"my_{name}.yaml")
    (ROOT / ".cache").mkdir(exist_ok=True)
    (folder / ".cache").symlink_to(ROOT / ".cache")
    return folder


@pytest.fixture
def inside(sandbox, monkeypatch):
    """The process in that folder, reading the law as it did before."""
    monkeypatch.chdir(sandbox)
    monkeypatch.syspath_prepend(str(sandbox))
    monkeypatch.setenv("PYTHONPATH", f"{sandbox}{os.pathsep}{ROOT}")
    for name in ("THEMIS_LAW_DATE", "THEMIS_LAW_FOLDER"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return sandbox


def test_pages_have_commands():
    assert len(FOUND) > 100 and {"README.md", "quickstart.md", "evaluation.md"} <= {c.place.page.name for c in FOUND}


@pytest.mark.parametrize("command", unique(FOUND), ids=label)
def test_a_command_is_well_formed(command, inside):
    assert not problem(command), f"{command.place}: {command.text}"


@pytest.mark.parametrize("command", unique(filter(is_run, FOUND)), ids=label)
def test_a_cheap_command_works(command, inside, capsys):
    module, *arguments = command.words[2:]
    package = importlib.import_module(module)
    runs = importlib.import_module(f"{module}.__main__") if hasattr(package, "__path__") else package
    code = runs.main(arguments)
    assert code == 0, f"{command.place}: {command.text}: {capsys.readouterr().err}"


def test_a_command_that_is_not_run_here_has_a_test():
    for command in FOUND:
        if not is_run(command):
            name = name_of(command)
            assert name in ELSEWHERE or name in RUN, f"{command.place}: say which test runs {name}"
    for name, test in ELSEWHERE.items():
        if test.startswith("tests/"):
            said = (ROOT / test).read_text(encoding="utf-8")
            assert name.replace(" ", ".").split(".")[-1] in said, f"{name} is not in {test}"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("python -m rl.main +curriculum=legal trainer.thread=2", "did you mean trainer.threads"),
        ("python -m rl.main -m +curriculum=legal seed=1,x", "seed"),
        ("python -m rl.synthesize +recipe=lead input=x teacher.modle=y", "did you mean teacher.model"),
        ("python -m tools.repotr runs/x", "not on the page of commands"),
        ("themis rapport runs/x", "no check knows"),
        ("python -m rl.evaluate run --benchmark lawbench --model X", "--out"),
        ("python -m rl.inference retrieve 狗咬 --kk 5", "--kk"),
        ("python -m tools.statutes sho 刑法", "invalid choice"),
        ("python -m tools.locks now", "takes no arguments"),
        ("python -m tests.rewards.readings", "no module"),
        ("make runs", "no runs"),
        ("python examples/own_dat.py", "no file"),
        ("docker build --file cluster/launch/Dockerfile --target tpu .", "no stage tpu"),
        ("python -m tools.launch slurm +curriculum=legal --tme 3", "--tme"),
        ("pip install -r requirements/tpu.txt", "no file"),
        ("pytest tests/rl/evaluation/test_lawbenches.py", "test_lawbenches.py"),
        ("pytest -k no_such_name tests/docs/test_pages.py", "matches -k"),
        ("pythn -m tools.report", "no check knows"),
    ],
)
def test_a_wrong_command_is_found(words, why):
    """The check above can fail."""
    found = problem(Command(Place(ROOT / "README.md", 1), tuple(words.split())))
    assert why in found, found


def test_a_wrong_command_on_a_page_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A\n\nText `python -m tools.reports\nx` and\n\n    make rum \\\n      setup  # why\n\n"
        "```bash\npip install -r no.txt\n```\n"
    )
    found = {command.text: command for command in commands(page)}
    assert list(found) == ["make rum setup", "pip install -r no.txt", "python -m tools.reports x"]
    assert all(problem(command) for command in found.values())
    assert found["make rum setup"].place == Place(Path(page), 6)
