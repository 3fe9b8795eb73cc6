"""Which models are refused before anything starts, and which files of a model's folder an export keeps."""

import json
import shutil

import pytest
import yaml
from safetensors.torch import load_file, save_file
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from rl.engines import twin
from rl.engines.support import (
    load_architecture,
    require_exportable,
    require_sampled_on_cpu,
    require_supported,
    require_vocabulary,
    require_weights,
)
from rl.engines.twin import require_exact
from rl.errors import UserError
from rl.models.source import copy_beside_weights
from tests.e2e.runs import fail
from tests.rl.engines.architectures import SIZES, build

HYBRID = {"layer_types": ["linear_attention", "full_attention"], "linear_num_value_heads": 2}
SIZED = ("qwen3_next", "qwen3_5_text", "qwen2", "llama", "mistral", "phi3", "gpt_oss", "gemma2", "cohere2")


def config(model_type, **settings):
    sizes = SIZES if model_type in SIZED else {}
    return CONFIG_MAPPING[model_type](**{**sizes, **settings})


@pytest.mark.parametrize(
    ("model_type", "settings", "words"),
    [
        ("qwen3_next", HYBRID, "mix tokens outside attention .linear_attention"),
        ("qwen3_5_text", HYBRID, "mix tokens outside attention .linear_attention"),
        (
            "lfm2",
            {"layer_types": ["conv", "full_attention"], "num_hidden_layers": 2},
            "mix tokens outside attention .conv",
        ),
        ("falcon_h1", {}, "mix tokens outside attention"),
        ("jamba", {}, "mix tokens outside attention"),
        ("mamba2", {}, "mix tokens outside attention"),
        ("rwkv", {}, "mix tokens outside attention"),
        ("gpt_oss", {"sliding_window": 512}, "sinks"),
        ("gemma2", {"sliding_window": 512}, "final_logit_softcapping"),
        ("cohere2", {"sliding_window": 512}, "logit_scale"),
        ("bloom", {}, "num_key_value_heads"),
        ("mpt", {}, "num_key_value_heads"),
        ("gpt2", {}, "num_key_value_heads"),
        ("falcon", {}, "num_key_value_heads"),
        ("diffllama", {}, "attention does not use the interface"),
        ("stablelm", {}, "passes no keyword arguments"),
        ("phi", {}, "a bias in their output layer"),
        ("phimoe", {}, "attention or output layer does not"),
        ("t5", {}, "have an encoder"),
        ("qwen2_5_vl", {}, "wrap a language model with other parts"),
        ("qwen3_vl", {}, "wrap a language model with other parts"),
        ("gemma3", {}, "wrap a language model with other parts"),
        ("clip_text_model", {}, "knows no causal language model"),
        ("qwen2", {"quantization_config": {"quant_method": "gptq", "bits": 4}}, "quantised"),
        ("llama", {"max_position_embeddings": 64}, "lower model.max_length to 64"),
        ("llama4_text", {"attention_chunk_size": 96}, "window of 96 tokens, less than model.max_length=128"),
    ],
)
def test_unsupported_models_are_refused(model_type, settings, words):
    with pytest.raises(UserError, match=words):
        require_supported(config(model_type, **settings), 128)


@pytest.mark.parametrize(
    ("model_type", "words"),
    [
        ("qwen3_next", "mix tokens"),
        ("falcon_mamba", "mix tokens"),
        ("olmo_hybrid", "mix tokens"),
        ("openai-gpt", "mix tokens"),
        ("gemma2", "attention or output layer does not"),
        ("cohere", "attention or output layer does not"),
        ("nanochat", "attention or output layer does not"),
        ("doge", "attention or output layer does not"),
    ],
)
def test_a_small_model_shows_what_no_list_names(model_type, words):
    with pytest.raises(UserError, match=words):
        require_exact(CONFIG_MAPPING[model_type](), 128)


LONG_ROPE = {"rope_type": "longrope", "short_factor": [1.0] * 16, "long_factor": [4.0] * 16, "rope_theta": 10_000.0}


def test_scaled_positions_are_right_up_to_a_length():
    rope = {"rope_type": "dynamic", "factor": 4.0, "original_max_position_embeddings": 96, "rope_theta": 10_000.0}
    for model in (
        config("phi3", rope_parameters=LONG_ROPE, pad_token_id=0, original_max_position_embeddings=96),
        config("llama", rope_parameters=rope),
    ):
        require_supported(model, 96)
        with pytest.raises(UserError, match=r"lower model\.max_length to 96"):
            require_supported(model, 128)


@pytest.mark.parametrize(
    ("model_type", "settings", "words"),
    [
        ("ernie4_5_moe", {}, "ignores the correction bias"),
        ("minimax_m2", {}, "use a GPU"),
        ("laguna", {}, "use a GPU"),
        ("deepseek_v3", {}, "latent attention"),
        ("llama", {"head_dim": 16}, "heads have the size 16, and vLLM supports 32, 64"),
        ("qwen2", {"hidden_size": 96, "head_dim": None}, "heads have the size 24"),
    ],
)
def test_models_that_vllm_can_not_sample_from_on_a_cpu_are_refused(model_type, settings, words):
    with pytest.raises(UserError, match=words):
        require_sampled_on_cpu(config(model_type, **settings))


def test_models_that_vllm_samples_from_on_a_cpu_are_not_refused():
    for model_type, settings in (("glm4_moe", {"head_dim": 128}), ("qwen2", {}), ("llama", {})):
        require_sampled_on_cpu(config(model_type, **settings))


def test_noise_in_training_is_found():
    import torch

    class Noisy(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, hidden):
            return self.inner(hidden) + 0.01 * self.training * torch.randn_like(hidden)

    model = twin._build(config("llama"), False)
    model.model.norm = Noisy(model.model.norm)
    found = twin._differences(model, 128)
    assert found["alone"] < twin.LIMIT and found["together"] < twin.LIMIT < found["training"]


REAL = yaml.safe_load("""
Qwen2.5-72B: {model_type: qwen2, hidden_size: 8192, intermediate_size: 29568, num_hidden_layers: 80, vocab_size: 152064,
  num_attention_heads: 64, num_key_value_heads: 8, max_position_embeddings: 32768}
Qwen3-235B-A22B: {model_type: qwen3_moe, hidden_size: 4096, intermediate_size: 12288, num_hidden_layers: 94,
  num_attention_heads: 64, num_key_value_heads: 4, head_dim: 128, num_experts: 128, num_experts_per_tok: 8,
  moe_intermediate_size: 1536, vocab_size: 151936, max_position_embeddings: 40960}
Llama-3.1-70B: {model_type: llama, hidden_size: 8192, intermediate_size: 28672, num_hidden_layers: 80,
  num_attention_heads: 64, num_key_value_heads: 8, vocab_size: 128256, max_position_embeddings: 131072,
  eos_token_id: [128001, 128008], bos_token_id: 128000, rope_parameters: {rope_type: llama3, rope_theta: 500000.0,
  factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 8192}}
GLM-4-32B: {model_type: glm4, hidden_size: 6144, intermediate_size: 23040, num_hidden_layers: 61, head_dim: 128,
  num_attention_heads: 48, num_key_value_heads: 8, vocab_size: 151552, pad_token_id: 151329}
GLM-4.5-Air: {model_type: glm4_moe, hidden_size: 4096, intermediate_size: 10944, num_hidden_layers: 46, head_dim: 128,
  num_attention_heads: 96, num_key_value_heads: 8, n_routed_experts: 128, num_experts_per_tok: 8,
  moe_intermediate_size: 1408, vocab_size: 151552, pad_token_id: 151329}
DeepSeek-V3: {model_type: deepseek_v3, hidden_size: 7168, num_hidden_layers: 61, n_routed_experts: 256,
  rope_parameters: {rope_type: yarn, factor: 40, original_max_position_embeddings: 4096, beta_fast: 32, beta_slow: 1,
  mscale: 1.0, mscale_all_dim: 1.0, rope_theta: 10000.0}}
ERNIE-4.5-21B-A3B: {model_type: ernie4_5_moe, hidden_size: 2560, num_hidden_layers: 28, moe_num_experts: 64, moe_k: 6,
  moe_intermediate_size: 1536, num_attention_heads: 20, num_key_value_heads: 4}
Hunyuan-7B: {model_type: hunyuan_v1_dense, hidden_size: 4096, num_hidden_layers: 32, num_attention_heads: 32,
  num_key_value_heads: 8, head_dim: 128, vocab_size: 128167, pad_token_id: 127961, max_position_embeddings: 32768,
  rope_parameters: {rope_type: dynamic, alpha: 1000.0, factor: 1.0, rope_theta: 10000.0}}
Hunyuan-A13B: {model_type: hunyuan_v1_moe, hidden_size: 4096, num_hidden_layers: 4, num_attention_heads: 32,
  head_dim: 128, num_key_value_heads: 8, num_experts: 64, moe_topk: [8, 8, 8, 8],
  moe_intermediate_size: [3072, 3072, 3072, 3072],
  num_shared_expert: [1, 1, 1, 1], vocab_size: 128167, max_position_embeddings: 32768,
  rope_parameters: {rope_type: dynamic, alpha: 1000.0, factor: 1.0, rope_theta: 10000.0}}
DeepSeek-V2-Lite: {model_type: deepseek_v2, hidden_size: 2048, num_hidden_layers: 27, num_attention_heads: 16,
  num_key_value_heads: 16, q_lora_rank: null, kv_lora_rank: 512, qk_nope_head_dim: 128, qk_rope_head_dim: 64,
  v_head_dim: 128, n_routed_experts: 64, n_shared_experts: 2, num_experts_per_tok: 6, moe_intermediate_size: 1408,
  topk_method: greedy, n_group: 1, topk_group: 1, first_k_dense_replace: 1, max_position_embeddings: 163840}
dots.llm1: {model_type: dots1, hidden_size: 4096, num_hidden_layers: 62, num_attention_heads: 32,
  num_key_value_heads: 32, n_routed_experts: 128, n_shared_experts: 2, num_experts_per_tok: 6,
  moe_intermediate_size: 1408, n_group: 1,
  topk_group: 1, first_k_dense_replace: 1, vocab_size: 152064, max_position_embeddings: 32768}
Phi-4-mini: {model_type: phi3, hidden_size: 3072, num_hidden_layers: 32, num_attention_heads: 24,
  num_key_value_heads: 8, vocab_size: 200064, max_position_embeddings: 131072, pad_token_id: 199999,
  original_max_position_embeddings: 4096}
""")
REAL["Phi-4-mini"]["rope_parameters"] = {
    **LONG_ROPE,
    "partial_rotary_factor": 0.75,
    "short_factor": [1.0] * 48,
    "long_factor": [2.0] * 48,
}


@pytest.mark.parametrize("name", REAL)
def test_models_of_any_size_are_tried_as_small_models(name):
    settings = dict(REAL[name])
    require_supported(CONFIG_MAPPING[settings.pop("model_type")](**settings), 4096)


def test_every_token_has_a_row_in_the_embedding(models, tmp_path):
    from transformers import AutoConfig, AutoTokenizer

    model, tokenizer = AutoConfig.from_pretrained(models["tied"]), AutoTokenizer.from_pretrained(models["tied"])
    require_vocabulary(model, tokenizer)
    model.vocab_size = len(tokenizer) + 128  # padded
    require_vocabulary(model, tokenizer)
    model.vocab_size = len(tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|law|>"]})
    with pytest.raises(UserError, match=r"1 tokens beyond the 1500 rows .* '<\|law\|>', number 1500"):
        require_vocabulary(model, tokenizer)


def test_an_export_keeps_the_files_beside_the_weights(models, tmp_path):
    source, into = tmp_path / "source", tmp_path / "export"
    source.mkdir()
    into.mkdir()
    files = {
        "generation_config.json": '{"do_sample": false, "temperature": 0.3,   "stop": "。"}',
        "tokenizer.json": "{ }",
        "vocab.txt": "法\n",
        "chat_template.jinja": "{{ 1 }}",
    }
    left = {"model.safetensors": "w", "model.safetensors.index.json": "{}", "README.md": "old", "modeling_x.py": "x"}
    for name, text in {**files, **left}.items():
        (source / name).write_text(text)
    known = {
        "attention_dropout": 0.1,
        "tie_word_embeddings": True,
        "own_key": [1, {"法": 2}],
        "torch_dtype": "bfloat16",
    }
    (source / "config.json").write_text(json.dumps(known))
    copy_beside_weights(str(source), into, "float32", with_code=False)
    assert {path.name: path.read_text() for path in into.iterdir() if path.name != "config.json"} == files
    assert json.loads((into / "config.json").read_text()) == {**known, "torch_dtype": "float32"}
    copy_beside_weights(str(source), into, "float32", with_code=True)
    assert (into / "modeling_x.py").read_text() == "x"


def test_weights_that_are_not_those_of_the_configuration_are_refused(models, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(models["tied"], folder)

    def check(**changed):
        config = load_architecture(str(folder), False)
        config.update({**changed, "layer_types": ["full_attention"] * changed.get("num_hidden_layers", 2)})
        require_weights(str(folder), config)

    check()
    check(num_hidden_layers=1)  # what is too much does not matter
    with pytest.raises(UserError, match=r"of the model in its config.json: model\.layers\.2\..* is missing; give both"):
        check(num_hidden_layers=3)
    with pytest.raises(UserError, match=r"gate_proj\.weight has the shape 128 x 64 and not 96 x 64"):
        check(intermediate_size=96)
    require_weights("owner/name", load_architecture(str(folder), False))  # a hub's weights are not here yet
    weights = load_file(folder / "model.safetensors")
    save_file({f"other.{name}": tensor for name, tensor in weights.items()}, folder / "model.safetensors")
    check()  # names of which transformers may know more
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"has no model\.safetensors"):
        check()


def test_models_that_can_not_be_exported_are_refused(models, tmp_path):
    require_exportable(str(models["tied"]), False)
    folder = build("qwen2", tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": None}))
    with pytest.raises(UserError, match="names 0 architectures"):
        require_exportable(str(folder), False)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(UserError, match="could not be exported"):
        require_exportable(str(folder), False)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model_type": "unheard_of"}, "does not recognize this architecture"),
        ({"model_type": "own", "auto_map": {"AutoConfig": "own.Own"}}, "trust_remote_code=True"),
        ({"model_type": "llama", "hidden_size": "many"}, "hidden_size"),
    ],
)
def test_an_unknown_architecture_is_an_error(tmp_path, settings, words):
    (tmp_path / "config.json").write_text(json.dumps(settings))
    (tmp_path / "own.py").write_text("")
    with pytest.raises(UserError, match=words):
        load_architecture(str(tmp_path), False)


def test_a_refusal_comes_before_ray(tmp_path):
    folder = build("llama", tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 1000}))
    message = fail(tmp_path / "run", f"model.path={folder}", "model.max_length=256")
    assert "24 tokens beyond the 1000 rows" in message and "Ray is up" not in message
