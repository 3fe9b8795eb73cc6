"""verl's estimators and losses, reached by name.

Only this module of the algorithms imports verl. It translates our configuration and counts into the objects that verl's
functions read. verl is imported on first use, because the import takes seconds.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from torch import Tensor

from rl.config.algorithm import AlgorithmConfig


def verl_advantages(algorithm: AlgorithmConfig, token_rewards: Tensor, mask: Tensor, groups: np.ndarray) -> Tensor:
    """Advantages [N, L] of N completions, by verl's estimator of the given name.

    Args:
        algorithm: names the estimator.
        token_rewards: float [N, L], the reward of a completion on its last token (where outcome estimators read it),
            minus a KL penalty on every token if the algorithm has one.
        mask: float [N, L], 1 on completion tokens.
        groups: int64 [N], the group of each completion.
    """
    from verl.trainer.ppo.core_algos import get_adv_estimator_fn

    advantages, _ = get_adv_estimator_fn(algorithm.advantage)(
        token_level_rewards=token_rewards,
        response_mask=mask,
        index=np.asarray(groups),
        norm_adv_by_std_in_grpo=algorithm.normalise_std,
        config=_algo_config(algorithm),
    )
    return advantages * mask


def verl_policy_loss(
    algorithm: AlgorithmConfig,
    old: Tensor,
    new: Tensor,
    advantages: Tensor,
    mask: Tensor,
    weights: Tensor | None,
    *,
    max_completion_tokens: int,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Sum of verl's policy loss of the given name over [N, L] tensors, and the numbers of clipped tokens."""
    from verl.trainer.ppo.core_algos import get_policy_loss_fn

    loss, metrics = get_policy_loss_fn(algorithm.loss)(
        old_log_prob=old,
        log_prob=new,
        advantages=advantages,
        response_mask=mask,
        loss_agg_mode=algorithm.aggregation,
        config=_actor_config(algorithm, max_completion_tokens),
        rollout_is_weights=weights,
    )
    names = {"actor/pg_clipfrac": "clip_fraction", "actor/pg_clipfrac_lower": "dual_clip_fraction"}
    # verl's fractions are means over this micro-batch
    return loss, {ours: metrics[theirs] * mask.sum() for theirs, ours in names.items() if theirs in metrics}


def aggregate(values: Tensor, mask: Tensor, mode: str, *, max_completion_tokens: int) -> Tensor:
    """The sum over values [N, L] that verl's aggregation of the given name divides by tokens or sequences."""
    from verl.trainer.ppo.core_algos import agg_loss

    return agg_loss(loss_mat=values, loss_mask=mask, loss_agg_mode=mode, **_sums(max_completion_tokens))


def kl_divergence(new: Tensor, reference: Tensor, estimator: str) -> Tensor:
    """Per-token KL estimate [B, L]: k1 ``log r``, k2 ``(log r)^2 / 2``, k3 ``1/r - 1 + log r`` (Schulman 2020)."""
    from verl.trainer.ppo.core_algos import kl_penalty

    return kl_penalty(logprob=new, ref_logprob=reference, kl_penalty=estimator)


def _sums(max_completion_tokens: int) -> dict[str, Any]:
    """Divisors of 1, with which verl's aggregations return sums. The engine divides by the real ones at the end."""
    return {"dp_size": 1, "batch_num_tokens": 1, "global_batch_size": 1, "loss_scale_factor": max_completion_tokens}


def _algo_config(algorithm: AlgorithmConfig) -> Any:
    from verl.trainer.config import AlgoConfig

    return AlgoConfig(
        adv_estimator=algorithm.advantage, norm_adv_by_std_in_grpo=algorithm.normalise_std, gamma=1.0, lam=1.0
    )


@lru_cache(maxsize=8)
def _actor_config(algorithm: AlgorithmConfig, max_completion_tokens: int) -> Any:
    from verl.workers.config import ActorConfig

    config = ActorConfig(
        strategy="fsdp2",
        rollout_n=1,
        use_dynamic_bsz=True,
        clip_ratio=algorithm.clip_low,
        clip_ratio_low=algorithm.clip_low,
        clip_ratio_high=algorithm.clip_high,
        clip_ratio_c=algorithm.clip_dual,
        tau_pos=algorithm.tau_positive,
        tau_neg=algorithm.tau_negative,
        loss_agg_mode=algorithm.aggregation,
    )
    config.global_batch_info.update(_sums(max_completion_tokens))
    return config
