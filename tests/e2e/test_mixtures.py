"""A whole run of a mixture of experts, whose experts are dealt over two trainer ranks."""

import pytest
from safetensors.torch import load_file

from rl.job import run
from tests.e2e.test_variants import config, lines, stages
from tests.rl.weights.mixtures import make_mixture


@pytest.mark.slow
def test_experts_on_two_ranks(ray_cluster, models, tmp_path):
    """After every sync the log-probs of vLLM are compared with the trainer's (``rollout.verify_sync``)."""
    make_mixture("qwen3_moe", models["untied"], tmp_path / "model")
    found = stages({"demonstrations": {"age": 40}}, {"tasks": {"age": 1.0}, "steps": 3})
    trainer = {"engine": "megatron", "world_size": 2, "expert_parallel": 2}
    run(config(tmp_path / "run", models, found, model={"path": str(tmp_path / "model")}, trainer=trainer))
    rl = lines(tmp_path / "run", "rl")
    assert all(line["log_prob_difference"] < 1e-4 for line in rl if "kl" in line)
    before, after = (
        load_file(folder / "model.safetensors") for folder in (tmp_path / "model", tmp_path / "run" / "exports" / "rl")
    )
    assert before.keys() == after.keys()
    experts = [name for name in before if ".experts." in name]
    assert len(experts) == 24 and all((before[name] != after[name]).any() for name in experts)
