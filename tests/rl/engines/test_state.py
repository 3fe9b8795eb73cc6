"""Checkpoints: writing one where something is missing, and reading one that was written for something else."""

import json
import shutil

import pytest
import torch
from torch.distributed.checkpoint import CheckpointException, DefaultSavePlanner, save

from rl.config.stages import OptimConfig
from rl.engines.state import _Writer
from rl.errors import UserError
from rl.files import MEMORY
from tests.rl.ranks import on_ranks, ragged

ADAMW, MUON = OptimConfig(lr=1e-3), OptimConfig(lr=1e-3, optimizer="muon")


class PanicException(BaseException):
    """As a Rust library raises it; its own class can't be imported."""


class Planner(DefaultSavePlanner):
    """Hands a writer a tensor whose bytes it can't have."""

    def resolve_data(self, write_item):
        raise PanicException("PyObject pointer is null")


def test_memory_that_safetensors_did_not_get_is_told_as_memory(tmp_path):
    writer = _Writer(str(tmp_path), save_distributed=True)
    with pytest.raises(CheckpointException) as told:
        save({"weight": torch.zeros(4)}, storage_writer=writer, planner=Planner(), no_dist=True)
    assert MEMORY.caused(told.value) and "PyObject pointer is null" in str(told.value)


def update(actor, batch):
    return actor.update(batch, None, max_tokens_per_microbatch=160)


def saved(actor, batch, before, after):
    """Two checkpoints, before the first update and after it."""
    actor.begin_stage(ADAMW, 10)
    actor.save(before)
    metrics = update(actor, batch)
    actor.save(after)
    return metrics


def resumed(actor, batch, folder):
    actor.begin_stage(ADAMW, 10)
    actor.load(folder, weights_only=False)
    return update(actor, batch)


def refused(actor, folder, optim):
    actor.begin_stage(optim, 10)
    with pytest.raises(UserError, match="or another run_dir") as told:
        actor.load(folder, weights_only=False)
    return str(told.value)


@pytest.mark.parametrize("engine", ["fsdp", "megatron"])
def test_a_checkpoint_is_of_one_model_and_one_optimizer(models, tmp_path, engine):
    batch, model, fewer = ragged(), models["tied"], tmp_path / "fewer"
    before, after = str(tmp_path / "before"), str(tmp_path / "after")
    expected = on_ranks(saved, model, 1, batch, before, after, engine=engine)
    assert on_ranks(resumed, model, 1, batch, before, engine=engine) == expected
    shutil.copytree(model, fewer)
    config = json.loads((fewer / "config.json").read_text())
    (fewer / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1, "layer_types": None}))
    (told,) = on_ranks(refused, fewer, 1, after, ADAMW, engine=engine)
    assert "of another model (model.layers.1." in told and "is not in this model" in told
    (told,) = on_ranks(refused, model, 1, after, MUON, engine=engine)
    assert "of another optimizer (optimizer.momentum.model.layers.0." in told
