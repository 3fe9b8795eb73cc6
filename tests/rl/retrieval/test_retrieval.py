"""Statutes for questions: indexes, fusion and measures by hand, real models on disk, prompts, citations, commands."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from rl.errors import UserError
from rl.inference.__main__ import main
from rl.inference.backend import Answer, Ask
from rl.inference.backends.hf import TransformersBackend
from rl.inference.grounding.grounded_answer import answer, ground, verify
from rl.retrieval import dense
from rl.retrieval.bm25 import K1, B, Bm25Index
from rl.retrieval.dense import Encoder
from rl.retrieval.lay import glossary, in_legal_terms
from rl.retrieval.measure import averages, of_question
from rl.retrieval.passages import Passage, statute_passages
from rl.retrieval.retriever import FUSED, Retriever, retriever
from rl.retrieval.words import TERMS, bigrams, words
from tests.rl.server import Server
from tools.retrieval import main as measure_command
from tools.retrieval import read_everyday, read_stard
from tools.static_model import build

ROOT = os.environ.get("THEMIS_BENCHMARKS")
THEFT, MURDER = "第二百六十四条", "第二百三十二条"


@pytest.fixture(scope="session")
def criminal():
    return tuple(p for p in statute_passages() if p.law == "刑法")


@pytest.fixture(scope="session")
def model(tmp_path_factory, criminal):
    folder = tmp_path_factory.mktemp("model")
    build([p.searched for p in criminal], folder, vocabulary=1500, dimensions=48)
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """Folder of indexes that the commands share, because the index of all statutes takes long."""
    return tmp_path_factory.mktemp("cache")


def test_terms():
    assert bigrams("盗窃罪，Ab 1") == ["盗窃", "窃罪", "ab"]
    assert words("盗窃公私财物，") == ["盗窃", "公私", "财物"]
    assert TERMS["characters+bigrams"]("盗窃") == ["盗", "窃", "盗窃"]


def test_bm25_by_hand():
    texts = ["盗窃 财物", "诈骗 财物 财物", "合同"]
    lists = [TERMS["bigrams"](text) for text in texts]
    found = Bm25Index(texts, terms="bigrams").search(["财物盗窃", "无关"])
    mean = sum(map(len, lists)) / 3

    def score(terms, document):
        total = 0.0
        for term in terms:
            n = sum(term in other for other in lists)
            idf = math.log(1 + (3 - n + 0.5) / (n + 0.5))
            tf = document.count(term)
            total += idf * tf / (tf + K1 * (1 - B + B * len(document) / mean)) if n else 0
        return total

    expected = [[score(["财物", "物盗", "盗窃"], document) for document in lists], [0, 0, 0]]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_bm25_is_kept_without_pickle_and_made_anew_when_damaged(tmp_path):
    texts = ["盗窃公私财物", "合同无效"]
    first = Bm25Index(texts, tmp_path)
    expected = first.search(["财物被盗"])
    files = sorted(first.path.iterdir())
    assert {f.suffix for f in files} == {".npy", ".json"}
    for file in files:
        if file.suffix == ".npy":
            np.load(file, allow_pickle=False)
    before = {f: f.stat().st_mtime_ns for f in files}
    np.testing.assert_array_equal(Bm25Index(texts, tmp_path).search(["财物被盗"]), expected)
    assert {f: f.stat().st_mtime_ns for f in files} == before  # read, not written
    files[0].write_bytes(b"damaged")
    np.testing.assert_array_equal(Bm25Index(texts, tmp_path).search(["财物被盗"]), expected)
    assert files[0].read_bytes() != b"damaged"
    assert Bm25Index([*texts, "新法"], tmp_path).path != first.path


class Fixed:
    """An index with fixed scores."""

    def __init__(self, *scores):
        self.scores = np.array(scores, dtype=np.float32)

    def search(self, questions):
        return np.tile(self.scores, (len(questions), 1))


def test_fusion_by_hand(criminal):
    passages = criminal[:4]
    found = Retriever(passages, [Fixed(4, 3, 0, 1), Fixed(0.1, 0.9, 0.5, -0.2)]).ranked(["问"], 4)[0]
    ranks = [{0: 1, 1: 2, 3: 3}, {1: 1, 2: 2, 0: 3, 3: 4}]  # a score of 0 shares no term and has no rank
    expected = {p: sum(1 / (FUSED + r[p]) for r in ranks if p in r) for p in range(4)}
    assert [p for p, _ in found] == sorted(expected, key=lambda p: -expected[p])
    assert dict(found) == pytest.approx(expected)


def test_articles_that_a_question_names_come_first_and_laws_narrow_it(criminal):
    search = retriever(criminal, "bm25", cache=None)
    hits = search.search("故意杀人的，参照刑法第264条和第17条之一吗？", 3)
    assert [(h.passage.number, h.named) for h in hits[:2]] == [(THEFT, True), ("第十七条之一", True)]
    assert not hits[2].named
    best = search.search("故意杀人怎么处罚", 1, ("中华人民共和国刑法",))
    assert best[0].passage.number == MURDER
    with pytest.raises(UserError, match="no law in force is named 刑罚法"):
        search.search("问", 1, ("刑罚法",))


def test_everyday_words_find_the_articles_that_govern(cache):
    data = read_everyday()
    assert all(data.relevant) and data.articles == data.matched, "every article of the list is in force"
    found = retriever(data.passages, "bm25", cache=cache)
    ranked = found.ranked(data.questions, 5)
    hits = [bool({place for place, _ in best} & wanted) for best, wanted in zip(ranked, data.relevant, strict=True)]
    assert sum(hits) >= 54, [q for q, hit in zip(data.questions, hits, strict=True) if not hit]


def test_the_glossary_says_what_the_law_calls_it():
    assert "饲养的动物造成他人损害" in in_legal_terms("邻居的狗咬了人")
    assert in_legal_terms("狗很可爱") != in_legal_terms("狗咬人")  # an entry of two words needs both
    assert in_legal_terms("民法典") == ""
    statutes = "".join(passage.text for passage in statute_passages())
    absent = [entry[1].split()[0] for entry in glossary() if not any(word in statutes for word in entry[1].split())]
    assert not absent, "each entry says something in the words of a statute"


def test_vectors_are_kept_by_text_and_model(tmp_path, model, criminal, monkeypatch):
    monkeypatch.setattr(dense, "CHUNK", 100)
    texts = [p.searched for p in criminal]
    encoder, told = Encoder(model), []
    index = encoder.index(texts, tmp_path, told.append)
    assert told == [100, 200, 300, 400, 500, len(texts)]
    np.testing.assert_allclose(np.linalg.norm(index.vectors, axis=1), 1, rtol=1e-5)
    kept = sorted(tmp_path.rglob("*.npy"), key=lambda path: path.stat().st_mtime_ns)
    assert len(kept) == 6
    kept[0].write_bytes(b"damaged")
    calls = []
    monkeypatch.setattr(encoder, "documents", lambda chunk: calls.append(len(chunk)) or index.vectors[: len(chunk)])
    encoder.index([*texts[:-1], "改了"], tmp_path)
    assert len(calls) == 2  # only the damaged chunk and the changed one
    own = index.search([texts[300]])[0]
    assert own.argmax() == 300 and own[300] == pytest.approx(1, abs=1e-5)


def test_a_model_is_read_without_pickle_or_code_of_its_own(tmp_path, model):
    with pytest.raises(UserError, match="no modules"):
        Encoder(tmp_path)
    (tmp_path / "modules.json").write_text(json.dumps([{"type": "evil.Module", "path": ""}]))
    with pytest.raises(UserError, match="its own code"):
        Encoder(tmp_path)
    (tmp_path / "modules.json").write_bytes((model / "modules.json").read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(UserError, match="pickled"):
        Encoder(tmp_path)


def test_hybrid_needs_a_model_and_finds_articles(criminal, model, tmp_path):
    with pytest.raises(UserError, match="--method hybrid needs a folder"):
        retriever(criminal, "hybrid", cache=tmp_path)
    hits = retriever(criminal, "hybrid", model, tmp_path).search("故意杀人怎么处罚", 3)
    assert MURDER in [hit.passage.number for hit in hits]


LONG, SHORT = Passage("甲法", "第一条", "长" * 50), Passage("乙法", "第二条", "短")


def characters(messages):
    return sum(len(content) for _, content in messages)


def test_whole_articles_within_the_budget():
    alone = characters(ground("问", [], 10_000, characters).messages)
    both = ground("问", [LONG, SHORT], 10_000, characters)
    assert both.articles == (LONG, SHORT) and both.left_out == ()
    exact = characters(both.messages)
    assert ground("问", [LONG, SHORT], exact, characters).articles == (LONG, SHORT)
    less = ground("问", [LONG, SHORT], exact - 1, characters)
    assert less.articles == (LONG,) and less.left_out == (SHORT,)
    one = ground("问", [LONG, SHORT], alone + 20, characters)
    assert one.articles == (SHORT,) and SHORT.text in one.messages[-1][1] and "长" not in one.messages[-1][1]
    assert one.left_out == (LONG,), "the best article is the one that does not fit, and is named"
    assert one.messages[-1][1].endswith("问题：问") and one.messages[0][0] == "system"
    with pytest.raises(UserError, match="over --budget"):
        ground("问", [], alone - 1, characters)


def test_citations_of_an_answer(criminal):
    theft = next(p for p in criminal if p.number == THEFT)
    text = (
        f"依照《刑法》第264条“{theft.text[:20]}”，又刑法第二百三十二条“故意杀人的，处五年以上有期徒刑”。"
        "《刑法》第九百条不存在，《盗窃法》第三条也不存在；《最高人民法院关于办理盗窃案件的解释》第一条；"
        "《劳动合同法》第三十九条。"
    )
    found = {(c.law, c.article): c for c in verify(text, [theft])}
    own = found["刑法", "第264条"]
    assert (own.holds, own.quote_matches, own.retrieved, own.reason) == (True, True, True, "")
    wrong = found["刑法", "第232条"]
    assert (wrong.holds, wrong.quote_matches, wrong.retrieved) == (False, False, False) and "inexact" in wrong.reason
    assert (found["刑法", "第900条"].in_force, found["刑法", "第900条"].exists) == (True, False)
    assert (found["盗窃法", "第3条"].in_force, found["盗窃法", "第3条"].exists) == (False, False)
    norm = found["最高人民法院关于办理盗窃案件的解释", "第1条"]
    assert (norm.in_force, norm.exists, norm.holds) == (None, None, False)  # not in the statutes: nothing is known
    other = found["劳动合同法", "第39条"]
    assert (other.holds, other.quote_matches, other.retrieved) == (True, None, False)
    assert verify("第五条", [])[0].law is None
    given = Passage("甲条例", "第三条", "经营者应当明码标价并公示收费标准。")
    (kept,) = verify("《甲条例》第三条“经营者应当明码标价”", [given])
    assert kept.holds and kept.retrieved


class Scripted:
    """A backend that answers with the article that its prompt names first."""

    def generate(self, asks, done):
        for ask in reversed(asks):
            place = ask.messages[-1][1].split("\n")[1]
            done(ask, [Answer(f"依照{place}。")])

    def count_tokens(self, messages):
        return characters(messages)

    def close(self):
        pass


def test_questions_are_answered_by_a_backend(criminal):
    found = {}
    questions = ["故意杀人怎么处罚", "刑法第264条", "问" * 3_001]
    answer(questions, retriever(criminal, "bm25", cache=None), Scripted(), found.__setitem__, k=2)
    assert [found[n]["question"] for n in range(3)] == questions and "over --budget=3000" in found[2]["error"]
    assert f"《刑法》{MURDER}" in found[0]["articles"] and found[1]["articles"][0] == f"《刑法》{THEFT}"
    assert all(c["holds"] and c["retrieved"] for n in range(2) for c in found[n]["citations"])


def test_measures_by_hand():
    found = of_question([7, 1, 8, 2, *range(100, 106), 3], frozenset({1, 2, 3, 4}))
    assert found["recall@5"] == 0.5 and found["recall@10"] == 0.5 and found["recall@20"] == 0.75
    assert found["mrr@10"] == 0.5
    ideal = 1 + 1 / math.log2(3) + 1 / 2 + 1 / math.log2(5)
    assert found["ndcg@10"] == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / ideal)
    assert of_question([5], frozenset({1}))["mrr@10"] == 0
    mean, low, high = averages([{"x": float(n % 2)} for n in range(400)])["x"]
    assert mean == 0.5
    assert (low, high) == pytest.approx((0.5 - 1.96 * 0.025, 0.5 + 1.96 * 0.025), abs=0.01)


def test_commands(cache, tmp_path, capsys):
    arguments = ["--law", "刑法", "--cache", str(cache)]
    assert main(["retrieve", "故意杀人怎么处罚", "--k", "2", "--json", *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["articles"]) == 2 and found["articles"][0]["article"] == MURDER
    asked, prompts = tmp_path / "asked.jsonl", tmp_path / "prompts.jsonl"
    asked.write_text('{"question": "故意杀人怎么处罚", "id": 7}\n', encoding="utf-8")
    assert main(["retrieve", "--input", str(asked), "--prompts", str(prompts), *arguments]) == 0
    line = json.loads(prompts.read_text(encoding="utf-8"))
    assert line["id"] == 7 and f"《刑法》{MURDER}" in line["articles"]
    assert "故意杀人的，处死刑" in line["messages"][-1]["content"]
    capsys.readouterr()
    answers = tmp_path / "answers.jsonl"
    answers.write_text(json.dumps(line | {"answer": "依照刑法第232条。"}, ensure_ascii=False), encoding="utf-8")
    assert main(["verify", str(answers)]) == 0
    (citation,) = json.loads(capsys.readouterr().out)["citations"]
    assert citation["holds"] and citation["retrieved"]
    assert main(["retrieve", *arguments]) == 2
    assert main(["retrieve", "问", "--method", "dense"]) == 2
    assert "needs a folder" in capsys.readouterr().err
    asked.write_text('{"question": 1}\n', encoding="utf-8")
    assert main(["retrieve", "--input", str(asked)]) == 2
    assert "asked.jsonl:1 lacks question" in capsys.readouterr().err


def test_grounded_answers_from_the_command_line(models, cache, tmp_path, capsys):
    searching = ["--law", "刑法", "--k", "2", "--cache", str(cache)]

    def run(*arguments):
        code = main(["answer", *searching, *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out, said.err

    local = ["--model", models["tied"], "--backend", "transformers", "--max-tokens", "8"]
    code, out, _ = run("--question", "刑法第17条之一", *local, "--json")
    found = json.loads(out)
    assert code == 0 and found["articles"][0] == "《刑法》第十七条之一" and found["citations"] == []
    backend, alone = TransformersBackend(str(models["tied"])), {}
    given = [p for place in found["articles"] for p in statute_passages() if p.place == place]
    messages = ground("刑法第17条之一", given, 248, backend.count_tokens).messages
    backend.generate([Ask("q", messages, max_tokens=8)], alone.setdefault)
    assert [(one.text, one.thinking) for one in alone.popitem()[1]] == [(found["answer"], found["thinking"])]

    asked, folder = tmp_path / "asked.jsonl", tmp_path / "out"
    lines = [{"question": "故意杀人怎么处罚", "id": 7}, {"question": "问" * 900}, {"question": "刑法第264条"}]
    asked.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    said = "<think>第1条</think>依照《刑法》第232条“故意杀人的，处死刑”，不适用《刑法》第9999条和《解释》第二条。"
    with Server(lambda body: said, length=1_200) as server:
        served = ["--server", server.url, "--served-model", "m", "--input", asked]
        code, out, err = run(*served)
        assert (code, out) == (2, "") and "--input needs --out" in err
        code, out, err = run(*served, "--out", folder, "--law", "刑罚法")
        assert (code, len(server.asked)) == (2, 0) and "no law in force is named 刑罚法" in err
        code, out, _ = run(*served, "--out", folder)
        assert code == 1 and len(server.asked) == 2 and "not asked" in out and "over --budget=600" in out
        for text in ("刑法第232条", "holds", "has no 第9999条", "do not hold 解释"):
            assert text in out, text
        asked.write_text(asked.read_text() + "\n" + json.dumps({"question": "抢劫怎么处罚"}), encoding="utf-8")
        code, out, _ = run(*served, "--out", folder, "--json")
        assert code == 1 and len(server.asked) == 3, "what is answered is not asked again"
        code, _, err = run(*served, "--out", folder, "--temperature", "1")
        assert code == 2 and "holds answers with temperature=0" in err
    records = [json.loads(line) for line in out.splitlines()]
    assert records == [json.loads(line) for line in (folder / "grounded.jsonl").read_text().splitlines()]
    first = records[0]
    assert (first["id"], first["thinking"], first["answer"]) == (7, "第1条", said.partition("</think>")[2])
    assert [(c["article"], c["holds"], c["retrieved"]) for c in first["citations"]] == [
        ("第232条", True, True), ("第9999条", False, False), ("第2条", False, False),
    ]  # fmt: skip
    assert list(records[1]) == ["question", "error"] and not records[2]["citations"][0]["retrieved"]
    assert any(first["articles"][0] in asked["messages"][-1]["content"] for asked in server.asked)


def test_a_benchmark_with_a_corpus_of_its_own(tmp_path, capsys):
    corpus = [
        ("建筑法第四十八条", "建筑施工企业应当依法为职工参加工伤保险"),
        ("保险法第三十九条", "受益人由投保人指定"),
    ]
    lines = [json.dumps({"id": 50 + n, "name": name, "content": text}) for n, (name, text) in enumerate(corpus)]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines), encoding="utf-8")
    question = {
        "问题": "工伤保险谁来参加？",
        "相关法规": dict(corpus[:1]),
        "match_id": [50],
        "match_name": [corpus[0][0]],
    }
    (tmp_path / "queries.json").write_text(json.dumps([question]), encoding="utf-8")
    data = read_stard(tmp_path)
    assert data.relevant == (frozenset({0}),) and data.passages[0].place == "《建筑法》第四十八条"
    assert measure_command(["--data", str(tmp_path), "--cache", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["measures"]["mrr@10"] == [1, 1, 1]
    assert measure_command(["--data", str(tmp_path / "none")]) == 2
    (tmp_path / "queries.json").write_text("[{}]", encoding="utf-8")
    assert measure_command(["--data", str(tmp_path)]) == 2
    assert "does not have STARD" in capsys.readouterr().err


@pytest.mark.skipif(ROOT is None, reason="needs THEMIS_BENCHMARKS, a folder with a copy of STARD")
def test_stard(tmp_path, capsys):
    data = read_stard(Path(ROOT) / "STARD")
    assert data.articles == 2717 and data.matched > 2000 and len(data.questions) > 1250
    for question, relevant in zip(data.questions, data.relevant, strict=True):
        if question == "夫妻一方经营个体工商户所欠债务，谁偿还？":
            assert [data.passages[place].place for place in relevant] == ["《民法典》第五十六条"]
    assert (
        measure_command(["--data", str(Path(ROOT) / "STARD"), "--half", "2", "--cache", str(tmp_path), "--json"]) == 0
    )
    found = json.loads(capsys.readouterr().out)["measures"]
    assert found["recall@10"][0] > 0.48 and found["recall@100"][0] > 0.68  # measured: docs/guides/retrieval.md
