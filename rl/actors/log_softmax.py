"""Log-softmax over a large vocabulary on a CPU, without the error of torch's kernel.

The kernel adds the exponentials of a row one after the other in float32. Of a vocabulary of 262,144 the sum comes out
too small: by 2e-5 on average and 1e-4 at worst, in log-probs of a Gemma 3 (docs/guides/pretrained.md). The sampler
would report other log-probs than the trainer, whose sums are by halves (torch's ``logsumexp``) and wrong by 1e-6.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def log_softmax(logits: torch.Tensor, dim: int, half_to_float: bool = False) -> torch.Tensor:
    """What ``logits.log_softmax(dim)`` stands for, summed by halves; of half precision computed in float32."""
    wide = logits if logits.element_size() >= 4 else logits.float()
    found = wide - wide.logsumexp(dim, keepdim=True)
    return found if half_to_float else found.to(logits.dtype)


@cache
def install() -> None:
    """Take the place of torch's kernel for the CPU in this process, wherever vLLM computes log-probs: it does so in
    three places, of which only one could be given another function."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch says that a kernel is replaced
        _libraries.append(torch.library.Library("aten", "IMPL"))
        _libraries[0].impl("_log_softmax", log_softmax, "CPU")


_libraries: list[torch.library.Library] = []
"""A kernel lasts as long as the library that it was registered by."""
