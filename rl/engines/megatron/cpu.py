"""megatron-core on a machine without an accelerator: what it asks of ``torch.cuda`` is answered with the CPU.

Nothing here does anything where CUDA is available.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from megatron.core.optimizer import clip_grads
from megatron.core.tensor_parallel import random
from megatron.core.transformer.moe.token_dispatcher import MoEAlltoAllTokenDispatcher
from torch.overrides import TorchFunctionMode, _pop_mode_temporarily

from rl.engines.sums import norm


class _NoRandomStates(random.CudaRNGStatesTracker):
    """Models are trained without dropout, so no layer needs a generator of its own."""

    def add(self, name: str, seed: int) -> None:
        self._is_initialized = True

    @contextmanager
    def fork(self, name: str = "") -> Iterator[None]:
        yield


class _Redirect(TorchFunctionMode):
    """Inside, the device "cuda" is the CPU, ``t.cuda()`` is ``t``, and ``t.type()`` names a CUDA type."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if str(kwargs.get("device", "")).startswith("cuda"):
            kwargs = {**kwargs, "device": torch.device("cpu")}
        if func is torch.Tensor.cuda:
            return args[0]
        answer = func(*args, **kwargs)
        if func is torch.Tensor.type and isinstance(answer, str):
            return answer.replace("torch.", "torch.cuda.", 1)
        return answer


def _norm(size: int, overflow: torch.Tensor, tensors: list[list[torch.Tensor]], *_: Any) -> tuple[torch.Tensor, None]:
    """The norm of several tensors together (float32 [1]), as precise on however many ranks they are."""
    return torch.stack([norm(tensor) for tensor in tensors[0]]).norm().float()[None], None


def _counts_as_numbers(dispatcher: Any, point: str, counts: torch.Tensor | None = None) -> torch.Tensor | None:
    """In place of the copy from the GPU, for which the dispatcher has a stream of its own."""
    if point == dispatcher.cuda_dtoh_point and dispatcher.input_splits is not None:
        dispatcher.input_splits = dispatcher.input_splits.tolist()
        dispatcher.output_splits = dispatcher.output_splits.tolist()
    return counts


def install() -> None:
    """Answer the questions that are asked once or at import."""
    if torch.cuda.is_available():
        return
    cuda: Any = torch.cuda
    cuda.current_device = lambda: torch.device("cpu")  # megatron writes device=torch.cuda.current_device()
    cuda.synchronize = lambda *_: None  # between pipeline stages
    states: Any = random
    clip_grads.l2_norm_impl = _norm
    states._CUDA_RNG_STATE_TRACKER, states._CUDA_RNG_STATE_TRACKER_INITIALIZED = _NoRandomStates(), True
    states._get_cuda_rng_state = lambda *_, **__: torch.get_rng_state()  # read by recomputation
    states._set_cuda_rng_state = lambda state, *_, **__: torch.set_rng_state(state)
    dispatcher: Any = MoEAlltoAllTokenDispatcher
    dispatcher.cuda_dtoh_stream = "none"
    dispatcher._maybe_dtoh_and_synchronize = _counts_as_numbers


def redirected() -> AbstractContextManager[Any]:
    """A context for calls of megatron-core that name the device themselves. It slows every operation inside."""
    return nullcontext() if torch.cuda.is_available() else _Redirect()


def direct() -> AbstractContextManager[Any]:
    """Inside :func:`redirected`, a context for what needs no redirection."""
    return nullcontext() if torch.cuda.is_available() else _pop_mode_temporarily()
