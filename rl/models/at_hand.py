"""The tokenizer of a run's model without a download and without writing anything, for a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rl.config.schema import ModelConfig
from rl.models.chat import load_tokenizer
from rl.models.nano import build_tokenizer, resolve_model
from rl.models.template import bind


def tokenizer_at_hand(model: ModelConfig) -> Any | None:
    """The tokenizer that a run would have; None for a model of the hub that is not on this machine.

    Raises:
        UserError: if the model's folder can't be used.
    """
    if model.path is None:
        return bind(build_tokenizer(model.nano.vocab_size))
    path = model.path
    if not Path(path).expanduser().is_dir():
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        try:
            file = try_to_load_from_cache(path, "tokenizer_config.json")
        except HFValidationError:  # reported where the model is loaded
            return None
        if not isinstance(file, str):
            return None
        return bind(load_tokenizer(str(Path(file).parent), model.trust_remote_code))
    return bind(load_tokenizer(resolve_model(model, 0, Path()), model.trust_remote_code))
