"""What a synthesis writes is what a curriculum reads, and its card says how it came about."""

import json
import shutil

import pytest
import yaml

from curricula.records import read_demonstrations, read_prompts, read_texts
from rewards.rules.accuracy import agrees
from rewards.total import score
from rewards.verdict import Sample
from rl.config.compose import CONF
from rl.config.stages import SFTStage
from rl.data.demonstrations import demonstrations
from rl.synthesis.privacy.masking import mask
from tests.rl.synthesis.judgments import FOLDER, judgments
from tests.rl.synthesis.runs import files, require_sums, run
from tools.scripted_server import Server
from tools.scripted_teacher import reply

TEXTS = (".json", ".jsonl", ".md", ".html", ".yaml")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder, results) of a run over the example judgments."""
    folder = tmp_path_factory.mktemp("made") / "run"
    queries = folder.parent / "queries.txt"
    queries.write_text("老板欠我工资不给怎么办\n朋友借钱不还\n", encoding="utf-8")
    with Server(reply) as server:
        results = run(folder, server.url, *_more(queries))
    return folder, results


def _more(queries):
    from tests.rl.synthesis.runs import JUDGMENTS

    return JUDGMENTS, f"queries={queries}", "teacher.price_in=1000000", "teacher.price_out=2000000"


def test_a_curriculum_takes_the_files(made):
    folder, results = made
    require_sums(results)
    taught = read_demonstrations(folder / "sft.jsonl")
    assert len(taught) == len(results[-1].kept) == 15
    assert {prompt.task.partition("_")[0] for prompt in taught} == {"lead"}
    asked = read_prompts(folder / "grpo.jsonl")
    kinds = {prompt.answer_kind for prompt in asked}
    assert kinds == {"article", "charge"}
    assert all(agrees(prompt.reference, prompt.reference, prompt.answer_kind) for prompt in asked)
    answers = {prompt.messages[-1]["content"]: prompt.demonstration for prompt in taught}
    right = [
        score("accuracy", Sample("", answers[one.messages[-1]["content"]], one.reference, one.answer_kind))
        for one in asked
    ]
    assert [verdict.score for verdict in right] == [1.0] * len(asked)
    names = set(yaml.safe_load((CONF / "curriculum" / "lead.yaml").read_text())["curriculum"]["stages"][3]["reward"])
    assert not [
        name for name in names for one in asked if score(name, Sample("", "", one.reference, one.answer_kind)).error
    ]
    texts = read_texts(folder / "corpus.jsonl")
    assert [text.source for text in texts].count("documents") == 5 and len(texts) == 20
    stage = SFTStage(name="s", kind="sft", data=str(folder / "sft.jsonl"), held_out=3, steps=1)
    train, held_out = demonstrations(stage, seed=0)
    assert (len(train), len(held_out)) == (12, 3)


def test_lines_are_sorted_by_lineage_and_name_it(made):
    folder, _ = made
    lines = [json.loads(line) for line in (folder / "sft.jsonl").read_text(encoding="utf-8").splitlines()]
    ids = [line["meta"]["id"] for line in lines]
    assert ids == sorted(ids) and len(set(ids)) == 15
    lineage = lines[0]["meta"]["lineage"]
    steps = ["read", "mask", "segment", "link", "score", "scenarios", "question"]
    assert [entry["step"] for entry in lineage][:7] == steps
    asked = next(entry for entry in lineage if entry["step"] == "deduce")
    assert asked["model"] == "m" and asked["seed"] == 0 and asked["prompt"].startswith("1-")


def test_the_trace_holds_articles_that_the_retriever_found(made):
    _, results = made
    record = next(one for one in results[-1].kept if one.fields["source"] == "theft.txt")
    hits = record.fields["trace"]["hits"]
    assert "《刑法》第二百六十四条" in [hit["place"] for hit in hits] and len(hits) <= 6
    assert record.fields["trace"]["protocol"].startswith("criminal-1-")


def test_the_three_ways_of_asking_are_used(made):
    _, results = made
    assert {record.fields["way"] for record in results[-1].kept} == {"distil", "simulate", "align"}
    asked = {record.fields["perspective"] for record in results[-1].kept if record.fields["way"] == "simulate"}
    civil = {one.fields["perspective"] for one in results[-1].kept if one.fields["kind"] == "civil"}
    assert asked and "prosecutor" not in civil


def test_the_card_has_figures_and_samples(made):
    folder, _ = made
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    rows = {row["step"]: row for row in card["steps"]}
    assert rows["scenarios"] | {"in": 5, "out": 15} == rows["scenarios"]
    assert rows["deduce"]["cost"] == 15 * (7 * 1 + 5 * 2)
    assert {row["value"]: row["records"] for row in card["shares"]["field"]} == {"criminal": 9, "civil": 6}
    assert {row["value"] for row in card["shares"]["law"]} >= {"刑法", "民法典"}
    page = (folder / "card.html").read_text(encoding="utf-8")
    assert page.count('<article class="sample">') == 5 and "<details>" in page and "盗窃罪" in page
    assert (folder / "card.md").read_text(encoding="utf-8").count("| judge | 15 | 15 | 0 | 0 | 15 |") == 1


def test_markup_of_a_document_is_shown_and_not_run(tmp_path):
    from tests.rl.synthesis.runs import JUDGMENTS

    (tmp_path / "in").mkdir()
    text = (
        (JUDGMENTS / "theft.txt").read_text(encoding="utf-8").replace("翻窗入室", "翻窗入室<script>alert(1)</script>")
    )
    (tmp_path / "in" / "a.txt").write_text(text, encoding="utf-8")
    with Server(reply) as server:
        run(tmp_path / "run", server.url, tmp_path / "in")
    assert "<script" not in (tmp_path / "run" / "card.html").read_text(encoding="utf-8")


def test_a_second_run_asks_nothing_with_the_cache(made, tmp_path):
    folder, _ = made
    with Server(reply) as server:
        more = [*_more(folder.parent / "queries.txt"), f"cache={tmp_path / 'cache.sqlite'}"]
        run(tmp_path / "first", server.url, *more)
        asked = len(server.asked)
        run(tmp_path / "second", server.url, *more)
        assert len(server.asked) == asked == 125
    assert files(tmp_path / "first") == files(tmp_path / "second")
    assert (tmp_path / "first" / "sft.jsonl").read_bytes() == (folder / "sft.jsonl").read_bytes()


def test_no_file_of_a_run_and_nothing_that_is_asked_holds_personal_data_of_a_document(tmp_path):
    source, folder = tmp_path / "in", tmp_path / "run"
    shutil.copytree(FOLDER, source, ignore=shutil.ignore_patterns("*.yaml"))
    with Server(reply) as server:
        run(folder, server.url, source, questions=1)
        asked = "".join(json.dumps(body, ensure_ascii=False) for body in server.asked)
    written = "".join(path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.suffix in TEXTS)
    assert "借款" in written and "借款" in asked
    for judgment in judgments():
        masked = mask(judgment.text).text
        for value in (str(one) for values in judgment.personal.values() for one in values):
            assert value in masked or not (value in written or value in asked), f"{judgment.name}: {value}"
