"""The options of the step that drops what says the same in other words, as typed models."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rl.config.base import Strict


class SameMeaningStep(Strict):
    """Drop questions, or documents where there is no question yet, that say the same as an earlier one."""

    step: Literal["same_meaning"]
    model: str
    """Folder of a sentence-transformers model."""
    similarity: float = Field(0.97, gt=0, le=1)
    """Cosine from which the later of two is dropped. It depends on the model; measure it on pairs of your own."""
