"""Syntheses over the example judgments, with the scripted teacher."""

import json
from itertools import pairwise
from pathlib import Path

from hydra import compose, initialize_config_dir
from rich.console import Console

from rl.config.compose import CONF, accept_overrides, load_synthesis
from rl.config.synthesis import SynthesisConfig
from rl.synthesis.run import synthesize
from tests.conftest import ROOT

JUDGMENTS = ROOT / "docs" / "examples" / "judgments"


def config(*overrides: str, recipe: str = "lead") -> SynthesisConfig:
    """The configuration of a command."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        accepted = accept_overrides([f"+recipe={recipe}", *overrides], SynthesisConfig)
        accepted = [one.replace("hydra.run.dir=", "++run_dir=") for one in accepted]
        return load_synthesis(compose("synthesize", overrides=accepted))


def options(folder: Path, url: str, source: Path = JUDGMENTS, *more: str) -> list[str]:
    """What every run of these tests says."""
    return [
        f"input={source}", f"run_dir={folder}", f"teacher.base_url={url}", "cache=null", "as_of=2026-01-01",
        "teacher.retries=0", *more,
    ]  # fmt: skip


def run(folder: Path, url: str, source: Path = JUDGMENTS, *more: str, recipe="lead", step="scenarios", **changed):
    """The results of a run; ``changed`` are other options of a step of the recipe."""
    values = config(*options(folder, url, source, *more), recipe=recipe).model_dump()
    for one in values["recipe"]["steps"]:
        if one["step"] == step:
            one.update(changed)
    return synthesize(SynthesisConfig.model_validate(values), Console(quiet=True))


def child(values: str) -> None:
    """A run in a process of its own, by the JSON of its configuration."""
    synthesize(SynthesisConfig.model_validate(json.loads(values)), Console(quiet=True))


def files(folder: Path) -> dict[str, bytes]:
    """What a run has written, without its lock and the day on which it began."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (".lock", "manifest.json")
    }


def require_sums(results) -> None:
    """Nothing appears or disappears between the steps."""
    for result in results:
        entered = len(result.outcomes)
        assert entered == result.count("kept") + result.count("dropped") + result.count("failed"), result.name
    for before, after in pairwise(results):
        assert len(before.kept) == len(after.outcomes), f"{before.name} to {after.name}"
