"""What a run reserves of a cluster."""

import pytest

from rl.config.compose import load
from rl.device import CPU, CUDA
from rl.driver.placement import bundles_of


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
