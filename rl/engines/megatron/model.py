"""Rows of tokens (:mod:`rl.engines.layout`) through megatron-core's GPTModel.

Three parts of the model are replaced, none of megatron's code is changed: attention is
:func:`rl.engines.attention.attend` on this rank's heads, the angles of rotary positions come from each token's own
position, and the output layer is :class:`rl.engines.megatron.head.Head`. What belongs to a micro-batch travels as
``packed_seq_params``, which megatron hands to every layer as it is, also in pipelines and when activations are computed
again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from megatron.core import parallel_state
from megatron.core.models.gpt import GPTModel
from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
from megatron.core.packed_seq_params import PackedSeqParams
from megatron.core.transformer.module import MegatronModule
from megatron.core.transformer.spec_utils import ModuleSpec
from megatron.core.transformer.transformer_block import TransformerBlockSubmodules, get_num_layers_to_build
from megatron.core.transformer.transformer_config import TransformerConfig
from megatron.core.transformer.transformer_layer import get_transformer_layer_offset
from torch import Tensor

from rl.config.schema import TrainerConfig
from rl.engines.attention import SpanTable, attend, table
from rl.engines.layout import MicroBatch
from rl.engines.megatron import context, experts, te
from rl.engines.megatron.head import Head
from rl.engines.varlen import Attention, attention


@dataclass
class _Row(PackedSeqParams):
    """A micro-batch on its way through the layers. The format "sbhd" keeps megatron from cutting it."""

    qkv_format: str = "sbhd"
    spans: SpanTable | context.Share | None = None
    positions: Tensor | None = None
    attend: Attention = attend
    tokens: int = 0
    """Tokens of the row; what comes after them is padding up to a multiple of the tensor-parallel size."""


class _Attention(MegatronModule):
    """query [T, 1, H/tp, D], key and value [T, 1, Hkv/tp, D] to [T, 1, H/tp · D]."""

    def __init__(self, config: TransformerConfig, *_: Any, softmax_scale: float | None = None, **__: Any) -> None:
        super().__init__(config=config)
        self._scale = softmax_scale

    def forward(self, query: Tensor, key: Tensor, value: Tensor, *_: Any, packed_seq_params: _Row, **__: Any) -> Tensor:
        row = packed_seq_params
        if isinstance(row.spans, context.Share):
            group = parallel_state.get_context_parallel_group()
            out = context.attend(query[:, 0], key[:, 0], value[:, 0], row.spans, self._scale, group)
            return out.flatten(1)[:, None]
        q, k, v = (states[: row.tokens].permute(1, 2, 0, 3) for states in (query, key, value))
        out = row.attend(self, q, k, v, None, scaling=self._scale, spans=row.spans)[0]  # [1, T, H/tp, D]
        return F.pad(out[0].flatten(1)[:, None], (0, 0, 0, 0, 0, len(query) - row.tokens))


class _Rotary(torch.nn.Module):
    """Angles [T, 1, 1, D] of the row's own positions. The frequencies are transformers' for this model."""

    def __init__(self, hf_config: Any) -> None:
        from transformers import AutoModelForCausalLM

        super().__init__()
        with torch.device("meta"):
            kind = type(AutoModelForCausalLM.from_config(hf_config).model.rotary_emb)
        rotary = kind(hf_config, device=torch.device("cpu"))
        assert rotary.attention_scaling == 1.0, "refused before the start"
        self._frequencies = rotary.inv_freq.float()

    def get_rotary_seq_len(self, *arguments: Any, **_: Any) -> Tensor:
        positions: Tensor = arguments[4].positions
        return positions

    def forward(self, positions: Tensor, **_: Any) -> Tensor:
        self._frequencies = self._frequencies.to(positions.device)
        angles = positions[0, :, None].float() * self._frequencies
        return torch.cat([angles, angles], dim=-1)[:, None, None]


class _RMSNorm(torch.nn.RMSNorm):
    """Marks its weight under sequence parallelism: megatron then sums its gradient over the tensor-parallel ranks."""

    def __init__(self, config: TransformerConfig, hidden_size: int, eps: float = 1e-6, **_: Any) -> None:
        super().__init__(hidden_size, eps=eps, dtype=config.params_dtype, device=torch.cuda.current_device())
        weight: Any = self.weight
        weight.sequence_parallel = config.sequence_parallel


def _leave(weight: Tensor) -> Tensor:
    return weight


def transformer_config(hf: Any, trainer: TrainerConfig, dtype: torch.dtype) -> TransformerConfig:
    """megatron-core's configuration of a Qwen3, Qwen3-MoE, Qwen2.5 or Llama model."""
    recompute: dict[str, Any] = {}
    if trainer.recomputes == "full":
        recompute = {"recompute_granularity": "full", "recompute_method": "uniform", "recompute_num_layers": 1}
    elif trainer.recomputes == "selective":
        recompute = {"recompute_granularity": "selective", "recompute_modules": ["core_attn"]}
    return TransformerConfig(
        num_layers=hf.num_hidden_layers,
        hidden_size=hf.hidden_size,
        ffn_hidden_size=hf.intermediate_size,
        num_attention_heads=hf.num_attention_heads,
        num_query_groups=hf.num_key_value_heads,
        kv_channels=getattr(hf, "head_dim", None) or hf.hidden_size // hf.num_attention_heads,
        normalization="RMSNorm",
        layernorm_epsilon=hf.rms_norm_eps,
        gated_linear_unit=True,
        activation_func=F.silu,
        add_bias_linear=False,
        add_qkv_bias=hf.model_type == "qwen2",
        qk_layernorm=hf.model_type in ("qwen3", "qwen3_moe"),
        hidden_dropout=0.0,
        attention_dropout=0.0,
        bf16=dtype == torch.bfloat16,
        params_dtype=dtype,
        pipeline_dtype=dtype,
        tensor_model_parallel_size=trainer.tensor_parallel,
        pipeline_model_parallel_size=trainer.pipeline_parallel,
        context_parallel_size=trainer.context_parallel,
        sequence_parallel=trainer.sequence_parallel and trainer.tensor_parallel > 1,
        # Every weight is read from the checkpoint: the layers need not fill it first.
        init_method=_leave,
        output_layer_init_method=_leave,
        embedding_init_method=_leave,
        use_cpu_initialization=not torch.cuda.is_available(),
        variable_seq_lengths=True,  # rows differ in length
        moe_token_dispatcher_type="alltoall",  # megatron asks for it with rows of several lengths
        batch_p2p_comm=False,
        masked_softmax_fusion=False,
        gradient_accumulation_fusion=False,
        bias_dropout_fusion=False,
        bias_activation_fusion=False,
        apply_rope_fusion=False,
        calculate_per_token_loss=True,  # a loss is a sum; the gradient is divided once, at the end
        **experts.config_of(hf, trainer),
        **recompute,
    )


def _layer(hf: Any, config: TransformerConfig, number: int, kernels: str) -> ModuleSpec:
    """A layer of the model, counted from 0."""
    spec = get_gpt_layer_local_spec(qk_layernorm=config.qk_layernorm, normalization="RMSNorm")
    inside = spec.submodules
    inside.input_layernorm = inside.pre_mlp_layernorm = _RMSNorm
    attention = inside.self_attention.submodules
    attention.core_attention = _Attention
    if config.qk_layernorm:
        attention.q_layernorm = attention.k_layernorm = _RMSNorm
    mixture = experts.feed_forward(hf, number)
    inside.mlp = mixture or inside.mlp
    return te.put_into(spec, experts=mixture is not None) if kernels == "transformer_engine" else spec


class RowModel:
    """This rank's part of a model."""

    def __init__(self, hf: Any, config: TransformerConfig, kernels: str) -> None:
        """Build it without weights, with ``trainer.kernels``. megatron's process groups must exist."""
        self.config = config
        self._attend = attention(kernels, config.params_dtype)
        first = get_transformer_layer_offset(config)
        layers = [_layer(hf, config, first + layer, kernels) for layer in range(get_num_layers_to_build(config))]
        self.module: Any = GPTModel(
            config,
            TransformerBlockSubmodules(layer_specs=layers, layer_norm=_RMSNorm),
            vocab_size=hf.vocab_size,
            max_sequence_length=hf.max_position_embeddings,
            pre_process=parallel_state.is_pipeline_first_stage(),
            post_process=parallel_state.is_pipeline_last_stage(),
            parallel_output=True,
            position_embedding_type="rope",
            share_embeddings_and_output_weights=hf.tie_word_embeddings,
        )
        experts.mark(self.module)
        self.module.rotary_pos_emb = _Rotary(hf)
        group, contexts = parallel_state.get_tensor_model_parallel_group(), parallel_state.get_context_parallel_group()
        self._multiple = group.size() if config.sequence_parallel else 1
        self._context = context.Context(contexts, self._multiple) if contexts.size() > 1 else None
        self.prepare = self._context.share if self._context else table
        """Makes of a row's spans what attention takes."""
        self._head = (
            Head(self.module.output_layer, config.sequence_parallel, group) if self.module.post_process else None
        )

    @property
    def first_layer(self) -> int:
        """Number of this stage's first layer in the model, from 0."""
        return int(self.module.decoder.layers[0].layer_number) - 1

    def __call__(self, micro: MicroBatch, temperature: float) -> Tensor:
        """Log-probs and entropies of the targets [S, 1, 2] on the last pipeline stage, hidden states on the others."""
        if self._context is not None:
            micro, mine = self._context.cut(micro)
        tokens = micro.input_ids.shape[1]
        ids, positions = (F.pad(x, (0, -tokens % self._multiple)) for x in (micro.input_ids, micro.position_ids))
        if self._head is not None:
            self._head.micro, self._head.temperature = micro, temperature
        row = _Row(attend=self._attend, spans=micro.spans, positions=positions, tokens=tokens)
        answer: Tensor = self.module(ids, positions, None, packed_seq_params=row)
        if self._head is None:
            return answer
        answer = answer.transpose(0, 1)  # megatron puts the batch first at the end
        return answer if self._context is None else self._context.join(answer, mine)
