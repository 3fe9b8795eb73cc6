"""Rules that look for what holds a reward down: pure functions of a stage's metrics, with the evidence and the fix."""

from __future__ import annotations

from collections.abc import Callable

from rl.language import Text
from rl.report.facts import Facts, Finding, Level, percent
from rl.report.trend import LEAST_STEPS, trend

IDLE_GROUPS = 0.5
"""Share of groups without variance above which more than half of the sampling is wasted."""
MALFORMED = 0.2
TRUNCATED = 0.2
ERRORED = 0.05
COLLAPSED = 0.15
"""Share of its first entropy below which a policy no longer explores …"""
DETERMINISTIC = 0.02
"""… or an entropy (nats a token) below which the samples of a group are nearly one."""
CLIPPED = 0.2
"""Share of tokens whose ratio is clipped; PPO runs well at a few per cent."""
KL_IN_LOSS = 0.01
"""Smallest size at which the KL term (coefficient times divergence) can matter beside advantages of size one."""
MISMATCH_KL = 0.01
"""Divergence of sampler and trainer (nats a token) from which runs are seen to collapse; bf16 gives 1e-4 to 1e-3."""
MULT_PROB_ERROR = 1.05
"""Mean factor between a token's two probabilities; 1.0 is equal."""
TINY_RATE = 1e-7
"""Peak learning rates below this move no weight of a bf16 or fp32 model in a few hundred steps."""
FORGOTTEN = 0.1
"""Loss of a task's accuracy over a stage that counts as forgetting."""


def course(facts: Facts) -> list[Finding]:
    """Whether it rises, falls, is flat, or is too short to say."""
    found = facts.reward
    if not found.long_enough:
        text = Text(
            "Only {steps} steps: with fewer than {least} a trend can't be distinguished from noise.",
            steps=found.steps,
            least=LEAST_STEPS,
        )
        return [Finding("short", "note", text, Text("Raise the stage's steps."))]
    figures = Text(
        "{first:.3f} in the first {window} steps, {last:.3f} in the last {window} ({change:+.3f}; "
        "the slope is {sigmas:.1f} standard errors from 0)",
        first=found.first,
        window=found.window,
        last=found.last,
        change=found.last - found.first,
        sigmas=abs(found.sigmas),
    )
    if found.rises:
        return [Finding("rises", "good", Text("The reward rises: {figures}.", figures=figures))]
    if found.falls:
        fix = Text("Lower optim.lr, or hold the policy near its start with algorithm.kl_coef.")
        return [Finding("falls", "problem", Text("The reward falls: {figures}.", figures=figures), fix)]
    text = Text(
        "The reward is flat: {figures}. A change of {visible:.3f} or more would have shown.",
        figures=figures,
        visible=found.visible,
    )
    return [Finding("flat", "warning", text)]


def zero_variance(facts: Facts) -> list[Finding]:
    """Groups whose completions all got the same reward, and whether because all were wrong, or all right."""
    share = facts.late("groups/zero_variance")
    if share is None or share < IDLE_GROUPS or facts.key("algorithm.advantage") == "reinforce_plus_plus":
        return []  # REINFORCE++ compares over the batch
    what = Text(
        "In {span} {share} of the groups had one reward for all completions and so no advantage",
        span=facts.span,
        share=percent(share),
    )
    level: Level = "problem" if share >= 0.8 and not facts.reward.rises else "warning"
    right = facts.late(facts.accuracy) if facts.accuracy else None
    if right is not None and right / share < 0.5:  # even if every right completion were in such a group
        text = Text(
            "{what}; with {accuracy} at {right:.2f}, most are wrong throughout.",
            what=what,
            accuracy=facts.accuracy,
            right=right,
        )
        fix = Text(
            "Make tasks easier or put a longer SFT stage before; raise samples_per_prompt; or set difficulty: 1."
        )
        return [Finding("all_wrong", level, text, fix)]
    if right is not None and (right - (1 - share)) / share > 0.5:  # even if all the others were right too
        text = Text(
            "{what}; with {accuracy} at {right:.2f}, most are right throughout: little is left to learn.",
            what=what,
            accuracy=facts.accuracy,
            right=right,
        )
        fix = Text("End the stage earlier with gates.leave, give it harder tasks, or set difficulty: 1.")
        return [Finding("all_right", "note", text, fix)]
    fix = Text("Set algorithm.refills to replace them, raise samples_per_prompt, or set difficulty: 1.")
    return [Finding("zero_variance", level, Text("{what}.", what=what), fix)]


def malformed(facts: Facts) -> list[Finding]:
    """Completions out of form, whose answer can't be found."""
    form = facts.late("reward/format")
    if form is None or 1 - form < MALFORMED:
        return []
    text = Text(
        "In {span} {share} of the completions were malformed (not <think>…</think><answer>…</answer> "
        "alone); where no answer block is found, accuracy is 0 whatever was meant.",
        span=facts.span,
        share=percent(1 - form),
    )
    fix = Text("Teach the form with an SFT stage before this one, or raise the weight of format in the stage's reward.")
    return [Finding("malformed", "problem" if 1 - form >= 0.5 else "warning", text, fix)]


def truncated(facts: Facts) -> list[Finding]:
    """Completions cut off at the longest length."""
    share = facts.late("truncated")
    if share is None or share < TRUNCATED:
        return []
    text = Text(
        "In {span} {share} of the completions were cut off at sampling.max_tokens={most} "
        "before they came to an answer.",
        span=facts.span,
        share=percent(share),
        most=facts.key("sampling.max_tokens"),
    )
    fix = Text("Raise sampling.max_tokens, or punish length softly with algorithm.overlong_buffer.")
    return [Finding("truncated", "problem" if share >= 0.5 else "warning", text, fix)]


def errored(facts: Facts) -> list[Finding]:
    """Verdicts that failed; their groups are dropped whole."""
    failed, sampled = sum(facts.stage.values("groups/errored")), sum(facts.stage.values("groups/sampled"))
    if not sampled or failed / sampled < ERRORED:
        return []
    text = Text(
        "{failed:.0f} of {sampled:.0f} groups ({share}) were dropped because a verdict errored.",
        failed=failed,
        sampled=sampled,
        share=percent(failed / sampled),
    )
    fix = Text(
        "Read the errors with python -m tools.rollouts RUN --order errors; slow rewards need a longer "
        "reward.verdict_timeout_s, a judge more judge.timeout_s or judge.fallback=statute."
    )
    return [Finding("errored", "problem" if failed / sampled >= 0.5 else "warning", text, fix)]


def entropy(facts: Facts) -> list[Finding]:
    """A policy that no longer explores, or that dissolves."""
    values = facts.stage.values("entropy")
    found = trend(values)
    if not found.long_enough:
        return []
    figures = Text("from {first:.3f} to {last:.3f} nats a token", first=found.first, last=found.last)
    if found.last < max(COLLAPSED * found.first, DETERMINISTIC) and found.last < found.first:
        learns = trend(facts.stage.values("reward")[len(values) // 2 :]).rises
        fix = Text("Raise algorithm.clip_high or algorithm.entropy_coef, or lower optim.lr.")
        text = Text(
            "The entropy has collapsed {figures}: the samples of a group hardly differ, so nothing new is found.",
            figures=figures,
        )
        return [Finding("entropy_collapsed", "note" if learns else "warning", text, fix)]
    if found.rises and found.last > 2 * found.first and found.last > 1:
        text = Text("The entropy grows {figures}: the policy is dissolving into noise.", figures=figures)
        fix = Text("Lower optim.lr or algorithm.entropy_coef, or hold the policy with algorithm.kl_coef.")
        return [Finding("entropy_grows", "warning", text, fix)]
    return []


def unmoved(facts: Facts) -> list[Finding]:
    """Steps without an update, and gradients of 0."""
    trained, norms = facts.stage.values("groups/trained"), facts.stage.values("grad_norm")
    idle = sum(n == 0 for n in trained)
    found = []
    if trained and idle / len(trained) >= 0.3:
        text = Text(
            "In {idle} of {steps} steps no group carried a gradient, so the weights stayed as they were.",
            idle=idle,
            steps=len(trained),
        )
        fix = Text("Set algorithm.refills to sample again, or raise prompts_per_step or samples_per_prompt.")
        found.append(Finding("no_update", "problem" if idle / len(trained) >= 0.8 else "warning", text, fix))
    if norms and max(norms) < 1e-8:
        text = Text(
            "The gradient norm is 0 in all {n} updates, though groups were trained on: nothing is learnt.",
            n=len(norms),
        )
        fix = Text("Look at algorithm.loss, algorithm.clip_low and clip_high (a clipped ratio has no gradient).")
        found.append(Finding("no_gradient", "problem", text, fix))
    return found


def rate(facts: Facts) -> list[Finding]:
    """A learning rate that is too small to matter, or never got through its warm-up."""
    rates, peak = facts.stage.values("lr"), float(facts.key("optim.lr", 0.0))
    if not rates or facts.reward.rises:
        return []
    warmup = int(facts.key("optim.warmup_steps", 0))
    if max(rates) < 0.5 * peak and warmup >= len(rates):
        text = Text(
            "The learning rate reached {most:.1e} of optim.lr={peak:.1e}: {n} updates, all warm-up.",
            most=max(rates),
            peak=peak,
            n=len(rates),
        )
        return [
            Finding(
                "warmup",
                "warning",
                text,
                Text("Lower optim.warmup_steps (now {warmup}) or raise steps.", warmup=warmup),
            )
        ]
    if max(rates) < TINY_RATE:
        text = Text(
            "The learning rate is at most {most:.1e}, which moves nothing in {n} updates.",
            most=max(rates),
            n=len(rates),
        )
        return [Finding("tiny_rate", "warning", text, Text("Raise optim.lr (now {peak:.1e}).", peak=peak))]
    spread = trend(facts.stage.values("entropy"))
    still = facts.reward.flat and spread.flat and abs(spread.last - spread.first) <= 0.05 * abs(spread.first)
    if still and max(facts.stage.values("grad_norm"), default=0.0) > 0:
        text = Text(
            "The policy hardly moves: at optim.lr={peak:.1e} neither reward nor entropy ({first:.3f} → "
            "{last:.3f} nats a token) has changed, though there are gradients.",
            peak=peak,
            first=spread.first,
            last=spread.last,
        )
        return [
            Finding(
                "still", "warning", text, Text("Raise optim.lr (now {peak:.1e}) by a factor of 3 to 10.", peak=peak)
            )
        ]
    return []


def clipping(facts: Facts) -> list[Finding]:
    """Too many tokens without a gradient because their ratio left the clip range."""
    share = facts.late("clip_fraction")
    # The sequence ratio of GSPO leaves its narrow range as a rule, and that is meant.
    if share is None or share < CLIPPED or facts.key("algorithm.loss") == "gspo":
        return []
    text = Text(
        "In {span} the ratio of {share} of the tokens was clipped: they carry no gradient.",
        span=facts.span,
        share=percent(share),
    )
    fix = Text("Lower optim.lr or updates_per_step, lower rollout.max_staleness, or raise algorithm.clip_high.")
    return [Finding("clipped", "warning", text, fix)]


def kl(facts: Facts) -> list[Finding]:
    """A KL term that outweighs the reward's own gradient."""
    divergence, coefficient = facts.late("kl"), float(facts.key("algorithm.kl_coef", 0.0))
    if divergence is None or facts.reward.rises:
        return []
    term, policy = coefficient * divergence, abs(facts.late("policy_loss") or 0.0)
    if term < max(KL_IN_LOSS, policy):
        return []
    text = Text(
        "The KL term weighs {term:.3f} in the loss (algorithm.kl_coef={coefficient:g} times a divergence "
        "of {divergence:.2f}), the policy term {policy:.3f}: the policy is held back more than it is "
        "pushed.",
        term=term,
        coefficient=coefficient,
        divergence=divergence,
        policy=policy,
    )
    return [Finding("kl", "warning", text, Text("Lower algorithm.kl_coef; 0 removes the reference."))]


def mismatch(facts: Facts) -> list[Finding]:
    """Sampler and trainer that disagree about the same tokens."""
    divergence, factor = facts.late("mismatch_kl") or 0.0, facts.late("token_mult_prob_error") or 1.0
    if divergence < MISMATCH_KL and factor < MULT_PROB_ERROR:
        return []
    stale = max(facts.stage.values("staleness_max"), default=0.0)
    why = Text("; completions are up to {stale:.0f} updates old", stale=stale) if stale else ""
    text = Text(
        "Sampler and trainer disagree about the sampled tokens: mismatch_kl {divergence:.1e}, "
        "token_mult_prob_error {factor:.3f} (1 is equal){why}. The update is then made for another "
        "policy than the one that sampled.",
        divergence=divergence,
        factor=factor,
        why=why,
    )
    fix = (
        Text("Set algorithm.old_log_probs: recompute with algorithm.mismatch; lower rollout.max_staleness.")
        if stale
        else Text(
            "Set algorithm.old_log_probs: recompute with algorithm.mismatch; check the sync with "
            "rollout.verify_sync=true."
        )
    )
    return [Finding("mismatch", "problem" if divergence >= 10 * MISMATCH_KL else "warning", text, fix)]


def not_finite(facts: Facts) -> list[Finding]:
    """Updates that were skipped."""
    bad = sum(value > 0 for value in facts.stage.values("bad_updates"))
    if not bad:
        return []
    text = Text(
        "In {bad} of {steps} steps loss or gradient was not finite: no update was made.",
        bad=bad,
        steps=len(facts.stage.lines),
    )
    fix = Text("Lower optim.lr; train on such a step again with python -m tools.replay RUN --step N.")
    return [Finding("not_finite", "problem", text, fix)]


def beside_the_point(facts: Facts) -> list[Finding]:
    """A reward that rises by other parts than the one that counts."""
    right = trend(facts.stage.values(facts.accuracy)) if facts.accuracy else None
    if right is None or not facts.reward.rises or right.rises or right.last >= 0.9:
        return []
    parts = facts.stage.family("reward/{reward}")
    names = [part.removeprefix("reward/") for part in parts if trend(facts.stage.values(part)).rises]
    text = Text(
        "The reward rises, but {accuracy} does not ({first:.2f} → {last:.2f}): it is earned by {parts}.",
        accuracy=facts.accuracy,
        first=right.first,
        last=right.last,
        parts=", ".join(names) or Text("other parts"),
    )
    return [Finding("other_parts", "warning", text, Text("Lower the weight of those parts in the stage's reward."))]


def forgetting(facts: Facts) -> list[Finding]:
    """Tasks that got worse over the stage."""
    found = []
    for metric in facts.stage.metrics:
        one = trend(facts.stage.values(metric)) if metric.startswith("task/") else trend([])
        if metric.endswith("/accuracy") and one.falls and one.first - one.last >= FORGOTTEN:
            task = metric.removeprefix("task/").removesuffix("/accuracy")
            text = Text(
                "The task {task} is being forgotten: its accuracy fell from {first:.2f} to {last:.2f}.",
                task=task,
                first=one.first,
                last=one.last,
            )
            found.append(
                Finding(
                    "forgetting",
                    "warning",
                    text,
                    Text("Raise the weight of {task} in tasks, or set replay.", task=task),
                )
            )
    return found


RULES: tuple[Callable[[Facts], list[Finding]], ...] = (
    course, not_finite, errored, malformed, truncated, zero_variance, unmoved, rate, clipping, kl, mismatch, entropy,
    beside_the_point, forgetting,
)  # fmt: skip
"""Every rule, in the order of what to look at first."""
