"""Writing a checkpoint where something is missing."""

import pytest
import torch
from torch.distributed.checkpoint import CheckpointException, DefaultSavePlanner, save

from rl.engines.state import _Writer
from rl.files import MEMORY


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
