"""Gauges of a run, as Prometheus gets them from Ray's own agent of the node."""

import json
import re
import subprocess
import urllib.request

import pytest
import ray
from rich.console import Console

from rl.config.gauges import ABOUT_RUN, gauge_of, reading
from rl.config.metrics import METRICS, PHASES
from rl.config.schema import TrackerConfig
from rl.records.losses import Losses
from rl.records.tracking import Tracker
from tests.prometheus import needs_prometheus, scraping, until
from tools.grafana import BOARD, PANELS, text

OURS = {label for gauge in [*map(gauge_of, METRICS), *ABOUT_RUN] for label in gauge.labels} - {"run"}
ALERTS = BOARD.with_name("alerts.yaml")


def tracker_of(run_dir):
    run_dir.mkdir(exist_ok=True)
    tracker = Tracker(run_dir, TrackerConfig(wandb="disabled", progress=False), Console(quiet=True))
    tracker.gauges.begin({})
    return tracker


def agent():
    return f"127.0.0.1:{ray.nodes()[0]['MetricsExportPort']}"


def exported(run):
    """The gauges of a run: {(name, labels of ours): value}."""
    found = {}
    for line in urllib.request.urlopen(f"http://{agent()}/metrics", timeout=30).read().decode().splitlines():
        if line.startswith("ray_themis_") and f'run="{run}"' in line:
            name, labels, value = re.fullmatch(r"ray_themis_(\w+)\{(.*)\} (\S+)", line).groups()
            own = {k: v for k, v in re.findall(r'(\w+)="([^"]*)"', labels) if k in OURS}
            found[name, tuple(sorted(own.items()))] = float(value)
    return found


def test_names_are_valid_for_prometheus_and_one_gauge_has_one_set_of_labels():
    gauges = [*map(gauge_of, METRICS), *ABOUT_RUN]
    labels: dict[str, tuple[str, ...]] = {}
    for gauge in gauges:
        assert re.fullmatch(r"themis_[a-z][a-z0-9_]*", gauge.name), gauge
        assert labels.setdefault(gauge.name, gauge.labels) == gauge.labels
        assert gauge.labels[0] == "run" and gauge.meaning
    assert len(labels) == len({metric.name for metric in METRICS}) - len(PHASES) + 1 + len(ABOUT_RUN), (
        "no two share one"
    )


@pytest.mark.parametrize(
    ("name", "gauge", "labels"),
    [
        ("reward", "themis_reward", {}),
        ("reward/accuracy", "themis_reward_accuracy", {}),
        ("reward/my:cites", "themis_reward_by_reward", {"reward": "my:cites"}),
        ("task/my cases.jsonl/accuracy", "themis_task_accuracy", {"task": "my cases.jsonl"}),
        ("accuracy/age", "themis_accuracy_by_task", {"task": "age"}),
        ("benchmark/lawbench/3-6", "themis_benchmark_by_task", {"benchmark": "lawbench", "task": "3-6"}),
        ("perplexity/median", "themis_perplexity_median", {}),
        ("time/train", "themis_phase_seconds", {"phase": "train"}),
        ("time/step", "themis_step_seconds", {}),
        ("time/bubble", "themis_bubble", {}),
    ],
)
def test_a_number_of_a_step_is_a_gauge(name, gauge, labels):
    found, own = reading(name)
    assert (found.name, own) == (gauge, labels)


def test_a_number_that_the_catalogue_lacks_is_none():
    assert reading("mine") is None


def test_what_a_step_does_not_have_and_what_a_run_leaves_does_not_stay(ray_cluster, tmp_path):
    tracker = tracker_of(tmp_path / "first")
    losses = Losses(tmp_path / "first", tracker.console, lambda: tracker.place, tracker.gauges.lost)
    with tracker.stage("sft", total=3, start=1):
        with tracker.phase("checkpoint"):
            pass
        tracker.log("sft", 1, {"loss": 2.5, "grad_norm": 1.0, "held_out_loss": 3.5, "mine": 1.0})
        tracker.log("sft", 2, {"grad_norm": float("inf"), "tokens": 7.0})
    losses.tell("rollout/0", "died", "replaced")
    losses.tell("rollout/0", "died", "replaced")
    with tracker.stage("grpo", total=3, start=0):
        pass
    at = (("stage", "sft"),)
    last = ("losses", (("actor", "rollout/0"),))

    def shows():
        """What is exported of a run that sets its gauges again and again, as its driver does."""
        tracker.gauges.again()
        return exported("first")

    goes = {("loss", at), ("grad_norm", at), ("phase_seconds", (("phase", "checkpoint"), ("stage", "sft")))}
    until(lambda: (found := shows()).get(last) == 2 and not goes & set(found), "what has to go stays")
    found = shows()
    assert found.pop(("progress_timestamp_seconds", at)) > 1.7e9
    assert found.pop(("progress_timestamp_seconds", (("stage", "grpo"),))) > 1.7e9
    assert found.pop(("step_seconds", at)) >= 0
    assert found == {
        ("held_out_loss", at): 3.5,  # a single measurement
        ("tokens", at): 7.0,
        ("step", at): 3.0,
        ("step", (("stage", "grpo"),)): 0.0,
        ("stage_active", at): 0.0,
        ("stage_active", (("stage", "grpo"),)): 1.0,
        ("losses", (("actor", "driver"),)): 0.0,
        last: 2.0,
    }
    assert Losses(tmp_path / "first", tracker.console).times == {"rollout/0": 2}, "a resumed run goes on counting"
    until(lambda: not exported("first"), "the gauges of a run that has ended stay")


@needs_prometheus
def test_every_metric_of_the_catalogue_reaches_prometheus_and_every_panel(ray_cluster, tmp_path):
    tracker = tracker_of(tmp_path / "whole")
    names = [re.sub(r"\{(\w+)\}", r"法 \1", metric.name) for metric in METRICS]
    with tracker.stage("all", total=1, start=0):
        for name in names:
            if name.startswith("time/"):
                with tracker.phase(name.removeprefix("time/")):
                    pass
        tracker.log("all", 0, {name: 0.5 for name in names if not name.startswith("time/")}, sampler_busy_s=0.0)
    targets = tmp_path / "targets.json"
    targets.write_text(json.dumps([{"targets": [agent()], "labels": {}}]))
    with scraping(targets, tmp_path, ALERTS) as prometheus:
        until(lambda: tracker.gauges.again() or prometheus.seen('ray_themis_reward{run="whole"}'), "no gauge arrives")
        exported_names = {one["__name__"] for one in prometheus.seen('{__name__=~"ray_themis_.*",run="whole"}')}
        assert exported_names == {f"ray_{gauge.name}" for gauge in [*map(gauge_of, METRICS), *ABOUT_RUN]}
        assert prometheus.seen('ray_themis_task_accuracy{task="%E6%B3%95 task"}'), "Ray's labels are ASCII"
        for panel in PANELS:
            for line in panel.lines:
                if line.metrics or "themis" in line.expr:
                    found = prometheus.seen(line.expr.replace("$run", "whole").replace("$stage", ".*"))
                    assert found, f"{panel.title}: {line.expr}"
                    assert all(label in found[0] for label in re.findall(r"\{\{(\w+)\}\}", line.legend)), line.legend
        rules = prometheus.get("rules")["groups"][0]["rules"]
        assert len(rules) >= 10 and {rule["health"] for rule in rules} <= {"ok", "unknown"}


def test_the_board_is_that_of_the_catalogue_and_the_alerts_name_gauges_of_it():
    assert BOARD.read_text() == text(), "python -m tools.reference writes it"
    known = {f"ray_{gauge.name}" for gauge in [*map(gauge_of, METRICS), *ABOUT_RUN]}
    named = set(re.findall(r"ray_themis_\w+", ALERTS.read_text() + BOARD.read_text()))
    assert named <= known and len(named) > 30


@needs_prometheus
def test_the_alerts_fire_when_they_should_and_only_then():
    tests = BOARD.with_name("alerts_test.yaml")
    for command in (["check", "rules", ALERTS], ["test", "rules", tests]):
        answer = subprocess.run(["promtool", *map(str, command)], capture_output=True, text=True, timeout=300)
        assert answer.returncode == 0, answer.stdout + answer.stderr
    rules = set(re.findall(r"alert: (\w+)", ALERTS.read_text()))
    assert rules == set(re.findall(r"alertname: (\w+)", tests.read_text())), "each has a test"
