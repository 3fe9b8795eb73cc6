"""Reserving resources before actors start."""

from __future__ import annotations

from typing import Any

from cluster.errors import ClusterError
from cluster.waits import waiting


def reserve(bundles: list[dict[str, float]], timeout_s: float) -> Any:
    """A placement group with these bundles (packed on as few nodes as possible).

    Raises:
        ClusterError: if the cluster can't give them in time; it lists what was asked and what each node has free.
    """
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group

    group = placement_group(bundles, strategy="PACK")
    with waiting("Ray", "reserve"):
        if group.wait(timeout_s):
            return group
    remove_placement_group(group)
    lines = [f"  asked       {_listed(_total(bundles))} in {len(bundles)} bundle(s)"]
    free = ray._private.state.available_resources_per_node()
    for node in ray.nodes():
        if node["Alive"]:
            lines.append(
                f"  {node['NodeManagerAddress']:<11} {_listed(free.get(node['NodeID'], {}))} free "
                f"of {_listed(node['Resources'])}"
            )
    raise ClusterError(
        f"Ray could not reserve the resources of this run within {timeout_s:.0f} s:\n" + "\n".join(lines) + "\n"
        "Lower trainer.world_size or rollout.replicas, raise cluster.num_cpus, or add nodes"
    )


def _total(bundles: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(bundle.get(name, 0) for bundle in bundles) for name in ("CPU", "GPU")}


def _listed(resources: dict[str, float]) -> str:
    return ", ".join(f"{resources.get(name, 0):g} {name}" for name in ("CPU", "GPU"))
