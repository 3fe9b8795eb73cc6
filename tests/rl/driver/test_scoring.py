"""Groups are scored by rules and judges together; one with an errored verdict is tried again, then marked."""

import math

import pytest

from curricula.prompts import ask
from rewards.total import compose
from rewards.verdict import Verdict
from rl.config.compose import load
from rl.config.schema import JudgeConfig
from rl.driver.scoring import GroupScorer, judge_limits, with_verdicts
from rl.models.chat import load_tokenizer
from rl.samples import Completion, Group

RIGHT = "<think>依《刑法》第264条</think><answer>盗窃罪</answer>"


class Actor:
    """In place of a reward actor or a judge: the real rewards, in this process; some calls fail."""

    def __init__(self, name, failing=()):
        self.name, self.failing, self.asked = name, list(failing), []

    def call(self, method, *arguments, timeout_s):
        if method == "metrics":
            return {f"{self.name}/calls": float(len(self.asked))}
        if method == "losses":
            return []
        samples, weights, _ = arguments
        self.asked.append((sorted(weights), len(samples)))
        failed = self.failing.pop(0) if self.failing else ""
        return [Verdict.failed("gone") if failed == s.completion else compose(weights)(s) for s in samples]


@pytest.fixture(scope="module")
def tokenizer(models):
    return load_tokenizer(str(models["tied"]))


def scorer(tokenizer, rewards, judges, **judge):
    stage = {"name": "g", "kind": "grpo", "steps": 1, "tasks": {"age": 1}}
    config = load({"run_dir": "r", "curriculum": {"name": "x", "stages": [stage]}, "judge": judge})
    return GroupScorer(config, tokenizer, rewards, judges)


def group(uid, *texts):
    completions = [Completion([1], [0.0], text, "stop", 0) for text in texts]
    return Group(uid, ask("charge", "何罪？", "盗窃罪", "charge"), [1, 2], completions)


def test_rules_and_judge_decide_their_own_parts_of_one_sum(tokenizer):
    rules, judge = Actor("rules"), Actor("judge")
    weights = {"accuracy": 1.0, "legal_validity": 0.5}
    found = scorer(tokenizer, [rules], [judge]).score([group("a", RIGHT, "不知道"), group("b", RIGHT)], weights)
    assert rules.asked == [(["accuracy"], 3)] and judge.asked == [(["legal_validity"], 3)]
    assert [one.rewards for one in found] == [[1.5, pytest.approx(found[0].rewards[1])], [1.5]]
    assert found[0].parts[0] == {"accuracy": 1.0, "legal_validity": 1.0} and "accuracy: " in found[0].reasons[1]
    scorer(tokenizer, [rules], [judge]).score([group("c", RIGHT)], {"legal_validity": 1.0})
    assert len(rules.asked) == 1 and len(judge.asked) == 2, "rules that weigh nothing are not asked"


def test_a_group_with_an_error_is_tried_once_more_and_alone(tokenizer):
    actor = Actor("rules", ["坏", "坏"])
    groups = [group("a", RIGHT, RIGHT), group("b", RIGHT, "坏"), group("c", RIGHT)]
    found = scorer(tokenizer, [actor], []).score(groups, {"accuracy": 1.0})
    assert actor.asked == [(["accuracy"], 5), (["accuracy"], 2)]
    assert [one.error for one in found] == [None, "gone", None] and found[1].rewards == []
    found = scorer(tokenizer, [Actor("rules", ["坏"])], []).score(groups, {"accuracy": 1.0})
    assert [one.error for one in found] == [None] * 3 and found[1].rewards == [1.0, 0.0]


def test_a_reward_that_is_no_finite_number_marks_its_group():
    marked = with_verdicts(group("a", RIGHT, RIGHT), [Verdict(1.0), Verdict(math.inf)])
    assert marked.error == "a reward is not a finite number" and marked.rewards == []


def test_only_a_language_model_as_judge_has_metrics(tokenizer):
    judge = Actor("judge")
    assert scorer(tokenizer, [], [judge]).judge_metrics() == {}
    served = {"kind": "llm", "model": "m", "base_url": "http://127.0.0.1:9/v1"}
    assert scorer(tokenizer, [], [judge], **served).judge_metrics() == {"judge/calls": 0.0}
    assert scorer(tokenizer, [], [], **served).judge_metrics() == {}


def test_a_call_of_a_served_judge_may_take_all_its_rounds():
    """4 rounds of 2 votes on each of the judged rewards (legal_validity and rubric), 100 s each, and 30 s."""
    limits = judge_limits(
        JudgeConfig(kind="llm", model="m", votes=2, temperature=0.7, concurrency=8, batch_timeout_s=100)
    )
    assert (limits.piece, limits.patience_s, limits.timeout_s) == (32, None, 4 * 2 * 2 * 100 + 30)
