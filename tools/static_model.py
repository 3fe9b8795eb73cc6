"""``python -m tools.static_model --out FOLDER``: a small embedding model made from the statutes, if you have no other.

Latent semantic indexing (Deerwester et al. 1990) as a sentence-transformers folder: a byte-pair tokenizer and one
vector for each token, from the truncated SVD of the articles' tf-idf, averaged over a text. It learns only from words
that occur together in the statutes: a substitute, much weaker than a pretrained model.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
from sklearn.utils.extmath import randomized_svd
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from rl.retrieval.passages import statute_passages

VOCABULARY, DIMENSIONS = 10_000, 256
UNKNOWN = "[UNK]"
"""Replaces characters that the statutes do not have."""


def tokenizer(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """A byte-pair tokenizer (Sennrich et al. 2016) of texts over characters; pieces do not reach across punctuation."""
    found = Tokenizer(models.BPE(unk_token=UNKNOWN))
    found.normalizer = normalizers.NFKC()
    found.pre_tokenizer = pre_tokenizers.Split(Regex(r"[^\p{L}\p{N}]+"), behavior="removed")
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[UNKNOWN], max_token_length=4, show_progress=False
    )
    found.train_from_iterator(texts, trainer)
    return found


def vectors(texts: Sequence[str], pieces: Tokenizer, dimensions: int) -> np.ndarray:
    """A vector for each token, shape (tokens, dimensions), float32; a text is the mean of its tokens' vectors."""
    rows, columns, values = [], [], []
    for row, encoded in enumerate(pieces.encode_batch(list(texts))):
        for token, times in Counter(encoded.ids).items():
            rows.append(row)
            columns.append(token)
            values.append(1 + np.log(times))
    counts = csr_matrix((values, (rows, columns)), (len(texts), pieces.get_vocab_size()), dtype=np.float64)
    seen = np.bincount(columns, minlength=counts.shape[1])
    idf = np.log((1 + len(texts)) / (1 + seen))
    weighted = counts.multiply(idf[None, :]).tocsr()
    lengths = np.sqrt(weighted.multiply(weighted).sum(axis=1)).A1
    weighted = csr_matrix(weighted.multiply(1 / np.maximum(lengths, 1e-12)[:, None]))
    _, _, right = randomized_svd(weighted, dimensions, n_iter=3, random_state=0)
    found = np.ascontiguousarray(right.T * idf[:, None], dtype=np.float32)
    found[pieces.token_to_id(UNKNOWN)] = 0
    return found


def build(texts: Sequence[str], folder: Path, vocabulary: int = VOCABULARY, dimensions: int = DIMENSIONS) -> None:
    """Make the model from texts and write its folder."""
    pieces = tokenizer(texts, vocabulary)
    embedding = StaticEmbedding(pieces, embedding_weights=vectors(texts, pieces, dimensions))
    SentenceTransformer(modules=[embedding, Normalize()], device="cpu").save(str(folder))


def main(argv: Sequence[str] | None = None) -> int:
    """0."""
    parser = argparse.ArgumentParser(prog="python -m tools.static_model", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    chosen = parser.parse_args(argv)
    build([passage.searched for passage in statute_passages()], chosen.out)
    print(f"wrote {chosen.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
