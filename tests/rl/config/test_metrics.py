"""The catalogue of metrics, and the gates that are judged by it."""

import ast
from pathlib import Path
from typing import get_args

import pytest

import rl.report
from rl.config.compose import load
from rl.config.derive import check, logging_setting
from rl.config.metric import Kind
from rl.config.metrics import METRICS, SHOWN, find, label, of_kind
from rl.errors import UserError

LOOK = {"name": "look", "kind": "evaluate", "tasks": ["age"], "sampling": {"temperature": 0, "max_tokens": 32}}
LAWBENCH = {"name": "look", "kind": "evaluate", "benchmarks": {"root": "data", "lawbench": ["3-6"]}}
JUDGED = {"judge": {"kind": "llm", "model": "served", "base_url": "http://127.0.0.1:1/v1"}}


def config(metric, *before, gate="leave", run=None, **fields):
    """A run whose GRPO stage has a gate on a metric."""
    stage = {
        "name": "rl", "kind": "grpo", "steps": 2, "max_prompt_tokens": 96, "sampling": {"max_tokens": 32},
        "tasks": {"age": 1.0}, "gates": {gate: [{"metric": metric, "above": 1}]}, **fields,
    }  # fmt: skip
    return load({"run_dir": "r", "curriculum": {"name": "c", "stages": [*before, stage]}, **(run or {})})


@pytest.mark.parametrize("metric", [
    "reward", "completion_length", "completion_tokens", "truncated", "staleness", "staleness_max", "groups/sampled",
    "groups/zero_variance", "groups/errored", "groups/trained", "loss", "policy_loss", "clip_fraction",
    "dual_clip_fraction", "entropy", "mismatch_kl", "ratio", "token_mult_prob_error", "log_prob_difference",
    "ratio_p99", "lr", "grad_norm", "bad_updates", "task/age/reward", "task/age/accuracy", "reward/accuracy",
    "reward/format",
])  # fmt: skip
def test_a_gate_may_watch_what_every_step_logs(metric):
    for gate in ("leave", "fall_back"):
        check(config(metric, gate=gate))


@pytest.mark.parametrize(
    ("metric", "fields", "needs"),
    [
        ("kl", {"algorithm": {"kl_coef": 0.1}}, "it needs algorithm.kl_coef above 0 and algorithm.kl_in: loss"),
        ("correction", {"algorithm": {"old_log_probs": "recompute", "mismatch": {}}}, "it needs algorithm.mismatch"),
        ("reward/overlong", {"algorithm": {"overlong_buffer": 8}}, "it needs algorithm.overlong_buffer above 0"),
        ("task/age/share", {"difficulty": 0.5}, "it needs difficulty above 0"),
        ("judge/error_rate", {"run": JUDGED, "reward": {"legal_validity": 1.0}}, "it needs judge=llm"),
    ],
)
def test_what_only_some_stages_log_is_held_against_the_configuration(metric, fields, needs):
    check(config(metric, **fields))
    with pytest.raises(UserError, match=f"{metric} is not a metric of this stage's steps; {needs}"):
        check(config(metric))


@pytest.mark.parametrize(
    ("metric", "fields", "message"),
    [
        ("kl", {"algorithm": {"preset": "reinforce_pp"}}, "kl is not a metric of this stage's steps; it needs"),
        ("clip_fraction", {"algorithm": {"preset": "rloo"}}, "it needs algorithm.loss other than gpg"),
        ("judge/error_rate", {"run": JUDGED}, "it needs judge=llm"),
        ("reward/accuracy", {"reward": {"format": 1.0}}, "it needs accuracy among the rewards"),
        ("reward/unilaw", {"reward": {"unilaw": 1.0}}, "reward/unilaw is not a metric"),
        ("stalenes", {}, "did you mean staleness"),
        ("time/step", {}, "time/step is not a metric"),
        ("held_out_loss", {}, "held_out_loss is not a metric"),
    ],
)
def test_a_gate_on_what_no_step_logs_is_refused(metric, fields, message):
    with pytest.raises(UserError, match=message):
        check(config(metric, **fields))


def test_a_published_total_is_watched_by_its_parts():
    check(config("reward/format", reward={"unilaw": 1.0}))


def test_a_stage_is_entered_by_what_the_evaluation_gives(tmp_path):
    for metric in ("accuracy", "format", "accuracy/age"):
        check(config(metric, LOOK, gate="enter"))
    with pytest.raises(UserError, match="not a result of the evaluation look; did you mean accuracy/age"):
        check(config("accuracy/agee", LOOK, gate="enter"))
    (tmp_path / "q.jsonl").write_text("")
    check(config("accuracy/own", {**LOOK, "data": str(tmp_path / "q.jsonl")}, gate="enter"))
    with pytest.raises(UserError, match="needs accuracies, but the evaluation look has only benchmarks"):
        check(config("accuracy", LAWBENCH, gate="enter"))


def test_names_are_unique_within_a_kind_and_found_again():
    for kind in get_args(Kind):
        names = [metric.name for metric in METRICS if kind in metric.kinds]
        assert len(names) == len(set(names)) and names
        for metric in of_kind(kind):
            assert find(metric.name, kind) is metric, "no entry before it takes its name"
    assert all(metric.unit != "share" or metric.meaning for metric in METRICS)
    assert list(SHOWN) == ["reward", "reward/accuracy", "groups/zero_variance", "loss", "entropy", "grad_norm"]


def test_a_name_is_taken_apart_by_its_family():
    assert find("task/my cases.jsonl/accuracy", "grpo").values("task/my cases.jsonl/accuracy") == {
        "task": "my cases.jsonl"
    }
    assert [label(name, "grpo") for name in ("reward/my_rewards:cites", "task/age/share", "judge/hit_rate", "new")] == [
        "my_rewards:cites", "age", "hit rate", "new"
    ]  # fmt: skip
    assert find("benchmark/lawbench/3-6", "evaluate") and find("perplexity/legal", "mid_training")
    assert find("loss", "evaluate") is None and find("taskage/accuracy", "grpo") is None


def test_every_condition_of_a_grpo_metric_can_be_judged():
    found = config("reward")
    setting = logging_setting(found, found.curriculum.stages[0])
    assert all(isinstance(metric.logged(setting), bool) for metric in of_kind("grpo"))


def test_the_report_asks_for_no_metric_that_the_catalogue_lacks():
    """Names are text there: a misspelt one would only leave a chart or a finding out."""
    asked = set()
    for path in Path(rl.report.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name) and node.args:
                function = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
                if function in ("values", "series", "late"):
                    asked |= {arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)}
                if function == "Plot" and isinstance(node.args[0], ast.Tuple):
                    asked |= {part.value for part in node.args[0].elts if isinstance(part, ast.Constant)}
    assert {"entropy", "held_out_loss", "staleness_max", "perplexity/median"} <= asked
    assert [name for name in asked if not any(find(name, kind) for kind in get_args(Kind))] == []
