"""Each finding of the report has a stage that shows it, and a stage that does not."""

import random
from pathlib import Path

import pytest

from rewards.published import PUBLISHED
from rewards.registry import Part
from rl.records.results import EvalResult, wilson
from rl.report.diagnose import diagnose, difference, held_out_accuracy
from rl.report.facts import Facts
from rl.report.read import Run, Stage
from rl.report.rejection import rejection
from rl.report.supervised import supervised
from rl.report.trend import trend

PARTS = {"accuracy": Part(1.0), "format": Part(0.1)}


def stage(steps=40, start=0.3, end=0.7, seed=0, optim=None, algorithm=None, **metrics):
    """A sound GRPO stage whose reward goes from ``start`` to ``end``; metrics are constants or functions."""
    rng = random.Random(seed)
    sound = {
        "reward": lambda step: start + (end - start) * step / max(1, steps - 1) + rng.gauss(0, 0.03),
        "reward/accuracy": lambda step: start + (end - start) * step / max(1, steps - 1) + rng.gauss(0, 0.03),
        "reward/format": 0.97, "truncated": 0.01, "groups/sampled": 16.0, "groups/errored": 0.0,
        "groups/zero_variance": 0.2, "groups/trained": 12.0,
        "entropy": lambda step: 0.6 - 0.2 * step / steps + rng.gauss(0, 0.01),
        "grad_norm": 0.8, "lr": 1e-5, "clip_fraction": 0.01, "policy_loss": 0.0, "mismatch_kl": 1e-6,
        "token_mult_prob_error": 1.001, "staleness_max": 0.0, "bad_updates": 0.0,
    }  # fmt: skip
    found = sound | metrics
    lines = [
        {"stage": "rl", "step": i, **{name: value(i) if callable(value) else value for name, value in found.items()}}
        for i in range(steps)
    ]
    config = {
        "name": "rl", "kind": "grpo", "steps": steps, "sampling": {"max_tokens": 64},
        "optim": {"lr": 1e-5, "warmup_steps": 0} | (optim or {}),
        "algorithm": {"kl_coef": 0.0, "loss": "vanilla"} | (algorithm or {}),
    }  # fmt: skip
    return Stage(config, {}, lines)


def codes(one, parts=PARTS):
    return {finding.code: finding for finding in diagnose(one, parts)}


FLAT = {"start": 0.3, "end": 0.3}
CASES = [
    ("falls", {"start": 0.7, "end": 0.3}, "problem", "0.66", "optim.lr"),
    ("flat", FLAT, "warning", "in the first 10 steps", ""),
    ("short", {"steps": 6}, "note", "Only 6 steps", "steps"),
    ("all_wrong", {"start": 0.02, "end": 0.02, "groups/zero_variance": 0.9}, "problem", "90 %", "samples_per_prompt"),
    ("all_right", {"start": 0.97, "end": 0.97, "groups/zero_variance": 0.9}, "note", "90 %", "gates.leave"),
    ("zero_variance", {"start": 0.5, "end": 0.5, "groups/zero_variance": 0.6}, "warning", "60 %", "algorithm.refills"),
    ("malformed", {**FLAT, "reward/format": 0.3}, "problem", "70 %", "format"),
    ("truncated", {**FLAT, "truncated": 0.3}, "warning", "sampling.max_tokens=64", "sampling.max_tokens"),
    ("errored", {**FLAT, "groups/errored": 4.0}, "warning", "160 of 640 groups", "reward.verdict_timeout_s"),
    ("entropy_collapsed", {**FLAT, "entropy": lambda i: 0.6 * 0.8**i}, "warning", "collapsed", "algorithm.clip_high"),
    ("entropy_grows", {**FLAT, "entropy": lambda i: 0.5 + 0.1 * i}, "warning", "grows", "optim.lr"),
    ("no_update", {**FLAT, "groups/trained": 0.0}, "problem", "In 40 of 40 steps", "algorithm.refills"),
    ("no_gradient", {**FLAT, "grad_norm": 0.0}, "problem", "gradient norm is 0", "algorithm.loss"),
    ("tiny_rate", {**FLAT, "lr": 1e-9, "optim": {"lr": 1e-9}}, "warning", "1.0e-09", "optim.lr"),
    ("warmup", {**FLAT, "lr": 1e-6, "optim": {"lr": 1e-5, "warmup_steps": 400}}, "warning", "warm-up", "warmup_steps"),
    ("still", {**FLAT, "entropy": 0.6}, "warning", "hardly moves", "optim.lr"),
    ("clipped", {**FLAT, "clip_fraction": 0.4}, "warning", "40 %", "algorithm.clip_high"),
    ("kl", {**FLAT, "kl": 5.0, "algorithm": {"kl_coef": 0.1}}, "warning", "0.500", "algorithm.kl_coef"),
    ("mismatch", {**FLAT, "mismatch_kl": 0.03}, "warning", "3.0e-02", "rollout.verify_sync"),
    ("not_finite", {**FLAT, "bad_updates": lambda i: float(i == 3)}, "problem", "1 of 40 steps", "optim.lr"),
    ("other_parts", {"reward/accuracy": 0.2}, "warning", "reward/accuracy does not", "weight"),
    (
        "forgetting",
        {"task/age/accuracy": lambda i: 0.8 - 0.01 * i, "task/charge/accuracy": 0.5},
        "warning",
        "The task age",
        "replay",
    ),
]


@pytest.mark.parametrize(("code", "numbers", "level", "evidence", "fix"), CASES, ids=[case[0] for case in CASES])
def test_each_cause_is_found_with_its_evidence_and_fix(code, numbers, level, evidence, fix):
    finding = codes(stage(**numbers))[code]
    assert finding.level == level, finding
    assert evidence in finding.text and fix in finding.fix, finding


def test_a_reward_that_rises_is_said_to_rise_and_nothing_else():
    found = codes(stage())
    assert list(found) == ["rises"] and found["rises"].level == "good"
    assert "0.3" in found["rises"].text and "standard errors" in found["rises"].text


def test_a_flat_reward_without_a_cause_is_called_noise():
    assert set(codes(stage(**FLAT))) == {"flat", "noise"}
    assert "noise" not in codes(stage(**FLAT, truncated=0.5))


def test_staleness_is_named_as_the_reason_of_a_mismatch():
    found = codes(stage(**FLAT, mismatch_kl=0.2, staleness_max=3.0))["mismatch"]
    assert found.level == "problem" and "3 updates old" in found.text and "max_staleness" in found.fix


def test_what_is_intended_is_no_finding():
    """GSPO clips many tokens, a KL term may be large while the reward rises, collapse with learning is a note."""
    assert "clipped" not in codes(stage(**FLAT, clip_fraction=0.4, algorithm={"loss": "gspo"}))
    assert "kl" not in codes(stage(kl=5.0, algorithm={"kl_coef": 0.1}))
    assert codes(stage(entropy=lambda i: 0.6 * 0.8**i))["entropy_collapsed"].level == "note"


def test_the_most_pressing_comes_first():
    found = diagnose(stage(**FLAT, **{"groups/trained": 0.0, "truncated": 0.3}), PARTS)
    levels = [finding.level for finding in found]
    assert levels == sorted(levels, key=["problem", "warning", "note", "good"].index) and levels[0] == "problem"


def test_a_stage_with_too_few_lines_says_so():
    assert list(codes(stage(steps=0))) == ["nothing"]
    assert "short" in codes(stage(steps=1)) and "all_wrong" in codes(
        stage(steps=3, **{"groups/zero_variance": 1.0, "reward/accuracy": 0.0})
    )


def test_without_an_accuracy_part_the_heaviest_part_is_used():
    parts = {"rouge_l": Part(2.0), "format": Part(0.1)}
    numbers = {"reward/rouge_l": 0.02, "groups/zero_variance": 0.9, "start": 0.02, "end": 0.02}
    assert "reward/rouge_l at 0.02" in codes(stage(**numbers), parts)["all_wrong"].text


def test_a_published_total_counts_by_its_parts():
    rewards = {"unilaw": {"weight": 2.0}, "length": {"weight": 0.1, "clip": [-1, 0]}}
    one = stage(**{"reward/format": 0.3, "start": 0.3, "end": 0.3})
    run = Run(Path(), {"config": {"reward": {"parts": rewards}}}, [one], [], {}, [], [])
    parts = run.reward_parts(one)
    assert {name: part.weight for name, part in parts.items()} == {
        **{name: 2.0 * weight for name, weight in PUBLISHED["unilaw"].parts.items()}, "length": 0.1
    }  # fmt: skip
    assert Facts(one, parts, trend([])).accuracy == "reward/accuracy"


@pytest.mark.parametrize("seed", range(20))
def test_noise_alone_is_not_taken_for_a_trend(seed):
    rng = random.Random(seed)
    assert trend([rng.gauss(0.5, 0.1) for _ in range(60)]).flat


def test_a_trend_by_hand():
    found = trend([1.0, 2.0, 4.0, 5.0] * 1)
    assert (found.first, found.last, found.window) == (1.0, 5.0, 1) and not found.long_enough
    line = trend([float(i) for i in range(20)])
    assert line.rises and line.sigmas > 1e6 and line.visible == pytest.approx(0, abs=1e-9)
    assert trend([0.5] * 20).sigmas == 0 and trend([]).steps == 0
    # y = 0, 1, 0, 1 …: slope and error of the least-squares line by the textbook
    values = [float(i % 2) for i in range(12)]
    middle, slope = 5.5, sum((i - 5.5) * y for i, y in enumerate(values)) / 143
    rest = sum((y - 0.5 - slope * (i - middle)) ** 2 for i, y in enumerate(values))
    assert trend(values).sigmas == pytest.approx(slope / (rest / 10 / 143) ** 0.5)


def learnt(losses, held_out=(), record=None, **metrics):
    lines = [{"stage": "s", "step": i, "loss": loss, "bad_updates": 0.0} for i, loss in enumerate(losses)]
    for step, loss in held_out:
        lines[step - 1]["held_out_loss"] = loss
    for name, (first, last) in metrics.items():
        lines[0][f"perplexity/{name}"], lines[-1][f"perplexity/{name}"] = first, last
    return Stage({"name": "s", "kind": "sft", "optim": {"lr": 1e-3}}, record or {}, lines)


def of(one):
    return {finding.code: finding for finding in supervised(one)}


def test_what_a_loss_says():
    noisy = [1 + 0.1 * (i % 2) for i in range(20)]
    assert of(learnt([4 - 0.1 * i for i in range(20)]))["loss_falls"].level == "good"
    assert of(learnt([4 + 0.1 * i for i in range(20)]))["loss_rises"].level == "problem"
    assert "1.0e-03" in of(learnt(noisy))["loss_flat"].fix
    assert "short" in of(learnt(noisy[:4])) and "nothing" in of(learnt([]))
    falling = [4 - 0.1 * i for i in range(20)]
    broken = learnt(falling)
    broken.lines[3]["bad_updates"] = 1.0
    assert of(broken)["not_finite"].level == "problem"


def test_what_held_out_text_says():
    falling = [4 - 0.1 * i for i in range(20)]
    rising = [(5, 2.0), (10, 1.5), (20, 1.8)]
    assert "after step 10 (1.500)" in of(learnt(falling, rising))["overfit"].text
    best = {"ended": {"step": 20, "kind": "best", "why": "", "weights_after": 10}}
    kept = of(learnt(falling, rising, best))["overfit"]
    assert kept.level == "note" and "the weights of step 10 are kept" in kept.text
    assert of(learnt(falling, [(5, 2.0), (20, 1.8)]))["held_out"].level == "good"
    found = of(learnt(falling, general=(10.0, 12.0), legal=(30.0, 20.0)))
    assert found["forgets_general"].level == "warning" and found["learns_legal"].level == "good"


def rounds(shares, solved=0.5, passes=2.0):
    """A rejection stage of two steps a round that sample 50 groups each, and one that trains."""
    found = []
    for number, share in enumerate(shares):
        sampled = {"answers/right": share, "groups/solved": solved, "groups/sampled": 50.0}
        found += [one | {"round": float(number)} for one in (sampled, sampled, {"loss": 1.0, "passes": passes})]
    shape = {"rounds": 3, "sampling_steps": 2, "training_steps": 1, "optim": {"lr": 1e-3}}
    lines = [{"step": step, "bad_updates": 0.0, **line} for step, line in enumerate(found)]
    return Stage({"name": "s", "kind": "rejection", **shape}, {}, lines)


@pytest.mark.parametrize(
    ("shares", "code", "level"),
    [
        ([0.2, 0.3, 0.5], "right_rises", "good"),
        ([0.5, 0.4, 0.2], "right_falls", "problem"),
        ([0.2, 0.3, 0.25], "right_flat", "warning"),
        ([0.2], "one_round", "note"),
        ([], "nothing", "note"),
    ],
)
def test_what_rounds_of_rejection_sampling_say(shares, code, level):
    (found,) = rejection(rounds(shares))
    assert (found.code, found.level) == (code, level)
    assert not shares or "20 % in round" in found.text
    assert (rounds(shares).steps, len(rounds(shares).lines)) == (9, 3 * len(shares))


def test_a_round_may_learn_from_too_little():
    assert [one.code for one in rejection(rounds([0.2], solved=0.05))] == ["one_round", "few_solved"]
    (_, found) = rejection(rounds([0.2], passes=40.0))
    assert found.code == "many_passes" and "40 times" in found.text and "training_steps" in found.fix
    broken = rounds([0.2, 0.5])
    broken.lines[2]["bad_updates"] = 1.0
    assert [one.code for one in rejection(broken)] == ["not_finite", "right_rises"]


def evaluated(after, correct, split="dev"):
    tasks = {"age": {"correct": correct, "n": 100, "format": 1.0}}
    return EvalResult(f"eval_{after}", after, split, tasks, {"age": 0.2})


def test_what_a_stage_did_to_the_held_out_accuracy():
    results = [evaluated("sft", 50), evaluated("sft", 10, "test"), evaluated("rl", 80), evaluated("more", 78)]
    results += [evaluated("last", 30)]
    found = {name: held_out_accuracy(results, name) for name in ("sft", "rl", "more", "last")}
    assert found["sft"] == [], "nothing came before"
    assert found["rl"][0].code == "accuracy_rose" and "from 50.0 % after sft to 80.0 %" in found["rl"][0].text
    assert found["more"][0].level == "note" and "-2.0 points" in found["more"][0].text
    assert found["last"][0].level == "problem" and "optim.lr" in found["last"][0].fix


def test_the_interval_of_a_difference_by_hand():
    (low_a, high_a), (low_b, high_b) = wilson(50, 100), wilson(80, 100)
    low, high = difference(evaluated("sft", 50), evaluated("rl", 80))
    assert low == pytest.approx(0.3 - ((0.8 - low_b) ** 2 + (high_a - 0.5) ** 2) ** 0.5)
    assert high == pytest.approx(0.3 + ((high_b - 0.8) ** 2 + (0.5 - low_a) ** 2) ** 0.5)
