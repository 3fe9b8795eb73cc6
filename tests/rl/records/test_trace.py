"""Traces of steps: rows, nesting, and what is cut."""

import json
import time

from rich.console import Console

from cluster.waits import waiting
from rl.config.schema import TrackerConfig
from rl.records.trace import Span, events
from rl.records.tracking import Tracker, read_metrics


def rows(found):
    """{row: [(name, begin, end)]} of events, in microseconds; rows of one name are told apart by their number."""
    names = {event["tid"]: event["args"]["name"] for event in found if event["ph"] == "M"}
    spans = {}
    for event in found:
        if event["ph"] == "X":
            row = f"{names[event['tid']]} {event['tid']}"
            spans.setdefault(row, []).append((event["name"], event["ts"], event["ts"] + event["dur"]))
    return spans


def nests(spans):
    """Whether any two spans of a row are apart or one within the other."""
    return all(
        a[2] <= b[1] or b[2] <= a[1] or (a[1] <= b[1] and b[2] <= a[2]) or (b[1] <= a[1] and a[2] <= b[2])
        for a in spans
        for b in spans
    )


def test_calls_that_overlap_have_rows_of_their_own_and_spans_are_cut_to_the_step():
    found = rows(
        events(
            [
                Span("rollout/0", "collect", 9.0, 12.0),
                Span("rollout/0", "submit", 11.0, 13.0),
                Span("rollout/0", "sync", 12.0, 12.5),
                Span("driver", "train", 12.0, 13.0),
                Span("driver", "step", 10.0, 14.0),
                Span("reward/0", "score", 1.0, 2.0),
            ],
            began=10.0,
            ended=14.0,
        )
    )
    assert found == {
        "driver 0": [("step", 0, 4_000_000), ("train", 2_000_000, 3_000_000)],
        "rollout/0 2": [("collect", 0, 2_000_000), ("sync", 2_000_000, 2_500_000)],
        "rollout/0 3": [("submit", 1_000_000, 3_000_000)],
    }


def test_only_the_steps_that_are_asked_for_are_traced_and_their_phases_are_those_of_the_line(tmp_path):
    tracker = Tracker(tmp_path, TrackerConfig(wandb="disabled", trace_steps=(1,)), Console(quiet=True))
    with tracker.stage("sft", total=3, start=0):
        for step in range(3):
            for _ in range(2):
                with tracker.phase("train"), waiting.call("trainer", "update"):
                    time.sleep(0.002)
            tracker.log("sft", step, {"loss": 1.0})
    assert [path.name for path in (tmp_path / "traces" / "sft").iterdir()] == ["step-000001.json"]
    assert waiting.on_call is None, "nothing is noted afterwards"
    found = rows(json.loads((tmp_path / "traces" / "sft" / "step-000001.json").read_text())["traceEvents"])
    holds_to_line(found, read_metrics(tmp_path / "metrics.jsonl")[1])
    assert [name for name, _, _ in found["trainer 1"]] == ["update", "update"]
    for (_, begin, end), (_, first, last) in zip(found["driver 0"][1:], found["trainer 1"], strict=True):
        assert begin <= first and last <= end, "the trainer works within the driver's phase"


def holds_to_line(found, line):
    """Assert that each row nests, and that the driver's row has the times of a line of metrics.jsonl."""
    assert all(nests(spans) for spans in found.values())
    (whole, *phases) = found["driver 0"]
    assert whole == (f"{line['stage']} step {line['step']}", 0, whole[2])
    assert abs(whole[2] / 1e6 - line["time"]["step"]) < 1e-4
    for name in {name for name, _, _ in phases}:
        seconds = sum(end - begin for other, begin, end in phases if other == name) / 1e6
        assert abs(seconds - line["time"][name]) < 2e-4, name
    assert {name for name, _, _ in phases} == set(line["time"]) - {"step", "trainer_wait", "bubble"}
