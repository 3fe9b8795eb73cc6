"""What a run folder says: manifest, metrics, results and corpus cards, as plain values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, NotRequired

from annotated_types import Gt
from pydantic import AfterValidator, FiniteFloat, NonNegativeInt
from typing_extensions import TypedDict

from rewards.published import PUBLISHED
from rewards.registry import Part
from rl.config.metrics import METRICS
from rl.errors import UserError
from rl.files import read_json
from rl.language import Text
from rl.records.losses import read_losses
from rl.records.manifest import read_content
from rl.records.results import EvalResult, read
from rl.records.task_figures import stage_figures
from rl.records.tracking import read_metrics

Line = dict[str, Any]
"""One line of metrics.jsonl."""


class _Source(TypedDict):
    name: str
    kind: str
    documents: NonNegativeInt
    tokens: NonNegativeInt
    share_asked: FiniteFloat
    share_drawn: FiniteFloat
    dropped: dict[str, NonNegativeInt]
    meta: NotRequired[dict[str, dict[str, NonNegativeInt]]]
    buckets: NotRequired[dict[str, NonNegativeInt]]


class _Histogram(TypedDict):
    edges: list[Annotated[FiniteFloat, Gt(0)]]
    counts: list[NonNegativeInt]


def _bounded(found: _Histogram) -> _Histogram:
    edges = found["edges"]
    if len(edges) != (len(found["counts"]) + 1 if edges else 0) or edges != sorted(set(edges)):
        raise ValueError("its edges and counts do not belong together")
    return found


class _Phase(TypedDict):
    name: str
    steps: NonNegativeInt
    shares: dict[str, FiniteFloat]


class Card(TypedDict):
    """A corpus card, see curricula/card.py."""

    stage: str
    tokens: NonNegativeInt
    sources: list[_Source]
    perplexity: NotRequired[Annotated[_Histogram, AfterValidator(_bounded)]]
    phases: NotRequired[list[_Phase]]


@dataclass(frozen=True)
class Stage:
    """A stage of a run: its configuration, what the manifest records of it, and what it logged."""

    config: dict[str, Any]
    """As in the manifest; see rl/config/stages.py."""
    record: dict[str, Any]
    """State in the manifest: ``done``, and where the stage has them ``skipped`` (the reason) and ``ended``."""
    lines: list[Line]
    """Its lines of metrics.jsonl, one a step."""

    @property
    def name(self) -> str:
        """Name of the stage."""
        return str(self.config["name"])

    @property
    def kind(self) -> str:
        """Kind of the stage, such as ``grpo``."""
        return str(self.config["kind"])

    @property
    def status(self) -> Text:
        """``done``, ``left early``, ``fell back``, ``skipped``, ``unfinished`` or ``not started``."""
        if self.record.get("skipped"):
            return Text("skipped")
        kind = self.ended["kind"] if self.ended else None
        if kind in ("leave", "fall_back"):
            return Text("left early") if kind == "leave" else Text("fell back")
        if self.record.get("done"):
            return Text("done")
        return Text("unfinished") if self.lines else Text("not started")

    @property
    def remark(self) -> str:
        """Why it was skipped or ended early, and which weights it ended with; of a perplexity stage what it found."""
        if self.record.get("skipped"):
            return str(self.record["skipped"])
        if self.kind == "perplexity" and (found := self.values("perplexity/median")):
            return Text(
                "median perplexity {median:.1f} over {n:.0f} documents",
                median=found[-1],
                n=self.values("documents")[-1],
            )
        if not self.ended:
            return ""
        early = self.ended["kind"] != "best"
        why: str = str(self.ended["why"])
        if early:
            why = Text("after step {step}: {why}", step=self.ended["step"], why=why)
        return Text("{why}; {kept}", why=why, kept=self.kept) if self.kept else why

    @property
    def kept(self) -> str:
        """In words, which weights it ended with, where these are not its last."""
        after = self.ended.get("weights_after") if self.ended else None
        if after is None:
            return ""
        if after:
            return Text("the weights of step {step} are kept", step=after)
        return Text("the weights from before the stage are kept")

    @property
    def ended(self) -> dict[str, Any] | None:
        """How it ended otherwise than with its last step and weights: ``step`` (steps done), ``kind`` (``leave``,
        ``fall_back`` or ``best``), ``why``, and ``weights_after`` (how many steps; 0 for its start, None for the last).
        """
        return self.record.get("ended")

    @property
    def steps(self) -> int | None:
        """Its number of steps; None for a kind without steps."""
        if self.kind == "rejection":
            return int(self.config["rounds"] * (self.config["sampling_steps"] + self.config["training_steps"]))
        return self.config.get("steps")

    @cached_property
    def metrics(self) -> list[str]:
        """Names of the metrics, in the order in which they first came."""
        found: dict[str, None] = {}
        for line in self.lines:
            if not line.keys() <= found.keys():
                found |= dict.fromkeys(line)
        return [name for name in found if name not in ("stage", "step", "time")]

    @cached_property
    def _series(self) -> dict[str, tuple[list[int], list[float]]]:
        """What :meth:`series` has read."""
        return {}

    def family(self, pattern: str) -> list[str]:
        """Names of the logged metrics of one entry of the catalogue, such as ``task/{task}/reward``."""
        entry = next(one for one in METRICS if one.name == pattern)
        return [name for name in self.metrics if entry.values(name) is not None]

    def series(self, metric: str) -> tuple[list[int], list[float]]:
        """Steps done (1 after the first step) and values of a metric, where it is a finite number."""
        if metric not in self._series:  # the page asks for each some times
            pairs = [(line["step"] + 1, line[metric]) for line in self.lines if is_number(line.get(metric))]
            self._series[metric] = [step for step, _ in pairs], [float(value) for _, value in pairs]
        steps, values = self._series[metric]
        return steps.copy(), values.copy()

    def values(self, metric: str) -> list[float]:
        """Finite values of a metric, step after step."""
        return self.series(metric)[1]

    @property
    def seconds(self) -> float:
        """Time that its steps took."""
        return math.fsum(line.get("time", {}).get("step", 0.0) for line in self.lines)


@dataclass(frozen=True)
class Run:
    """A run folder."""

    path: Path
    manifest: dict[str, Any]
    stages: list[Stage]
    results: list[EvalResult]
    corpora: dict[str, dict[str, Any]]
    """Corpus card of each stage that wrote one."""
    benchmarks: list[dict[str, Any]]
    """Records of benchmarks.json: the scores of a task in an evaluation stage, see rl/evaluation/stage.py."""
    losses: list[dict[str, Any]]
    """Actors and drivers that were lost on the way, see rl/records/losses.py."""

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.name

    @property
    def config(self) -> dict[str, Any]:
        """The part of the configuration that decides results."""
        config: dict[str, Any] = self.manifest["config"]
        return config

    @property
    def seconds(self) -> float:
        """Time that all steps took, without starting Ray and the actors."""
        return math.fsum(stage.seconds for stage in self.stages)

    def stage(self, name: str) -> Stage | None:
        """The stage of a name; None if the curriculum has none."""
        return next((stage for stage in self.stages if stage.name == name), None)

    def of_kind(self, *kinds: str) -> list[Stage]:
        """Stages of some kinds that logged something."""
        return [stage for stage in self.stages if stage.kind in kinds and stage.lines]

    def reward_config(self, stage: Stage) -> dict[str, Any]:
        """Configuration of a GRPO stage's rewards: its own where it sets them, else the run's."""
        parts: dict[str, Any] = stage.config.get("reward") or self.config["reward"]["parts"]
        return parts

    def reward_parts(self, stage: Stage) -> dict[str, Part]:
        """The same with published totals written out, as the metrics name them."""
        found = {}
        for name, given in self.reward_config(stage).items():
            inner = PUBLISHED[name].parts if name in PUBLISHED else {name: 1.0}
            for part, weight in inner.items():
                found[part] = Part(weight * float(given["weight"]), given.get("range"), given.get("clip"))
        return found


def read_run(path: Path) -> Run:
    """Read a run folder.

    Raises:
        UserError: if it is no run folder, or a file in it is damaged.
    """
    if not path.is_dir():
        raise UserError(f"{path} is not a folder; give the folder of a run, such as runs/legal-nano-seed0")
    if not (path / "manifest.json").is_file():
        raise UserError(f"{path} is not a run folder: it has no manifest.json; a run leaves one at its start")
    manifest = {"law": {}, "versions": {}} | read_content(path)
    try:
        configs = manifest["config"]["curriculum"]["stages"]
        records, _, _ = manifest["stages"], manifest["config"]["model"]["name"], manifest["seed"]
        lines = read_metrics(path / "metrics.jsonl")
        stages = [
            Stage(config, records.get(config["name"], {}), [line for line in lines if line["stage"] == config["name"]])
            for config in configs
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}/manifest.json is not the manifest of a run ({type(error).__name__}: {error}); give a folder that "
            f"python -m rl.main wrote"
        ) from None
    cards = {card.stem: read_json(card, Card) for card in sorted((path / "corpus").glob("*.json"))}
    return Run(path, manifest, stages, read(path / "results.json"), cards, stage_figures(path), read_losses(path))


def runs_in(path: Path) -> list[Path]:
    """Run folders directly inside a folder, in the order of their names."""
    return sorted(found.parent for found in path.glob("*/manifest.json")) if path.is_dir() else []


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
