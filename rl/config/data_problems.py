"""What is wrong with the data that a curriculum names, before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rl.config.corpora import CorpusSource
from rl.config.fingerprint import data_files
from rl.config.schema import RunConfig
from rl.config.stages import MidTrainingStage, PerplexityStage

MAKE = "python -m rl.synthesize +recipe=lead writes one, into its run_dir"


def data_problems(config: RunConfig, seen: Callable[[str], bool]) -> list[str]:
    """Data files, and folders of corpora, that are missing.

    Args:
        config: the run.
        seen: whether a path can be looked for on this machine.
    """
    corpora = {
        source.path
        for stage in config.curriculum.stages
        if isinstance(stage, MidTrainingStage | PerplexityStage)
        for source in stage.corpus
    }
    files = data_files(config)
    made = config.data_from
    inside = [file for file in files if made is not None and Path(made) in Path(file).parents]
    problems = []
    if made is not None and not inside:
        problems.append(f"data_from={made}: no stage of curriculum {config.curriculum.name} reads a file from it")
    elif made is not None and seen(made) and not Path(made).is_dir():
        problems.append(f"data_from={made}: no such folder (looked from {Path.cwd()}); {MAKE}")
        files = [file for file in files if file not in inside]
    for file in filter(seen, files):
        if not Path(file).is_file() and not (file in corpora and Path(file).is_dir()):
            why = f"; {_left_out(Path(file).name)}" if file in inside else ""
            problems.append(f"data file {file} does not exist (looked from {Path.cwd()}){why}")
    return problems


def _left_out(name: str) -> str:
    """Why a synthesis has not written a file."""
    return (
        f"the synthesis has not come to its end, or kept nothing for {name}: card.md in that folder counts what each "
        f"step kept. Run its command again, give it more documents, or leave out the stages that read the file"
    )


def pas_problems(config: RunConfig, stage: MidTrainingStage) -> list[str]:
    """Why a stage can't have plasticity-adjusted sampling: no stage before it scores its sources."""
    if stage.pas is None:
        return []
    before = config.curriculum.stages[: config.curriculum.stages.index(stage)]
    scored = [other for other in before if isinstance(other, PerplexityStage)]
    found = next((other for other in scored if other.name == stage.pas.scores), None)
    if found is None:
        names = ", ".join(other.name for other in scored) or "none"
        return [f"pas.scores={stage.pas.scores} is no perplexity stage before this one (there is {names})"]
    missing = [source.path for source in stage.corpus if not any(_covers(other, source) for other in found.corpus)]
    if missing:
        return [f"pas: the source {missing[0]} is not scored by stage {found.name}; list it there as it is listed here"]
    return []


def _covers(scored: CorpusSource, source: CorpusSource) -> bool:
    """Whether a scored source holds every document of another."""
    same = ("path", "subset", "split", "column")
    if any(getattr(scored, name) != getattr(source, name) for name in same):
        return False
    enough = scored.limit is None or (source.limit is not None and source.limit <= scored.limit)
    return enough and (not scored.laws or (set(source.laws) <= set(scored.laws) and bool(source.laws)))
