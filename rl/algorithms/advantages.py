"""From one reward a completion to one advantage a token."""

import numpy as np
import torch

from rl.algorithms.verl_bridge import outcome_advantages
from rl.config.stages import AlgorithmConfig
from rl.engines import layout
from rl.samples import TokenBatch


def with_advantages(batch: TokenBatch, algorithm: AlgorithmConfig) -> TokenBatch:
    """The batch with per-token ``advantages``, by the estimator that the algorithm names.

    Made from the rewards of the whole batch, before it is cut into shares: estimators that whiten over the batch then
    give every rank the same numbers.
    """
    if batch.rewards is None or batch.groups is None:
        raise ValueError("advantages need a reward and a group for every sequence; this batch has none")
    rows = list(range(len(batch)))
    mask = layout.gather(batch, rows, torch.device("cpu"))["loss_mask"]
    advantages = outcome_advantages(algorithm, batch.rewards, mask, batch.groups)
    flat = np.zeros(len(batch.input_ids), dtype=np.float32)
    layout.scatter(batch, rows, advantages.numpy(), flat)
    return batch.with_field("advantages", flat)
