"""The data that driver, rollout, reward and trainer exchange: groups of completions, and ragged token batches.

Everything here is plain Python and numpy, so that it pickles cheaply and Ray moves the arrays without copying.

Alignment: a per-token array is *target-aligned*. Position ``t`` is about token ``t``, predicted from the tokens before
it: ``loss_mask[t]`` says whether token ``t`` is trained on, and ``log_probs[t]`` is its log-probability.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from curricula.prompts import Prompt


@dataclass(frozen=True)
class Completion:
    """One sampled answer, exactly as the sampler produced it (token in, token out)."""

    token_ids: np.ndarray
    """int64 [T], the stop token included when it was sampled."""
    log_probs: np.ndarray
    """float32 [T], under the policy and temperature that sampled the tokens."""
    text: str
    """Decoded completion without the stop token."""
    finish_reason: str
    """``stop`` or ``length``."""
    weight_version: int
    """Version of the weights that sampled its first token."""
    trained: np.ndarray | None = None
    """bool [T], the tokens that carry loss, without those that the policy did not write; None if all do."""


@dataclass(frozen=True)
class Group:
    """One prompt and its n completions. Groups are admitted, lost with a worker, and resumed as a whole."""

    uid: str
    prompt: Prompt
    prompt_ids: list[int]
    completions: list[Completion]
    rewards: list[float] = field(default_factory=list)
    parts: list[dict[str, float]] = field(default_factory=list)
    error: str | None = None
    index: int = 0
    """Number of the prompt in the stream of its stage."""
    reasons: list[str] = field(default_factory=list)
    """The reasons in each completion's verdict: ``accuracy: …; format: …``."""

    @property
    def admissible(self) -> bool:
        """Whether every verdict is there. The algorithm decides whether the group is trained on."""
        return self.error is None

    @property
    def zero_variance(self) -> bool:
        """Whether every completion got the same reward, so that the group shows no better and no worse answer."""
        return max(self.rewards) - min(self.rewards) < 1e-8


def solved(group: Group) -> list[float]:
    """How correct each completion of a group is, in [0, 1]: its accuracy, or its reward if accuracy has no weight."""
    scores = [part.get("accuracy", reward) for part, reward in zip(group.parts, group.rewards, strict=True)]
    return [min(1.0, max(0.0, score)) for score in scores]


@dataclass(frozen=True)
class TokenBatch:
    """N token sequences laid end to end (T tokens in all), with target-aligned per-token fields."""

    input_ids: np.ndarray
    """int64 [T]."""
    offsets: np.ndarray
    """int64 [N + 1]; sequence ``i`` is ``input_ids[offsets[i]:offsets[i + 1]]``."""
    position_ids: np.ndarray
    """int64 [T]; restarts at 0 at every document, by which attention keeps packed documents apart."""
    loss_mask: np.ndarray
    """bool [T]; the first token of a document is never a target."""
    fields: dict[str, np.ndarray] = field(default_factory=dict)
    """Further float32 [T] arrays: ``rollout_log_probs``, ``old_log_probs``, ``ref_log_probs``, ``advantages``."""
    rewards: np.ndarray | None = None
    """float32 [N], one reward per sequence, for group advantages."""
    groups: np.ndarray | None = None
    """int64 [N], the group of each sequence."""
    prompt_lengths: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """int64 [N], number of leading tokens that a sequence shares with its group, none of them a target; 0 if none."""
    temperature: float = 1.0
    """Sampling temperature; the trainer divides its logits by it."""

    def __post_init__(self) -> None:
        if len(self.prompt_lengths) != len(self):
            object.__setattr__(self, "prompt_lengths", np.zeros(len(self), dtype=np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """int64 [N], tokens of each sequence."""
        return np.diff(self.offsets)

    @property
    def num_targets(self) -> int:
        """Number of tokens that the loss covers."""
        return int(self.loss_mask.sum())

    @property
    def num_trained_sequences(self) -> int:
        """Number of sequences that have a target."""
        return len(np.unique(np.searchsorted(self.offsets, np.flatnonzero(self.loss_mask), side="right")))

    def with_field(self, name: str, values: np.ndarray) -> "TokenBatch":
        """A copy with one more per-token field (float32 [T])."""
        if len(values) != len(self.input_ids):
            raise ValueError(f"field {name} has {len(values)} values for {len(self.input_ids)} tokens")
        return replace(self, fields={**self.fields, name: values.astype(np.float32)})

    def select(self, rows: Sequence[int]) -> "TokenBatch":
        """The given sequences, in the given order."""
        spans = [np.arange(self.offsets[i], self.offsets[i + 1]) for i in rows]
        where = np.concatenate(spans) if spans else np.zeros(0, dtype=np.int64)
        index = np.asarray(list(rows), dtype=np.int64)
        return TokenBatch(
            input_ids=self.input_ids[where],
            offsets=np.concatenate([[0], np.cumsum(self.lengths[index])]).astype(np.int64),
            position_ids=self.position_ids[where],
            loss_mask=self.loss_mask[where],
            fields={name: values[where] for name, values in self.fields.items()},
            rewards=None if self.rewards is None else self.rewards[index],
            groups=None if self.groups is None else self.groups[index],
            prompt_lengths=self.prompt_lengths[index],
            temperature=self.temperature,
        )


def supervised_batch(sequences: Sequence[tuple[Sequence[int] | np.ndarray, int]]) -> TokenBatch:
    """Demonstrations, (token ids, length of the prompt), as a batch; targets are the tokens after the prompt."""
    ids = [np.asarray(tokens, dtype=np.int64) for tokens, _ in sequences]
    masks = [np.arange(len(tokens)) >= max(prompt, 1) for tokens, prompt in sequences]
    return _assemble(ids, masks)


def packed_batch(rows: Sequence[Sequence[int]], segments: Sequence[Sequence[int]]) -> TokenBatch:
    """Packed documents as a batch. ``segments[i][t]`` is the number of the document of token ``t`` in row ``i``."""
    ids = [np.asarray(row, dtype=np.int64) for row in rows]
    positions, masks = [], []
    for row in segments:
        segment = np.asarray(row, dtype=np.int64)
        starts = np.concatenate([[True], segment[1:] != segment[:-1]])
        first = np.maximum.accumulate(np.where(starts, np.arange(len(segment)), 0))
        positions.append(np.arange(len(segment)) - first)
        masks.append(~starts)
    return _assemble(ids, masks, positions)


def policy_batch(groups: Sequence[Group], temperature: float) -> TokenBatch:
    """Groups as a batch, with one reward per row.

    Targets are the completion tokens that are trained. ``rollout_log_probs`` are the sampler's, 0 at all other tokens.

    Raises:
        ValueError: if ``trained`` of a completion has another length than its tokens.
    """
    ids, masks, sampled, rewards, index, prompts = [], [], [], [], [], []
    for number, group in enumerate(groups):
        prompt = np.asarray(group.prompt_ids, dtype=np.int64)
        for completion, reward in zip(group.completions, group.rewards, strict=True):
            trained = np.ones(len(completion.token_ids), dtype=bool)
            if completion.trained is not None:
                trained = np.asarray(completion.trained, dtype=bool)
            if len(trained) != len(completion.token_ids):
                raise ValueError(
                    f"a completion of group {group.uid} has {len(completion.token_ids)} tokens, and says of "
                    f"{len(trained)} whether they are trained"
                )
            ids.append(np.concatenate([prompt, completion.token_ids]))
            masks.append(np.concatenate([np.zeros(len(prompt), dtype=bool), trained]))
            log_probs = np.where(trained, completion.log_probs, 0.0)
            sampled.append(np.concatenate([np.zeros(len(prompt)), log_probs]).astype(np.float32))
            rewards.append(reward)
            index.append(number)
            prompts.append(len(prompt))
    batch = _assemble(ids, masks)
    return replace(
        batch,
        fields={"rollout_log_probs": np.concatenate(sampled)},
        rewards=np.asarray(rewards, dtype=np.float32),
        groups=np.asarray(index, dtype=np.int64),
        prompt_lengths=np.asarray(prompts, dtype=np.int64),
        temperature=temperature,
    )


def _assemble(ids: list[np.ndarray], masks: list[np.ndarray], positions: list[np.ndarray] | None = None) -> TokenBatch:
    lengths = [len(row) for row in ids]
    return TokenBatch(
        input_ids=np.concatenate(ids),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        position_ids=np.concatenate(positions or [np.arange(n) for n in lengths]),
        loss_mask=np.concatenate(masks),
    )
