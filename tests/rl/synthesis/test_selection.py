"""Selection of questions: copies, test questions of benchmarks, what a policy always or never solves."""

import json

import pytest
from rich.console import Console

from curricula.records import read_prompts
from rl.config.synthesis import ContaminationStep, CopiesStep, PassRateStep, SynthesisConfig
from rl.errors import UserError
from rl.synthesis.records import Dropped, Failed, Record
from rl.synthesis.run import synthesize
from rl.synthesis.selection import ContaminationCheck, Copies, PassRate
from rl.synthesis.step import Context
from tests.rl.synthesis.runs import JUDGMENTS, config, files, options, require_sums
from tools.scripted_server import Server
from tools.scripted_teacher import reply

STEM = "甲乘夜潜入乙家窃得现金五千元，出门时被乙发现，甲为抗拒抓捕将乙打成轻伤，甲的行为应如何定性？"
OTHER = "丙公司与丁公司签订建设工程施工合同，工程竣工后丁公司拒绝支付剩余工程款，丙公司可以主张什么权利？"


def root(folder, *stems):
    """A folder with two tasks of one benchmark."""
    (folder / "LexEval" / "data").mkdir(parents=True)
    for task, stem in zip(("1_2", "1_3"), stems, strict=True):
        row = {"instruction": "请选择。\n", "input": stem, "answer": "A"}
        (folder / "LexEval" / "data" / f"{task}.json").write_text(json.dumps(row), encoding="utf-8")
    return folder


def asked(name, question, **more):
    return Record(name, {"question": question, "text": "全文", **more})


def fate(step, record):
    try:
        return step.run(record)
    except Dropped as dropped:
        return dropped.reason, dropped.detail


def test_a_copy_names_the_question_that_is_kept():
    step = Copies(CopiesStep(step="copies"), Context(0))
    near = f"{STEM}请答。"
    records = [asked("a-q01", STEM), asked("a-q02", OTHER), asked("b-q01", f" {STEM}"), asked("b-q02", near)]
    near_copies = [asked("c-q01", near), Record("d", {"text": OTHER})]
    assert [fate(step, record) for record in [*records, *near_copies]] == [
        {}, {}, ("exact copy", "kept is a-q01"), ("near duplicate", "kept is a-q01"),
        ("exact copy", "kept is a-q01"), ("exact copy", "kept is a-q02"),
    ]  # fmt: skip


def test_copies_exact_only():
    step = Copies(CopiesStep(step="copies", similarity=0), Context(0))
    records = [asked("a", STEM), asked("b", f"{STEM}？"), asked("c", f"{STEM}？"), asked("d", OTHER), asked("e", OTHER)]
    assert [fate(step, record) for record in records] == [
        {}, {}, ("exact copy", "kept is b"), {}, ("exact copy", "kept is d"),
    ]  # fmt: skip


@pytest.mark.parametrize("drop", [True, False])
def test_test_questions_are_found_in_question_reference_and_chain(tmp_path, drop):
    options = ContaminationStep(step="contamination", root=str(root(tmp_path, STEM, OTHER)), drop=drop)
    step = ContaminationCheck(options, Context(0))
    chain = {"reasoning": f"先看一题：{STEM}", "answer": "抢劫"}
    reworded = OTHER.replace("剩余", "余下")
    records = [
        asked("a", f"请问，{STEM}谢谢。"), asked("b", "合同何时成立？", chain=chain), asked("c", reworded),
        asked("d", "合同何时成立？", reference="自成立时生效"), asked("e", f"{STEM}{OTHER}"),
    ]  # fmt: skip
    one, two = "lexeval 1_2 question 0", "lexeval 1_3 question 0"
    if drop:
        why = "test question of lexeval"
        wanted = [(why, one), (why, one), (why, two), {}, (why, f"{one}; {two}")]
    else:
        wanted = [{"overlap": [one]}, {"overlap": [one]}, {"overlap": [two]}, {}, {"overlap": [one, two]}]
    assert [fate(step, record) for record in records] == wanted
    assert step.report() == [{"benchmark": "lexeval", "questions": 2, "found": 2, "records": 4}]


def test_no_benchmark_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match=r"holds no data of lawbench, lexeval.* see python -m rl.evaluate list"):
        ContaminationCheck(ContaminationStep(step="contamination", root=str(tmp_path)), Context(0))
    with pytest.raises(UserError, match="no benchmark lexevil"):
        options = ContaminationStep(step="contamination", root=str(tmp_path), benchmarks=("lexevil",))
        ContaminationCheck(options, Context(0))


RIGHT = "<think>想。</think><answer>{}</answer>"


def selected(folder, url, *steps, policy=None):
    """A run of two judgments: the questions, then further steps."""
    named = [] if policy is None else [f"policy.base_url={policy}"]
    values = config(*options(folder, url, JUDGMENTS, "limit=2", *named)).model_dump()
    names = [step["step"] for step in values["recipe"]["steps"]]
    values["recipe"]["steps"] = [*values["recipe"]["steps"][: names.index("question") + 1], *steps]
    return synthesize(SynthesisConfig.model_validate(values), Console(quiet=True))


def lost(results):
    return {one.id: (result.name, one.reason) for result in results for one in result.outcomes if one.fate != "kept"}


def test_selection_in_a_recipe(tmp_path):
    with Server(reply) as server:
        plain = selected(tmp_path / "plain", server.url)
        question = next(one for one in plain[-1].kept if "reference" in one.fields)
        where = root(tmp_path / "root", question.fields["question"], OTHER)
        steps = ({"step": "copies", "similarity": 1}, {"step": "contamination", "root": str(where)})
        results = selected(tmp_path / "run", server.url, *steps)
    require_sums(results)
    assert lost(results)[question.id] == ("contamination", "test question of lexeval")
    before, after = (read_prompts(tmp_path / name / "grpo.jsonl") for name in ("plain", "run"))
    assert {one.meta["id"] for one in after} == {one.meta["id"] for one in before} - lost(results).keys()
    card = json.loads((tmp_path / "run" / "card.json").read_text(encoding="utf-8"))
    (row,) = card["overlap"]
    assert row["benchmark"] == "lexeval" and row["questions"] == 2 and row["found"] == 1 and row["records"] >= 1
    assert f"| lexeval | 2 | 1 | {row['records']} |" in (tmp_path / "run" / "card.md").read_text(encoding="utf-8")
    assert "Overlap with benchmarks" in (tmp_path / "run" / "card.html").read_text(encoding="utf-8")
    assert "Overlap" not in (tmp_path / "plain" / "card.html").read_text(encoding="utf-8")


def test_pass_rates_inform_a_stage(tmp_path):
    """One question is solved by 3 of 4 samples, the others always or never; the stage starts from 3/4."""
    with Server(reply) as server:
        plain = [one for one in selected(tmp_path / "plain", server.url)[-1].kept if "reference" in one.fields]
        texts = {one.fields["question"]: one for one in plain}
        middle, *others = texts.values()
        assert others
        always = others[0]

        def answers(body):
            (message,) = body["messages"]
            assert message["role"] == "user" and (body["n"], body["temperature"]) == (4, 1.0)
            one = texts[message["content"]]
            right, wrong = RIGHT.format(one.fields["reference"]), "没有答案"
            return [right] * 4 if one is always else [right, right, wrong, right] if one is middle else [wrong] * 4

        with Server(answers) as policy:
            step = {"step": "pass_rate", "samples": 4}
            results = selected(tmp_path / "run", server.url, step, policy=policy.url)
            assert len(policy.asked) == len(texts)
            asked = len(server.asked)
            first = files(tmp_path / "run")
            selected(tmp_path / "run", server.url, step, policy=policy.url)
            assert (len(policy.asked), len(server.asked)) == (len(texts), asked), "a resume asks nothing again"
            assert files(tmp_path / "run") == first
    require_sums(results)
    why = {one.id: ("pass_rate", "never solved") for one in others} | {always.id: ("pass_rate", "always solved")}
    assert lost(results) == why
    unasked = [one for one in results[-1].kept if "reference" not in one.fields]
    assert unasked and not any("pass_rate" in one.fields for one in unasked)
    (found,) = read_prompts(tmp_path / "run" / "grpo.jsonl")
    assert found.meta["id"] == middle.id and found.meta["pass_rate"] == 0.75
    assert found.meta["lineage"][-1] == {"step": "pass_rate", "samples": 4, "model": "m", "seed": 0}


def test_what_can_not_be_scored_or_asked_is_counted(tmp_path):
    step = PassRate(PassRateStep(step="pass_rate", samples=2), Context(0))
    with pytest.raises(Failed, match="answers not scored"):
        step.weigh(asked("a", "何罪？", reference="不是罪名", answer_kind="charge"), [RIGHT.format("盗窃罪")] * 2)
    with Server(reply) as server, Server(lambda body: (400, "content filter")) as policy:
        results = selected(tmp_path / "run", server.url, {"step": "pass_rate"}, policy=policy.url)
        with pytest.raises(UserError, match=r"no policy is named; add policy.base_url=http"):
            selected(tmp_path / "none", server.url, {"step": "pass_rate"})
    require_sums(results)
    assert set(lost(results).values()) == {("pass_rate", "refused by the server")}


def test_a_policy_is_one_and_is_sampled():
    with pytest.raises(UserError, match=r"policy: base_url and path name two models"):
        config("input=x", "run_dir=r", "policy.base_url=http://h/v1", "policy.path=m")
    with pytest.raises(UserError, match=r"policy.temperature: .* greater than 0"):
        config("input=x", "run_dir=r", "policy.temperature=0")
