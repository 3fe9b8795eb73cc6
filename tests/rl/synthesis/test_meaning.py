"""The step same_meaning drops what says the same, by the vectors of a model; near vectors are found among many."""

import json

import numpy as np
import pytest
from rich.console import Console
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from rl.config.compose import load_synthesis
from rl.config.meaning_steps import SameMeaningStep
from rl.errors import UserError
from rl.synthesis import meaning
from rl.synthesis.meaning import Nearest, SameMeaning
from rl.synthesis.records import Dropped, Record
from rl.synthesis.run import synthesize
from rl.synthesis.step import Context
from tests.rl.synthesis.runs import require_sums

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


def test_it_is_a_step_of_a_recipe_and_its_model_may_be_corrected(model, tmp_path):
    (tmp_path / "in.jsonl").write_text("".join(f'{{"text": "{text}"}}\n' for text in ("偷罪", "离婚", "窃罪")))

    def run(folder):
        steps = [{"step": "copies"}, {"step": "same_meaning", "model": folder, "similarity": 0.95}]
        given = {"input": str(tmp_path / "in.jsonl"), "run_dir": str(tmp_path / "run")}
        config = load_synthesis(given | {"recipe": {"name": "own", "steps": steps}})
        return synthesize(config, Console(quiet=True))

    with pytest.raises(UserError, match=r"has no modules\.json; give the folder of a sentence-transformers model"):
        run(str(tmp_path))
    results = run(model)
    require_sums(results)
    assert results[-1].reasons() == {"dropped: same meaning": 1}
    (lost,) = map(json.loads, (tmp_path / "run" / "dropped.jsonl").read_text(encoding="utf-8").splitlines())
    assert lost["step"] == "same_meaning" and lost["detail"].startswith("cosine 0.995, kept is ")
    assert "same meaning" in (tmp_path / "run" / "card.md").read_text(encoding="utf-8")


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
