"""From one reward per completion to one advantage per token."""

import numpy as np
import torch
from torch import Tensor

from rl.algorithms.verl_bridge import kl_divergence, verl_advantages
from rl.config.algorithm import AlgorithmConfig
from rl.samples import TokenBatch

EQUAL = 1e-8
"""Returns that differ by less count as equal."""


def with_advantages(batch: TokenBatch, algorithm: AlgorithmConfig) -> TokenBatch:
    """The batch with per-token ``advantages`` from the estimator that the algorithm names.

    They need the rewards of whole groups, and those of the whole batch where an estimator whitens over it. So they are
    computed before the batch is sharded, and every rank gets the same numbers. Only targets count: tokens that are not
    trained change no advantage and get 0.

    Raises:
        ValueError: if the batch has no rewards or no groups.
    """
    if batch.rewards is None or batch.groups is None:
        raise ValueError("advantages need a reward and a group for every sequence; this batch has none")
    mask, fields = _targets(batch)
    rewards = _on_last_token(batch.rewards, mask)
    if algorithm.kl_coef > 0 and algorithm.kl_in == "reward":
        policy = fields.get("old_log_probs", fields["rollout_log_probs"])
        kl = kl_divergence(policy, fields["ref_log_probs"], algorithm.kl_estimator)
        rewards = rewards - algorithm.kl_coef * kl * mask
    equal = _of_equal_groups(rewards.sum(dim=-1), batch.groups)[:, None]
    if algorithm.advantage == "reinforce_plus_plus_baseline":
        rewards = rewards.masked_fill(equal, 0.0)  # as after subtracting their mean, without its rounding error
    if algorithm.advantage == "length_weighted":
        advantages = length_weighted(rewards, mask, batch.groups)
    elif algorithm.advantage.startswith("reinforce_plus_plus") and batch.num_targets < 2:
        advantages = torch.zeros_like(mask)  # whitening needs two tokens
    else:
        advantages = verl_advantages(algorithm, rewards, mask, batch.groups)
    if not algorithm.advantage.startswith("reinforce_plus_plus"):
        # The mean of equal rewards can have a rounding error, which a division by their deviation would enlarge.
        advantages = advantages.masked_fill(equal, 0.0)
    flat = np.zeros(len(batch.input_ids), dtype=np.float32)
    flat[batch.loss_mask] = advantages[mask.bool()].numpy()
    return batch.with_field("advantages", flat)


def length_weighted(token_rewards: Tensor, mask: Tensor, groups: np.ndarray) -> Tensor:
    """Rewards minus the length-weighted mean of their group, ``b = sum(L_i R_i) / sum(L_i)`` (LegalOne's token-level
    baseline). The advantages of all tokens of a group then add up to 0 for any lengths."""
    rewards, lengths = token_rewards.sum(dim=-1), mask.sum(dim=-1)
    _, group = np.unique(groups, return_inverse=True)
    index = torch.from_numpy(group)
    weighted = torch.zeros(int(index.max()) + 1).index_add(0, index, lengths * rewards)
    baseline = weighted / torch.zeros_like(weighted).index_add(0, index, lengths)
    return (rewards - baseline[index])[:, None] * mask


def _targets(batch: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
    """Mask and fields as float [N, L]: row ``i`` has only the targets of sequence ``i``, one after the other."""
    row_of_target = np.repeat(np.arange(len(batch)), batch.lengths)[batch.loss_mask]
    counts = np.bincount(row_of_target, minlength=len(batch))
    inside = torch.from_numpy(np.arange(max(1, int(counts.max())))[None, :] < counts[:, None])

    def lay(values: np.ndarray) -> Tensor:
        return torch.zeros(inside.shape).masked_scatter(inside, torch.from_numpy(values[batch.loss_mask]))

    return inside.float(), {name: lay(values) for name, values in batch.fields.items()}


def _of_equal_groups(returns: Tensor, groups: np.ndarray) -> Tensor:
    """bool [N]: whether all completions of the same group have equal returns."""
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
