"""``python -m tools.reference``: writes the generated pages of docs/reference and the board of cluster/grafana.

They are made from the schema and the code itself.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

import rewards.library  # noqa: F401  (registers the rewards)
from rewards.published import PUBLISHED
from rewards.registry import JUDGED, REWARDS
from rl.config.algorithm import PRESETS, AlgorithmConfig, MismatchConfig
from rl.config.corpora import CleaningConfig, CorpusSource, PASConfig
from rl.config.metrics import PHASES, SUMMARIES, of_kind
from rl.config.schema import RunConfig
from rl.config.stages import (
    EvaluateStage,
    Gate,
    GatesConfig,
    GRPOStage,
    KeepConfig,
    MidTrainingStage,
    OptimConfig,
    PerplexityStage,
    RejectionStage,
    RewardPart,
    SamplingConfig,
    SFTStage,
)
from rl.config.synthesis import STEPS, SynthesisConfig
from tools import commands, grafana

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"
SECTIONS = ("model", "trainer", "rollout", "reward", "judge", "cluster", "tracker")
PARTS = (
    MidTrainingStage, PerplexityStage, SFTStage, RejectionStage, KeepConfig, GRPOStage, EvaluateStage, AlgorithmConfig,
    MismatchConfig,
    SamplingConfig, OptimConfig, CorpusSource, CleaningConfig, PASConfig, GatesConfig, Gate, RewardPart,
)  # fmt: skip


MADE = "Made from {} by `python -m tools.reference`; change that, not this page."
METRICS_HEAD = """\
# Metrics

{made}

Every step is a line of `metrics.jsonl`: `{"stage", "step", …metrics, "time": {…}}`. A number that is not finite is null
there. A name in braces stands for a value: `task/{task}/accuracy` is `task/age/accuracy` for the task `age`.

The column "logged" says which lines have the metric, and after "only with" what the configuration must say. Metrics in
bold are on the progress line. Where a step makes several updates, their metrics are means over them, except where the
table has another rule.

Each metric is a gauge in Ray, and so in Prometheus ([watching](../guides/watching.md)), with the run folder's name and
the stage as the labels `run` and `stage`. Its name is that of the metric with `_` for `/`, after `ray_themis_`:
`ray_themis_groups_trained`. Braces become labels: `task/{task}/accuracy` is `ray_themis_task_accuracy{task="age"}`, and
where the name ends in braces, `accuracy/{task}` is `ray_themis_accuracy_by_task{task="age"}`.

`gates.leave` and `gates.fall_back` take the metrics of the first table, as far as the stage logs them. `gates.enter`
takes `accuracy`, `accuracy/{task}` and `format` of the last evaluation before the stage. Times are for no gate.
"""
TIME_HEAD = """\
## Time (under `time`)

What the phases leave of `step` is the driver's own time. In Prometheus a phase is
`ray_themis_phase_seconds{phase="train"}`, and the last three are `ray_themis_step_seconds`,
`ray_themis_trainer_wait_seconds` and `ray_themis_bubble`.
"""
TITLES: dict[str, str] = {
    "grpo": "Reinforcement learning (`grpo`)",
    "sft": "Supervised fine-tuning (`sft`)",
    "rejection": "Rejection sampling (`rejection`)",
    "mid_training": "Mid-training (`mid_training`)",
    "perplexity": "Perplexity (`perplexity`)",
    "evaluate": "Evaluation (`evaluate`)",
}


def metrics_page() -> str:
    """Every metric by stage kind, as Markdown."""
    lines = [METRICS_HEAD.replace("{made}", MADE.format("`rl/config/metrics.py`"))]
    for kind, title in TITLES.items():
        lines += [f"## {title}", "", "| metric | unit | meaning | logged |", "|---|---|---|---|"]
        for one in of_kind(kind):
            name = f"**`{one.name}`**" if one.shown else f"`{one.name}`"
            logged = f"{one.steps}, only with {one.when.text}" if one.when else one.steps
            lines.append(f"| {name} | {one.unit} | {_cell(one.meaning)} | {logged} |")
        lines.append("")
    lines += [TIME_HEAD, "| entry | unit | meaning | stages | logged |", "|---|---|---|---|---|"]
    for one in (*PHASES, *SUMMARIES):
        kinds = ", ".join(one.kinds)
        lines.append(f"| `{one.label}` | {one.unit} | {_cell(one.meaning)} | {kinds} | {one.steps} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def keys_page() -> str:
    """Every key of a run and of the stages, as Markdown."""
    fields = RunConfig.model_fields
    lines = ["# Keys", "", MADE.format("`rl/config`"), ""]
    lines += ["A key is set in YAML or as `key=value` on the command line ([running](../guides/running.md)).", ""]
    lines += [
        "## Keys of a run",
        "",
        *_table({n: f for n, f in fields.items() if n not in (*SECTIONS, "curriculum")}),
        "",
    ]
    for name in SECTIONS:
        model = fields[name].annotation
        assert isinstance(model, type) and issubclass(model, BaseModel)
        lines += [f"## {name}", "", inspect.getdoc(model) or "", "", *_table(dict(_leaves(model))), ""]
    lines += ["# Stages of a curriculum", ""]
    for part in PARTS:
        lines += [f"## {part.__name__}", "", inspect.getdoc(part) or "", "", *_table(part.model_fields), ""]
    lines += ["# Keys of a synthesis", "", "Of `python -m rl.synthesize` ([synthesis](../guides/synthesis.md)).", ""]
    lines += [*_table({n: f for n, f in _leaves(SynthesisConfig) if not n.startswith("recipe.")}), ""]
    for step in STEPS:
        fields = {name: field for name, field in step.model_fields.items() if name != "step"}
        name = get_args(step.model_fields["step"].annotation)[0]
        lines += [f"## Step {name}", "", inspect.getdoc(step) or "", ""]
        lines += [*_table(fields), ""] if fields else []
    return "\n".join(lines).rstrip() + "\n"


def algorithms_page() -> str:
    """The published algorithms and what each sets."""
    lines = ["# Algorithms by name", "", MADE.format("`rl/config/algorithm.py`"), ""]
    lines += ["`algorithm: {preset: NAME}` in a GRPO stage; a key set beside the preset wins.", ""]
    lines += ["All keys of the update: [AlgorithmConfig](keys.md#algorithmconfig).", ""]
    lines += ["| preset | sets | why | source |", "|---|---|---|---|"]
    for name, preset in PRESETS.items():
        keys = ", ".join(f"`{key}: {_shown(value)}`" for key, value in preset.keys.items())
        lines.append(f"| `{name}` | {keys} | {preset.reason} | {preset.source} |")
    return "\n".join(lines) + "\n"


def rewards_page() -> str:
    """The reward library: what each measures, and where its file says it is from."""
    lines = ["# Rewards by name", "", MADE.format("`rewards`"), ""]
    lines += ["How to weigh, write and try one: [your own reward](../guides/own-reward.md).", ""]
    lines += ["| reward | file | score |", "|---|---|---|"]
    for name, function in sorted(REWARDS.items()):
        meaning = _cell(" ".join((inspect.getdoc(function) or "").split("\n\n")[0].split()))
        file = function.__module__.replace(".", "/")
        lines.append(f"| `{name}`{' (judge)' if name in JUDGED else ''} | `{file}.py` | {meaning} |")
    lines += ["", "| published total | parts | source and choices |", "|---|---|---|"]
    for name, total in PUBLISHED.items():
        parts = " + ".join(f"{weight:g} {part}" for part, weight in total.parts.items())
        lines.append(f"| `{name}` | {parts} | {total.source} |")
    return "\n".join(lines) + "\n"


def _leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _leaves(inner, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def _table(fields: dict[str, FieldInfo]) -> list[str]:
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for name, field in fields.items():
        default = field.get_default(call_default_factory=True) if not field.is_required() else PydanticUndefined
        shown = "required" if default is PydanticUndefined else _shown(default)
        meaning = " ".join(str(field.description).split())
        rows.append(f"| `{name}` | {_type(field.annotation)} | {shown} | {meaning} |")
    return rows


def _type(annotation: Any) -> str:
    text = (
        annotation.__name__ if isinstance(annotation, type) and not hasattr(annotation, "__args__") else str(annotation)
    )
    for noise in ("typing.", "rl.config.stages.", "rl.config.schema.", "rl.config.corpora.", "rl.config.algorithm."):
        text = text.replace(noise, "")
    return f"`{text}`".replace("|", "or")


def _shown(value: Any) -> str:
    if isinstance(value, BaseModel):
        return f"see {type(value).__name__}"
    if isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        return f"one {type(value[0]).__name__}"
    return "empty" if value in (None, (), {}) and value is not False else str(value)


PAGES: dict[str, Callable[[], str]] = {
    "keys.md": keys_page,
    "algorithms.md": algorithms_page,
    "rewards.md": rewards_page,
    "metrics.md": metrics_page,
    "commands.md": commands.page,
}
"""What makes each generated page."""


def main() -> int:
    """Write the pages and the board."""
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
    grafana.BOARD.write_text(grafana.text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
