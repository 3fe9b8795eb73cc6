"""Small tokenizers with chat templates in the manner of well-known model families, as folders on disk."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class Family:
    """The parts of a tokenizer."""

    template: str
    tokens: tuple[str, ...]
    """Special tokens; the first is the end of sequence."""
    end: str
    """Token that ends the assistant's turn."""
    stops: tuple[str, ...] = ()
    """The stop tokens in generation_config.json."""
    plain: tuple[str, ...] = ()
    """Added tokens that are not marked as special."""
    bos: str | None = None


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
FAMILIES = {
    "qwen3": Family(
        CHATML.replace(
            "<|im_start|>assistant\n{% endif %}",
            "<|im_start|>assistant\n{% if enable_thinking is defined and not enable_thinking %}"
            "<think>\n\n</think>\n\n{% endif %}{% endif %}",
        ),
        ("<|im_end|>", "<|im_start|>", "<|endoftext|>"),
        "<|im_end|>",
        ("<|im_end|>", "<|endoftext|>"),
        ("<think>", "</think>", "<tool_call>"),
    ),
    "base_with_chatml": Family(CHATML, ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), "<|im_end|>"),
    "llama3": Family(
        "{% if date_string is not defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
        "{{ bos_token }}<|start_header_id|>system<|end_header_id|>\n\nToday: {{ date_string }}<|eot_id|>"
        "{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content | trim }}<|eot_id|>"
        "{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}",
        ("<|eot_id|>", "<|begin_of_text|>", "<|end_of_text|>", "<|eom_id|>", "<|start_header_id|>",
         "<|end_header_id|>"),
        "<|eot_id|>",
        ("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"),
        bos="<|begin_of_text|>",
    ),
    "gemma": Family(
        "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('no system role here') }}{% endif %}"
        "{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
        "{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
        "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
        ("<eos>", "<bos>", "<pad>"),
        "<end_of_turn>",
        ("<eos>",),
        ("<start_of_turn>", "<end_of_turn>"),
        "<bos>",
    ),
    "mistral": Family(
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
        "{% elif m.role == 'assistant' %} {{ m.content }}{{ eos_token }}"
        "{% else %}{{ raise_exception('roles are user and assistant') }}{% endif %}{% endfor %}",
        ("</s>", "<s>", "<unk>", "[INST]", "[/INST]"),
        "</s>",
        bos="<s>",
    ),
    "r1": Family(
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}<｜U｜>{{ m.content }}"
        "{% elif m.role == 'assistant' %}<｜A｜>{{ m.content.split('</think>')[-1] }}<｜end｜>"
        "{% else %}{{ m.content }}{% endif %}{% endfor %}{% if add_generation_prompt %}<｜A｜><think>\n{% endif %}",
        ("<｜end｜>", "<｜begin｜>"),
        "<｜end｜>",
        ("<｜end｜>",),
        ("<｜U｜>", "<｜A｜>", "<think>", "</think>"),
        "<｜begin｜>",
    ),
    "glm": Family(
        "[gMASK]<sop>{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
        ("<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"),
        "<|user|>",
        ("<|endoftext|>", "<|user|>", "<|observation|>"),
    ),
    "internlm2": Family(
        "{{ bos_token }}" + CHATML, ("</s>", "<s>", "<|im_start|>", "<|im_end|>"), "<|im_end|>", ("</s>", "<|im_end|>"),
        bos="<s>",
    ),
    "yi": Family(
        "{% if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}"
        "{% for m in messages %}{% if m.role == 'user' %}<|im_start|>user\n{{ m.content }}<|im_end|>\n"
        "<|im_start|>assistant\n"
        "{% elif m.role == 'assistant' %}{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}",
        ("<|im_end|>", "<|im_start|>", "<|endoftext|>"),
        "<|im_end|>",
    ),
    "words": Family(
        "{% for m in messages %}{% if m.role == 'user' %}问：{{ m.content }}\n{% elif m.role == 'assistant' %}"
        "答：{{ m.content }}\n{% endif %}{% endfor %}{% if add_generation_prompt %}答：{% endif %}",
        ("</s>",),
        "</s>",
    ),
}  # fmt: skip


def build(family: Family, folder: Path) -> str:
    """Write a tokenizer over bytes, generation_config.json and config.json; returns the folder."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate([*letters, "Ġa", "an", "ss"])}
    inner = Tokenizer(models.BPE(vocabulary, [("Ġ", "a"), ("a", "n"), ("s", "s")]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_tokens([AddedToken(text, special=True, normalized=False) for text in family.tokens])
    inner.add_tokens([AddedToken(text, special=False, normalized=False) for text in family.plain])
    tokenizer: Any = PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token=family.tokens[0], bos_token=family.bos, chat_template=family.template,
        clean_up_tokenization_spaces=False,
    )  # fmt: skip
    tokenizer.save_pretrained(folder)
    stops = [tokenizer.convert_tokens_to_ids(text) for text in family.stops]
    if stops:
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": stops, "top_k": 20}))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "eos_token_id": 2}))
    return str(folder)
