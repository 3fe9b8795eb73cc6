"""The policy-gradient update as a typed model, and the published algorithms by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field, model_validator

from rl.config.base import Strict

if TYPE_CHECKING:
    from rl.samples import Group


class MismatchConfig(Strict):
    """Correction for the difference between the policy that sampled and the policy that is trained."""

    level: Literal["token", "sequence", "geometric"] = "token"
    """Ratio of a token, of its sequence (product), or the geometric mean of the sequence."""
    mode: Literal["truncate", "mask"] = "truncate"
    """``truncate`` bounds the ratio by ``threshold``; ``mask`` drops what lies outside [1/threshold, threshold]."""
    threshold: float = Field(2.0, gt=1)
    """Largest ratio."""


class Preset(NamedTuple):
    """A published algorithm."""

    keys: dict[str, Any]
    """What it sets of :class:`AlgorithmConfig`."""
    reason: str
    source: str


PRESETS = {
    "grpo": Preset(
        {"aggregation": "seq-mean-token-mean", "clip_high": 0.2, "kl_coef": 0.04},
        "The group's mean reward is the baseline in place of a value model; a KL term holds the policy near its start.",
        "Shao et al. 2024, arXiv 2402.03300, eq. 3",
    ),
    "dr_grpo": Preset(
        {"aggregation": "seq-mean-token-sum-norm", "clip_high": 0.2, "normalise_std": False},
        "No division by the group's deviation or a completion's own length, which favour easy prompts and long errors.",
        "Liu et al. 2025, arXiv 2503.20783",
    ),
    "dapo": Preset(
        {"refills": 3},
        "Every token weighs the same, rare tokens may grow more, and groups of equal reward are replaced.",
        "Yu et al. 2025, arXiv 2503.14476, eq. 8 and 10 to 13",
    ),
    "legalone": Preset(
        {"advantage": "length_weighted", "refills": 3},
        "A length-weighted baseline: the advantages of all tokens of a group add up to 0, whatever the lengths.",
        "LegalOne (b2 = sum L R / sum L); the same estimator as OPO, Hao et al. 2025, arXiv 2505.23585",
    ),
    "rloo": Preset(
        {"advantage": "rloo", "loss": "gpg", "aggregation": "seq-mean-token-sum"},
        "Plain REINFORCE over whole completions; the others of the group are an unbiased baseline.",
        "Ahmadian et al. 2024, arXiv 2402.14740",
    ),
    "reinforce_pp": Preset(
        {
            "advantage": "reinforce_plus_plus",
            "clip_high": 0.2,
            "kl_coef": 0.01,
            "kl_in": "reward",
            "kl_estimator": "k1",
        },
        "Advantages are whitened over the whole batch instead of a group, with the KL penalty in the reward.",
        "Hu et al. 2025, arXiv 2501.03262",
    ),
    "reinforce_pp_baseline": Preset(
        {"advantage": "reinforce_plus_plus_baseline", "clip_high": 0.2, "kl_coef": 0.001, "kl_estimator": "k2"},
        "The group's mean is subtracted first, then advantages are whitened over the whole batch.",
        "Hu et al. 2025, arXiv 2501.03262",
    ),
    "gspo": Preset(
        {"loss": "gspo", "aggregation": "seq-mean-token-mean", "clip_low": 3e-4, "clip_high": 4e-4},
        "The ratio is that of the whole completion, the unit that is rewarded; steadier for mixture-of-experts models.",
        "Zheng et al. 2025, arXiv 2507.18071",
    ),
    "cispo": Preset(
        {"loss": "cispo", "clip_low": 1.0, "clip_high": 4.0},
        "The ratio is clipped as a weight, so no token loses its gradient.",
        "MiniMax 2025, arXiv 2506.13585",
    ),
    "sapo": Preset(
        {"loss": "sapo", "aggregation": "seq-mean-token-mean"},
        "A smooth gate instead of a hard clip, narrower for negative advantages.",
        "Gao et al. 2025, arXiv 2511.20347",
    ),
    "gpg": Preset(
        {"advantage": "gpg", "loss": "gpg"},
        "The bare policy gradient, scaled up for the completions that carry none.",
        "Chu et al. 2025, arXiv 2504.02546",
    ),
}
"""The published algorithms by name."""


class AlgorithmConfig(Strict):
    """The policy-gradient update. Estimators and losses are verl's, except ``length_weighted``."""

    preset: (
        Literal[
            "grpo", "dr_grpo", "dapo", "legalone", "rloo", "reinforce_pp", "reinforce_pp_baseline", "gspo", "cispo",
            "sapo", "gpg",
        ]
        | None
    ) = None  # fmt: skip
    """A published algorithm; it sets the keys below, except those that are set beside it."""
    advantage: Literal[
        "grpo", "rloo", "opo", "length_weighted", "gpg", "reinforce_plus_plus", "reinforce_plus_plus_baseline"
    ] = "grpo"
    """Advantage estimator."""
    normalise_std: bool = True
    """Divide group advantages by the group's standard deviation (``grpo``); off is Dr.GRPO."""
    loss: Literal["vanilla", "gspo", "cispo", "sapo", "gpg"] = "vanilla"
    """Policy loss: ``vanilla`` is PPO's clipped ratio with dual clip, ``gpg`` the plain policy gradient."""
    aggregation: Literal["token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm"] = (
        "token-mean"
    )
    """How per-token losses become one number over the whole batch; ``-norm`` divides by ``sampling.max_tokens``."""
    clip_low: float = Field(0.2, ge=0)
    """Lower clip range of the probability ratio."""
    clip_high: float = Field(0.28, ge=0)
    """Upper clip range (DAPO's clip-higher)."""
    clip_dual: float = Field(3.0, gt=1)
    """Dual clip: bound of the ratio for negative advantages."""
    tau_positive: float = Field(1.0, gt=0)
    """SAPO's gate temperature for positive advantages."""
    tau_negative: float = Field(1.05, gt=0)
    """SAPO's gate temperature for negative advantages."""
    old_log_probs: Literal["rollout", "recompute"] = "rollout"
    """The denominator of the ratio: the sampler's own log-probs, or the trainer's before the step."""
    mismatch: MismatchConfig | None = None
    """Correction for the sampler's mismatch; needs ``old_log_probs=recompute``."""
    kl_coef: float = Field(0.0, ge=0)
    """Weight of the KL term against the reference; above 0 a reference is started."""
    kl_in: Literal["loss", "reward"] = "loss"
    """Whether the KL term is added to the loss or subtracted from the reward, token by token."""
    kl_estimator: Literal["k1", "k2", "k3"] = "k3"
    """KL estimator (Schulman 2020)."""
    entropy_coef: float = Field(0.0, ge=0)
    """Weight of the entropy bonus."""
    refills: int = Field(0, ge=0)
    """Dynamic sampling (DAPO, eq. 11): groups of equal reward are left out, and other prompts are sampled in their
    place, in at most this many rounds. With 0 such groups are trained on where the estimator, a KL term or an entropy
    bonus gives them a gradient."""
    overlong_buffer: int = Field(0, ge=0)
    """Overlong shaping: the reward falls by up to 1 over this many tokens before ``sampling.max_tokens``. The metric
    ``reward/overlong`` says by how much."""

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("preset") in PRESETS:
            return PRESETS[given["preset"]].keys | given
        return given

    @model_validator(mode="after")
    def _possible(self) -> AlgorithmConfig:
        if self.mismatch is not None and self.old_log_probs == "rollout":
            raise ValueError(
                "mismatch needs old_log_probs=recompute: with the sampler's own log-probs the ratio already corrects"
            )
        if self.loss == "sapo" and self.aggregation != "seq-mean-token-mean":
            raise ValueError("loss=sapo is only defined with aggregation=seq-mean-token-mean")
        if self.kl_in == "reward" and self.kl_estimator != "k1":
            raise ValueError("kl_in=reward takes kl_estimator=k1; the others are estimates of a loss")
        return self

    @property
    def whole_batch(self) -> bool:
        """Whether advantages depend on more than their own group, so that training must wait for every group."""
        return self.advantage in ("gpg", "reinforce_plus_plus", "reinforce_plus_plus_baseline")

    @property
    def group_baseline(self) -> bool:
        """Whether a completion is compared with others of its group, which then needs at least two."""
        return self.advantage != "reinforce_plus_plus"

    def carries_gradient(self, group: Group) -> bool:
        """Whether a scored group has a part in the update.

        A group of equal reward has none where the baseline is its own, which makes all its advantages 0. It has one
        where advantages are scaled or whitened over the batch, because the batch must count it, and under a KL term or
        an entropy bonus, which do not depend on rewards.
        """
        if not group.admissible:
            return False
        return not group.zero_variance or self.whole_batch or self.kl_coef > 0 or self.entropy_coef > 0

    def admits(self, group: Group) -> bool:
        """Whether a scored group is trained on: one that carries a gradient, and with dynamic sampling one whose
        rewards differ: DAPO's batch holds no others, whatever terms the loss has."""
        return self.carries_gradient(group) and not (self.refills and group.zero_variance)
