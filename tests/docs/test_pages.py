"""What the pages say exists: links, anchors, paths, modules, keys; and the generated pages are what the code says."""

import ast
import re
import subprocess
import sys
from fnmatch import translate
from functools import cache

import pytest

from rl.config.compose import groups, schema_keys
from rl.config.stages import AlgorithmConfig, GatesConfig, OptimConfig, SamplingConfig
from rl.config.synthesis import SynthesisConfig
from tests.docs.pages import ROOT, anchors, code_blocks, code_lines, inline, links, pages
from tools import reference

PACKAGES = ("rl", "curricula", "rewards", "cluster", "tools", "tests", "docs", "requirements", "examples")
PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(PACKAGES)})/[\w./*-]*")
MODULE = re.compile(r"(?<![\w./-])(?:rl|curricula|rewards|cluster|tools|tests)(?:\.[A-Za-z_]\w*)+(?![\w/])")
STAGE_PARTS = {"algorithm": AlgorithmConfig, "sampling": SamplingConfig, "optim": OptimConfig, "gates": GatesConfig}
KEY = re.compile(
    r"(?<![\w./-])(?:model|trainer|rollout|reward|judge|cluster|tracker|statutes|algorithm|sampling|optim|gates)"
    r"\.(?!sqlite)[a-z_]+(?:\.[a-z_]+)*(?=$|[=` ,:])"
)
every_page = pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))


@cache
def files():
    """Every file of the repository that a page may name, and the folders above them."""
    found = {ROOT / "pyproject.toml", ROOT / "Makefile"}
    for package in PACKAGES:
        found |= {path for path in (ROOT / package).rglob("*") if "__pycache__" not in path.parts}
    return [str(path.relative_to(ROOT)) + ("/" if path.is_dir() else "") for path in found]


def exists(path):
    """Whether a path or pattern names something of the repository."""
    path = path.rstrip(".")
    return (ROOT / path).exists() or ("*" in path and any(re.match(translate(path), name) for name in files()))


def wrong_paths(text):
    return [path for path in PATH.findall(text) if not exists(path)]


def wrong_names(text):
    """Dotted names that are no module, and nothing in one, and no key."""
    return [name for name in MODULE.findall(text) if not (is_module(name) or is_key(name))]


def is_module(name):
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        base = ROOT.joinpath(*parts[:length])
        file = base.with_suffix(".py") if base.with_suffix(".py").is_file() else base / "__init__.py"
        if file.is_file():
            inside = parts[length : length + 1]
            text = file.read_text(encoding="utf-8")
            return not inside or bool(re.search(rf"^(?:def |class )?{inside[0]}\b", text, re.MULTILINE))
    return False


def is_key(name):
    keys = schema_keys() | schema_keys(SynthesisConfig)
    if name in keys or any(free and name.startswith(f"{key}.") for key, free in keys.items()):
        return True
    section, field = name.split(".")[:2]
    return field in getattr(STAGE_PARTS.get(section), "model_fields", {})


@every_page
def test_links_and_anchors_resolve(page):
    for line, target in links(page):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page}:{line}: no file {target}"
        if anchor:
            assert anchor in anchors(file), f"{page}:{line}: {file.name} has no heading #{anchor}"


@every_page
def test_paths_modules_and_keys_exist(page):
    for line, code in (*code_lines(page), *inline(page)):
        assert not wrong_paths(code), f"{page}:{line}: {wrong_paths(code)} is not in the repository"
        assert not wrong_names(code), f"{page}:{line}: {wrong_names(code)} is no module and no key"
    for line, code in inline(page):
        unknown = [name for name in KEY.findall(code) if not (is_key(name) or is_module(name) or exists(name))]
        assert not unknown, f"{page}:{line}: {unknown} is no key"


def test_wrong_names_are_found():
    """The checks above can fail."""
    assert wrong_paths("see rl/drivers/steps.py") == ["rl/drivers/steps.py"] and not wrong_paths("rl/stages/*.py")
    assert wrong_names("rl.driver.no_such") == ["rl.driver.no_such"] and not wrong_names("rl.driver.steps.StepLoop")
    assert not is_key("rollout.overlapping") and is_key("rollout.overlap") and is_key("algorithm.clip_high")
    assert KEY.findall("rollout.overlapping=async") == ["rollout.overlapping"]


def test_every_page_can_be_reached():
    """From the README, by links."""
    seen, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        seen.add(page)
        targets = {(page.parent / target.partition("#")[0]).resolve() for _, target in links(page) if target[0] != "h"}
        ahead += [file for file in targets if file.suffix == ".md" and file not in seen]
    assert set(pages()) <= seen, "a page that nothing links to"


def test_code_of_the_pages_runs():
    """In a process of its own, since an example may register something. The page from-python.md has its own test, and
    the Chinese pages have the same code."""
    some = [page for page in pages() if page.name != "from-python.md" and "zh" not in page.relative_to(ROOT).parts]
    blocks = [block for page in some for block in code_blocks(page, "python")]
    assert len(blocks) >= 2
    done = subprocess.run([sys.executable, "-c", "\n".join(blocks)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_messages_of_the_troubleshooting_page_are_those_of_the_code():
    """A symptom in code format is a message, with … for what it fills in."""
    said = list(messages())
    page = ROOT / "docs" / "guides" / "troubleshooting.md"
    symptoms = re.findall(r"^\| `([^`]+)`[^|]*\|", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(symptoms) > 15
    unknown = [one for one in symptoms if not any(all(part in text for part in one.split("…")) for text in said)]
    assert not unknown, f"no message of the code says {unknown}"


def messages():
    """Every text of the code, with … for what an f-string fills in."""
    for package in ("rl", "curricula", "rewards", "cluster", "tools"):
        for file in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_lines_are_short_outside_of_tables():
    for page in pages():  # test_chinese.py has its own measure for the Chinese ones
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
            assert line.startswith(("|", "-", "!")) or len(line) <= 140, f"{page}:{number} has {len(line)} characters"


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_generated_page_is_what_the_code_says(name):
    written = (reference.FOLDER / name).read_text(encoding="utf-8")
    assert written == reference.PAGES[name](), "run python -m tools.reference"


def test_every_command_is_on_the_page_of_commands():
    """What can be run as ``python -m tools.…`` is listed, except the processes that a benchmark starts itself."""
    text = (reference.FOLDER / "commands.md").read_text(encoding="utf-8")
    for file in sorted((ROOT / "tools").rglob("*.py")):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
        if '__name__ == "__main__"' in file.read_text(encoding="utf-8") and not name.endswith("_worker"):
            heading = rf"^### python -m {re.escape(name)}(?: |$)"  # some are followed by the names of their commands
            assert re.search(heading, text, re.MULTILINE), f"{name} is missing in tools/commands.py"


def test_every_group_of_options_is_named():
    """The groups of rl/conf stand on the page of keys or in the guides."""
    told = "".join(page.read_text(encoding="utf-8") for page in pages())
    for group in groups():
        assert f"{group}=" in told or f"{group}." in told, group


def test_the_metrics_page_has_what_it_promises():
    page = reference.metrics_page()
    for text in ("| `ratio` |", "| **`entropy`** | nats a token |", "| `bubble` | share |", "(2 · step)", "eq. 13"):
        assert text in page, text
    rows = [line for line in page.splitlines() if line.startswith("|")]
    columns = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
    assert set(columns) == {5, 6}, "a bar within a cell is escaped"
