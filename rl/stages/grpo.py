"""GRPO: sample groups, score them, update the policy, hand the new weights to the sampler."""

from collections.abc import Iterable

from curricula.records import read_prompts
from curricula.sampler import Sampler
from rl.config.derive import batch_numbers
from rl.config.stages import GRPOStage
from rl.runtime import Runtime
from rl.samples import Group, policy_batch
from rl.steps import StepLoop

PARITY = ("log_prob_difference", "mismatch_kl", "token_mult_prob_error")
"""Metrics that compare the trainer's log-probs with the sampler's."""


def run(stage: GRPOStage, runtime: Runtime) -> None:
    """The reinforcement-learning loop. Staleness is 0: every group is sampled by the weights that it trains."""
    batch = batch_numbers(runtime.config, stage)
    source = read_prompts(stage.data) if stage.data else stage.tasks
    sampler = Sampler(source, runtime.config.seed, stage.name)
    weights = stage.reward or runtime.config.reward.parts
    if stage.algorithm.kl_coef > 0:
        runtime.load_reference_before(stage.name)
    for step in StepLoop(stage, runtime, stage.optim, stage.steps * batch.updates_per_step, {"sampler": sampler}):
        with step.phase("sync"):
            runtime.sync_weights()
        with step.phase("rollout"):
            prompts = sampler.next(batch.prompts_per_step)
            groups = runtime.rollout(stage, step.number, prompts, batch.samples_per_prompt)
        with step.phase("reward"):
            groups = runtime.score(groups, weights)
        for group in groups:
            sampler.observe(group.prompt.task, group.rewards)
        admitted = [group for group in groups if group.error is None and not group.zero_variance]
        metrics = group_metrics(groups, admitted) | sampler.metrics()
        updates = []
        for share in minibatches(admitted, batch.updates_per_step):
            samples = policy_batch(share, stage.sampling.temperature)
            if stage.algorithm.kl_coef > 0:
                with step.phase("reference"):
                    samples = samples.with_field("ref_log_probs", runtime.reference_log_probs(samples, batch))
            with step.phase("train"):
                tokens, horizon = batch.max_tokens_per_microbatch, stage.sampling.max_tokens
                updates.append(runtime.trainer.update(samples, stage.algorithm, tokens, horizon))
        metrics |= update_metrics(updates)
        runtime.verify_parity(metrics)
        with step.phase("dump"):
            step.dump(groups)
        step.finish(metrics, score=metrics["reward"])


def minibatches(groups: list[Group], updates: int) -> list[list[Group]]:
    """Whole groups dealt to the updates of a step; fewer updates when there are fewer groups."""
    return [groups[i::updates] for i in range(updates) if groups[i::updates]]


def update_metrics(updates: list[dict[str, float]]) -> dict[str, float]:
    """Means over the updates of a step (one NaN makes a NaN), and the last learning rate.

    What compares trainer and sampler comes from the first update, the only one that meets the weights that sampled.
    """
    if not updates:
        return {}
    means = {name: _mean(update[name] for update in updates) for name in updates[0]}
    return means | {name: updates[0][name] for name in PARITY} | {"lr": updates[-1]["lr"]}


def group_metrics(groups: list[Group], admitted: list[Group]) -> dict[str, float]:
    """What a step's groups say: mean reward and parts, lengths, and the share of groups without a gradient."""
    scored = [group for group in groups if group.error is None]
    completions = [completion for group in scored for completion in group.completions]
    parts = [part for group in scored for part in group.parts]
    return {
        "reward": _mean(reward for group in scored for reward in group.rewards),
        **{f"reward/{name}": _mean(part[name] for part in parts) for name in (parts[0] if parts else {})},
        "completion_tokens": float(sum(len(completion.token_ids) for completion in completions)),
        "completion_length": _mean(len(completion.token_ids) for completion in completions),
        "truncated": _mean(completion.finish_reason == "length" for completion in completions),
        "groups/zero_variance": _mean(group.zero_variance for group in scored),
        "groups/errored": float(len(groups) - len(scored)),
        "groups/trained": float(len(admitted)),
    }


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / max(1, len(found))
