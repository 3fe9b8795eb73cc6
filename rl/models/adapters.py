"""Which models allow a LoRA adapter to be handed over without the model's weights."""

from __future__ import annotations

from typing import Any

from rl.config.schema import ModelConfig
from rl.errors import UserError


def require_portable_adapter(model: ModelConfig, architecture: Any) -> None:
    """Check that vLLM can apply the adapter, where ``rollout.weight_transfer=adapter`` hands over only the adapter.

    For experts that transformers holds as one parameter, peft uses a factor of another form, and vLLM reads no format
    with it.

    Raises:
        UserError: if the model has such experts.
    """
    import torch
    from peft import LoraConfig, get_peft_model
    from peft.tuners.lora.layer import ParamWrapper
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        base = AutoModelForCausalLM.from_config(architecture, trust_remote_code=model.trust_remote_code)
        adapted = get_peft_model(base, LoraConfig(r=model.lora_rank, target_modules="all-linear"))
    found = next((name for name, layer in adapted.named_modules() if isinstance(layer, ParamWrapper)), None)
    if found is not None:
        raise UserError(
            f"the adapter of this model ({architecture.model_type}) can't be handed to vLLM without the weights: "
            f"its experts ({found.removeprefix('base_model.model.')}) are one parameter to the trainer. Set "
            "rollout.weight_transfer=auto, which hands over the merged weights"
        )
