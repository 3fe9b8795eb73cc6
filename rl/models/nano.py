"""The nano model: a small Qwen3 from scratch, a tokenizer trained on the statutes; so everything runs anywhere."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from curricula.statutes import load_statutes, printed_articles, reading
from curricula.tasks import TASKS, make_prompts
from rl.config.schema import ModelConfig, NanoConfig
from rl.errors import UserError
from rl.models.control import TAGS

RECIPE = 3
"""To be increased whenever the code below makes another model from the same configuration."""
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def resolve_model(config: ModelConfig, seed: int, cache: Path) -> str:
    """Folder or hub name of the model that a run starts from; the nano model is built when it is not there yet.

    Raises:
        UserError: if a local folder lacks a configuration or weights.
    """
    if config.path is None:
        return str(ensure_nano(config.nano, seed, config.max_length, cache))
    folder = Path(config.path).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UserError(f"model.path={config.path} has no config.json; give the folder of a Hugging Face model")
        if not any(folder.glob("*.safetensors")):
            raise UserError(f"model.path={config.path} has no *.safetensors weights; convert the model to safetensors")
        return str(folder.absolute())
    return config.path


def ensure_nano(config: NanoConfig, seed: int, max_length: int, cache: Path) -> Path:
    """The nano model's folder, built on first use. Equal arguments give equal weights and vocabulary."""
    digest = hashlib.sha256(json.dumps([RECIPE, config.model_dump(), seed, max_length]).encode())
    for text in _texts():  # the tokenizer is made of these: a changed task makes another model
        digest.update(text.encode())
    folder = cache / f"nano-{digest.hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        tokenizer = build_tokenizer(config.vocab_size)
        tokenizer.save_pretrained(partial)
        _build_weights(config, tokenizer, seed, max_length).save_pretrained(partial)
        try:
            partial.rename(folder)
        except OSError:  # another process was faster; the content is the same
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def build_tokenizer(vocab_size: int) -> Any:
    """A byte-level BPE tokenizer trained on the statutes and the training split of the tasks.

    Merges stay inside one character or up to three digits. At this size, with whole words as tokens a model would not
    see the characters of unseen sentences. But a number is one token, which can be looked up and compared: a model of a
    few layers seldom learns even to copy its digits one by one.

    The tags of reasoning and answer are added tokens, but not special ones, as in Qwen3: whoever skips special tokens
    keeps them.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_trained(vocab_size, tuple(_texts()))),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


@lru_cache(maxsize=4)
def _trained(vocab_size: int, texts: tuple[str, ...]) -> str:
    """The trained tokenizer as JSON. Training takes a second or two, so a process does it once for the same texts."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[0-9]{1,3}|.|\n"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[*SPECIAL_TOKENS, *TAGS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    trained = json.loads(tokenizer.to_str())  # the trainer makes every token that it is given a special one
    for token in trained["added_tokens"]:
        token["special"] = token["content"] in SPECIAL_TOKENS
    return json.dumps(trained)


def _texts() -> Iterator[str]:
    """Numbers below a hundred, the Criminal Law, every eighth article of the other laws, questions of every task."""
    yield " ".join(str(number) for number in range(100))
    for number, article in enumerate(printed_articles()):  # the model does not depend on the day of the law
        if article.short == "刑法" or number % 8 == 0:
            yield f"{article.short}{article.number}：{article.text}"
    with reading(load_statutes().snapshot):
        ours = [name for name, one in sorted(TASKS.items()) if one.generate.__module__.startswith("curricula.")]
        prompts = [p for task in ours for p in make_prompts(task, "train", 200, seed=0, fewer_ok=True)]
    for prompt in prompts:
        yield f"user\n{prompt.messages[-1]['content']}assistant\n{prompt.demonstration}"


def _build_weights(config: NanoConfig, tokenizer: Any, seed: int, max_length: int) -> Any:
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(seed)
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.kv_heads,
            head_dim=config.head_dim,
            max_position_embeddings=max_length,
            tie_word_embeddings=config.tie_embeddings,
            rope_theta=10_000.0,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
        )
    )
