"""GRPO: sample groups, score them, update the policy, hand the new weights to the sampler."""

from collections.abc import Sequence

from curricula.gates import GateDecision, GateWatch
from curricula.sampler import Sampler
from rl.config.derive import batch_numbers
from rl.config.gate_conditions import conditions
from rl.config.stages import GRPOStage
from rl.driver.runtime import Runtime
from rl.driver.scoring import refuse_unscored
from rl.driver.steps import Stateful, Step, StepLoop
from rl.driver.stream import GroupStream
from rl.driver.updates import StepUpdate, mean
from rl.samples import Group, solved
from rl.stages.held_out import HeldOut


def run(stage: GRPOStage, runtime: Runtime) -> None:
    """The reinforcement-learning loop: groups are trained on as they complete, weights move at the step border."""
    batch = batch_numbers(runtime.config, stage)
    sampler = runtime.sampler(stage)
    if stage.algorithm.kl_coef > 0:
        runtime.lineage.load_reference_before(stage.name)
    updates = stage.steps * batch.updates_per_step
    gates = GateWatch(conditions(stage.gates.leave), conditions(stage.gates.fall_back))
    held_out = HeldOut(stage, runtime)
    with runtime.stream(stage, sampler) as stream:
        state: dict[str, Stateful] = {"sampler": sampler, "stream": stream, "gates": gates, "held_out": held_out.guard}
        for step in StepLoop(stage, runtime, stage.optim, updates, state):
            before = held_out.before(step)
            with step.phase("sync"):
                runtime.sync_weights()
            update = runtime.update(stage, step.phase)
            sample(stage, stream, update, step)
            refuse_unscored(update.groups, f"stage {stage.name}: step {step.number}")
            observe(sampler, update.groups)
            runtime.sampling_done()
            metrics = group_metrics(update, runtime.fleet.weights.version) | sampler.metrics() | update.finish()
            metrics["bad_updates"] = float(step.bad_updates(metrics))  # a gate may watch it
            metrics |= before | runtime.scorer.judge_metrics()
            runtime.verify_parity(metrics)
            metrics |= held_out.after(step)
            opened = gates.observe(metrics)
            if opened is not None:
                step.end_stage(opened.kind, opened.why, weights_after(opened, stage.name, step.number + 1, runtime))
            if step.last or (opened is not None and opened.kind == "leave"):
                metrics |= held_out.after(step, ends=True)
                held_out.conclude(step)
            with step.phase("dump"):
                step.dump(update.parts, metrics)
            step.finish(metrics, held_out.score(step, metrics["reward"]), stream.busy_s, save=held_out.best_at(step))


def observe(sampler: Sampler, groups: Sequence[Group]) -> None:
    """Tell the sampler how far the policy has solved its prompts."""
    for group in groups:
        sampler.observe(group.index, group.rewards, solved(group))


def weights_after(opened: GateDecision, name: str, done: int, runtime: Runtime) -> int | None:
    """The step after which the stage had the weights that it ends with: None for the last step, 0 for its start."""
    if opened.kind == "leave":
        return None
    checkpoint = runtime.checkpoints.latest(name, at_most=done - opened.steps)
    return checkpoint.step if checkpoint else 0


def sample(stage: GRPOStage, stream: GroupStream, update: StepUpdate, step: Step) -> None:
    """Fill a step with groups. Dynamic sampling replaces those of equal reward, at most ``refills`` times."""
    wanted = update.batch.prompts_per_step
    stream.fill(step.number)
    for last in [False] * stage.algorithm.refills + [True]:
        for groups in stream.take(wanted, step.number, step.phase):
            update.add(groups)
        wanted = update.batch.prompts_per_step - len(update.admitted)
        if last or wanted <= 0:
            return
        stream.refill(wanted, step.number)


def group_metrics(update: StepUpdate, version: int) -> dict[str, float]:
    """Metrics of a step's groups, with how many of them are trained on."""
    return sampling_metrics(update.groups, version) | {"groups/trained": float(len(update.admitted))}


def sampling_metrics(groups: Sequence[Group], version: int) -> dict[str, float]:
    """Metrics of sampled groups: mean reward and parts, lengths, staleness; ``version`` is that of the weights."""
    scored: list[Group] = [group for group in groups if group.error is None]
    completions = [completion for group in scored for completion in group.completions]
    parts = [part for group in scored for part in group.parts]
    staleness = [version - completion.weight_version for completion in completions]
    return {
        "reward": mean(reward for group in scored for reward in group.rewards),
        **{f"reward/{name}": mean(part[name] for part in parts) for name in (parts[0] if parts else {})},
        "completion_tokens": float(sum(len(completion.token_ids) for completion in completions)),
        "completion_length": mean(len(completion.token_ids) for completion in completions),
        "truncated": mean(completion.finish_reason == "length" for completion in completions),
        "staleness": mean(staleness),
        "staleness_max": float(max(staleness, default=0)),
        "groups/sampled": float(len(groups)),
        "groups/zero_variance": mean(group.zero_variance for group in scored),
        "groups/errored": float(len(groups) - len(scored)),
    }
