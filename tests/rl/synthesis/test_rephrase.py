"""The recipe rephrase: rewritings that keep every fact become a corpus, and each fault of a teacher has its reason."""

import json
from collections import Counter

import pytest

from curricula.records import read_texts
from curricula.statutes import load_statutes
from rl.config.rephrasing_steps import StylesStep
from rl.synthesis.knowledge import style, writer
from rl.synthesis.records import Record
from rl.synthesis.rephrasing import Styles, passages
from rl.synthesis.step import Context
from tests.rl.synthesis.runs import files, require_sums, run
from tools.scripted_server import Server
from tools.scripted_teacher import FAULTS, reply

STYLES = ("textbook", "encyclopaedia", "dialogue", "commentary", "layman")
TITLES = {name: style(name)["title"] for name in STYLES}
CELLS = {
    "number_changed": ("theft.txt", "王某甲", "textbook"),
    "citation_invented": ("theft.txt", "王某甲", "layman"),
    "facts_left_out": ("fraud.txt", "李某乙", "dialogue"),
    "source_copied": ("fraud.txt", "李某乙", "commentary"),
}
"""The rewriting that each fault befalls: whose case, and the style."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder, results) of a run in every style, with a teacher that makes each fault once."""
    folder = tmp_path_factory.mktemp("made") / "run"
    faults = [(name, f"{who}+文体：{TITLES[how]}") for name, (_, who, how) in CELLS.items()]
    with Server(lambda body: reply(body, faults)) as server:
        results = run(folder, server.url, recipe="rephrase", step="styles", rewritings=5)
    return folder, results


def test_every_fault_of_a_rewriting_is_caught(made):
    folder, results = made
    require_sums(results)
    assert CELLS.keys() == {name for name, fault in FAULTS.items() if fault.step == "rephrase"}
    lost = {
        (one.fields["source"], one.fields["style"]): (result.name, one.reason)
        for result in results
        for one in result.outcomes
        if one.fate != "kept"
    }
    assert lost == {(file, how): (FAULTS[name].step, FAULTS[name].reason) for name, (file, _, how) in CELLS.items()}
    lines = [json.loads(line) for line in (folder / "dropped.jsonl").read_text(encoding="utf-8").splitlines()]
    details = {line["reason"]: line["detail"] for line in lines}
    assert len(lines) == 4 and "lost numbers " in details["loses facts"]
    said = " ".join(line["detail"] for line in lines)
    assert "invented numbers 98765元; lost numbers " in said and "invented citations 保险法第16条" in said


def test_a_corpus_of_documents_and_rewritings(made):
    folder, _ = made
    texts = read_texts(folder / "corpus.jsonl")
    assert Counter(text.source for text in texts) == {"documents": 5, "rephrase": 5 * 5 - 4}
    ours = [text for text in texts if text.source == "rephrase"]
    assert {text.meta["style"] for text in ours} == set(STYLES) and all(text.meta["perspective"] for text in ours)
    assert [entry["step"] for entry in ours[0].meta["lineage"]] == ["read", "mask", "styles", "rephrase", "filter"]
    assert not (folder / "sft.jsonl").exists() and not (folder / "grpo.jsonl").exists()


def test_the_card_has_the_share_of_faithful_ones(made):
    folder, _ = made
    (table,) = json.loads((folder / "card.json").read_text(encoding="utf-8"))["tables"]
    rows = {row["style"]: row for row in table["rows"]}
    assert rows["all"] == {"style": "all", "read": 25, "faithful": 22, "loses": 1, "invents": 2, "share": 0.88}
    assert (rows["layman"]["share"], rows["commentary"]["share"]) == (0.8, 1.0)
    assert "| all | 25 | 22 | 1 | 2 | 0.88 |" in (folder / "card.md").read_text(encoding="utf-8")
    assert "<h2>Faithfulness</h2>" in (folder / "card.html").read_text(encoding="utf-8")


def test_a_second_run_asks_nothing_and_writes_the_same(made):
    folder, _ = made
    before = files(folder)
    with Server(reply) as server:
        run(folder, server.url, recipe="rephrase", step="styles", rewritings=5)
        assert not server.asked
    assert files(folder) == before


def test_statutes_are_a_source_too(tmp_path):
    text = "\n".join(f"{article.number} {article.text}" for article in load_statutes().articles("民法典")[:30])
    (tmp_path / "law.txt").write_text(text, encoding="utf-8")
    with Server(reply) as server:
        results = run(tmp_path / "run", server.url, tmp_path / "law.txt", recipe="rephrase")
    require_sums(results)
    assert len(results[-1].kept) == len(results[3].outcomes) > 3, results[3].reasons()


def test_passages_hold_all_of_a_text():
    text = "第一行。\n" * 30 + "很长的一句。" * 60 + "没有标点" * 60 + "\n。\n"
    cut = passages(text, 100)
    assert max(map(len, cut)) <= 100 and "".join("".join(cut).split()) == "".join(text.split())
    assert cut[0] == "第一行。\n" * 19 + "第一行。" and passages(" \n", 100) == []


def test_the_draw_of_styles_is_seeded_and_uses_all_before_one_comes_again():
    options = StylesStep(step="styles", rewritings=7, styles=STYLES, perspectives=("judge", "teacher"), max_chars=100)
    record = Record("a", {"text": "甲乙签订合同。\n" * 20})
    first = Styles(options, Context(0)).run(record)
    assert first == Styles(options, Context(0)).run(record) != Styles(options, Context(1)).run(record)
    assert [one["part"] for one in first] == [1] * 7 + [2] * 7
    assert {one["style"] for one in first[:5]} == set(STYLES) and {one["perspective"] for one in first} == {
        "judge",
        "teacher",
    }
    assert writer("judge") == "法官"
