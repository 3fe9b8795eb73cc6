"""The FSDP2 training engine: verl builds, shards and steps the model; layout, loss and schedule are ours.

verl's engine is a member and not the base class: its methods take other arguments than ours, and verl has no types,
so that mypy would accept any subclass of it as an :class:`rl.engines.base.Engine`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.distributed as dist
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.layer import ParamWrapper
from torch.distributed.tensor import DTensor
from verl.trainer.config import CheckpointConfig
from verl.workers.config import FSDPEngineConfig, FSDPOptimizerConfig, HFModelConfig

from rl.algorithms.losses import Loss
from rl.algorithms.schedules import lr_factor
from rl.config.schema import ModelConfig, TrainerConfig
from rl.config.stages import OptimConfig
from rl.device import named
from rl.engines import attention, head, layout, state
from rl.engines.layout import MicroBatch
from rl.engines.muon import Muon
from rl.engines.state import TrainingState
from rl.engines.sums import BatchSums, norm
from rl.models.checkpoint_format import CheckpointFormat, weights_of
from rl.models.noise import silence
from rl.samples import TokenBatch

# verl's package imports each of its engines that it can. The others would take a quarter of the time of this import.
for _other in ("automodel", "megatron", "mindspeed", "torchtitan", "veomni"):
    sys.modules.setdefault(f"verl.workers.engine.{_other}", cast(Any, None))
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead  # noqa: E402


class FSDPEngine:
    """A language model on FSDP2, on CPU (gloo) and CUDA (NCCL). Every rank is a data-parallel rank.

    A batch is laid out in micro-batches by :mod:`rl.engines.layout`. The loss is divided once, by counts over all
    ranks. verl does the rest: model, FSDP2 and LoRA.
    """

    def __init__(self, verl: FSDPEngineWithLMHead) -> None:
        """Load and shard the model that verl's engine, not yet initialised, is configured for."""
        # verl's own initialize() also makes a checkpoint manager, whose place rl.engines.state takes.
        verl._build_model_optimizer()
        verl.optimizer = verl.lr_scheduler = None  # every stage starts its own
        self._verl, self._model_config = verl, verl.model_config
        self.module: torch.nn.Module = verl.module
        self.optimizer: torch.optim.Optimizer | None = None
        self._schedule: torch.optim.lr_scheduler.LambdaLR | None = None
        self._limit = math.inf
        self._sums: BatchSums | None = None
        silence(self.module)
        _lend_buffers(self.module)
        model = self.module.get_base_model() if self._model_config.lora_rank else self.module
        attention.install(model)
        self._head = head.install(model)
        self.format = CheckpointFormat(self._model_config.hf_config, self._model_config.trust_remote_code)

    @property
    def data_parallel_rank(self) -> int:
        """Which share of a batch this rank gets, from 0."""
        return int(self._verl.get_data_parallel_rank())

    @property
    def data_parallel_size(self) -> int:
        """Number of shares that a batch is cut into."""
        return int(self._verl.get_data_parallel_size())

    @property
    def weight_metadata(self) -> dict[str, torch.Tensor]:
        """Name, shape and type of what :meth:`full_weights` will give."""
        return {n: torch.empty(t.shape, dtype=t.dtype, device="meta") for n, t in self._weights()}

    def begin_stage(self, optim: OptimConfig, total_updates: int) -> None:
        """Start a new optimizer and schedule from the current weights."""
        if optim.optimizer == "muon":
            matrix_lr = optim.lr * optim.matrix_lr_ratio
            optimizer = Muon(self.module.named_parameters(), optim.lr, matrix_lr, optim.betas, optim.weight_decay)
        else:
            optimizer = torch.optim.AdamW(
                self.module.parameters(), lr=optim.lr, betas=optim.betas, weight_decay=optim.weight_decay
            )
        self.optimizer = self._verl.optimizer = optimizer
        self._limit = optim.clip_grad
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda update: lr_factor(update, total_updates, optim)
        )
        self._sums = None

    def accumulate(self, batch: TokenBatch, loss: Loss, *, max_tokens_per_microbatch: int) -> None:
        """Add the gradient of this rank's share of a part of the batch."""
        if self._sums is None:
            assert self.optimizer is not None, "begin_stage comes before the first update"
            self.optimizer.zero_grad()
            self._sums = BatchSums(loss.per, self._device())
        self._sums.count(batch.num_targets, batch.num_trained_sequences)
        with self._verl.train_mode(disable_auto_offload=True, zero_grad_on_exit=False):
            for micro in self._micro_batches(batch, max_tokens_per_microbatch):
                self._backward(loss, micro, *self._forward(micro, batch.temperature))

    def step(self) -> dict[str, float]:
        """The update from everything accumulated since the last one, and its metrics over all ranks."""
        assert self._sums is not None and self.optimizer is not None, "accumulate comes before step"
        assert self._schedule is not None
        with self._verl.train_mode():
            metrics, divisor = self._sums.reduce(self._verl.get_data_parallel_group())
            self._sums = None
            # FSDP averages gradients over ranks; what is wanted is their sum over the divisor.
            gradients = [p.grad for p in self.module.parameters() if p.grad is not None]
            torch._foreach_mul_(gradients, self.data_parallel_size / divisor)
            metrics["lr"] = self.optimizer.param_groups[0]["lr"]
            # A NaN in the loss can come with a finite gradient (a clipped ratio has none), so both are checked.
            metrics["grad_norm"] = self._clip(gradients) if math.isfinite(metrics["loss"]) else math.nan
            if math.isfinite(metrics["grad_norm"]):
                self.optimizer.step()
            self._schedule.step()
        return metrics

    def _clip(self, gradients: list[torch.Tensor]) -> float:
        """Clip gradients to the norm of the stage; returns theirs before that, over all ranks."""
        parts = [part.to_local() if isinstance(part, DTensor) else part for part in gradients]
        square = torch.stack([norm(part) for part in parts]).square().sum()
        dist.all_reduce(square, group=self._verl.get_data_parallel_group())
        length = float(square.sqrt())
        shrink = self._limit / (length + 1e-6)  # as torch and megatron-core do
        if shrink < 1:
            torch._foreach_mul_(parts, shrink)
        return length

    def log_probs(self, batch: TokenBatch, *, max_tokens_per_microbatch: int, adapter: bool = True) -> np.ndarray:
        """Log-probs of this rank's share (float32 [T], target-aligned, 0 where the loss mask is off)."""
        found = np.zeros(len(batch.input_ids), dtype=np.float32)
        with (
            self._verl.eval_mode(disable_auto_offload=True),
            nullcontext() if adapter else self._verl.disable_adapter(),
            torch.no_grad(),
        ):
            for micro in self._micro_batches(batch, max_tokens_per_microbatch):
                log_probs, _ = self._forward(micro, batch.temperature)
                found[micro.places] = log_probs.cpu().numpy()[: len(micro.places)]
        return found

    def _micro_batches(self, batch: TokenBatch, max_tokens_per_microbatch: int) -> Iterator[MicroBatch]:
        rows = layout.plan(batch, max_tokens_per_microbatch)
        # FSDP's collectives need the same number of passes on every rank: ranks with fewer add empty ones.
        rows += [[]] * (self._largest(len(rows)) - len(rows))
        return (layout.gather(batch, some, self._device()) for some in rows)

    def _backward(self, loss: Loss, micro: MicroBatch, log_probs: torch.Tensor, entropy: torch.Tensor) -> None:
        if len(micro.places) == 0:
            (log_probs.sum() * 0.0).backward()
            return
        assert self._sums is not None
        entropy = entropy if loss.wants_entropy_gradient else entropy.detach()
        sums = loss.function(micro.dense(log_probs), micro.dense(entropy), micro.mask, micro.fields)
        sums.total.backward()
        self._sums.add(sums)

    def _forward(self, micro: MicroBatch, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probs and entropies (float32 [S]) of the targets; of a made-up one if there is none."""
        empty = len(micro.places) == 0
        self._head.targets = micro.targets.new_zeros(1) if empty else micro.targets
        self._head.source_of = self._head.targets if empty else micro.source_of
        self._head.temperature = temperature
        dtype = self._verl._autocast_dtype
        autocast = torch.autocast(micro.mask.device.type, dtype, enabled=dtype != torch.float32)
        with autocast:
            answer = self.module(
                input_ids=micro.input_ids,
                position_ids=micro.position_ids,
                logits_to_keep=micro.sources.new_zeros(1) if empty else micro.sources,
                spans=micro.spans,
                use_cache=False,
            ).logits[0]
        return answer[:, 0], answer[:, 1]

    def full_weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """(transformers' name, whole tensor) of every weight, adapters merged; with one rank the live parameters.

        Raises:
            WeightNamesError: if names and shapes are not exactly those of the model without adapters.
        """
        return self.format.checked(self._merged_weights())

    def _merged_weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        adapted = self._adapted()
        for name, tensor in self._weights():
            whole = tensor if isinstance(tensor, torch.nn.Buffer) else _whole(tensor)
            for layer in adapted.get(id(tensor), ()):
                whole = whole + _delta(layer)
            yield name, whole

    def _weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """(transformers' name, tensor) of every weight without adapters, as it lies on the ranks."""
        for name, tensor in weights_of(self.module):
            if "lora_" not in name:
                yield name.removeprefix("base_model.model.").replace("base_layer.", ""), tensor

    def _adapted(self) -> dict[int, list[LoraLayer]]:
        """The adapters of each parameter, by its id."""
        found: dict[int, list[LoraLayer]] = {}
        for layer in self.module.modules():
            if isinstance(layer, LoraLayer):
                parameter = getattr(layer.get_base_layer(), getattr(layer, "parameter_name", "weight"))
                found.setdefault(id(parameter), []).append(layer)
        return found

    def adapter_weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """(peft's name, whole tensor) of every weight of the LoRA adapter."""
        for name, parameter in self.module.named_parameters():
            if "lora_" in name:
                yield name.replace(".default.", "."), _whole(parameter)

    def save(self, folder: Path) -> None:
        """Write weights, optimizer, schedule and random state under ``folder``."""
        state.save(self._state(), folder)

    def load(self, folder: Path, *, weights_only: bool) -> None:
        """Read what :meth:`save` wrote, also with another number of ranks.

        Raises:
            UserError: if it is of another model or another optimizer.
        """
        state.load(self._state(), folder, weights_only=weights_only)

    def export(self, folder: Path) -> None:
        """Write a Hugging Face folder (safetensors, config, tokenizer), adapters merged."""
        config = self._model_config
        state.export(self.full_weights(), self.format, folder, config.path, config.trust_remote_code)

    def _state(self) -> TrainingState:
        return TrainingState(self.module, self.optimizer, self._schedule)

    def _device(self) -> torch.device:
        return next(self.module.parameters()).device

    def _largest(self, value: int) -> int:
        largest = torch.tensor(value, device=self._device())
        dist.all_reduce(largest, dist.ReduceOp.MAX, group=self._verl.get_data_parallel_group())
        return int(largest)


def _whole(parameter: torch.Tensor) -> torch.Tensor:
    tensor = parameter.detach()
    if not isinstance(tensor, DTensor):
        return tensor
    return tensor.to_local() if tensor.device_mesh.size() == 1 else tensor.full_tensor()


class _Delta(torch.nn.Module):
    """What an adapter adds to its weight, as peft computes it."""

    def __init__(self, layer: LoraLayer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self) -> torch.Tensor:
        return self.layer.get_delta_weight("default")


def _delta(layer: LoraLayer) -> torch.Tensor:
    factors = {f"layer.{n}": _whole(p) for n, p in layer.named_parameters() if n.startswith("lora_")}
    with torch.no_grad():
        return torch.func.functional_call(_Delta(layer), factors, ())


def build(model: ModelConfig, path: str, trainer: TrainerConfig, device: str) -> FSDPEngine:
    """Build, load and shard the model. The process group must exist.

    fp32 throughout on CPU. On CUDA, fp32 master weights with bf16 compute and fp32 reduction.
    """
    compute = named(device).dtype
    model_config = HFModelConfig(
        path=path,
        trust_remote_code=model.trust_remote_code,
        use_remove_padding=False,
        enable_gradient_checkpointing=trainer.gradient_checkpointing,
        lora_rank=model.lora_rank,
        lora_alpha=model.lora_alpha,
        target_modules="all-linear",
        override_config={"attn_implementation": "sdpa"},
    )
    model_config.model_type = "language_model"
    verl = FSDPEngineWithLMHead(
        model_config=model_config,
        engine_config=FSDPEngineConfig(
            strategy="fsdp2",
            model_dtype="fp32",
            use_torch_compile=False,
            optimizer_offload=trainer.offload_optimizer,
            mixed_precision={"param_dtype": compute, "reduce_dtype": "fp32", "buffer_dtype": "fp32"},
        ),
        optimizer_config=FSDPOptimizerConfig(lr=1e-6),
        checkpoint_config=CheckpointConfig(),
    )
    return FSDPEngine(verl)


def _lend_buffers(model: torch.nn.Module) -> None:
    """Give peft's wrapper of a single parameter the buffers of its layer.

    The model reads them from the wrapper, for instance the correction bias of a router.
    """
    for module in model.modules():
        if isinstance(module, ParamWrapper):
            vars(module).update(module.get_base_layer().named_buffers(recurse=False))
