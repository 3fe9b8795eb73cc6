"""Predictions find their questions by the prompt, in any order and form of the file."""

import json
import random

import pytest

from rl.errors import UserError
from rl.evaluation import matching
from rl.evaluation.benchmark import Question
from rl.evaluation.benchmarks import find
from rl.evaluation.predictions import in_order, read_predictions
from rl.evaluation.score_command import score_task

FACTS = [
    "甲在集市上拿走乙放在摊位旁的布包，内有现金三百元。",
    "丙酒后驾驶货车回村，被交警拦下。",
    "丁夜里点燃邻居的柴房，火被扑灭。",
    "戊与己因地界争吵，戊用锄头将己打成轻伤。",
    "庚在网上出售没有许可的药品。",
    "辛把捡到的手机卖掉，得款一千元。",
]
CHARGES = ["盗窃", "危险驾驶", "放火", "故意伤害", "非法经营", "侵占"]
ORDER = [3, 0, 5, 1, 4, 2]
ASK = "请根据事实判断罪名，把答案写在[罪名]和<eoa>之间。"
EXAMPLE = f"{ASK}\n{FACTS[2]}\n[罪名]放火<eoa>\n"  # an example may be one of the questions


def turns(number):
    return [{"role": "HUMAN", "prompt": f"{ASK}\n{FACTS[number]}"}, {"role": "BOT", "prompt": ""}]


def chat(number):
    example = [{"role": "user", "content": f"{ASK}{FACTS[2]}"}, {"role": "assistant", "content": "[罪名]放火<eoa>"}]
    return [*example, {"role": "user", "content": [{"type": "text", "text": f"{ASK}{FACTS[number]}"}]}]


def answer(number):
    return f"[罪名]{CHARGES[number]}<eoa>"


SHAPES = {
    "published": {
        str(place): {"origin_prompt": turns(n), "prediction": answer(n), "refr": f"罪名:{CHARGES[n]}"}
        for place, n in enumerate(ORDER)
    },
    "one text, example in front": [
        {"id": place, "prompt": f"<s>{EXAMPLE}{ASK}\n{FACTS[n]}\n答：", "prediction": answer(n)}
        for place, n in enumerate(ORDER)
    ],
    "chat": [{"messages": chat(n), "output": answer(n)} for n in ORDER],
    "instruction and question": [{"instruction": ASK, "question": FACTS[n], "response": answer(n)} for n in ORDER],
    "other blanks": [{"input": f" {FACTS[n]} ".replace("，", ", "), "prediction": answer(n)} for n in ORDER],
    "journal": [
        {"key": f"3-3/{n}", "asked": "0f", "prompt": f"{ASK}\n{FACTS[n]}", "answers": [{"text": answer(n)}]}
        for n in ORDER
    ],
}


def written(path, value):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in value), encoding="utf-8")
    else:
        path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    return path


@pytest.fixture
def data(tmp_path):
    rows = [{"instruction": ASK, "question": f, "answer": f"罪名:{c}"} for f, c in zip(FACTS, CHARGES, strict=True)]
    return written(tmp_path / "3-3.json", rows)


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_in_another_order_is_scored_in_full(tmp_path, data, shape, suffix):
    value = SHAPES[shape]
    if isinstance(value, dict) and suffix == ".jsonl":
        value = list(value.values())
    found, count = score_task(find("lawbench"), "3-3", written(tmp_path / f"p{suffix}", value), data)
    assert (found.score, count) == (1.0, len(FACTS))
    assert [one.id for one in found.per_question] == [str(n) for n in range(len(FACTS))]


def test_what_does_not_belong_together_is_refused_with_counts(tmp_path, data):
    def refused(value):
        with pytest.raises(UserError) as caught:
            score_task(find("lawbench"), "3-3", written(tmp_path / "p.json", value), data)
        return str(caught.value)

    published = SHAPES["published"]
    other = published | {"1": {**published["1"], "origin_prompt": "另外的问题", "refr": "?"}}
    said = refused(other)
    assert "1 of 6 predictions are of no question" in said and "the first is entry 1)" in said
    assert "1 of 6 questions have no prediction (the first is 0)" in said
    twice = published | {"1": published["0"]}
    assert "1 of 6 predictions are of no question, or of one answered already" in refused(twice)
    wrong = {key: {**entry, "refr": "罪名:抢劫"} if key in "12" else entry for key, entry in published.items()}
    assert "2 of 6 references differ (the first is that of question 0)" in refused(wrong)
    fewer = {key: entry for key, entry in published.items() if key != "5"}
    assert "1 of 6 questions have no prediction" in refused(fewer)
    silent = {key: {"prediction": entry["prediction"], "refr": entry["refr"]} for key, entry in published.items()}
    assert "5 of 6 references differ" in refused(silent), "position is all there is, and the references say another one"
    assert "3 questions have no prediction" in refused([{"prediction": ""}] * 3)


def test_position_counts_where_nothing_says_what_was_asked(tmp_path, data):
    rows = [{"prediction": answer(n)} for n in range(6)]
    assert score_task(find("lawbench"), "3-3", written(tmp_path / "p.json", rows), data)[0].score == 1.0


OPTIONS = [("甲有效", "乙无效"), ("甲无效", "乙有效"), ("丙无罪", "丁有罪")]


@pytest.mark.parametrize("benchmark, task", [("jecqa", "kd"), ("disc", "sing_nje")])
def test_options_distinguish_questions_with_the_same_words(tmp_path, benchmark, task):
    stem = "下列说法正确的是："
    if benchmark == "jecqa":
        rows = [
            {
                "id": f"0_{n}",
                "statement": stem,
                "option_list": {"A": a, "B": b, "C": "都对", "D": "都不对"},
                "answer": ["ABC"[n]],
            }
            for n, (a, b) in enumerate(OPTIONS)
        ]
        data = tmp_path / "0_test.json"
        written(data, rows)
    else:
        data = tmp_path / "mcq_sing_nje.csv"
        rows = [f"{stem},{a},{b},都对,都不对,{'ABC'[n]}" for n, (a, b) in enumerate(OPTIONS)]
        data.write_text("\n".join(["input,A,B,C,D,output", *rows]), encoding="utf-8")
    asked = [{"id": place, "prompt": f"{stem}\nA. {OPTIONS[n][0]}\nB. {OPTIONS[n][1]}\nC. 都对", "prediction": "ABC"[n]}
             for place, n in enumerate((2, 0, 1))]  # fmt: skip
    found, _ = score_task(find(benchmark), task, written(tmp_path / "p.json", asked), data)
    assert found.score == 1.0 and found.fixed == 1.0
    bare = [{"id": place, "prompt": stem, "prediction": "A"} for place in range(3)]
    with pytest.raises(UserError, match="predictions fit several questions"):
        score_task(find(benchmark), task, written(tmp_path / "p.json", bare), data)


def rows_of(name):
    """(file, data, (what is asked, a right answer) of each question) of a benchmark."""
    if name == "stard":
        queries = [{"query_id": n, "问题": fact, "match_name": [f"民法典第{n + 1}条"]} for n, fact in enumerate(FACTS)]
        return "queries.json", queries, [(fact, f"民法典第{n + 1}条") for n, fact in enumerate(FACTS)]
    if name == "cail2018":
        meta = {
            "relevant_articles": [264],
            "term_of_imprisonment": {"death_penalty": False, "life_imprisonment": False},
        }
        cases = [
            {"fact": fact, "meta": meta | {"accusation": [charge]}} for fact, charge in zip(FACTS, CHARGES, strict=True)
        ]
        return "test.json", cases, [(f, f"{c}罪") for f, c in zip(FACTS, CHARGES, strict=True)]
    if name == "cail2019":
        labels = ["LN1", "LN5", "LN9", "LN3", "LN7", "LN11"]
        return (
            "test.json",
            [[{"sentence": f, "labels": [a]} for f, a in zip(FACTS, labels, strict=True)]],
            list(zip(FACTS, labels, strict=True)),
        )
    if name == "casegen":
        cases = [{"id": n, "prosecution": f, "evidence": ["书证"], "defense": f"答辩：{c}"} for n, (f, c) in
                 enumerate(zip(FACTS, CHARGES, strict=True))]  # fmt: skip
        return "CaseGen.json", cases, [(f, f"答辩：{c}") for f, c in zip(FACTS, CHARGES, strict=True)]
    if name == "lexeval":
        cases = [{"instruction": "选一项。", "input": f, "answer": "ABCDEF"[n]} for n, f in enumerate(FACTS)]
        return "1_2.json", cases, [(f, "ABCDEF"[n]) for n, f in enumerate(FACTS)]
    raise ValueError(name)


FRAMED = {"stard": "all", "cail2018": "charge", "cail2019": "loan", "casegen": "defense", "lexeval": "1_2"}


@pytest.mark.parametrize("name, task", FRAMED.items())
def test_benchmarks_with_their_own_frames(tmp_path, name, task):
    file, content, pairs = rows_of(name)
    data = written(tmp_path / file, content)
    positional = [{"prediction": given} for _, given in pairs]
    expected, _ = score_task(find(name), task, written(tmp_path / "in_order.json", positional), data)
    shuffled = [{"prompt": f"某个模型的提示\n{fact}\n答：", "prediction": given} for fact, given in pairs]
    random.Random(1).shuffle(shuffled)
    found, count = score_task(find(name), task, written(tmp_path / "shuffled.json", shuffled), data)
    assert (found, count) == (expected, 6) and found.score > 0.1


def test_a_benchmark_of_ones_own_is_matched_by_its_fields(tmp_path):
    (tmp_path / "own.yaml").write_text(
        "name: own\ntasks: {t: {file: t.jsonl, prompt: '{stem} {more}', reference: right, metric: exact}}",
        encoding="utf-8",
    )
    rows = [
        {"stem": f"第{n}题：", "more": fact, "right": c} for n, (fact, c) in enumerate(zip(FACTS, CHARGES, strict=True))
    ]
    data = written(tmp_path / "t.jsonl", rows)
    given = [{"prompt": FACTS[n], "prediction": CHARGES[n]} for n in ORDER]
    found, _ = score_task(find(str(tmp_path / "own.yaml")), "t", written(tmp_path / "p.jsonl", given), data)
    assert found.score == 1.0


def test_names_count_where_prompts_were_cut_and_not_where_they_contradict(tmp_path):
    questions = [Question(f"q-{n}", fact, CHARGES[n]) for n, fact in enumerate(FACTS)]
    cut = [{"id": f"q-{n}", "prompt": FACTS[n][:9], "prediction": answer(n)} for n in ORDER]
    path = written(tmp_path / "p.json", cut)
    assert [one.id for one in in_order(read_predictions(path, "t"), questions, path)] == [q.id for q in questions]
    cut[0]["prompt"], cut[1]["prompt"] = FACTS[0], FACTS[3]  # entries q-3 and q-0
    path = written(tmp_path / "p.json", cut)
    with pytest.raises(UserError, match="2 predictions were asked another question than their id names"):
        in_order(read_predictions(path, "t"), questions, path)


@pytest.mark.parametrize(
    "ids, named",
    [(["0", "2", "1"], False), (["1", "2"], False), (["0.0", "0.1"], False), (["0", "7"], True), (["a", "b"], True)],
)
def test_ids_that_are_no_positions_are_names(ids, named):
    assert matching.names(ids) == named


def test_an_instruction_alone_says_nothing_and_documents_without_facts_go_by_id(tmp_path, data):
    rows = [{"instruction": ASK, "prediction": answer(n)} for n in range(6)]
    assert score_task(find("lawbench"), "3-3", written(tmp_path / "p.json", rows), data)[0].score == 1.0
    text = (
        "本院认为，依照《中华人民共和国刑法》第二百六十四条，判决如下：被告人犯盗窃罪，判处拘役{}个月，并处罚金一千元。"
    )
    documents = [{"id": key, "document": text.format(months)} for key, months in ((12, "三"), (7, "五"))]
    data = written(tmp_path / "expected.jsonl", documents)
    given = [{**one, "prompt": fact} for one, fact in zip(documents[::-1], FACTS, strict=False)]
    found, _ = score_task(find("judge_doc"), "document", written(tmp_path / "mine.jsonl", given), data)
    assert found.further["term"] == 1.0


def test_questions_inside_others_and_repeated_ones_are_distinguished():
    questions = [
        Question("0", "能离婚吗？", "能"),
        Question("1", "分居两年能离婚吗？", "不能"),
        Question("2", "能离婚吗？", "难说"),
    ]
    asked = ["问：能离婚吗？", "例：能离婚吗？能。问：分居两年能离婚吗？答：", "能离婚吗?"]
    found = matching.place(asked, ["", "", ""], ["难说", None, None], questions)
    assert found.places == {2: 0, 1: 1, 0: 2} and not found.unknown and not found.ambiguous


@pytest.mark.parametrize(
    "one, other, equal",
    [("AC", ["C", "A"], True), ("B，D", "BD", True), ("罪名: 盗窃", "罪名:盗窃", True), ("甲", "乙", False),
     ("", "A", None),
     (None, "A", None), ({"names": []}, "A", None), (["盗窃", "抢劫"], ["抢劫", "盗窃"], True), (12, "12", True)],
)  # fmt: skip
def test_references_say_the_same_in_other_forms(one, other, equal):
    assert matching.same(one, other) is equal
