"""The Grafana board of runs, cluster/grafana/themis.json, made from the catalogue of metrics.

``python -m tools.reference`` writes it. Expressions name gauges only through the catalogue, so a metric that is renamed
there is renamed here, and one that is gone is an error.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl.config.gauges import ABOUT_RUN, LOSSES, STEP, Gauge, reading

BOARD = Path(__file__).resolve().parents[1] / "cluster" / "grafana" / "themis.json"
HERE = 'run=~"$run",stage=~"$stage"'
"""The part of a board's variables that chooses series."""
WIDTH, HEIGHT = 8, 8
"""Size of a panel; a row is 24 wide."""


@dataclass(frozen=True)
class Line:
    """Lines of a panel."""

    expr: str
    legend: str
    metrics: tuple[str, ...] = ()
    """Names of the catalogue that it needs one of; none if it needs Ray's own metrics or gauges about the run."""
    gpu: bool = False
    """Whether there is nothing to show without a GPU."""


@dataclass(frozen=True)
class Panel:
    """A panel of the board."""

    title: str
    lines: tuple[Line, ...]
    unit: str = "short"
    stacked: bool = False


def of(name: str, *, by: tuple[str, ...] = ()) -> str:
    """The PromQL of a metric by run and stage, and by further labels. The maximum takes away labels of Ray's own, such
    as those of the process."""
    found = reading(name)
    if found is None:
        raise LookupError(f"the catalogue of metrics has no {name}")
    gauge, labels = found
    own = "".join(f',{label}="{value}"' for label, value in labels.items() if label not in by)
    return f"max by ({', '.join(('run', 'stage', *by))}) (ray_{gauge.name}{{{HERE}{own}}})"


def about(gauge: Gauge) -> str:
    """The PromQL of a gauge about the run, by its labels."""
    assert gauge in ABOUT_RUN
    chosen = HERE if "stage" in gauge.labels else 'run=~"$run"'
    return f"max by ({', '.join(gauge.labels)}) (ray_{gauge.name}{{{chosen}}})"


def plain(name: str, legend: str | None = None) -> Line:
    """The line of one metric."""
    return Line(of(name), f"{{{{run}}}} {{{{stage}}}} {legend or name}".strip(), (name,))


def family(name: str, label: str) -> Line:
    """The lines of all metrics of a family; ``name`` is one of it."""
    return Line(of(name, by=(label,)), f"{{{{run}}}} {{{{stage}}}} {{{{{label}}}}}", (name,))


def rate(name: str) -> Line:
    """A number of each step, by the seconds of that step."""
    return Line(f"{of(name)} / {of('time/step')}", "{{run}} {{stage}}", (name,))


def ray(metric: str, label: str, gpu: bool = False) -> Line:
    """One of Ray's own metrics."""
    return Line(f"sum by ({label}) ({metric})", f"{{{{{label}}}}}", gpu=gpu)


PANELS = (
    Panel("Phases of a step", (family("time/train", "phase"),), "s", stacked=True),
    Panel("Time of a step", (plain("time/step", "step"), plain("time/trainer_wait", "engines idle")), "s"),
    Panel("Pipeline bubble", (plain("time/bubble", ""),), "percentunit"),
    Panel("Tokens a second: sampled", (rate("completion_tokens"),)),
    Panel("Tokens a second: next-token training", (rate("tokens"),)),
    Panel("Steps done", (Line(about(STEP), "{{run}} {{stage}}"),)),
    Panel("Reward", (plain("reward", ""),)),
    Panel(
        "Parts of the reward",
        (family("reward/format", "reward"), plain("reward/accuracy", "accuracy"), plain("reward/overlong", "overlong")),
    ),
    Panel("Accuracy by task, in training", (family("task/age/accuracy", "task"),), "percentunit"),
    Panel("Accuracy by task, held out", (family("accuracy/age", "task"),), "percentunit"),
    Panel("Loss", (plain("loss", ""),)),
    Panel("Gradient norm", (plain("grad_norm", ""),)),
    Panel("Entropy", (plain("entropy", ""),)),
    Panel("KL to the reference", (plain("kl", ""),)),
    Panel("Trainer against sampler", (plain("mismatch_kl"), plain("log_prob_difference"))),
    Panel("Length of completions", (plain("completion_length", ""),)),
    Panel("Completions cut off", (plain("truncated", ""),), "percentunit"),
    Panel("Staleness", (plain("staleness", "mean"), plain("staleness_max", "largest"))),
    Panel(
        "Groups",
        (plain("groups/sampled", "sampled"), plain("groups/trained", "trained"), plain("groups/errored", "errored")),
    ),
    Panel("Groups without variance", (plain("groups/zero_variance", ""),), "percentunit"),
    Panel("Judge: cost since its start", (plain("judge/cost", ""),)),
    Panel("Judge: errors", (plain("judge/error_rate", ""),), "percentunit"),
    Panel("Judge: time of a request", (plain("judge/latency_s", ""),), "s"),
    Panel("Processes lost", (Line(about(LOSSES), "{{run}} {{actor}}"),)),
    Panel("Memory of nodes, used", (ray("ray_node_mem_used", "instance"),), "bytes"),
    Panel("Memory of processes", (ray("ray_component_rss_bytes", "Component"),), "bytes"),
    Panel("GPU memory, used", (ray("ray_node_gram_used", "instance", gpu=True),), "decmbytes"),
    Panel("Object store, used", (ray("ray_object_store_memory", "instance"),), "bytes"),
    Panel("Disk, free", (ray("ray_node_disk_free", "instance"),), "bytes"),
)
"""All panels, in the order in which they stand."""


def board() -> dict[str, Any]:
    """The board as Grafana's JSON."""
    source = {"type": "prometheus", "uid": "${datasource}"}
    panels = [
        {
            "id": number + 1,
            "type": "timeseries",
            "title": panel.title,
            "datasource": source,
            "gridPos": {"x": number % 3 * WIDTH, "y": number // 3 * HEIGHT, "w": WIDTH, "h": HEIGHT},
            "fieldConfig": {
                "defaults": {
                    "unit": panel.unit,
                    "custom": {
                        "fillOpacity": 40 if panel.stacked else 0,
                        "stacking": {"mode": "normal" if panel.stacked else "none"},
                    },
                },
                "overrides": [],
            },
            "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
            "targets": [
                {
                    "refId": chr(ord("A") + i),
                    "datasource": source,
                    "expr": line.expr,
                    "legendFormat": line.legend.strip(),
                }
                for i, line in enumerate(panel.lines)
            ],
        }
        for number, panel in enumerate(PANELS)
    ]
    return {
        "uid": "themis",
        "title": "Themis",
        "tags": ["themis", "ray"],
        "schemaVersion": 38,
        "editable": True,
        "refresh": "15s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_source(), _variable("run"), _variable("stage")]},
        "panels": panels,
    }


def _source() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}


def _variable(label: str) -> dict[str, Any]:
    chosen = '{run=~"$run"}' if label == "stage" else ""
    return {
        "name": label,
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "query": f"label_values(ray_{STEP.name}{chosen}, {label})",
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "refresh": 2,
    }


def text() -> str:
    """What the file holds."""
    return json.dumps(board(), indent=1) + "\n"
