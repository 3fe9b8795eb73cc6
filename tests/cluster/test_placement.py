"""Bundles follow nodes, and what can't be reserved is said by node shape."""

import random

import pytest

from cluster.errors import ClusterError
from cluster.placement import apart, by_node, fit, require_here, shortage

SEEN = ["n3", *["n0"] * 8, *["n3"] * 7, "n1", "n2", "n2", "n1", "n1", *["n2", "n1"] * 5, "n2"]
"""Nodes of 32 bundles of one GPU on 4 nodes of 8, much as Ray's PACK deals them."""


def placed(nodes, ranks=None, widths=()):
    return [nodes[number] for number in by_node(nodes, len(nodes) if ranks is None else ranks, widths)]


def test_ranks_of_a_node_are_neighbours():
    assert placed(SEEN) == placed(SEEN, widths=[8]) == ["n3"] * 8 + ["n0"] * 8 + ["n1"] * 8 + ["n2"] * 8
    assert by_node(SEEN)[:4] == [0, 9, 10, 11]


def test_sixteen_nodes_of_eight_each_hold_whole_groups():
    nodes = [f"n{number}" for number in range(16) for _ in range(8)]
    random.Random(0).shuffle(nodes)
    order = by_node(nodes, 128, [8])
    assert sorted(order) == list(range(128))
    assert apart([nodes[number] for number in order], 8) == []


def test_full_nodes_come_first():
    assert placed(["b", "a", "a", "b", "a", "a"], widths=[2]) == ["a"] * 4 + ["b"] * 2


def test_one_node_keeps_its_order():
    assert by_node(["a"] * 5) == [0, 1, 2, 3, 4] and by_node([]) == []


def test_groups_have_whole_nodes_and_others_what_is_left():
    """Twelve ranks in groups of four, and four engines, on nodes that have six, six and four of the places."""
    nodes = ["a"] * 6 + ["b"] * 6 + ["c"] * 4
    assert apart(placed(nodes)[:12], 4) == [4], "in the order of nodes alone one group is on two of them"
    assert placed(nodes, 12, [4]) == ["a"] * 4 + ["b"] * 4 + ["c"] * 4 + ["a"] * 2 + ["b"] * 2


def test_a_group_that_no_node_holds_is_made_of_whole_smaller_ones():
    """Rows shared by two ranks of which each is cut in four: no node has eight places."""
    found = placed(["a"] * 7 + ["b"] * 5 + ["c"] * 4, 16, [8, 4])
    assert found == ["a"] * 4 + ["b"] * 4 + ["c"] * 4 + ["a"] * 3 + ["b"]
    assert apart(found, 4) == [12]


def test_groups_over_several_nodes_are_found():
    assert apart(["a"] * 9 + ["b"] * 7, 8) == [8] and apart(["a", "b"] * 2, 2) == [0, 2] and apart(["a", "b"], 1) == []


def test_what_is_missing_is_said_by_shape():
    full, busy = ({"CPU": 64, "GPU": 8}, {"CPU": 64, "GPU": 8}), ({"CPU": 60.0}, {"CPU": 64, "GPU": 8})
    assert shortage([{"CPU": 1, "GPU": 1}] * 128, [full] * 15 + [busy]) == [
        "asked    128 × 1 CPU, 1 GPU",
        "there    15 node(s) with 64 CPU, 8 GPU free of 64 CPU, 8 GPU",
        "there    1 node(s) with 60 CPU, 0 GPU free of 64 CPU, 8 GPU",
        "missing  8 GPU",
    ]


def test_a_bundle_that_no_node_can_ever_hold_is_named():
    assert shortage([{"CPU": 1, "GPU": 8}] * 2, [({"CPU": 8, "GPU": 4}, {"CPU": 8, "GPU": 4})] * 4)[-1] == (
        "never    no node is large enough for 1 CPU, 8 GPU"
    )


def test_what_this_machine_can_never_give_is_refused_before_ray_starts():
    one = {"CPU": 1.0}
    require_here([one] * 4, num_cpus=4)
    require_here([], num_cpus=1)
    with pytest.raises(
        ClusterError, match=r"(?s)asked    4 × 1 CPU, 0 GPU\n.*missing  2 CPU\n.*cluster.num_cpus=4, so"
    ):
        require_here([one] * 4, num_cpus=2)
    with pytest.raises(ClusterError, match=r"(?s)missing  1000 GPU\n.*replicas, or join"):
        require_here([one | {"GPU": 1000.0}], num_cpus=2)


def test_a_run_goes_to_the_fullest_node_that_has_room_else_over_several():
    gpus = [{"CPU": 8.0, "GPU": 8.0}, {"CPU": 8.0, "GPU": 2.0}, {"CPU": 8.0}]
    one = {"CPU": 1.0, "GPU": 1.0}
    assert fit([one] * 2, gpus) == [1, 1] and fit([one] * 3, gpus) == [0, 0, 0]
    assert fit([one] * 10, gpus) == [0] * 8 + [1] * 2 and fit([one] * 11, gpus) is None
    assert fit([{"CPU": 8.0}], gpus) == [2], "what needs no GPU takes none"
    assert fit([{"CPU": 9.0}], gpus) is None and fit([], []) == []
