"""The plan of a run as tables."""

from rich import box
from rich.console import Console
from rich.table import Table

from rl.config.derive import Plan
from rl.config.schema import RunConfig


def batch_table(plan: Plan) -> Table:
    """The batch numbers of every stage: those set and those derived from them."""
    table = Table(title="Stages and batch numbers", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("stage", "kind"):
        table.add_column(column, no_wrap=True)
    for column in ("steps", "prompts\n/step", "samples\n/prompt", "updates\n/step", "tokens\n/micro", "seqs\n/update"):
        table.add_column(column, justify="right")
    table.add_column("longest\nrow", justify="right")
    for stage in plan.stages:
        grpo, evaluates = stage.kind == "grpo", stage.kind in ("evaluate", "perplexity")
        table.add_row(
            stage.name,
            stage.kind,
            str(stage.steps),
            "" if evaluates else str(stage.batch.prompts_per_step),
            str(stage.batch.samples_per_prompt) if grpo else "",
            str(stage.batch.updates_per_step) if grpo else "",
            "" if evaluates else str(stage.batch.max_tokens_per_microbatch),
            str(stage.sequences_per_update),
            str(stage.longest_row),
        )
    return table


def rank_table(plan: Plan) -> Table:
    """What each trainer rank holds of a model that is cut."""
    table = Table(title="Trainer ranks (estimate)", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("rank", no_wrap=True)
    for column in ("share of\nthe batch", "part of\nlayers", "layers", "weights\n(M)", "state\n(GiB)"):
        table.add_column(column, justify="right")
    table.add_column("activations\n(GiB)", justify="right")
    if mixture := any(held.experts for held in plan.ranks):
        table.add_column("experts", justify="right")
    for held in plan.ranks:
        experts = [f"{held.experts[0]}–{held.experts[1]}" if held.experts else ""] if mixture else []
        table.add_row(
            f"trainer/{held.rank}",
            str(held.data),
            str(held.tensor),
            f"{held.layers[0]}–{held.layers[1]}",
            f"{held.parameters / 1e6:.2f}",
            f"{held.state_gib:.2f}",
            f"{held.activations_gib:.2f}",
            *experts,
        )
    return table


def print_plan(config: RunConfig, plan: Plan, console: Console) -> None:
    """Stages, actors, memory and an estimate of time."""
    console.print(batch_table(plan))
    actors = Table(title="Ray actors")
    actors.add_column("name")
    actors.add_column("what")
    for name, what in plan.actors:
        actors.add_row(name, what)
    console.print(actors)
    if plan.ranks:
        console.print(rank_table(plan))
    memory = Table(title="Memory (estimate)")
    memory.add_column("what")
    memory.add_column("GiB", justify="right")
    for what, gib in (*plan.memory, ("sum", sum(gib for _, gib in plan.memory))):
        memory.add_row(what, f"{gib:.2f}")
    console.print(memory)
    size = "unknown until loaded" if plan.parameters is None else f"{plan.parameters / 1e6:.2f} M"
    minutes = sum(stage.seconds for stage in plan.stages) / 60
    console.print(f"model {config.model.name}: {size} parameters · seed {config.seed} · run folder {config.run_dir}")
    if plan.parameters is not None:
        console.print(f"time on this machine's CPU, a rough estimate without start-up: {minutes:.0f} min")
