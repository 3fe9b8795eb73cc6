"""The FSDP2 training engine: verl's, with our own layout of a micro-batch and one global loss denominator."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from peft.tuners.lora import LoraLayer
from torch.distributed.tensor import DTensor
from verl.trainer.config import CheckpointConfig
from verl.workers.config import FSDPEngineConfig, FSDPOptimizerConfig, HFModelConfig
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

from rl.algorithms.losses import Loss
from rl.algorithms.schedules import lr_factor
from rl.config.schema import ModelConfig, TrainerConfig
from rl.config.stages import OptimConfig
from rl.device import named
from rl.engines import attention, head, layout
from rl.engines.layout import MicroBatch
from rl.engines.muon import Muon
from rl.engines.sums import BatchSums
from rl.models.checkpoint_format import CheckpointFormat, weights_of
from rl.models.noise import silence
from rl.samples import TokenBatch


class FSDPEngine(FSDPEngineWithLMHead):
    """verl's language-model engine on FSDP2, for CPU (gloo) and CUDA (NCCL) alike.

    What is ours: batches are :class:`rl.samples.TokenBatch`; a micro-batch is laid out by :mod:`rl.engines.layout`;
    the loss is divided once, by counts over all ranks; optimizer and schedule are made anew at the start of every
    stage. Model building, FSDP2 wrapping, LoRA, gradient clipping and the skip of non-finite updates are verl's.
    """

    stage_optim: OptimConfig | None = None
    stage_updates: int = 1
    _sums: BatchSums | None = None

    def begin_stage(self, optim: OptimConfig, total_updates: int) -> None:
        """A fresh optimizer and schedule over the weights as they stand."""
        self.stage_optim, self.stage_updates, self._sums = optim, total_updates, None
        self.optimizer_config = _optimizer_config(optim, total_updates)
        self.optimizer = self._build_optimizer(self.module)
        self.lr_scheduler = self._build_lr_scheduler(self.optimizer)

    def _build_optimizer(self, module: torch.nn.Module) -> torch.optim.Optimizer | None:
        if self.stage_optim is None:  # a stage brings its own; verl would build one that nothing uses
            return None
        optim = self.stage_optim
        if optim.optimizer == "muon":
            matrix_lr = optim.lr * optim.matrix_lr_ratio
            return Muon(module.named_parameters(), optim.lr, matrix_lr, optim.betas, optim.weight_decay)
        return super()._build_optimizer(module)

    def _build_lr_scheduler(self, optimizer: torch.optim.Optimizer | None) -> Any:
        if optimizer is None or self.stage_optim is None:
            return None
        optim, total = self.stage_optim, self.stage_updates
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda update: lr_factor(update, total, optim))

    def initialize(self) -> None:
        """Build and shard the model. verl's checkpoint manager is not used (see :mod:`rl.records.checkpoint`)."""
        self._build_model_optimizer()
        silence(self.module)
        _lend_buffers(self.module)
        model = self.module.get_base_model() if self.model_config.lora_rank else self.module
        attention.install(model)
        self.head = head.install(model)
        self.format = CheckpointFormat(self.model_config.hf_config, self.model_config.trust_remote_code)

    def train_batch(self, data: TokenBatch, loss: Loss, max_tokens: int = 0) -> dict[str, float]:
        """One update on this rank's share of the batch: :meth:`accumulate` all of it, then :meth:`step`."""
        self.accumulate(data, loss, max_tokens)
        return self.step(loss)

    def accumulate(self, data: TokenBatch, loss: Loss, max_tokens: int) -> None:
        """Add the gradient of this rank's share of a part of the batch."""
        if self._sums is None:
            assert self.optimizer is not None, "begin_stage comes before the first update"
            self.optimizer.zero_grad()
            self._sums = BatchSums(self._device())
        self._sums.count(data.num_targets, len(data))
        self.forward_backward_batch(data, loss, max_tokens=max_tokens)

    def step(self, loss: Loss) -> dict[str, float]:
        """The update from all that was accumulated; the metrics speak of the whole batch, over all ranks.

        Returns ``grad_norm`` (before clipping), ``lr`` and the metrics of the loss. A non-finite loss or gradient
        leaves the weights as they were; ``grad_norm`` tells.
        """
        assert self._sums is not None and self.optimizer is not None, "accumulate comes before step"
        metrics, divisor = self._sums.reduce(loss.per, self.get_data_parallel_group())
        self._sums = None
        # FSDP averages gradients over ranks; what is wanted is their sum over the divisor.
        gradients = [p.grad for p in self.module.parameters() if p.grad is not None]
        torch._foreach_mul_(gradients, self.get_data_parallel_size() / divisor)
        metrics["lr"] = self.optimizer.param_groups[0]["lr"]
        # A NaN in the loss can come with a finite gradient (a clipped ratio has none), so both are asked.
        metrics["grad_norm"] = self.optimizer_step() if math.isfinite(metrics["loss"]) else math.nan
        self.optimizer.zero_grad()
        self.lr_scheduler.step()
        return metrics

    def infer_batch(self, data: TokenBatch, loss_function: None = None, max_tokens: int = 0) -> np.ndarray:
        """Log-probs (float32 [T], target-aligned, 0 where the loss mask is off) of this rank's sequences."""
        return self.forward_backward_batch(data, None, forward_only=True, max_tokens=max_tokens)

    def forward_backward_batch(
        self, data: TokenBatch, loss_function: Loss | None, forward_only: bool = False, max_tokens: int = 0
    ) -> np.ndarray:
        """Forward (and backward) over the micro-batches of this rank's share; gradients and metrics add up."""
        micro_batches = layout.plan(data, max_tokens)
        # FSDP's collectives need every rank to run the same number of passes: short ranks end with empty ones.
        micro_batches += [[]] * (self._largest(len(micro_batches)) - len(micro_batches))
        found = np.zeros(len(data.input_ids), dtype=np.float32)
        for rows in micro_batches:
            micro = layout.gather(data, rows, self._device())
            with torch.set_grad_enabled(loss_function is not None):
                log_probs, entropy = self._forward(micro, data.temperature)
                if loss_function is not None:
                    self._backward(loss_function, micro, log_probs, entropy)
            found[micro.places] = log_probs.detach().cpu().numpy()[: len(micro.places)]
        return found

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
        self.head.targets = micro.targets.new_zeros(1) if empty else micro.targets
        self.head.source_of = self.head.targets if empty else micro.source_of
        self.head.temperature = temperature
        autocast = torch.autocast(
            micro.mask.device.type, self._autocast_dtype, enabled=self._autocast_dtype != torch.float32
        )
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
        """(transformers' name, whole tensor), adapters merged. A collective: walk it on every rank.

        At world size 1 a tensor is the live parameter, so whoever keeps it beyond the next update copies it.

        Raises:
            WeightNamesError: if names and shapes are not exactly those of the model without adapters.
        """
        return self.format.checked(self._merged_weights())

    def _merged_weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        adapted = self._adapted()
        for name, tensor in weights_of(self.module):
            if "lora_" in name:
                continue
            whole = tensor if isinstance(tensor, torch.nn.Buffer) else _whole(tensor)
            for layer in adapted.get(id(tensor), ()):
                whole = whole + _delta(layer)
            yield name.removeprefix("base_model.model.").replace("base_layer.", ""), whole

    def _adapted(self) -> dict[int, list[LoraLayer]]:
        """The adapters of each parameter, by its id."""
        found: dict[int, list[LoraLayer]] = {}
        for layer in self.module.modules():
            if isinstance(layer, LoraLayer):
                parameter = getattr(layer.get_base_layer(), getattr(layer, "parameter_name", "weight"))
                found.setdefault(id(parameter), []).append(layer)
        return found

    def adapter_weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """(peft's name, whole tensor) of the LoRA adapter. A collective: walk it on every rank."""
        for name, parameter in self.module.named_parameters():
            if "lora_" in name:
                yield name.replace(".default.", "."), _whole(parameter)

    def _device(self) -> torch.device:
        return next(self.module.parameters()).device

    def _largest(self, value: int) -> int:
        largest = torch.tensor(value, device=self._device())
        dist.all_reduce(largest, dist.ReduceOp.MAX, group=self.get_data_parallel_group())
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


def _optimizer_config(optim: OptimConfig, total_updates: int) -> FSDPOptimizerConfig:
    return FSDPOptimizerConfig(
        lr=optim.lr,
        betas=optim.betas,
        weight_decay=optim.weight_decay,
        clip_grad=optim.clip_grad,
        total_training_steps=total_updates,
    )


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
    engine = FSDPEngine(
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
    engine.initialize()
    return engine


def _lend_buffers(model: torch.nn.Module) -> None:
    """Let peft's wrapper of a single parameter answer for the buffers of its layer, which the model reads there (the
    correction of a router)."""
    from peft.tuners.lora.layer import ParamWrapper

    for module in model.modules():
        if isinstance(module, ParamWrapper):
            vars(module).update(module.get_base_layer().named_buffers(recurse=False))
