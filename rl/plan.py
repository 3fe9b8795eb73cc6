"""The plan of a run as tables."""

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rl.config.cpu_memory import Held
from rl.config.derive import Plan
from rl.config.gpu_plan import GpuPlan
from rl.config.memory import FREE
from rl.config.schema import RunConfig
from rl.config.speed import SAMPLING, TRAINING
from rl.config.tested_on import seen_in_training


def batch_table(plan: Plan) -> Table:
    """The batch numbers of every stage: those set and those derived from them."""
    table = Table(title="Stages and batch numbers", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("stage", "kind"):
        table.add_column(column, no_wrap=True)
    for column in ("steps", "prompts\n/step", "samples\n/prompt", "updates\n/step", "tokens\n/micro", "seqs\n/update"):
        table.add_column(column, justify="right")
    table.add_column("longest\nrow", justify="right")
    for stage in plan.stages:
        samples, evaluates = stage.kind in ("rejection", "grpo"), stage.kind in ("evaluate", "perplexity")
        table.add_row(
            stage.name,
            stage.kind,
            str(stage.steps),
            "" if evaluates else str(stage.batch.prompts_per_step),
            str(stage.batch.samples_per_prompt) if samples else "",
            str(stage.batch.updates_per_step) if stage.kind == "grpo" else "",
            "" if evaluates else str(stage.batch.max_tokens_per_microbatch),
            str(stage.sequences_per_update),
            str(stage.longest_row),
        )
    return table


def rank_table(plan: Plan) -> Table:
    """What each trainer rank holds of a model that is cut."""
    table = Table(title="Trainer ranks (estimate)", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("rank", no_wrap=True)
    table.add_column("share of\nthe batch", justify="right")
    if rows := any(held.context for held in plan.ranks):
        table.add_column("part of\nrows", justify="right")
    for column in ("part of\nlayers", "layers", "weights\n(M)", "state\n(GiB)", "activations\n(GiB)"):
        table.add_column(column, justify="right")
    if mixture := any(held.experts for held in plan.ranks):
        table.add_column("experts", justify="right")
    for held in plan.ranks:
        experts = [f"{held.experts[0]}–{held.experts[1]}" if held.experts else ""] if mixture else []
        table.add_row(
            f"trainer/{held.rank}",
            str(held.data),
            *([str(held.context)] if rows else []),
            str(held.tensor),
            f"{held.layers[0]}–{held.layers[1]}",
            f"{held.parameters / 1e6:.2f}",
            f"{held.state_gib:.2f}",
            f"{held.activations_gib:.2f}",
            *experts,
        )
    return table


def gpu_table(plan: GpuPlan) -> Table:
    """What the fullest GPU of each kind holds, item by item, and the sum in each phase."""
    table = Table(title=f"Memory of a GPU of {plan.gib:g} GiB (estimate, GiB)", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("what")
    for card in plan.cards:
        table.add_column(f"{card.who}\n(of {card.number})", justify="right")
    for what in dict.fromkeys(held.what for card in plan.cards for held in card.held):
        found = [sum(held.gib for held in card.held if held.what == what) for card in plan.cards]
        table.add_row(what, *(f"{gib:.1f}" if gib else "" for gib in found))
    table.add_section()
    for phase in dict.fromkeys(phase for card in plan.cards for phase in card.phases):
        sums = [f"{card.in_phase(phase):.1f}" if phase in card.phases else "" for card in plan.cards]
        table.add_row(f"together, {phase}", *sums)
    table.add_row(f"fits ({FREE:.0%} stay free)", *("yes" if card.fits else "no" for card in plan.cards))
    return table


def time_table(plan: GpuPlan) -> Table:
    """The longest time of a step of each stage."""
    table = Table(title="Longest time of a step, all sequences at full length (s)", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("stage", "sampling", "training"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for time in plan.times:
        training = "" if time.training is None else f"{time.training[0]:,.0f} to {time.training[1]:,.0f}"
        table.add_row(time.stage, "" if time.sampling is None else f"{time.sampling:,.0f}", training)
    return table


def _print_gpus(config: RunConfig, plan: GpuPlan, console: Console) -> None:
    if not plan.cards:
        console.print(
            f"{plan.gpus} GPUs; the sizes of {config.model.name} are not known here, so what they hold is not either: "
            f"give model.path a folder, or load its config.json once"
        )
        return
    console.print(gpu_table(plan))
    console.print(time_table(plan))
    engine = config.trainer.engine == "fsdp"
    sources = [SAMPLING[1]] if any(time.sampling for time in plan.times) else []
    sources += [f"{share:.1%} of an H100's peak: {source}" for share, source in TRAINING] if engine else []
    console.print("rates: " + "; ".join([*sources, *([] if engine else ["none known of training with megatron"])]))
    console.print(f"{plan.gpus} GPUs of {plan.gib:g} GiB")


def _sizes(title: str, held: Held) -> Table:
    table = Table(title=title)
    table.add_column("what")
    table.add_column("GiB", justify="right")
    known = [gib for _, gib in held if gib is not None]
    whole = sum(known) if len(known) == len(held) else None
    for what, gib in (*held, ("sum", whole)):
        table.add_row(what, "unknown" if gib is None else f"{gib:.2f}")
    return table


def print_stages(config: RunConfig, plan: Plan, console: Console) -> None:
    """The batch numbers of the stages, and what is wrong with them."""
    console.print(batch_table(plan))
    for sentence in seen_in_training(config.curriculum.stages):
        console.print(f"[yellow]warning: {escape(sentence)}[/yellow]", soft_wrap=True)


def print_plan(config: RunConfig, plan: Plan, console: Console) -> None:
    """Stages, actors, memory and disk; for a run on GPUs the longest time of its steps, too."""
    print_stages(config, plan, console)
    actors = Table(title="Ray actors")
    actors.add_column("name")
    actors.add_column("what")
    for name, what in plan.actors:
        actors.add_row(name, what)
    console.print(actors)
    if plan.ranks:
        console.print(rank_table(plan))
    if plan.gpus is None:
        console.print(_sizes("Memory (estimate)", plan.memory))
    else:
        _print_gpus(config, plan.gpus, console)
    console.print(_sizes("Disk: the run folder, at most (estimate)", plan.disk))
    size = "unknown until loaded" if plan.parameters is None else f"{plan.parameters / 1e6:.2f} M"
    console.print(f"model {config.model.name}: {size} parameters · seed {config.seed} · run folder {config.run_dir}")
