"""How far rounding moves the log-probs of a model: every module's answer is rounded once more, at random.

This is Monte Carlo arithmetic (Parker 1997, "Monte Carlo arithmetic: exploiting randomness in floating-point
arithmetic"), with a module as the operation. Two correct programs differ in how each operation rounds; how much of that
arrives at the log-probs depends on the weights, and grows in training.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def rounded_again() -> Iterator[None]:
    """Within it, each number that a module of this process returns moves by at most its last bit, each time alike."""
    generators: dict[torch.device, torch.Generator] = {}

    def moved(value: Any) -> Any:
        if isinstance(value, tuple) and type(value) is tuple:
            return tuple(moved(one) for one in value)
        if not isinstance(value, torch.Tensor) or not value.is_floating_point():
            return value
        generator = generators.setdefault(value.device, torch.Generator(value.device).manual_seed(0))
        noise = torch.empty_like(value).uniform_(-1, 1, generator=generator)
        return value * (1 + torch.finfo(value.dtype).eps * noise)

    hook = torch.nn.modules.module.register_module_forward_hook(lambda module, given, answer: moved(answer))
    try:
        yield
    finally:
        hook.remove()
