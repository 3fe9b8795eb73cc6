"""The step same_meaning drops what says the same, by the vectors of a model; near vectors are found among many."""

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from rl.config.meaning_steps import SameMeaningStep
from rl.errors import UserError
from rl.synthesis import meaning
from rl.synthesis.meaning import Nearest, SameMeaning
from rl.synthesis.records import Dropped, Record
from rl.synthesis.step import Context

WORDS = ("偷", "窃", "离", "婚", "税", "罪", "？")
VECTORS = np.array([[1, 0, 0], [0.98, 0.1, 0], [0, 1, 0], [0, 1, 0.1], [0, 0, 1], [0, 0, 0], [0, 0, 0]], np.float32)
"""偷 and 窃 mean nearly the same to this model, and 罪 nothing."""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    pieces = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, "？"))
    pieces.pre_tokenizer = pre_tokenizers.Split(Regex("."), behavior="isolated")
    folder = tmp_path_factory.mktemp("model")
    SentenceTransformer(modules=[StaticEmbedding(pieces, embedding_weights=VECTORS)]).save(str(folder))
    return str(folder)


def fates(model, similarity, *questions):
    records = [Record(f"r{place}", {"question": text}) for place, text in enumerate(questions)]
    step = SameMeaning(SameMeaningStep(step="same_meaning", model=model, similarity=similarity), Context(0))
    step.look(records)
    found = []
    for record in records:
        try:
            found.append(step.run(record))
        except Dropped as error:
            found.append((error.reason, error.detail))
    return found


def test_a_question_in_other_words_is_dropped_and_names_the_one_that_is_kept(model, monkeypatch):
    monkeypatch.setattr(meaning, "AT_ONCE", 2)
    kept, copy, other, again = fates(model, 0.95, "偷罪", "窃罪", "离婚", "窃")
    assert kept == other == {}
    assert copy == ("same meaning", "cosine 0.995, kept is r0") and again[1].endswith("kept is r0")
    assert fates(model, 0.999, "偷罪", "窃罪") == [{}, {}]


def test_a_folder_without_a_model_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match=r"has no modules\.json"):
        fates(str(tmp_path), 0.9, "偷")


def test_near_vectors_are_found_among_many():
    """Of 400 pairs with cosine 0.9 among 4,000 vectors; the true nearest by comparison with all."""
    rng = np.random.default_rng(1)
    known = rng.standard_normal((4000, 64)).astype(np.float32)
    known /= np.linalg.norm(known, axis=1, keepdims=True)
    index = Nearest(64)
    for vector in known:
        index.add(vector)
    found = 0
    for place in range(400):
        noise = rng.standard_normal(64).astype(np.float32)
        noise -= (noise @ known[place]) * known[place]
        near = 0.9 * known[place] + np.sqrt(1 - 0.81) * noise / np.linalg.norm(noise)
        number, cosine = index.most_alike(near)
        found += number == place and abs(cosine - 0.9) < 0.01
    assert found >= 392
    assert Nearest(64).most_alike(known[0]) == (-1, -1.0)


def test_a_cell_holds_so_many_and_equals_give_the_first():
    index = Nearest(8)
    vector = np.eye(8, dtype=np.float32)[0]
    for _ in range(meaning.DEPTH + 50):
        index.add(vector)
    assert max(len(inside) for table in index._cells for inside in table.values()) == meaning.DEPTH
    assert index.most_alike(vector) == (50, 1.0)
