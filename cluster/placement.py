"""Reserving resources before actors start."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cluster.errors import ClusterError
from cluster.waits import waiting

NAMES = ("CPU", "GPU")
SAY_S = 60.0
"""How often it is said what is missing (seconds)."""
Resources = Mapping[str, float]


def reserve(bundles: list[dict[str, float]], timeout_s: float, name: str = "") -> Any:
    """A placement group with these bundles (packed on as few nodes as possible), and a name in Ray's dashboard.

    Raises:
        ClusterError: see :func:`require`.
    """
    from ray.util.placement_group import placement_group, remove_placement_group

    group = placement_group(bundles, strategy="PACK", name=name)
    try:
        require(group, bundles, timeout_s)
    except ClusterError:
        remove_placement_group(group)
        raise
    return group


def require(group: Any, bundles: Sequence[Resources], timeout_s: float) -> None:
    """Wait until a placement group has all its bundles: at the start, and again when a node was lost. While something
    is missing it is said every minute.

    Raises:
        ClusterError: if the cluster can't give them in time; it lists what was asked, what nodes have free, and what
            is missing.
    """
    until = time.monotonic() + timeout_s
    with waiting("Ray", "reserve"):
        while not group.wait(math.ceil(max(0.0, min(SAY_S, until - time.monotonic())))):  # Ray takes whole seconds
            lines = shortage(bundles, node_resources())
            if time.monotonic() >= until:
                raise ClusterError(
                    f"Ray could not reserve the resources of this run within {timeout_s:.0f} s:\n"
                    + "\n".join(f"  {line}" for line in lines)
                    + "\nLower trainer.world_size or rollout.replicas, raise cluster.num_cpus, or add nodes"
                )
            said = "; ".join(" ".join(line.split()) for line in lines)
            print(f"waiting for resources, at most {until - time.monotonic():.0f} s more: {said}", flush=True)


def require_here(bundles: Sequence[Resources], num_cpus: int | None) -> None:
    """Refuse what a cluster of this machine alone can never give, before it is started.

    Args:
        bundles: what will be reserved.
        num_cpus: CPUs that the cluster is started with; None for what Ray finds.

    Raises:
        ClusterError: it lists what is asked, what there would be, and what is missing.
    """
    from ray._private.resource_and_label_spec import ResourceAndLabelSpec

    found = ResourceAndLabelSpec(num_cpus=num_cpus, object_store_memory=0).resolve(is_head=True)
    machine = {"CPU": float(found.num_cpus), "GPU": float(found.num_gpus)}
    short = {name for name in NAMES if _sum(bundles, name) > machine[name]}
    if short:
        fix = f"set cluster.num_cpus={_sum(bundles, 'CPU'):g}, so that ranks share cores, " if short == {"CPU"} else ""
        raise ClusterError(
            "this run asks for more than a Ray of this machine alone will have:\n"
            + "\n".join(f"  {line}" for line in shortage(bundles, [(machine, machine)]))
            + f"\nLower trainer.world_size or rollout.replicas, {fix}or join a larger cluster by cluster.address"
        )


def node_resources() -> list[tuple[Resources, Resources]]:
    """What each living node has free, and what it has in all."""
    import ray

    free = ray._private.state.available_resources_per_node()
    return [(free.get(node["NodeID"], {}), node["Resources"]) for node in ray.nodes() if node["Alive"]]


def shortage(bundles: Sequence[Resources], nodes: Sequence[tuple[Resources, Resources]]) -> list[str]:
    """What is asked, what is there, and what is missing: a line for each kind of bundle, and of node.

    Args:
        bundles: what each bundle asks for.
        nodes: what each node has free, and what it has in all.
    """
    asked = Counter(map(_listed, bundles))
    shapes = Counter(f"{_listed(free)} free of {_listed(total)}" for free, total in nodes)
    lines = [f"asked    {number} × {what}" for what, number in asked.items()]
    lines += [f"there    {number} node(s) with {what}" for what, number in shapes.items()] or ["there    no node"]
    missing = {
        name: short for name in NAMES if (short := _sum(bundles, name) - _sum([free for free, _ in nodes], name)) > 0
    }
    if missing:
        lines.append(f"missing  {', '.join(f'{short:g} {name}' for name, short in missing.items())}")
    for what in asked:
        bundle = next(one for one in bundles if _listed(one) == what)
        if not any(all(total.get(name, 0) >= bundle.get(name, 0) for name in NAMES) for _, total in nodes):
            lines.append(f"never    no node is large enough for {what}")
    return lines


def fit(bundles: Sequence[Resources], free: Sequence[Resources]) -> list[int] | None:
    """The number of a node for each bundle, all on the fullest node that has room for all, else on several; None if
    there is no room."""
    order = sorted(range(len(free)), key=lambda number: [free[number].get(name, 0) for name in reversed(NAMES)])
    alone = next((number for number in order if _has(free[number], bundles)), None)
    if alone is not None:
        return [alone] * len(bundles)
    held: list[list[Resources]] = [[] for _ in free]
    found = []
    for bundle in bundles:
        number = next((one for one in reversed(order) if _has(free[one], [*held[one], bundle])), None)
        if number is None:
            return None
        held[number].append(bundle)
        found.append(number)
    return found


def _has(free: Resources, bundles: Sequence[Resources]) -> bool:
    return all(_sum(bundles, name) <= free.get(name, 0) for name in NAMES)


def in_order(group: Any, ranks: int = 0, widths: Sequence[int] = ()) -> list[int]:
    """The bundles of a placement group that is ready, in the order of :func:`by_node`."""
    from ray.util import placement_group_table

    nodes = placement_group_table(group)["bundles_to_node_id"]
    return by_node([nodes[number] for number in range(len(nodes))], ranks, widths)


def by_node(nodes: Sequence[str], ranks: int = 0, widths: Sequence[int] = ()) -> list[int]:
    """Numbers of bundles in an order in which those of one node are neighbours, and groups of neighbouring ranks that
    work closely together are on one node each, where it has room for the whole group. Ray's own order does not follow
    nodes, so that such a group would talk over the network.

    Nodes with most bundles come first; of equal ones that with the first bundle.

    Args:
        nodes: the node of each bundle.
        ranks: how many bundles, the first of the result, are those of ranks in groups.
        widths: ranks of such a group, largest first; each is a multiple of the next one. Groups of the first width
            that have no node for them are made of whole groups of the next.
    """
    found: list[int] = []
    left = _of_nodes(nodes, range(len(nodes)))
    for width in widths:
        for some in left:
            found += some[: min(len(some), ranks - len(found)) // width * width]
        left = _of_nodes(nodes, set(range(len(nodes))).difference(found))
    return found + [number for some in left for number in some]


def _of_nodes(nodes: Sequence[str], numbers: Iterable[int]) -> list[list[int]]:
    """Some of the bundles, those of one node together, in the order of nodes of :func:`by_node`."""
    by: dict[str, list[int]] = defaultdict(list)
    for number in sorted(numbers):
        by[nodes[number]].append(number)
    return sorted(by.values(), key=lambda some: (-len(some), some[0]))


def apart(nodes: Sequence[str], width: int) -> list[int]:
    """The first rank of each group of so many neighbours that is on more than one node.

    Args:
        nodes: the node of each rank.
        width: ranks of a group.
    """
    return [first for first in range(0, len(nodes), width) if len(set(nodes[first : first + width])) > 1]


def _sum(resources: Sequence[Resources], name: str) -> float:
    return sum(one.get(name, 0) for one in resources)


def _listed(resources: Resources) -> str:
    return ", ".join(f"{resources.get(name, 0):g} {name}" for name in NAMES)
