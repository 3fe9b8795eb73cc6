"""Sums of many numbers."""

import math

import pytest
import torch

from rl.engines.sums import norm


def test_a_norm_is_that_of_all_parts_however_a_tensor_is_cut():
    tensor = 1e-3 * torch.rand(3_000_000, generator=torch.Generator().manual_seed(0)) ** 4
    exact = math.sqrt(math.fsum((tensor.double() ** 2).tolist()))
    for parts in (1, 2, 8):
        assert math.hypot(*(float(norm(part)) for part in tensor.chunk(parts))) == pytest.approx(exact, rel=1e-12)
