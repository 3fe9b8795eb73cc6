"""The rollout actor that tests share, which can be slowed down, and its model: a tiny Qwen2 with a nano tokenizer."""

import json
import shutil
import time
from pathlib import Path

import ray

from cluster.health import Supervised
from rl.actors import rollout as rollout_module
from rl.actors.rollout import RolloutActor, RolloutSpec
from rl.config.schema import ModelConfig, RolloutConfig

MAX_LENGTH = 256
WISHES = {"eos_token_id": 2, "repetition_penalty": 3.0, "top_k": 5, "top_p": 0.5, "min_p": 0.2, "temperature": 0.3}
"""Sampling settings in the model's folder, which must change nothing."""


class SlowActor(RolloutActor):
    """The real engine, with a pause before every step."""

    def __init__(self, spec: RolloutSpec) -> None:
        super().__init__(spec)
        self.pause_s = 0.0
        step = self.llm.llm_engine.step

        def slowed():
            time.sleep(self.pause_s)
            return step()

        self.llm.llm_engine.step = slowed

    def slow_down(self, pause_s: float) -> None:
        self.pause_s = pause_s


def make_model(nano: Path, folder: Path) -> Path:
    """A random Qwen2 with untied embeddings and the tokenizer of a nano model with 1,500 tokens. Its norms and biases
    differ from 1 and 0."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    size = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    tokens = {"bos_token_id": None, "eos_token_id": 2, "pad_token_id": 0}
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            **size, **tokens, vocab_size=1500, num_key_value_heads=1, max_position_embeddings=MAX_LENGTH,
            tie_word_embeddings=False,
        )
    )  # fmt: skip
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name or name.endswith("bias"):
                parameter.add_(0.2 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    for file in nano.glob("*token*"):
        shutil.copy(file, folder)
    (folder / "generation_config.json").write_text(json.dumps(WISHES))
    return folder


def start(spec: RolloutSpec, actor: type[RolloutActor] = RolloutActor, most_restarts: int = 0) -> Supervised:
    """A rollout actor that is up."""

    def up(handle):
        ray.get(handle.ready.remote(), timeout=300)

    options = {"num_cpus": 0, "runtime_env": {"env_vars": rollout_module.environment(spec)}}
    found = Supervised("rollout/tested", actor, (spec,), options, most_restarts, up)
    up(found.handle)
    return found


def spec_of(path: str, max_length: int, lora_rank: int = 0, backend: str = "shm") -> RolloutSpec:
    model = ModelConfig(path=path, max_length=max_length, lora_rank=lora_rank)
    return RolloutSpec(model, RolloutConfig(threads=1), path, "cpu", 0, backend)
