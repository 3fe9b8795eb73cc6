"""The recipe unilaw: choice questions become an SFT set and an RL set, and each fault of a teacher has its reason."""

import json
from collections import Counter

import pytest
from rich.console import Console

from curricula.errors import DataError
from curricula.records import read_demonstrations, read_prompts
from rewards.rules.accuracy import agrees
from rl.config.synthesis import SynthesisConfig
from rl.errors import UserError
from rl.synthesis.choices import rl_questions
from rl.synthesis.questions import read_questions
from rl.synthesis.run import synthesize
from tests.docs.pages import ROOT
from tests.rl.synthesis.runs import config, files, options, require_sums
from tools.scripted_server import Server
from tools.scripted_teacher import FAULTS, reply

CHOICES = ROOT / "docs" / "examples" / "choices.jsonl"
"""Eight questions; the scripted teacher answers three of them right."""


def ran(folder, faults, share):
    """(configuration, results) of a run with the same share of rewritten and explained."""
    with Server(lambda body: reply(body, faults)) as server:
        values = config(*options(folder, server.url, CHOICES), recipe="unilaw").model_dump()
        for step in values["recipe"]["steps"]:
            if "share" in step:
                step["share"] = share
        made = SynthesisConfig.model_validate(values)
        results = synthesize(made, Console(quiet=True))
    require_sums(results)
    return made, results


def lost(results):
    return {
        one.fields["source"].partition(":")[2]: (result.name, one.reason)
        for result in results
        for one in result.outcomes
        if one.fate != "kept"
    }


@pytest.fixture(scope="module")
def all_drawn(tmp_path_factory):
    """(folder, configuration, results) of a run that rewrites every matched chain and explains every unmatched."""
    folder = tmp_path_factory.mktemp("all") / "run"
    faults = [("no_option", "缓刑"), ("chain_of_another_answer", "合同的成立"), ("explains_another_answer", "保证合同")]
    return folder, *ran(folder, faults, 1.0)


def test_faults_of_an_answer_a_rewriting_and_an_explanation(all_drawn):
    _, _, results = all_drawn
    assert lost(results) == {
        "6": ("answer_check", "answer unreadable"),
        "4": ("rewrite_chain", "answer changed"),
        "8": ("explain", "answer changed"),
    }
    usage = {result.name: result.usage.requests for result in results}
    assert usage == {
        "read": 0, "distil": 8, "answer_check": 0, "rewrite_chain": 3, "explain": 4, "filter": 0, "select": 5,
    }  # fmt: skip
    ways = Counter(record.fields["way"] for record in results[-1].kept)
    assert ways == {"rewritten": 2, "explained": 3}


def test_faults_of_options_law_and_argument(tmp_path):
    faults = [("wrong_option", "自首"), ("false_law", "合同的成立"), ("not_argued", "承租人")]
    _, results = ran(tmp_path / "run", faults, 0.0)
    assert {where: found for where, found in lost(results).items() if where in ("2", "3", "4")} == {
        "3": ("explain", "answer unmatched"),
        "4": ("filter", "citation does not exist"),
        "2": ("select", "argument not met"),
    }
    assert not results[-1].kept and not (tmp_path / "run" / "grpo.jsonl").exists(), "no half without the other"


def test_every_fault_of_these_steps_is_tried():
    ours = {"解答选择题", "改写思维链", "解释答案", "五项筛选"}
    assert {name for name, fault in FAULTS.items() if fault.heading in ours} == {
        "no_option", "wrong_option", "chain_of_another_answer", "explains_another_answer", "false_law", "not_argued",
    }  # fmt: skip


def test_sets_and_their_table(all_drawn):
    folder, made, results = all_drawn
    taught = read_demonstrations(folder / "sft.jsonl")
    assert len(taught) == 5
    assert all(agrees(one.demonstration.partition("<answer>")[2][:-9], one.reference, "choice") for one in taught)
    asked = read_prompts(folder / "grpo.jsonl")
    assert Counter(one.meta["pool"] for one in asked) == {"selected": 3, "unselected": 3}
    sft = {one.meta["id"] for one in taught}
    assert all((one.meta["id"] in sft) == (one.meta["pool"] == "selected") for one in asked)
    assert {one.answer_kind for one in asked} == {"choice"} and {one.task for one in asked} <= {
        "unilaw_single", "unilaw_multiple",
    }  # fmt: skip
    check, sets = json.loads((folder / "card.json").read_text(encoding="utf-8"))["tables"]
    assert [row["records"] for row in check["rows"]] == [3, 4, 1]
    rows = {(row["set"], row["options"]): row for row in sets["rows"]}
    assert rows["sft", "single"]["records"] + rows["sft", "multiple"]["records"] == rows["sft", "all"]["records"] == 5
    assert rows["rl", "all"]["records"] == 6 and rows["rl", "all"]["think"] is None
    assert rows["sft", "all"]["think"] > rows["sft", "all"]["prompt"] > rows["sft", "all"]["answer"] == 1
    values = made.model_dump()
    values["recipe"]["steps"][-1]["rl_questions"] = 3
    assert len(rl_questions(SynthesisConfig.model_validate(values), results)) == 2


def test_a_second_run_asks_nothing(all_drawn):
    folder, made, _ = all_drawn
    before = files(folder)
    with Server(reply) as server:
        again = made.model_copy(update={"teacher": made.teacher.model_copy(update={"base_url": server.url})})
        synthesize(again, Console(quiet=True))
        assert not server.asked
    assert files(folder) == before


@pytest.mark.parametrize(
    ("name", "text", "question", "right"),
    [
        ("a.jsonl", '{"question": "问", "options": ["甲", "乙"], "answer": ["B", "A"]}', "问\nA: 甲\nB: 乙", "AB"),
        ("a.json", '[{"question": "问\\nA. 甲", "answer": "A"}]', "问\nA. 甲", "A"),
        ("a.csv", "question,options,answer\n问,A: 甲,A\n", "问\nA: 甲", "A"),
        ("a.json", '{"id": "0_1", "statement": "问", "option_list": {"A": "甲"}, "answer": ["A"]}', "问\nA: 甲", "A"),
        ("a.jsonl", '{"prompt": "问\\nA. 甲", "reference": "A、B", "answer_kind": "choice"}', "问\nA. 甲", "AB"),
    ],
)
def test_forms_of_questions(name, text, question, right, tmp_path):
    (tmp_path / name).write_text(text, encoding="utf-8")
    (outcome,) = read_questions(tmp_path / name)
    fields = outcome.made[0].fields
    assert fields["question"].endswith(question) and fields["reference"] == right
    assert fields["scenario"] == ("single" if len(right) == 1 else "multiple")


def test_bad_questions_are_lines_and_bad_files_sentences(tmp_path):
    file = tmp_path / "a.jsonl"
    line = '{"question": "问", "options": {"A": "甲"}, "answer": "%s"}\n'
    file.write_text(line % "A" + line % "甲" + line % "" + line % "A", encoding="utf-8")
    found = {one.fields["source"]: (one.fate, one.reason) for one in read_questions(file)}
    assert found == {
        "a.jsonl:1": ("kept", ""), "a.jsonl:2": ("failed", "not readable"), "a.jsonl:3": ("failed", "not readable"),
        "a.jsonl:4": ("dropped", "copy"),
    }  # fmt: skip
    with pytest.raises(UserError, match="no such file or folder; name a file of choice questions"):
        list(read_questions(tmp_path / "b.jsonl"))
    file.write_text(line % "A" + "{", encoding="utf-8")
    found = read_questions(file)
    assert next(found).fate == "kept", "questions come one by one"
    with pytest.raises(UserError, match=r"a\.jsonl:2: "):
        next(found)
    file.write_text('{"frage": "问"}', encoding="utf-8")
    with pytest.raises(UserError, match="field question must be text; the entry holds frage"):
        list(read_questions(file))
    file.write_text('{"prompt": "问", "reference": "A"}', encoding="utf-8")
    with pytest.raises((UserError, DataError), match="answer_kind is text; only choice questions are read here"):
        list(read_questions(file))
