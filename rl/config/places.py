"""What a run reserves of its cluster, by its configuration, and how it goes on with what is left of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.placement import by_node
from rl.config.derive import wants_judge
from rl.config.parallel import problems
from rl.config.schema import RunConfig, TrainerConfig
from rl.errors import UserError


def places(config: RunConfig, gpu: bool, sampling: bool = True) -> int:
    """Bundles of the run's placement group: CPUs, or with ``gpu`` one GPU each.

    Args:
        config: of the run.
        gpu: whether it runs on GPUs. There colocated engines need one each; on CPUs they share the trainer's places.
        sampling: whether it has rollout engines.
    """
    ranks, replicas = config.trainer.world_size, config.rollout.replicas * sampling
    if config.cluster.placement == "split":
        return ranks + replicas
    return max(ranks, replicas) if gpu else ranks


def serves_judge(config: RunConfig) -> bool:
    """Whether the run serves a language model as judge itself: on GPUs at a place of its own."""
    return config.judge.kind == "llm" and config.judge.base_url is None and wants_judge(config)


def close_ranks(trainer: TrainerConfig) -> tuple[int, ...]:
    """How many neighbouring ranks should share a node, as :func:`cluster.placement.by_node` takes them: those that
    share rows, and those that share the matrices of a layer. Both exchange something in every layer."""
    tensor = trainer.tensor_parallel
    return tuple(sorted({tensor * trainer.context_parallel, tensor} - {1}, reverse=True))


@dataclass(frozen=True)
class Layout:
    """Who is where on the places that are left of a run's placement group."""

    ranks: tuple[int, ...]
    """The place of each trainer rank, in order."""
    swaps: tuple[tuple[int, int], ...] = ()
    """Pairs of places that change their bundles first, one after the other: one that is left for one that is lost."""


def with_ranks(config: RunConfig, ranks: int) -> RunConfig:
    """The same run with another number of trainer ranks."""
    return config.model_copy(update={"trainer": config.trainer.model_copy(update={"world_size": ranks})})


def layout_left(config: RunConfig, nodes: Sequence[str], gpu: bool, sampling: bool = True) -> Layout:
    """As many trainer ranks as the places that are left allow, and at least one rollout engine.

    Ranks and engines keep their places where they can. With ``split`` an engine gets the place of a rank only if no
    place of an engine is left, and a rank that of an engine only if too few are left for any layout of the trainer.
    Ranks that work closely together (:func:`close_ranks`) share a node where they can.

    Args:
        config: of the run.
        nodes: the node of each place, empty if it is lost: those of the ranks, then with ``split`` those of the
            engines.
        gpu: as in :func:`places`.
        sampling: as in :func:`places`.

    Raises:
        UserError: if no layout of the trainer fits on what is left.
    """
    now, swaps = list(nodes), []
    split = config.cluster.placement == "split" and sampling
    size = config.trainer.world_size
    ends = range(size, len(now)) if split else range(min(config.rollout.replicas, len(now)) * (gpu and sampling))

    def left(some: Sequence[int]) -> list[int]:
        return [place for place in some if now[place]]

    def ranks() -> int:
        most = len(left(range(size if split else len(now))))
        return next((few for few in range(min(most, size), 0, -1) if not problems(with_ranks(config, few))), 0)

    def swap(one: int, other: int) -> None:
        swaps.append((one, other))
        now[one], now[other] = now[other], now[one]

    others = left([place for place in range(len(now)) if place not in ends])
    if ends and not left(ends) and others:
        swap(ends[0], others[-1])
    while split and not ranks() and len(left(ends)) > 1:
        swap(next(place for place in range(size) if not now[place]), left(ends)[-1])
    if not ranks() or (ends and not left(ends)):
        raise UserError(_too_few(config, sum(map(bool, nodes)), len(nodes)))
    number, widths, some = ranks(), close_ranks(config.trainer), left(range(size if split else len(now)))
    chosen = whole_groups(some, now, number, widths)
    if ends and not split and not set(ends) & set(chosen):  # an engine on a shared GPU needs a rank beside it
        chosen = whole_groups(some[:number], now, number, widths)
    return Layout(chosen, tuple(swaps))


def whole_groups(some: Sequence[int], nodes: Sequence[str], number: int, widths: Sequence[int]) -> tuple[int, ...]:
    """So many of some places, in the order of ranks: as they are, or by node if ranks work closely together.

    Args:
        some: places.
        nodes: the node of each place of the run.
        number: of ranks.
        widths: see :func:`close_ranks`.
    """
    if widths:
        some = [some[one] for one in by_node([nodes[place] for place in some], number, widths)]
    return tuple(some[:number])


def _too_few(config: RunConfig, left: int, of: int) -> str:
    trainer = config.trainer
    cuts = {key: getattr(trainer, f"{key}_parallel") for key in ("tensor", "pipeline", "context", "expert")}
    kept = ", ".join(f"{key}_parallel={number}" for key, number in cuts.items() if number > 1)
    why = f"; a smaller trainer must keep {kept}" if kept else ""
    return (
        f"cluster.on_loss=shrink can't go on: {left} of the run's {of} places are left, too few for a trainer"
        f"{' and an engine' if config.cluster.placement == 'split' else ''}{why}. Add nodes; the same command then "
        f"goes on from what was saved"
    )
