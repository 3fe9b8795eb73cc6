"""The FSDP2 training engine: verl's, with our own layout of a micro-batch and one global loss denominator."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor
from verl.trainer.config import CheckpointConfig
from verl.workers.config import FSDPEngineConfig, FSDPOptimizerConfig, HFModelConfig
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

from rl.algorithms.losses import Counts, LossFunction
from rl.algorithms.schedules import lr_factor
from rl.config.schema import ModelConfig, TrainerConfig
from rl.config.stages import OptimConfig
from rl.engines import layout
from rl.samples import TokenBatch


class FSDPEngine(FSDPEngineWithLMHead):
    """verl's language-model engine on FSDP2, for CPU (gloo) and CUDA (NCCL) alike.

    What is ours: batches are :class:`rl.samples.TokenBatch`; a micro-batch is laid out by :mod:`rl.engines.layout`; the
    loss is divided by counts over all ranks; optimizer and schedule are made anew at the start of every stage. Model
    building, FSDP2 wrapping, LoRA, gradient clipping and the skip of non-finite updates are verl's.
    """

    stage_optim: OptimConfig | None = None
    stage_updates: int = 1
    wants_entropy_gradient: bool = False

    def begin_stage(self, optim: OptimConfig, total_updates: int) -> None:
        """A fresh optimizer and schedule over the weights as they stand."""
        self.stage_optim, self.stage_updates = optim, total_updates
        self.optimizer_config = _optimizer_config(optim, total_updates)
        self.optimizer = self._build_optimizer(self.module)
        self.lr_scheduler = self._build_lr_scheduler(self.optimizer)

    def _build_optimizer(self, module: torch.nn.Module) -> torch.optim.Optimizer | None:
        if self.stage_optim is None:  # a stage brings its own; verl would build one that nothing uses
            return None
        return super()._build_optimizer(module)

    def _build_lr_scheduler(self, optimizer: torch.optim.Optimizer | None) -> Any:
        if optimizer is None or self.stage_optim is None:
            return None
        optim, total = self.stage_optim, self.stage_updates
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda update: lr_factor(update, total, optim))

    def initialize(self) -> None:
        """Build and shard the model. verl's checkpoint manager is not used (see :mod:`rl.checkpoint`)."""
        self._build_model_optimizer()

    def train_batch(self, data: TokenBatch, loss_function: LossFunction, max_tokens: int = 0) -> dict[str, float]:
        """One update on this rank's share of the batch; the metrics speak of the whole batch, over all ranks.

        Returns ``grad_norm`` (before clipping), ``lr`` and the sums of the loss function. A non-finite gradient leaves
        the weights as they were; ``grad_norm`` tells.
        """
        assert self.optimizer is not None, "begin_stage comes before the first update"
        self.optimizer.zero_grad()
        metrics = self.forward_backward_batch(data, loss_function, max_tokens=max_tokens)["metrics"]
        metrics["lr"] = self.optimizer.param_groups[0]["lr"]
        # A NaN in the loss can come with a finite gradient (a clipped ratio has none), so both are asked.
        metrics["grad_norm"] = self.optimizer_step() if math.isfinite(metrics["loss"]) else math.nan
        self.optimizer.zero_grad()
        self.lr_scheduler.step()
        return metrics

    def infer_batch(self, data: TokenBatch, loss_function: None = None, max_tokens: int = 0) -> np.ndarray:
        """Log-probs (float32 [T], target-aligned, 0 where the loss mask is off) of this rank's sequences."""
        return self.forward_backward_batch(data, None, forward_only=True, max_tokens=max_tokens)["log_probs"]

    def forward_backward_batch(
        self, data: TokenBatch, loss_function: LossFunction | None, forward_only: bool = False, max_tokens: int = 0
    ) -> dict[str, Any]:
        """Forward (and backward) over the micro-batches of this rank's share; gradients add up."""
        counts = self._global_counts(data)
        micro_batches = layout.plan(data.lengths.tolist(), max_tokens)
        # FSDP's collectives need every rank to run the same number of passes: short ranks end with empty ones.
        micro_batches += [[]] * (self._largest(len(micro_batches)) - len(micro_batches))
        log_probs = np.zeros(len(data.input_ids), dtype=np.float32)
        sums: dict[str, torch.Tensor] = {}
        for number, rows in enumerate(micro_batches):
            micro = layout.gather(data, rows, self._device())
            if loss_function is None:
                with torch.no_grad():
                    outputs = self._forward(micro, data.temperature)
            else:
                with self._gradient_sync_context(is_last_micro_batch=number == len(micro_batches) - 1):
                    outputs = self._forward(micro, data.temperature)
                    loss, terms = loss_function(outputs, micro, counts)
                    loss.backward()
                for name, value in terms.items():
                    combine = torch.maximum if name.startswith("max/") else torch.add
                    sums[name] = combine(sums[name], value) if name in sums else value
            layout.scatter(data, rows, outputs["log_probs"].detach().float().cpu().numpy(), log_probs)
        return {"metrics": self._reduce(sums), "log_probs": log_probs}

    def _forward(self, micro: dict[str, torch.Tensor], temperature: float) -> dict[str, torch.Tensor]:
        """Log-probs and entropy [B, L] at the target tokens, 0 elsewhere."""
        mask = micro["loss_mask"].bool()
        columns = mask.any(dim=0).nonzero()[:, 0]
        if len(columns) == 0:  # an empty micro-batch still takes part in FSDP's collectives
            columns = torch.ones(1, dtype=torch.long, device=mask.device)
        autocast = torch.autocast(mask.device.type, self._autocast_dtype, enabled=self._autocast_dtype != torch.float32)
        with autocast:
            logits = self.module(
                input_ids=micro["input_ids"],
                position_ids=micro["position_ids"],
                logits_to_keep=columns - 1,  # the token at t is predicted at t - 1
                use_cache=False,
            ).logits
        chosen = mask[:, columns]
        if not chosen.any():
            zero = logits.float().sum() * 0.0
            zeros = torch.zeros_like(micro["loss_mask"])
            return {"log_probs": zeros + zero, "entropy": zeros}
        logits = logits[chosen].float()
        if temperature != 1.0:
            logits = logits / temperature
        log_softmax = torch.log_softmax(logits, dim=-1)
        targets = micro["input_ids"][mask]
        log_probs = log_softmax.gather(-1, targets[:, None])[:, 0]
        entropy = -(log_softmax.exp() * log_softmax).sum(-1) if self.wants_entropy_gradient else _entropy(log_softmax)
        blank = torch.zeros_like(micro["loss_mask"])
        return {
            "log_probs": blank.masked_scatter(mask, log_probs),
            "entropy": blank.masked_scatter(mask, entropy),
        }

    def full_weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """(Hugging Face name, whole tensor in its own storage), adapters merged. A collective: walk it on every rank.

        Copies, because at world size 1 a gathered tensor aliases the live parameter.
        """
        parameters = dict(self.module.named_parameters())
        scale = self.model_config.lora_alpha / max(1, self.model_config.lora_rank)
        for name, parameter in parameters.items():
            if "lora_" in name:
                continue
            weight = _whole(parameter)
            stem = name.removesuffix("base_layer.weight")
            if stem != name:
                down, up = (_whole(parameters[f"{stem}lora_{side}.default.weight"]) for side in "AB")
                weight = weight + scale * (up @ down)
            yield name.removeprefix("base_model.model.").replace(".base_layer.", "."), weight

    def _device(self) -> torch.device:
        return next(self.module.parameters()).device

    def _global_counts(self, data: TokenBatch) -> Counts:
        local = torch.tensor([data.num_targets, len(data)], dtype=torch.float64, device=self._device())
        dist.all_reduce(local, group=self.get_data_parallel_group())
        tokens, sequences = local.tolist()
        return Counts(max(tokens, 1.0), int(sequences), self.get_data_parallel_size())

    def _largest(self, value: int) -> int:
        largest = torch.tensor(value, device=self._device())
        dist.all_reduce(largest, dist.ReduceOp.MAX, group=self.get_data_parallel_group())
        return int(largest)

    def _reduce(self, sums: dict[str, torch.Tensor]) -> dict[str, float]:
        """Add (or take the largest of) each metric over the ranks."""
        metrics: dict[str, float] = {}
        for kind, op in (("sum", dist.ReduceOp.SUM), ("max", dist.ReduceOp.MAX)):
            names = sorted(name for name in sums if name.startswith("max/") == (kind == "max"))
            if not names:
                continue
            values = torch.stack([sums[name].double() for name in names])
            dist.all_reduce(values, op, group=self.get_data_parallel_group())
            metrics |= dict(zip((name.removeprefix("max/") for name in names), values.tolist(), strict=True))
        return metrics


def _whole(parameter: torch.Tensor) -> torch.Tensor:
    tensor = parameter.detach()
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).clone()


def _entropy(log_softmax: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return -(log_softmax.exp() * log_softmax).sum(-1)


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
    compute = "fp32" if device == "cpu" else "bf16"
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
            mixed_precision={"param_dtype": compute, "reduce_dtype": "fp32", "buffer_dtype": "fp32"},
        ),
        optimizer_config=FSDPOptimizerConfig(lr=1e-6),
        checkpoint_config=CheckpointConfig(),
    )
    engine.initialize()
    return engine
