"""What a run reserves of a cluster, and who is where on what is left of it."""

from pathlib import Path

import pytest

from cluster.errors import ClusterError
from cluster.placement import by_node
from rl.config.compose import load
from rl.device import CPU, CUDA
from rl.driver import placement
from rl.driver.placement import Placement, bundles_of


@pytest.mark.parametrize(
    ("device", "placement", "sampling", "number"),
    [
        (CPU, "colocate", True, 4),  # engines take turns with the trainer on its cores
        (CPU, "split", True, 10),
        (CPU, "split", False, 4),
        (CUDA, "colocate", True, 6),  # on a GPU each, of which two have no trainer
        (CUDA, "colocate", False, 4),
        (CUDA, "split", True, 10),
    ],
)
def test_a_run_reserves_a_place_for_each_rank_and_engine(device, placement, sampling, number):
    stage = {"name": "s", "kind": "sft", "steps": 1, "demonstrations": {"age": 4}}
    config = load({
        "run_dir": "r", "curriculum": {"name": "x", "stages": [stage]}, "cluster": {"placement": placement},
        "trainer": {"engine": "megatron", "tensor_parallel": 2, "pipeline_parallel": 2, "world_size": 4},
        "rollout": {"replicas": 6},
    })  # fmt: skip
    assert bundles_of(config, device, sampling) == [{"CPU": 1.0} | ({"GPU": 1.0} if device is CUDA else {})] * number


@pytest.mark.parametrize(("device", "sampling", "number"), [(CUDA, True, 3), (CUDA, False, 2), (CPU, True, 2)])
def test_a_judge_that_the_run_serves_has_a_gpu_in_its_group(device, sampling, number):
    stage = {"name": "s", "kind": "grpo", "steps": 1, "tasks": {"age": 1}, "reward": {"legal_validity": 1.0}}
    config = load({
        "run_dir": "r", "curriculum": {"name": "x", "stages": [stage]}, "trainer": {"world_size": 2},
        "judge": {"kind": "llm", "model": "judge"},
    })  # fmt: skip
    assert len(bundles_of(config, device, sampling)) == number


class Cluster:
    """In place of Ray's placement group: one node for each bundle, or those of ``dealt``; nodes go and come."""

    def __init__(self, monkeypatch):
        self.nodes, self.looked, self.dealt = [], [], None
        for name, instead in {
            "reserve": self.reserve,
            "in_order": lambda group, ranks, widths: by_node(self.nodes, ranks, widths),
            "of_bundles": lambda group: list(self.nodes),
            "require": self.require,
            "settle": lambda nodes: None,
            "own": lambda: "n0",
            "names": lambda nodes: {node: f"host of {node}" for node in nodes},
            "require_shared": lambda nodes, *others: self.looked.append(sorted(nodes)),
        }.items():
            monkeypatch.setattr(placement, name, instead)

    def reserve(self, bundles, timeout_s, name):
        self.nodes = list(self.dealt or [f"n{i}" for i in range(len(bundles))])
        return self

    def require(self, group, bundles, timeout_s):
        if not all(self.nodes):
            raise ClusterError("Ray could not reserve the resources")


@pytest.fixture
def cluster(monkeypatch):
    return Cluster(monkeypatch)


def places_of(device, on_loss="shrink", **sections):
    stage = {"name": "s", "kind": "grpo", "steps": 1, "tasks": {"age": 1}, "reward": {"legal_validity": 1.0}}
    sections["cluster"] = {"on_loss": on_loss, "placement": sections.pop("placement", "split")}
    config = load({"run_dir": "r", "curriculum": {"name": "x", "stages": [stage]}, **sections})
    return Placement(config, device, "model", Path("shared"), sampling=True, name="run")


def test_a_trainer_that_starts_again_takes_what_is_left_and_all_when_it_is_back(cluster):
    found = places_of(CPU, trainer={"world_size": 3}, rollout={"replicas": 2})
    assert found.ranks == (0, 1, 2) and cluster.looked == [["n0", "n1", "n2", "n3", "n4"]]
    cluster.nodes[1] = cluster.nodes[4] = ""
    found.renew()
    assert found.ranks == (0, 2) and found.shrunk and found.gone() == ["host of n1", "host of n4"]
    assert [found.has_engine_place(number) for number in range(2)] == [True, False]
    assert found.engine(1) is None and found.engine(0) is not None
    cluster.nodes[1], cluster.nodes[4] = "n8", "n9"
    assert found.engine(1) is not None and cluster.looked[-1] == ["n8", "n9"], "new nodes are looked at"
    found.renew()
    assert found.ranks == (0, 1, 2) and not found.shrunk
    assert found.of_weights(2) == ("n0", ["n3", "n9"])


def test_the_last_engine_gets_the_place_of_a_rank_and_keeps_it(cluster):
    found = places_of(CPU, trainer={"world_size": 2}, rollout={"replicas": 1})
    assert found.engine(0) is not None
    cluster.nodes[2] = ""
    found.renew()
    assert found.ranks == (0,) and found.bundles == [0, 2, 1] and found.has_engine_place(0)
    assert found.engine(0)["scheduling_strategy"].placement_group_bundle_index == 1
    cluster.nodes[2] = "n7"
    found.renew()
    assert found.ranks == (0, 1) and found.of_weights(1) == ("n0", ["n1"])
    assert found.options(1, 0.5, 0)["scheduling_strategy"].placement_group_bundle_index == 2


def test_a_run_that_waits_ends_at_the_limit(cluster):
    found = places_of(CPU, on_loss="wait", trainer={"world_size": 2})
    cluster.nodes[1] = ""
    with pytest.raises(ClusterError, match="could not reserve"):
        found.renew()


def test_on_cpus_a_colocated_engine_is_where_something_is_left(cluster):
    found = places_of(CPU, placement="colocate", trainer={"world_size": 2}, rollout={"replicas": 2})
    assert found.engine(0)["scheduling_strategy"].placement_group_bundle_index == 0
    cluster.nodes[0] = ""
    assert found.engine(1)["scheduling_strategy"].placement_group_bundle_index == 1
    assert found.beside(0, lost=True)["scheduling_strategy"].placement_group_bundle_index == 1


def test_on_a_shared_gpu_an_engine_needs_a_rank_beside_it(cluster):
    trainer = {"engine": "megatron", "tensor_parallel": 2, "world_size": 4}
    found = places_of(CUDA, placement="colocate", trainer=trainer, rollout={"replicas": 4})
    cluster.nodes[3] = ""
    found.renew()
    assert found.ranks == (0, 1) and [found.has_engine_place(number) for number in range(4)] == [
        True,
        True,
        False,
        False,
    ]


CUT = {"engine": "megatron", "tensor_parallel": 2, "world_size": 4}


def test_ranks_that_share_layers_are_on_one_node_and_engines_where_there_is_room(cluster, capsys):
    cluster.dealt = ["a", "b", "a", "b", "a", "b"]
    found = places_of(CPU, trainer=CUT, rollout={"replicas": 2})
    assert [cluster.nodes[bundle] for bundle in found.bundles] == ["a", "a", "b", "b", "a", "b"]
    assert capsys.readouterr().out == ""
    cluster.nodes = ["a", "c", "a", "d", "a", "c"]  # b is lost; of its places two come back on c, one on d
    found.renew()
    assert [cluster.nodes[found.bundles[place]] for place in found.ranks] == ["a", "a", "c", "d"]
    assert "warning: trainer ranks 2 to 3 share the matrices of every layer" in capsys.readouterr().out
    cluster.nodes = ["e", "c", "a", "c", "a", "c"]
    found.renew()
    assert found.ranks == (2, 3, 0, 1), "the two at c go first, so that they are a group"


def test_a_group_over_two_nodes_is_said(cluster, capsys):
    cluster.dealt = ["a", "a", "a", "b"]
    places_of(CPU, placement="colocate", trainer=CUT)
    said = capsys.readouterr().out
    assert "trainer ranks 2 to 3 share the matrices of every layer (trainer.tensor_parallel=2)" in said
    assert "free whole nodes for this run, or lower trainer.tensor_parallel" in said


def test_a_served_judge_is_at_its_own_gpu_until_that_is_lost(cluster):
    found = places_of(CUDA, judge={"kind": "llm", "model": "judge"}, trainer={"world_size": 1})
    assert found.judge(lost=False)["scheduling_strategy"].placement_group_bundle_index == 2
    cluster.nodes[2] = ""
    assert found.judge(lost=True) == {"num_cpus": 0.0, "num_gpus": 1.0}
