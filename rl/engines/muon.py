"""Muon for the matrices of the hidden layers and AdamW for all other parameters, as one optimizer.

Muon (Jordan et al. 2024) makes the momentum of a matrix orthogonal before each step, by Newton-Schulz iterations. The
step is scaled to the root mean square of an AdamW step (Moonlight, Liu et al. 2025, arXiv 2502.16982, eq. 4), so that
both use learning rates of the same size. Muon learns from few tokens, as in mid-training from scratch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim.adamw import adamw

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration, which moves every singular value close to 1 in a few steps."""
ITERATIONS = 5
MOMENTUM = 0.95
RMS_OF_ADAMW = 0.2
EPSILON = 1e-8
OUTSIDE = ("embed", "lm_head")
"""Parts of the names of matrices that are tables of vectors; they use AdamW."""


class Muon(torch.optim.Optimizer):
    """Two parameter groups: the first for AdamW, the second for Muon."""

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, Tensor]],
        lr: float,
        matrix_lr: float,
        betas: tuple[float, float],
        weight_decay: float,
    ) -> None:
        trained = [(name, parameter) for name, parameter in named_parameters if parameter.requires_grad]
        matrices = [parameter for name, parameter in trained if self._is_matrix(name, parameter)]
        inside = {id(p) for p in matrices}
        others = [p for _, p in trained if id(p) not in inside]
        groups = [
            {"params": others, "lr": lr, "orthogonal": False},
            {"params": matrices, "lr": matrix_lr, "orthogonal": True},
        ]
        super().__init__(groups, {"betas": betas, "weight_decay": weight_decay})

    def _is_matrix(self, name: str, parameter: Tensor) -> bool:
        return parameter.ndim == 2 and not any(word in name for word in OUTSIDE)

    def materialise(self) -> None:
        """Give every parameter its state, so that loading has tensors to fill."""
        for group in self.param_groups:
            for parameter in group["params"]:
                self._state(parameter, group["orthogonal"])

    def _state(self, parameter: Tensor, orthogonal: bool) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[parameter]
        if not state and orthogonal:
            state["momentum"] = torch.zeros_like(parameter)
        elif not state:
            state |= {
                "step": torch.zeros(()),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
        return state

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        """One update of every parameter with a gradient."""
        for group in self.param_groups:
            trained = [parameter for parameter in group["params"] if parameter.grad is not None]
            if group["orthogonal"]:
                for parameter in trained:
                    self._orthogonal_step(parameter, group)
            else:
                self._adamw_step(trained, group)

    def _orthogonal_step(self, parameter: Tensor, group: dict[str, Any]) -> None:
        momentum = self._state(parameter, True)["momentum"]
        assert parameter.grad is not None
        momentum.lerp_(parameter.grad, 1 - MOMENTUM)
        update = self._orthogonal(parameter, parameter.grad.lerp(momentum, MOMENTUM))
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(update, alpha=-group["lr"])

    def _orthogonal(self, parameter: Tensor, direction: Tensor) -> Tensor:
        """The update of a parameter in a direction, cut like the parameter."""
        return _like(update_of(_whole(direction)), parameter)

    def _adamw_step(self, trained: list[Tensor], group: dict[str, Any]) -> None:
        states = [self._state(parameter, False) for parameter in trained]
        adamw(
            trained,
            [parameter.grad for parameter in trained if parameter.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=EPSILON,
            maximize=False,
        )


def orthogonalised(matrix: Tensor) -> Tensor:
    """The matrix [N, M] with all singular values close to 1 (between 0.7 and 1.2), in fp32."""
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).float()
    x = x / (x.norm() + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


def update_of(direction: Tensor) -> Tensor:
    """The update of a whole matrix: orthogonal, and of the size of AdamW's."""
    update = orthogonalised(direction)
    update *= RMS_OF_ADAMW * max(update.shape) ** 0.5
    return update


def _whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _like(whole: Tensor, parameter: Tensor) -> Tensor:
    """A whole tensor, sharded over the ranks like a parameter."""
    if not isinstance(parameter, DTensor):
        return whole.to(parameter.dtype)
    return distribute_tensor(whole.to(parameter.dtype), parameter.device_mesh, parameter.placements)
