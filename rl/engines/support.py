"""Which models the trainer can compute exactly. Others are refused with a reason before anything starts."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rl.config.parallel import FAMILIES
from rl.errors import UserError
from rl.models.checkpoint_format import CheckpointFormat
from rl.models.source import copy_beside_weights, require_plain
from rl.models.stored import misfit, stored_shapes, weight_files

CHANGES_LOGITS = (
    "final_logit_softcapping",
    "attn_logit_softcapping",
    "logits_soft_cap",
    "logits_scaling",
    "logit_scale",
    "lm_head_multiplier",
)
"""Settings of models that change logits in a way that our attention and output layer do not compute."""
ATTENTION = {
    "full_attention",
    "sliding_attention",
    "chunked_attention",
    "attention",
    "global",
    "moe",
    "dense",
    "sparse",
}
"""Kinds of layers that mix tokens only in attention."""
MIXERS = {
    "bamba",
    "falcon_h1",
    "falcon_mamba",
    "granitemoehybrid",
    "jamba",
    "kimi_linear",
    "lfm2",
    "lfm2_moe",
    "mamba",
    "mamba2",
    "minimax",
    "nemotron_h",
    "olmo_hybrid",
    "qwen3_5",
    "qwen3_5_moe",
    "qwen3_5_moe_text",
    "qwen3_5_text",
    "qwen3_next",
    "recurrent_gemma",
    "rwkv",
    "xlstm",
    "zamba",
    "zamba2",
}
"""Model types with recurrent, convolutional or linear-attention layers."""
WINDOWS = ("sliding_window", "attention_chunk_size", "attention_window_size", "local_attention", "index_topk")
"""Settings for how far back attention looks. Only the FSDP2 engine computes the first."""

CPU_HEADS = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)
"""Head sizes that vLLM's attention supports on a CPU."""
LATENT = {"deepseek_v2", "deepseek_v3", "glm4_moe_lite", "glm_moe_dsa", "longcat_flash"}
"""Model types with multi-head latent attention in vLLM."""
BIASED_ROUTERS = {"ernie4_5_moe", "laguna", "minimax_m2"}
"""Model types that choose among all experts, not within groups, by scores with a correction bias."""


def load_architecture(path: str, trust_remote_code: bool) -> Any:
    """The configuration of a model folder or hub name.

    Raises:
        UserError: if transformers can't read it, or does not know the architecture.
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig

    require_plain(path)
    try:
        return AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, StrictDataclassError) as error:
        reason = " ".join(str(error).split())[:600]
        raise UserError(f"the configuration of {path} can't be read: {reason}") from error


def require_supported(config: Any, max_length: int, trust_remote_code: bool = False, slides: bool = True) -> None:
    """Check a Hugging Face model configuration, and try a small model of its architecture (:mod:`rl.engines.twin`).

    Args:
        config: of the model.
        max_length: of a run's sequences (tokens).
        trust_remote_code: whether code beside the weights may run.
        slides: whether the training engine computes sliding windows.

    Raises:
        UserError: if log-probs would be wrong: another kind of model, layers that mix tokens outside attention, changed
            logits, or positions or an attention window shorter than ``max_length`` that the engine does not compute.
    """
    from rl.engines.twin import require_exact

    _require_language_model(config)
    _require_attention_alone(config)
    for name in CHANGES_LOGITS:
        if getattr(config, name, None) not in (None, 1, 1.0):
            raise _refusal(config, f"{name} changes their logits, and log-probs would be wrong")
    _require_length(config, max_length, WINDOWS[1:] if slides else WINDOWS)
    require_exact(config, max_length, trust_remote_code)


def require_sampled_on_cpu(config: Any) -> None:
    """Check that vLLM can sample from a model on a CPU, where it supports less than on a GPU.

    Raises:
        UserError: if it fails there, or if its log-probs are wrong.
    """
    name = config.model_type
    if name in BIASED_ROUTERS:
        raise UserError(
            f"models of type {name} can't be sampled from on a CPU: vLLM's router ignores the correction bias of their "
            f"experts there, or has no such router; use a GPU, or another model"
        )
    if name in LATENT and getattr(config, "kv_lora_rank", None):
        raise UserError(
            f"models of type {name} can't be sampled from on a CPU: vLLM's latent attention supports one size there, "
            f"and its log-probs are wrong; use a GPU, or another model"
        )
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    if size not in CPU_HEADS:
        raise UserError(
            f"this model ({name}) can't be sampled from on a CPU: its heads have the size {size}, and vLLM supports "
            f"{', '.join(map(str, CPU_HEADS))} there; use a GPU, or another model"
        )


def require_vocabulary(config: Any, tokenizer: Any) -> None:
    """Check that every token has a row in the embedding. More rows than tokens are fine (padded vocabularies).

    Raises:
        UserError: if a token, special ones included, has no row.
    """
    beyond = {number: token for token, number in tokenizer.get_vocab().items() if number >= config.vocab_size}
    if beyond:
        last = max(beyond)
        raise UserError(
            f"the tokenizer has {len(beyond)} tokens beyond the {config.vocab_size} rows of the model's embedding (up "
            f"to {beyond[last]!r}, number {last}); take the model's own tokenizer, or resize the embedding"
        )


def require_weights(path: str, config: Any) -> None:
    """Check by the headers of a folder's files that they hold the weights of its model; hub names pass.

    Names are compared where the files have those of this version of transformers, and the model is of a family that has
    no others. Weights that are missing would be random, and the run would not know.

    Raises:
        UserError: if a file is missing or damaged, or a weight is missing or of another shape.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        return
    held = stored_shapes(weight_files(folder))
    if config.model_type not in FAMILIES:
        return
    wanted = CheckpointFormat(config).checkpoint_shapes
    problem = misfit(held, wanted)
    if problem and held.keys() & wanted.keys():
        raise UserError(
            f"the weights in {folder} are not those of the model in its config.json: {problem}; give both of one model"
        )


def require_exportable(path: str, trust_remote_code: bool) -> None:
    """Try the end of a stage in a temporary folder: copy the files beside the weights, and read them back.

    Raises:
        UserError: if a file can't be copied or read back, or if config.json does not name one architecture.
    """
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as folder:
        try:
            copy_beside_weights(path, Path(folder), "float32", with_code=trust_remote_code)
            config = load_architecture(folder, trust_remote_code)
            AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
        except (OSError, ValueError) as error:
            raise UserError(
                f"the trained model could not be exported: the files beside the weights of {path} can't be copied and "
                f"read back ({str(error).splitlines()[0]})"
            ) from error
    if len(config.architectures or ()) != 1:
        raise UserError(
            f"config.json of {path} names {len(config.architectures or ())} architectures; name only the causal "
            f'language model there, such as "architectures": ["Qwen2ForCausalLM"]'
        )


def _refusal(config: Any, reason: str) -> UserError:
    return UserError(f"models of type {config.model_type} can't be trained: {reason}")


def _require_language_model(config: Any) -> None:
    if getattr(config, "quantization_config", None):
        raise _refusal(config, "this one is quantised, and training needs unquantised weights; use those")
    if getattr(config, "is_encoder_decoder", False):
        raise _refusal(config, "they have an encoder, and the trainer supports only decoders")
    names = ("vision_config", "audio_config", "text_config", "thinker_config")
    parts = [name for name in names if getattr(config, name, None) is not None]
    if parts:
        what = f"they wrap a language model with other parts ({', '.join(parts)})"
        raise _refusal(config, f"{what}; use a text-only model")
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    own_code = getattr(config, "auto_map", None) or {}
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING and "AutoModelForCausalLM" not in own_code:
        raise _refusal(config, "transformers knows no causal language model of this type")


def _require_attention_alone(config: Any) -> None:
    kinds = [
        kind
        for name in ("layer_types", "layers_block_type", "block_types")
        for kind in (getattr(config, name, None) or ())
    ]
    others = sorted(set(kinds) - ATTENTION) if kinds else [config.model_type] * (config.model_type in MIXERS)
    if others:
        raise _refusal(
            config,
            f"with layers that mix tokens outside attention ({', '.join(others)}), sequences in one row would see "
            f"each other",
        )
    if not hasattr(config, "num_key_value_heads"):
        raise _refusal(config, "their configuration has no num_key_value_heads, which the training engine needs")


def _require_length(config: Any, max_length: int, windows: Sequence[str]) -> None:
    """Check that positions and ``windows`` reach ``max_length``, and that trainer and sampler scale positions alike."""
    fix = f"model.max_length={max_length}; lower model.max_length to"
    longest = getattr(config, "max_position_embeddings", None)
    if longest and 0 < longest < max_length:
        raise UserError(f"this model ({config.model_type}) has positions up to {longest}, less than {fix} {longest}")
    for name, rope in _ropes(config):
        original = rope.get("original_max_position_embeddings") or getattr(
            config, "original_max_position_embeddings", None
        )
        if name in ("longrope", "su", "dynamic") and original and original < max_length:
            raise UserError(
                f"this model ({config.model_type}) scales positions beyond {original} by {name} rope, which trainer "
                f"and sampler compute differently; {original} is less than {fix} {original}"
            )
    layers = getattr(config, "layer_types", None)
    for name in windows:
        window = getattr(config, name, None)
        slides = {"sliding_attention", "chunked_attention"} & set(layers) if layers else True
        if not getattr(config, "use_sliding_window", True):
            slides = False
        if isinstance(window, int) and window and slides and window < max_length:
            raise UserError(
                f"this model ({config.model_type}) attends within a window of {window} tokens, less than {fix} {window}"
            )


def _ropes(config: Any) -> list[tuple[str, dict[str, Any]]]:
    """(Kind, settings) of each rotary position embedding of a model."""
    ropes = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    each = [rope for rope in (ropes, *ropes.values()) if isinstance(rope, dict)]
    return [(str(rope.get("rope_type") or rope.get("type")), rope) for rope in each]
