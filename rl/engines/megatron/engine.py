"""The megatron-core training engine: tensor, pipeline, sequence, context and data parallel, on CPU (gloo) and CUDA
(NCCL).

megatron-core builds, cuts and steps the model; layout, attention, output layer, loss and schedule are ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.pipeline_parallel import get_forward_backward_func
from torch import Tensor

from rl.algorithms.losses import Loss
from rl.algorithms.schedules import lr_factor
from rl.config.schema import ModelConfig, TrainerConfig
from rl.config.stages import OptimConfig
from rl.device import named
from rl.engines import layout, state
from rl.engines.layout import MicroBatch
from rl.engines.megatron import checkpoint, cpu, experts, weights
from rl.engines.megatron.model import RowModel, transformer_config
from rl.engines.megatron.optimizer import Optimizer
from rl.engines.sums import BatchSums
from rl.engines.support import load_architecture
from rl.models.checkpoint_format import CheckpointFormat
from rl.samples import TokenBatch


class MegatronEngine:
    """One rank of a language model on megatron-core.

    The ranks of a model-parallel group go through the same rows. Log-probs and the loss are born on the last pipeline
    stage, on all its tensor-parallel and context-parallel ranks alike; the first of these answers for the group.
    """

    def __init__(self, path: str, hf: Any, trainer: TrainerConfig, dtype: torch.dtype) -> None:
        """Build this rank's part of a model and read its weights. megatron's process groups must exist."""
        self._path, self._distributed = path, trainer.distributed_optimizer
        with cpu.redirected():
            self._model = RowModel(hf, transformer_config(hf, trainer, dtype), trainer.kernels)
        self.format = CheckpointFormat(hf)
        self._weights = weights.CutWeights(self._model, hf, self.format.checkpoint_shapes)
        read = weights.of_model(path)
        with torch.no_grad():
            for part in self._weights.parts:
                part.parameter.copy_(self._weights.cut(part, read))
        self._optimizer: Optimizer | None = None
        self._optim, self._total_updates, self._updates = OptimConfig(), 1, 0
        self._sums: BatchSums | None = None

    @property
    def data_parallel_rank(self) -> int:
        """Which share of a batch this rank gets, from 0."""
        return int(parallel_state.get_data_parallel_rank())

    @property
    def data_parallel_size(self) -> int:
        """Number of shares that a batch is cut into."""
        return int(parallel_state.get_data_parallel_world_size())

    @property
    def weight_metadata(self) -> dict[str, Tensor]:
        """Name, shape and type of what :meth:`full_weights` will give."""
        dtype = self._weights.parts[0].parameter.dtype
        shapes = self.format.checkpoint_shapes
        return {name: torch.empty(shape, dtype=dtype, device="meta") for name, shape in shapes.items()}

    @property
    def _answers(self) -> bool:
        """Whether this rank answers for its model-parallel group."""
        last: bool = parallel_state.is_pipeline_last_stage()
        others = parallel_state.get_tensor_model_parallel_rank() + parallel_state.get_context_parallel_rank()
        return last and others == 0

    def begin_stage(self, optim: OptimConfig, total_updates: int) -> None:
        """Start a new optimizer and schedule from the current weights."""
        if self._optimizer is None:  # a frozen engine never needs the gradient buffers
            self._optimizer = Optimizer(self._model, self._weights, self._distributed)
        self._optimizer.begin(optim)
        self._optim, self._total_updates, self._sums = optim, total_updates, None
        self._continue_at(0)

    def _continue_at(self, update: int) -> None:
        assert self._optimizer is not None, "begin_stage comes first"
        self._updates = update
        self._optimizer.scale_lr(lr_factor(update, self._total_updates, self._optim))

    def accumulate(self, batch: TokenBatch, loss: Loss, *, max_tokens_per_microbatch: int) -> None:
        """Add the gradient of this rank's share of a part of the batch."""
        assert self._optimizer is not None, "begin_stage comes before the first update"
        if self._sums is None:
            self._optimizer.zero()
            self._sums = BatchSums(loss.per, self._device())
        self._sums.count(batch.num_targets, batch.num_trained_sequences)
        self._model.module.train()
        self._pass(batch, loss, max_tokens_per_microbatch)

    def step(self) -> dict[str, float] | None:
        """The update from everything accumulated since the last one, and its metrics over all ranks."""
        assert self._sums is not None and self._optimizer is not None, "accumulate comes before step"
        metrics, divisor = self._reduced(self._sums)
        self._sums = None
        metrics["lr"] = self._optimizer.lr
        metrics["grad_norm"] = self._optimizer.update(divisor, finite=math.isfinite(metrics["loss"]))
        self._continue_at(self._updates + 1)
        return metrics if self._answers else None

    def _reduced(self, sums: BatchSums) -> tuple[dict[str, float], float]:
        """Metrics and the divisor of the loss, from the last stage, on every rank."""
        group = parallel_state.get_pipeline_model_parallel_group()
        answer: list[Any] = [None]
        if parallel_state.is_pipeline_last_stage():
            answer = [sums.reduce(parallel_state.get_data_parallel_group())]
        if group.size() > 1:
            dist.broadcast_object_list(answer, src=dist.get_global_rank(group, group.size() - 1), group=group)
        metrics, divisor = answer[0]
        return metrics, divisor

    def log_probs(
        self, batch: TokenBatch, *, max_tokens_per_microbatch: int, adapter: bool = True
    ) -> np.ndarray | None:
        """Log-probs of this rank's share (float32 [T], target-aligned, 0 where the loss mask is off)."""
        self._model.module.eval()
        with torch.no_grad():
            found = self._pass(batch, None, max_tokens_per_microbatch)
        return found if self._answers else None

    def _pass(self, batch: TokenBatch, loss: Loss | None, max_tokens: int) -> np.ndarray:
        """Forward, and with a loss backward, over the micro-batches of a batch; returns log-probs on the last stage."""
        found = np.zeros(len(batch.input_ids), dtype=np.float32)
        stages = parallel_state.get_pipeline_model_parallel_world_size()
        rows = layout.plan(batch, max_tokens, stages)
        if self._model.config.expert_model_parallel_size > 1:
            rows = experts.in_step(rows)
        micros = (layout.gather(batch, some, self._device(), self._model.prepare) for some in rows)

        def total(micro: MicroBatch, answer: Tensor) -> Tensor:
            log_probs, entropy = answer[:, 0, 0], answer[:, 0, 1]
            found[micro.places] = log_probs.detach().cpu().numpy()
            if loss is None or len(log_probs) == 0:
                return log_probs.sum()
            return self._loss(loss, micro, log_probs, entropy)

        if stages > 1:
            self._pipeline(micros, len(rows), batch.temperature, total, backward=loss is not None)
            return found
        for micro in micros:
            value = total(micro, self._model(micro, batch.temperature))
            if loss is not None:
                value.backward()
        return found

    def _loss(self, loss: Loss, micro: MicroBatch, log_probs: Tensor, entropy: Tensor) -> Tensor:
        assert self._sums is not None
        entropy = entropy if loss.wants_entropy_gradient else entropy.detach()
        sums = loss.function(micro.dense(log_probs), micro.dense(entropy), micro.mask, micro.fields)
        self._sums.add(sums)
        return sums.total

    def _pipeline(
        self, micros: Iterator[MicroBatch], count: int, temperature: float, total: Any, backward: bool
    ) -> None:
        """The micro-batches through all stages, in megatron-core's 1F1B schedule."""
        if count == 0:
            return

        def work(batches: Iterator[MicroBatch], _: Any) -> tuple[Tensor, Any]:
            micro = next(batches)

            def reduce(answer: Tensor) -> tuple[Tensor, Tensor, dict[str, Any]]:
                with cpu.direct():
                    return total(micro, answer), torch.tensor(0, dtype=torch.int), {}

            with cpu.direct():
                return self._model(micro, temperature), reduce

        with cpu.redirected():
            get_forward_backward_func()(
                forward_step_func=work,
                data_iterator=micros,
                model=[self._model.module],
                num_microbatches=count,
                seq_length=1,
                micro_batch_size=1,
                forward_only=not backward,
            )

    def full_weights(self) -> Iterator[tuple[str, Tensor]]:
        """(the checkpoint's name, whole tensor) of every weight, on every rank: each expert comes for itself.

        Raises:
            WeightNamesError: if names and shapes are not exactly those of the model.
        """
        return self.format.checked(self._weights.whole(), self.format.checkpoint_shapes)

    def adapter_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Nothing: LoRA is refused before the start."""
        return iter(())

    def save(self, folder: Path) -> None:
        """Write weights, optimizer, schedule and random state under ``folder``."""
        assert self._optimizer is not None, "begin_stage comes before save"
        checkpoint.save(self._weights, self._optimizer, folder)
        state.save_progress(folder, self._updates)

    def load(self, folder: Path, *, weights_only: bool) -> None:
        """Read what :meth:`save` or the other engine wrote, also with other ranks.

        Raises:
            UserError: if it is of another model or another optimizer.
        """
        assert self._optimizer is not None or weights_only, "begin_stage comes before load"
        checkpoint.load(self._weights, self._optimizer, folder, self.format.shapes, weights_only=weights_only)
        if not weights_only:
            self._continue_at(state.load_progress(folder))

    def export(self, folder: Path) -> None:
        """Write a Hugging Face folder (safetensors, config, tokenizer)."""
        state.export(self.full_weights(), self.format, folder, self._path, trust_remote_code=False)

    def _device(self) -> torch.device:
        return self._weights.parts[0].parameter.device


def build(model: ModelConfig, path: str, trainer: TrainerConfig, device: str) -> MegatronEngine:
    """Build, cut and load the model. The process group must exist.

    fp32 throughout on CPU. On CUDA, weights and compute in bf16; gradients, moments and the optimizer's copy of the
    weights in fp32.
    """
    cpu.install()
    if parallel_state.model_parallel_is_initialized():  # an earlier engine of this process
        parallel_state.destroy_model_parallel()
    parallel_state.initialize_model_parallel(
        trainer.tensor_parallel,
        trainer.pipeline_parallel,
        context_parallel_size=trainer.context_parallel,
        expert_model_parallel_size=trainer.expert_parallel,
        expert_tensor_parallel_size=1,
        create_gloo_process_groups=False,
        # Its own is 30 minutes. A rank that died is known sooner, one that hangs is not.
        distributed_timeout_minutes=math.ceil(trainer.timeout_s / 60),
    )
    if torch.cuda.is_available():
        from megatron.core.tensor_parallel import model_parallel_cuda_manual_seed

        model_parallel_cuda_manual_seed(1)  # its layers ask for it, also without dropout
    hf = load_architecture(path, model.trust_remote_code)
    return MegatronEngine(path, hf, trainer, getattr(torch, named(device).dtype))
