"""The catalogue of metrics: every number of metrics.jsonl, what it means, and which stages log it.

Gates, progress line, Ray gauges (rl/config/gauges.py), report and the page of metrics are made from it. A name may
hold placeholders, such as ``task/{task}/accuracy``. The values of ``time/…`` are under "time" in a line of
metrics.jsonl.

A number that is missing here is still logged, so that no run fails because of a name; the tests fail instead.
"""

from __future__ import annotations

from dataclasses import replace

from rl.config.metric import EVERY, MEASURED, ONCE, SAMPLED, SEEN, SUPERVISED, TRAINING, UPDATE, Metric, When

OVERLONG = "overlong"
"""Name of the overlong punishment among the parts of a reward."""

_ACCURATE = When("`accuracy` among the rewards", lambda of: "accuracy" in of.rewards)
_SHAPED = When("`algorithm.overlong_buffer` above 0", lambda of: of.stage.algorithm.overlong_buffer > 0)
_ADAPTIVE = When("`difficulty` above 0", lambda of: of.stage.difficulty > 0)
_JUDGED = When("`judge=llm`, with a reward that the judge decides", lambda of: of.judge)
_KL = When(
    "`algorithm.kl_coef` above 0 and `algorithm.kl_in: loss`",
    lambda of: of.stage.algorithm.kl_coef > 0 and of.stage.algorithm.kl_in == "loss",
)
_CLIPS = When("`algorithm.loss` other than `gpg`", lambda of: of.stage.algorithm.loss != "gpg")
_CORRECTED = When("`algorithm.mismatch`", lambda of: of.stage.algorithm.mismatch is not None)
_HELD_OUT = When("`held_out` above 0", lambda of: of.stage.held_out > 0)
_PAS = When("`pas`", lambda of: of.stage.pas is not None)
_QUESTIONS = When("`tasks` or `data`", lambda of: bool(of.stage.tasks or of.stage.data))
_BENCHMARKS = When("`benchmarks`", lambda of: bool(of.stage.benchmarks))

REWARD = (
    Metric(
        "reward", "reward", "",
        "Mean reward of the completions: the weighted sum of their scores, and `reward/overlong` where it is on.",
        shown=True,
    ),
    Metric(
        "reward/accuracy", "accuracy", "",
        "Mean score of the reward `accuracy`, the share of completions whose answer agrees with the reference.",
        when=_ACCURATE, shown=True,
    ),
    Metric(
        "reward/overlong", OVERLONG, "",
        "Mean overlong punishment, between -1 and 0, part of the reward with weight 1: "
        "-max(0, length - (max_tokens - overlong_buffer)) / overlong_buffer (DAPO, Yu et al. 2025, arXiv 2503.14476, "
        "eq. 13).",
        when=_SHAPED,
    ),
    Metric(
        "reward/{reward}", "{reward}", "", "Mean score of one reward, before its `range`, `clip` and `weight`.",
    ),
    Metric(
        "task/{task}/reward", "{task}", "",
        "Running mean of the rewards of a task's groups; a new group has a weight of 0.05.",
        steps=SEEN, curve="exact",
    ),
    Metric(
        "task/{task}/accuracy", "{task}", "share",
        "Running mean of how far completions of the task are right: their `accuracy`, or their reward cut to [0, 1] "
        "where accuracy is not among the rewards.",
        steps=SEEN,
    ),
    Metric(
        "task/{task}/share", "{task}", "share", "Share of the task in the next prompts.", steps=SEEN, when=_ADAPTIVE
    ),
)  # fmt: skip

HELD_OUT = (
    Metric(
        "held_out/accuracy", "all tasks", "share",
        "How far the greedy answers to the held-out questions are right, after the step, mean over the tasks. The "
        "stage ends with the weights that had the highest, see `may_lose`.",
        steps=MEASURED, when=_HELD_OUT, curve="points",
    ),
    Metric(
        "held_out/accuracy/{task}", "{task}", "share", "The same for the questions of one task.",
        steps=MEASURED, when=_HELD_OUT, curve="points",
    ),
    Metric(
        "held_out_before/accuracy", "all tasks", "share", "The same before the first step, mean over the tasks.",
        steps="the first step", when=_HELD_OUT,
    ),
    Metric(
        "held_out_before/accuracy/{task}", "{task}", "share",
        "The same before the first step for one task. In the first stage with the task `may_lose` counts from it.",
        steps="the first step", when=_HELD_OUT,
    ),
)  # fmt: skip

SAMPLING = (
    Metric("completion_length", "mean length", "tokens", "Mean length of a completion."),
    Metric("completion_tokens", "length of all completions", "tokens", "Length of all completions of the step."),
    Metric("truncated", "truncated", "share", "Share of completions that were cut off at `sampling.max_tokens`."),
    Metric(
        "staleness", "mean", "weight updates",
        "How often the weights moved after a completion's first token was sampled and before it was trained on, mean "
        "over the completions; 0 without `rollout.overlap=async`.",
    ),
    Metric("staleness_max", "largest", "weight updates", "Staleness of the stalest completion of the step."),
    Metric("groups/sampled", "sampled groups", "groups", "Groups that were sampled, refills included."),
    Metric(
        "groups/errored", "errored groups", "groups", "Groups that were dropped because one of their verdicts errored."
    ),
    Metric(
        "groups/zero_variance", "groups without variance", "share",
        "Share of the scored groups whose completions all got the same reward.",
        shown=True,
    ),
    Metric(
        "groups/trained", "trained groups", "groups",
        "Groups that the update is made from. At 0 there is no update, and no metric of one.",
    ),
)  # fmt: skip

UPDATES = (
    Metric(
        "loss", "loss", "",
        "The whole loss: policy_loss + kl_coef · kl - entropy_coef · entropy.",
        steps=UPDATE, shown=True,
    ),
    Metric("policy_loss", "policy loss", "", "The policy's part of the loss, see `algorithm.loss`.", steps=UPDATE),
    Metric(
        "kl", "KL", "nats",
        "Divergence from the reference in the loss, before `kl_coef`. With r = π / π_ref of a token, k1 is log r, "
        "k2 is (log r)² / 2 and k3 is 1/r - 1 + log r (Schulman 2020, see `algorithm.kl_estimator`).",
        steps=UPDATE, when=_KL,
    ),
    Metric(
        "entropy", "entropy", "nats a token",
        "Entropy of the policy over the whole vocabulary at the sampling temperature, mean over the trained tokens.",
        steps=UPDATE, shown=True,
    ),
    Metric(
        "ratio", "ratio", "",
        "π / π_old, mean over the trained tokens. π_old is the sampler, or with `algorithm.old_log_probs: recompute` "
        "the trainer before the step; 1 where the two are equal.",
        steps=UPDATE,
    ),
    Metric(
        "clip_fraction", "clipped", "share",
        "Share of trained tokens whose ratio is clipped. With PPO's loss they have no gradient (Schulman et al. 2017, "
        "arXiv 1707.06347; verl's pg_clipfrac).",
        steps=UPDATE, when=_CLIPS,
    ),
    Metric(
        "dual_clip_fraction", "dual-clipped", "share",
        "Share of trained tokens with a negative advantage whose ratio is above `algorithm.clip_dual` (Ye et al. 2020, "
        "arXiv 1912.09729; verl's pg_clipfrac_lower).",
        steps=UPDATE, when=_CLIPS,
    ),
    Metric(
        "correction", "weight of a token", "",
        "Weight of a token by `algorithm.mismatch`, mean over the trained tokens; 1 leaves the loss as it is.",
        steps=UPDATE, when=_CORRECTED,
    ),
    Metric(
        "log_prob_difference", "largest difference of log-probs", "nats",
        "Largest |log π - log μ| of a token, with π the trainer's and μ the sampler's probability; about 1e-5 in fp32. "
        "From the first update of the step.",
        steps=UPDATE,
    ),
    Metric(
        "mismatch_kl", "divergence", "nats a token",
        "Divergence KL(μ‖π) of the trainer from the sampler: r - 1 - log r with r = π / μ, mean over the trained "
        "tokens (k3 of Schulman 2020). 1e-4 to 1e-3 in bf16. From the first update of the step.",
        steps=UPDATE,
    ),
    Metric(
        "token_mult_prob_error", "mean factor between probabilities", "",
        "exp |log π - log μ|, the factor between the two probabilities of a token, mean over the trained tokens (from "
        "NeMo RL); 1 is equal. From the first update of the step.",
        steps=UPDATE,
    ),
    Metric(
        "ratio_p99", "99th percentile of the ratio", "",
        "99th percentile of π / μ over the trained tokens. From the first update of the step.",
        steps=UPDATE,
    ),
)  # fmt: skip

JUDGE = tuple(
    Metric(f"judge/{name}", name.replace("_", " "), unit, f"{meaning}, since the judge started.", when=_JUDGED)
    for name, unit, meaning in (
        ("requests", "requests", "Requests to the model that judges"),
        ("retries", "requests", "Requests that were repeated after a failure"),
        ("hit_rate", "share", "Share of questions that the cache answered"),
        ("error_rate", "share", "Share of verdicts that are errors"),
        ("fallbacks", "verdicts", "Verdicts of the statute judge in place of the model's (`judge.fallback=statute`)"),
        ("latency_s", "s", "Mean time of a request"),
        ("tokens", "tokens", "Tokens of prompts and answers"),
        ("cost", "money", "Price of these tokens by `judge.price_in` and `judge.price_out`"),
    )
)

NEXT_TOKEN = (
    Metric(
        "loss", "training", "nats a token", "Negative log-likelihood, mean over the tokens that were trained on.",
        SUPERVISED, shown=True,
    ),
    Metric("tokens", "tokens", "tokens", "Tokens that were trained on; in SFT those of the answers.", SUPERVISED),
    Metric(
        "held_out_loss", "held out", "nats a token",
        "Negative log-likelihood of the held-out demonstrations, mean over their answers' tokens, after the step. The "
        "stage ends with the weights that had the lowest.",
        ("sft",), MEASURED, _HELD_OUT, curve="points",
    ),
    Metric(
        "perplexity/{kind}", "{kind}", "",
        "Perplexity of the held-out documents from one `kind` of source, before the step, and in the last step after "
        "it: exp of the negative log-likelihood, mean over their tokens.",
        ("mid_training",), MEASURED, _HELD_OUT, curve="points",
    ),
    Metric(
        "alpha", "alpha", "",
        "Plasticity coefficient of plasticity-adjusted sampling: the learning rate as a share of its peak.",
        ("mid_training",), when=_PAS, curve="exact",
    ),
    Metric(
        "share/{bucket}", "{bucket}", "share", "Share of the step's tokens that a bucket of perplexity should have.",
        ("mid_training",), when=_PAS,
    ),
    Metric(
        "drawn/{bucket}", "{bucket}", "share", "Share of all tokens drawn so far that are from the bucket.",
        ("mid_training",), when=_PAS,
    ),
)  # fmt: skip

REJECTION = (
    Metric("round", "round", "", "Number of the round, from 0.", ("rejection",)),
    Metric(
        "answers/right", "right", "share",
        "Share of the scored completions that are right: not cut off, and their score is at least `keep.at_least`.",
        ("rejection",), SAMPLED,
    ),
    Metric(
        "answers/kept", "kept", "answers", "Right answers of the round so far that are kept, by `keep`.",
        ("rejection",), SAMPLED, curve="exact",
    ),
    Metric(
        "groups/solved", "groups with a right answer", "share", "Share of the scored groups with a right answer.",
        ("rejection",), SAMPLED,
    ),
    Metric(
        "passes", "passes", "", "How often each kept answer of the round has been trained on, on average.",
        ("rejection",), UPDATE, curve="exact",
    ),
    *(
        replace(metric, kinds=("rejection",), steps=SAMPLED if metric.steps == EVERY else f"{SAMPLED}, {metric.steps}")
        for metric in (*REWARD, *SAMPLING, *JUDGE)
        if metric.when not in (_SHAPED, _ADAPTIVE) and metric.name != "groups/trained"
    ),
    *(replace(metric, kinds=("rejection",), steps=UPDATE) for metric in NEXT_TOKEN if metric.kinds == SUPERVISED),
)  # fmt: skip
"""A step of a rejection stage samples as one of GRPO, or trains as one of SFT."""

OPTIMIZER = (
    Metric(
        "lr", "learning rate", "", "Learning rate of the update, of the last one where a step makes several.",
        TRAINING, UPDATE, curve="exact",
    ),
    Metric(
        "grad_norm", "gradient norm", "",
        "Norm of the gradient of all weights before it is clipped to `optim.clip_grad`; null where it or the loss is "
        "not finite.",
        TRAINING, UPDATE, shown=True,
    ),
    Metric(
        "bad_updates", "bad updates", "steps",
        "Steps in a row, up to this one, with a loss or gradient that is not finite. They change no weight, and "
        "`trainer.max_bad_updates` of them end the run.",
        TRAINING,
    ),
)  # fmt: skip

EVALUATION = (
    Metric("accuracy", "accuracy", "share", "Mean of the tasks' accuracies.", ("evaluate",), ONCE, _QUESTIONS),
    Metric(
        "accuracy/{task}", "{task}", "share", "Share of the task's questions that were answered right.",
        ("evaluate",), ONCE, _QUESTIONS,
    ),
    Metric(
        "format", "format", "share",
        "Share of answers in the form `<think>…</think><answer>…</answer>`, mean over the tasks.",
        ("evaluate",), ONCE, _QUESTIONS,
    ),
    Metric(
        "benchmark/{benchmark}/{task}", "{task}", "", "Score of a task by the benchmark's own metric.",
        ("evaluate",), "where the answers can be scored", _BENCHMARKS,
    ),
)  # fmt: skip

PERPLEXITY = tuple(
    Metric(name, label, unit, meaning, ("perplexity",), ONCE)
    for name, label, unit, meaning in (
        ("documents", "documents", "documents", "Documents that have a score."),
        ("tokens", "tokens", "tokens", "Tokens that the scores are over."),
        (
            "perplexity", "perplexity", "",
            "exp of the negative log-likelihood, mean over the tokens of all documents.",
        ),
        ("perplexity/median", "median perplexity", "", "Median of the documents' perplexities."),
    )
)  # fmt: skip

PHASES = tuple(
    Metric(f"time/{name}", name, "s", meaning, kinds, steps)
    for name, meaning, kinds, steps in (
        ("train", "forward, backward, update", TRAINING, UPDATE),
        ("rollout", "waiting for completions", ("rejection", "grpo", "evaluate"), SAMPLED),
        ("reward", "waiting for verdicts", ("rejection", "grpo", "evaluate"), SAMPLED),
        ("sync", "weights to the sampler", ("rejection", "grpo"), SAMPLED),
        ("reference", "log-probs under the reference", ("grpo",), "with `algorithm.kl_coef` above 0"),
        ("old", "log-probs before the step", ("grpo",), "with `old_log_probs: recompute` and several updates a step"),
        ("data", "reading and packing", (*SUPERVISED, "rejection"), UPDATE),
        ("held_out", "held-out loss, perplexity, accuracy", (*SUPERVISED, "grpo"), MEASURED),
        ("score", "perplexity of documents", ("perplexity",), ONCE),
        ("dump", "rollout files", ("rejection", "grpo"), SAMPLED),
        ("checkpoint", "checkpoints", TRAINING, "the step after a checkpoint"),
    )
)
"""Parts of a step. What they leave of it is the driver's own time."""

SUMMARIES = (
    Metric("time/step", "step", "s", "the whole step", (*TRAINING, "perplexity", "evaluate")),
    Metric("time/trainer_wait", "trainer_wait", "s", "time in which the rollout engines had nothing to do"),
    Metric(
        "time/bubble", "bubble", "share",
        "share of the time of trainer and engines, taken together, in which one waited for the other: "
        "(rollout + reward + trainer_wait) / (2 · step)",
    ),
)  # fmt: skip
"""Entries of "time" about the whole step, which are no parts of it."""

METRICS = (
    *REWARD, *SAMPLING, *HELD_OUT, *UPDATES, *NEXT_TOKEN, *REJECTION, *OPTIMIZER, *JUDGE, *EVALUATION, *PERPLEXITY,
    *PHASES, *SUMMARIES,
)  # fmt: skip
"""Every metric. Where two entries fit a name, the first counts."""

SHOWN = {metric.name: metric for metric in METRICS if metric.shown}
"""Figures of the progress line, by name."""


def of_kind(kind: str) -> list[Metric]:
    """The metrics that stages of a kind log, without those of a clock."""
    return [metric for metric in METRICS if kind in metric.kinds and not metric.name.startswith("time/")]


def find(name: str, kind: str) -> Metric | None:
    """The entry of a metric that a stage of some kind logs; None if the catalogue has none."""
    return next((one for one in METRICS if kind in one.kinds and one.values(name) is not None), None)


def label(name: str, kind: str) -> str:
    """A metric's short name, such as that of its task; its whole name where the catalogue has none."""
    found = find(name, kind)
    return name if found is None else found.label.format(**found.values(name) or {})
