"""On which places a run goes on when some of them are lost."""

import pytest

from rl.config.compose import load
from rl.config.places import layout_left
from rl.errors import UserError


def run(placement="colocate", replicas=1, **trainer):
    stage = {"name": "s", "kind": "sft", "steps": 1, "demonstrations": {"age": 4}}
    return load({
        "run_dir": "r", "curriculum": {"name": "x", "stages": [stage]}, "trainer": trainer,
        "cluster": {"placement": placement, "on_loss": "shrink"}, "rollout": {"replicas": replicas},
    })  # fmt: skip


MEGATRON = {"engine": "megatron", "tensor_parallel": 2, "pipeline_parallel": 2}


@pytest.mark.parametrize(
    ("config", "gpu", "held", "ranks", "swaps"),
    [
        (run(world_size=3), False, "111", (0, 1, 2), ()),
        (run(world_size=3), False, "110", (0, 1), ()),
        (run(world_size=3), False, "001", (2,), ()),
        (run(world_size=8), True, "11110000", (0, 1, 2, 3), ()),
        (run(world_size=4, replicas=4), True, "0101", (1, 3), ()),
        (run(world_size=2, replicas=4), True, "0111", (1, 2), ()),  # engines without a rank may get one
        (run(world_size=4, replicas=1), True, "0011", (0, 2), ((0, 3),)),  # the only engine needs a place
        (run(**MEGATRON, world_size=8), False, "11111111", tuple(range(8)), ()),
        (run(**MEGATRON, world_size=8), False, "11111110", (0, 1, 2, 3), ()),  # only data-parallel copies are dropped
        (run(**MEGATRON, world_size=12), False, "101111110111", (0, 2, 3, 4, 5, 6, 7, 9), ()),
        (run("split", 2, world_size=3), False, "11111", (0, 1, 2), ()),
        (run("split", 2, world_size=3), False, "11101", (0, 1, 2), ()),
        (run("split", 2, world_size=3), False, "10110", (0, 2), ()),
        (run("split", 2, world_size=3), False, "11100", (0, 1), ((3, 2),)),  # an engine gets the place of a rank
        (run("split", 2, world_size=3), False, "01000", None, ()),
        (run("split", 2, world_size=3), False, "00011", (0,), ((0, 4),)),  # a rank gets the place of an engine
        (run("split", 2, world_size=3), False, "00010", None, ()),
        (run("split", 4, **MEGATRON, world_size=4), True, "11101111", (0, 1, 2, 3), ((3, 7),)),
        (run("split", 4, **MEGATRON, world_size=8), True, "110011001111", (0, 1, 4, 5), ()),
        (run("split", 2, **MEGATRON, world_size=4), True, "111011", (0, 1, 2, 3), ((3, 5),)),
        (run("split", 2, **MEGATRON, world_size=4), True, "110011", None, ()),
        (run("split", 1, **MEGATRON, world_size=4), True, "11110", None, ()),  # three ranks are no layout
        (run(**MEGATRON, world_size=8), True, "00000111", None, ()),
        (run(world_size=2), False, "00", None, ()),
    ],
)
def test_as_many_ranks_go_on_as_the_places_that_are_left_allow(config, gpu, held, ranks, swaps):
    left = ["node" * (place == "1") for place in held]
    if ranks is None:
        with pytest.raises(UserError, match=rf"{held.count('1')} of the run's {len(held)} places are left.*Add nodes"):
            layout_left(config, left, gpu)
        return
    found = layout_left(config, left, gpu)
    assert (found.ranks, found.swaps) == (ranks, swaps)
    for one, other in found.swaps:
        left[one], left[other] = left[other], left[one]
    assert all(left[place] for place in found.ranks)


def test_what_megatron_keeps_is_named():
    with pytest.raises(UserError, match="must keep tensor_parallel=2, pipeline_parallel=2"):
        layout_left(run(**MEGATRON, world_size=4), ["node"] * 3 + [""], True)


def test_without_sampling_every_place_is_for_ranks():
    assert layout_left(run("split", 2, world_size=3), ["", "node", "node"], False, sampling=False).ranks == (1, 2)


@pytest.mark.parametrize(
    ("config", "gpu", "nodes", "ranks"),
    [
        (run(**MEGATRON, world_size=8), False, "AABAB  B", (0, 1, 2, 4)),  # three of each: a pair of either
        (run(**MEGATRON, world_size=8), False, "CABBAB  ", (2, 3, 1, 4)),  # of B a pair, then of A
        (run(**MEGATRON, world_size=8, context_parallel=2), False, "AABBABAB", (0, 1, 4, 6, 2, 3, 5, 7)),
        (run(**MEGATRON, world_size=4, replicas=1), True, "ABAB", (0, 2, 1, 3)),
        (run(**MEGATRON, world_size=8, replicas=1), True, "ABBBB   ", (1, 2, 0, 3)),  # the engine is at place 0
        (run(world_size=4), False, "ABAB", (0, 1, 2, 3)),  # no ranks that work closely together
    ],
)
def test_ranks_that_share_layers_go_on_on_one_node(config, gpu, nodes, ranks):
    found = layout_left(config, [node.strip() for node in nodes], gpu)
    assert (found.ranks, found.swaps) == (ranks, ())


def test_another_word_is_refused():
    with pytest.raises(UserError, match=r"cluster.on_loss"):
        load({"run_dir": "r", "curriculum": {"name": "x", "stages": []}, "cluster": {"on_loss": "grow"}})
