"""The nodes that a placement group is on, and small tasks on each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any


def of_bundles(group: Any) -> list[str]:
    """The id of the node of each bundle of a placement group that was ready. It is empty when the node was lost, until
    the bundle is on another one."""
    from ray.util import placement_group_table

    nodes = placement_group_table(group)["bundles_to_node_id"]
    return [nodes[number] for number in range(len(nodes))]


def settle(nodes: Iterable[str], timeout_s: float = 60.0) -> None:
    """Return when each of the nodes has answered, or Ray has noticed that it is gone. Ray takes up to half a minute for
    that, and says meanwhile that its actors may come back."""

    def answer() -> None:
        pass

    def wait(node: str) -> None:
        with suppress(Exception):  # what Ray raises depends on what it knows of the node by then
            ask([node], answer, timeout_s=timeout_s)

    if asked := set(nodes):
        with ThreadPoolExecutor(len(asked)) as pool:
            list(pool.map(wait, asked))


def own() -> str:
    """The id of the node of this process."""
    import ray

    return str(ray.get_runtime_context().get_node_id())


def names(nodes: Iterable[str]) -> dict[str, str]:
    """Host and address of nodes, by their ids."""
    import ray

    known = {node["NodeID"]: node for node in ray.nodes()}
    return {one: f"{known[one]['NodeManagerHostname']} ({known[one]['NodeManagerAddress']})" for one in nodes}


def ask(nodes: Iterable[str], task: Callable[..., Any], *arguments: Any, timeout_s: float) -> dict[str, Any]:
    """Run a function on each node in a process of Ray; what it gives, by node.

    Args:
        nodes: ids of nodes.
        task: a function that was defined inside another: such a one travels to the nodes as it is, so that it can say
            what is wrong where the packages are missing.
        arguments: its arguments.
        timeout_s: longest wait for all (seconds).

    Raises:
        TimeoutError: if a node does not answer in time.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    remote = ray.remote(task)
    asked = {
        node: remote.options(
            num_cpus=0, max_retries=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
        ).remote(*arguments)
        for node in nodes
    }
    return dict(zip(asked, ray.get(list(asked.values()), timeout=timeout_s), strict=True))
