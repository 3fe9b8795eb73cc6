"""Imports point down: the floors of tools.floors hold, and an import that breaks the rule is found and named."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.floors import PACKAGES, Import, arrows, imports, main, problems

ROOT = Path(__file__).parents[1]
CASES = [
    ("rl/models/chat.py", "import rl.actors.group", "rl.models is on a lower floor than rl.actors"),
    ("rl/files.py", "def late(): from rl.report import page", "rl.files is on a lower floor than rl.report"),
    ("rl/config/base.py", "if TYPE_CHECKING: from rl.driver import fleet", "rl.config is on a lower floor"),
    ("rl/records/results.py", 'TABLE = {"run": "rl.evaluation.run_command"}', "rl.records is on a lower floor"),
    ("rl/records/results.py", 'HOOK = "rl.stages.sft:run"', "rl.records is on a lower floor than rl.stages"),
    ("rl/records/results.py", "from ..stages import sft", "rl.records is on a lower floor than rl.stages"),
    ("rl/records/results.py", "from rl.models import chat", "rl.records and rl.models are on the same floor"),
    ("rewards/total.py", "from rl.errors import UserError", "rewards is on a lower floor than rl.errors"),
    ("rewards/__main__.py", "from rl.errors import UserError", "rewards is on a lower floor than rl.errors"),
    ("cluster/errors.py", "import curricula.errors", "cluster and curricula are on the same floor"),
    ("rl/stages/sft.py", "from verl import DataProto", "only rl.engines, rl.algorithms.verl_bridge, tools may"),
    ("rl/driver/fleet.py", "def late(): import vllm.config", "tools may import vllm"),
    ("curricula/gates.py", "import torch", "only rl, tools may import torch"),
]
"""File, the line that is added to it, and what must be said of it."""
FINE = [
    ("tools/extra.py", "import vllm"),
    ("tools/extra.py", "from rl.main import main"),
    ("rl/report/extra.py", "import rl.files"),
    ("rl/report/extra.py", 'RUN = ["python", "-m", "rl.evaluate"]'),  # another process runs it
    ("rl/report/extra.py", 'ENV = {"VERL_USE_EXTERNAL_MODULES": "rl.engines.cpu_platform"}'),
    ("rl/report/extra.py", 'TEXT = "see rl.main for more"'),
    ("rl/report/extra.py", 'TABLE = {"page": "rl.report.page"}'),
]


@pytest.fixture(scope="module")
def here() -> list[Import]:
    return imports(ROOT)


def test_the_floors_hold(here: list[Import]) -> None:
    found = problems(ROOT, here)
    assert not found, "\n" + "\n".join(found)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[tuple[str, str], str], list[str]]:
    """A copy of the packages with all these lines; the place of each as ``file:line``; what is found."""
    copy = tmp_path_factory.mktemp("copy")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    places = {}
    circle = [("rl/report/trend.py", "import rl.report.planted"), ("rl/report/planted.py", "import rl.report.trend")]
    for name, line in [(file, line) for file, line, _ in CASES] + FINE + circle + [("rl/loose.py", "")]:
        text = (copy / name).read_text() if (copy / name).exists() else ""
        (copy / name).write_text(f"{text}{line}\n")
        places[name, line] = f"{name}:{text.count(chr(10)) + 1}"
    return copy, places, problems(copy, imports(copy))


@pytest.mark.parametrize(("file", "line", "rule"), CASES)
def test_a_break_of_the_rule_is_named(planted: tuple, file: str, line: str, rule: str) -> None:
    _, places, found = planted
    assert [one for one in found if one.startswith(f"{places[file, line]} imports ") and rule in one], found


def test_a_circle_in_a_room_and_a_room_without_a_floor_are_named(planted: tuple) -> None:
    _, places, found = planted
    (circle,) = (sentence for sentence in found if "rl.report.planted" in sentence)
    first, _, modules = circle.partition(" closes a circle: ")
    assert {*modules.split(" imports ")} == {"rl.report.planted", "rl.report.trend"}
    assert first in [place for (name, _), place in places.items() if name.startswith("rl/report/")]
    assert "rl.loose has no floor: add it to FLOORS in tools/floors.py" in found


@pytest.mark.parametrize(("file", "line"), FINE)
def test_what_keeps_the_rule_is_not_named(planted: tuple, file: str, line: str) -> None:
    _, places, found = planted
    assert not [sentence for sentence in found if sentence.startswith(f"{places[file, line]} ")]


def test_the_drawing_shows_the_floors_and_what_breaks_them(planted: tuple, capsys: pytest.CaptureFixture[str]) -> None:
    copy, _, found = planted
    assert main(["--root", str(copy)]) == 1
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in shown[1:4]] == ["rl.loose", "tools", "rl.main"]
    assert shown[-len(found) :] == found and " rooms, " in shown[-len(found) - 1]


def test_a_table_of_commands_counts(here: list[Import]) -> None:
    assert {("rl.evaluate", "rl.evaluation"), ("rl.inference.__main__", "rl.evaluation")} <= arrows(here)


def test_the_retriever_loads_no_model_and_no_backend(here: list[Import]) -> None:
    """Training imports it too, so torch, Ray and engines are loaded only when something is looked up with them."""
    script = (
        "import sys, rl.retrieval.retriever, rl.retrieval.bm25, rl.retrieval.dense, rl.retrieval.passages\n"
        "heavy = {'torch', 'ray', 'vllm', 'verl', 'transformers', 'sentence_transformers'} & set(sys.modules)\n"
        "backend = [name for name in sys.modules if name.startswith(('rl.inference', 'rl.actors', 'rl.evaluation'))]\n"
        "sys.exit(f'loaded: {sorted(heavy)} {backend}' if heavy or backend else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    named = {one.target for one in here if one.source.startswith("rl.retrieval")}
    assert named and not [name for name in named if name.startswith("rl.inference")]
