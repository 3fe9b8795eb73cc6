"""From one reward a completion to one advantage a token."""

import numpy as np
import torch
from torch import Tensor

from rl.algorithms.verl_bridge import kl_divergence, verl_advantages
from rl.config.algorithm import AlgorithmConfig
from rl.engines import layout
from rl.samples import TokenBatch

EQUAL = 1e-8
"""Returns that differ by less are one."""


def with_advantages(batch: TokenBatch, algorithm: AlgorithmConfig) -> TokenBatch:
    """The batch with per-token ``advantages``, by the estimator that the algorithm names.

    Made from the rewards of whole groups, and for estimators that whiten over the batch from all of it, before the
    batch is cut into shares: every rank then has the same numbers.

    Raises:
        ValueError: if the batch has no rewards or no groups.
    """
    if batch.rewards is None or batch.groups is None:
        raise ValueError("advantages need a reward and a group for every sequence; this batch has none")
    mask, fields = layout.dense(batch, range(len(batch)))
    rewards = _on_last_token(batch.rewards, mask)
    if algorithm.kl_coef > 0 and algorithm.kl_in == "reward":
        policy = fields.get("old_log_probs", fields["rollout_log_probs"])
        kl = kl_divergence(policy, fields["ref_log_probs"], algorithm.kl_estimator)
        rewards = rewards - algorithm.kl_coef * kl * mask
    equal = _of_equal_groups(rewards.sum(dim=-1), batch.groups)[:, None]
    if algorithm.advantage == "reinforce_plus_plus_baseline":
        rewards = rewards.masked_fill(equal, 0.0)  # what is left of them less their mean, without its rounding
    if algorithm.advantage == "length_weighted":
        advantages = length_weighted(rewards, mask, batch.groups)
    elif algorithm.advantage.startswith("reinforce_plus_plus") and batch.num_targets < 2:
        advantages = torch.zeros_like(mask)  # nothing to whiten it against
    else:
        advantages = verl_advantages(algorithm, rewards, mask, batch.groups)
    if not algorithm.advantage.startswith("reinforce_plus_plus"):
        # A mean of equal rewards may be off by a rounding, which a division by their deviation would blow up.
        advantages = advantages.masked_fill(equal, 0.0)
    flat = np.zeros(len(batch.input_ids), dtype=np.float32)
    flat[batch.loss_mask] = advantages[mask.bool()].numpy()
    return batch.with_field("advantages", flat)


def length_weighted(token_rewards: Tensor, mask: Tensor, groups: np.ndarray) -> Tensor:
    """Rewards less the length-weighted mean of their group, ``b = sum(L_i R_i) / sum(L_i)`` (LegalOne's token-level
    baseline): the advantages of all tokens of a group then add up to 0, whatever the lengths."""
    rewards, lengths = token_rewards.sum(dim=-1), mask.sum(dim=-1)
    _, group = np.unique(groups, return_inverse=True)
    index = torch.from_numpy(group)
    weighted = torch.zeros(int(index.max()) + 1).index_add(0, index, lengths * rewards)
    baseline = weighted / torch.zeros_like(weighted).index_add(0, index, lengths)
    return (rewards - baseline[index])[:, None] * mask


def _of_equal_groups(returns: Tensor, groups: np.ndarray) -> Tensor:
    """bool [N]: whether all completions of a completion's group have its return."""
    _, group = np.unique(groups, return_inverse=True)
    index, empty = torch.from_numpy(group), torch.zeros(int(group.max()) + 1)
    high = empty.scatter_reduce(0, index, returns, "amax", include_self=False)
    low = empty.scatter_reduce(0, index, returns, "amin", include_self=False)
    return (high - low < EQUAL)[index]


def _on_last_token(rewards: np.ndarray, mask: Tensor) -> Tensor:
    last = (mask * torch.arange(1, mask.shape[1] + 1)).argmax(dim=1)
    token_rewards = torch.zeros_like(mask)
    token_rewards[torch.arange(len(rewards)), last] = torch.from_numpy(np.asarray(rewards, dtype=np.float32))
    return token_rewards
