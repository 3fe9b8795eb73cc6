"""verl's estimators and losses, reached by name.

This module is the only place where algorithms meet verl. It translates our configuration and counts into the objects
that verl's functions read, and nothing else. verl is imported on first use, because that costs seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from rl.config.stages import AlgorithmConfig

if TYPE_CHECKING:
    from rl.algorithms.losses import Counts


def outcome_advantages(algorithm: AlgorithmConfig, rewards: np.ndarray, mask: Tensor, groups: np.ndarray) -> Tensor:
    """Advantages [N, L] of N completions from one reward each, by verl's estimator of the given name.

    Args:
        rewards: float32 [N].
        mask: float [N, L], 1 on completion tokens.
        groups: int64 [N], the group of each completion.

    The reward is put on the last token, where outcome estimators look for it (Shao et al. 2024, eq. 5, for ``grpo``).
    """
    from verl.trainer.ppo.core_algos import get_adv_estimator_fn

    token_rewards = torch.zeros_like(mask)
    last = (mask * torch.arange(1, mask.shape[1] + 1)).argmax(dim=1)
    token_rewards[torch.arange(len(rewards)), last] = torch.from_numpy(np.asarray(rewards, dtype=np.float32))
    advantages, _ = get_adv_estimator_fn(algorithm.advantage)(
        token_level_rewards=token_rewards,
        response_mask=mask,
        index=np.asarray(groups),
        norm_adv_by_std_in_grpo=algorithm.normalise_std,
        config=_algo_config(algorithm),
    )
    return advantages * mask


def verl_policy_loss(
    algorithm: AlgorithmConfig, old: Tensor, new: Tensor, advantages: Tensor, mask: Tensor, counts: Counts
) -> tuple[Tensor, dict[str, Tensor]]:
    """Scalar loss of verl's policy loss of the given name over [B, L] tensors, and its clip fractions as batch sums."""
    from verl.trainer.ppo.core_algos import get_policy_loss_fn

    loss, metrics = get_policy_loss_fn(algorithm.loss)(
        old_log_prob=old,
        log_prob=new,
        advantages=advantages,
        response_mask=mask,
        loss_agg_mode=algorithm.aggregation,
        config=_actor_config(algorithm, counts),
    )
    share = mask.sum() / counts.tokens  # verl's fractions are means over this micro-batch
    names = {"actor/pg_clipfrac": "clip_fraction", "actor/pg_clipfrac_lower": "dual_clip_fraction"}
    return loss, {ours: metrics[theirs] * share for theirs, ours in names.items() if theirs in metrics}


def aggregate(values: Tensor, mask: Tensor, mode: str, counts: Counts) -> Tensor:
    """One number from per-token values [B, L] by verl's aggregation of the given name, over the whole batch."""
    from verl.trainer.ppo.core_algos import agg_loss

    return agg_loss(loss_mat=values, loss_mask=mask, loss_agg_mode=mode, **_batch_info(counts))


def kl_divergence(new: Tensor, reference: Tensor, estimator: str) -> Tensor:
    """Per-token KL estimate [B, L]: k1 ``log r``, k2 ``(log r)^2 / 2``, k3 ``1/r - 1 + log r`` (Schulman 2020)."""
    from verl.trainer.ppo.core_algos import kl_penalty

    return kl_penalty(logprob=new, ref_logprob=reference, kl_penalty=estimator)


def known_names() -> tuple[list[str], list[str]]:
    """Names of verl's advantage estimators and of its policy losses."""
    from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY, POLICY_LOSS_REGISTRY

    return sorted(str(name) for name in ADV_ESTIMATOR_REGISTRY), sorted(POLICY_LOSS_REGISTRY)


def _batch_info(counts: Counts) -> dict[str, Any]:
    return {
        "dp_size": counts.world_size,
        "batch_num_tokens": counts.tokens,
        "global_batch_size": counts.sequences,
    }


def _algo_config(algorithm: AlgorithmConfig) -> Any:
    from verl.trainer.config import AlgoConfig

    return AlgoConfig(
        adv_estimator=algorithm.advantage, norm_adv_by_std_in_grpo=algorithm.normalise_std, gamma=1.0, lam=1.0
    )


def _actor_config(algorithm: AlgorithmConfig, counts: Counts) -> Any:
    from verl.workers.config import ActorConfig

    config = ActorConfig(
        strategy="fsdp2",
        rollout_n=1,
        use_dynamic_bsz=True,
        clip_ratio=algorithm.clip_low,
        clip_ratio_low=algorithm.clip_low,
        clip_ratio_high=algorithm.clip_high,
        clip_ratio_c=algorithm.clip_dual,
        loss_agg_mode=algorithm.aggregation,
    )
    config.global_batch_info.update(_batch_info(counts))
    return config
