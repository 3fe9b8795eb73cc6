"""Every benchmark on files in its authors' form with scores computed by hand, and on the authors' own files if they are
there (THEMIS_BENCHMARKS)."""

import json
import os
from pathlib import Path

import pytest
from openpyxl import Workbook

from rl.errors import UserError
from rl.evaluation.benchmark import Question
from rl.evaluation.benchmark_files import MissingData
from rl.evaluation.benchmarks import BENCHMARKS, FOLDERS, find, folder_of
from rl.evaluation.benchmarks.cail2019 import ELEMENTS
from rl.evaluation.metrics import choice_letters
from tests.rl.evaluation.test_metrics import DOCUMENT, scored

ROOT = os.environ.get("THEMIS_BENCHMARKS")
real = pytest.mark.skipif(ROOT is None, reason="THEMIS_BENCHMARKS names no folder of the authors' files")


def lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_ten_benchmarks_are_registered():
    assert list(BENCHMARKS) == [
        "lawbench", "lexeval", "jecqa", "unilaw", "disc", "cail2018", "cail2019", "judge_doc", "stard", "casegen",
    ]  # fmt: skip
    assert [len(BENCHMARKS[name].tasks) for name in BENCHMARKS] == [20, 23, 3, 3, 11, 3, 3, 1, 2, 4]
    assert BENCHMARKS["lexeval"].contaminated == {"1_1": "JEC-QA", "3_4": "JEC-QA"}
    assert BENCHMARKS["lawbench"].contaminated == {"1-2": "JEC-QA", "3-6": "JEC-QA"}
    with pytest.raises(UserError, match="no benchmark lexevil; known are lawbench, lexeval"):
        find("lexevil")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_missing_file_names_dataset_path_and_source(tmp_path, name):
    benchmark = BENCHMARKS[name]
    for task in benchmark.tasks:
        with pytest.raises(MissingData) as error:
            benchmark.read(tmp_path / name, task, 0)
        assert benchmark.title.split()[0] in str(error.value) and benchmark.source in str(error.value)
        assert str(tmp_path / name) in str(error.value)


def test_the_authors_folder_names_are_accepted(tmp_path):
    assert folder_of(tmp_path, BENCHMARKS["jecqa"]) == tmp_path / "jecqa"
    (tmp_path / "JEC-QA").mkdir()
    assert folder_of(tmp_path, BENCHMARKS["jecqa"]) == tmp_path / "JEC-QA"
    (tmp_path / "jecqa").mkdir()
    assert folder_of(tmp_path, BENCHMARKS["jecqa"]) == tmp_path / "jecqa"
    assert set(FOLDERS) == set(BENCHMARKS)


def test_a_damaged_entry_names_file_and_entry(tmp_path):
    path = lines(tmp_path / "1_2.json", [{"instruction": "问", "input": "A", "answer": "A"}, {"instruction": "问"}])
    with pytest.raises(UserError, match=r"1_2\.json:2: field input must be text; the entry holds instruction"):
        BENCHMARKS["lexeval"].read(tmp_path, "1_2", 0)
    path.write_text('{"instruction": "问"}\n{')
    with pytest.raises(UserError, match=r"1_2\.json:2: not valid JSON"):
        BENCHMARKS["lexeval"].read(tmp_path, "1_2", 0)
    path.write_text("[]")
    with pytest.raises(UserError, match="holds no entry"):
        BENCHMARKS["lexeval"].read(tmp_path, "1_2", 0)


def test_lawbench_has_no_or_one_example(tmp_path):
    for folder, text in (("zero_shot", "请回答"), ("one_shot", "请回答。例子：…")):
        (tmp_path / "data" / folder).mkdir(parents=True)
        rows = [{"instruction": text, "question": "刑期？", "answer": "刑期:12个月"}]
        (tmp_path / "data" / folder / "3-4.json").write_text(json.dumps(rows))
    read = BENCHMARKS["lawbench"].read
    assert read(tmp_path, "3-4", 0) == [Question("0", "请回答\n刑期？", "刑期:12个月")]
    assert read(tmp_path, "3-4", 1)[0].prompt.startswith("请回答。例子：…\n")
    with pytest.raises(UserError, match="not 2"):
        read(tmp_path, "3-4", 2)


def test_lexeval_reads_questions_and_examples(tmp_path):
    folder = tmp_path / "LexEval"
    lines(folder / "data" / "5_3.json", [{"instruction": "翻译。\n", "input": "De facto", "answer": "事实上"}])
    lines(folder / "data" / "3_5.json", [{"instruction": "选。\n", "input": "几年？", "answer": None}])
    shown = [{"instruction": "翻译。\n", "input": word, "answer": word} for word in "甲乙丙"]
    lines(tmp_path / "LexEval-fewshot" / "data" / "lexeval" / "few_shot" / "5_3.jsonl", shown)
    read = BENCHMARKS["lexeval"].read
    found = read(folder, "5_3", 2)
    assert found[0].prompt == "翻译。\nDe facto\n翻译结果:" and found[0].reference == "事实上"
    assert found[0].shots == (("翻译。\n甲\n翻译结果:", "甲"), ("翻译。\n乙\n翻译结果:", "乙"))
    assert read(folder, "3_5", 0)[0].reference == ""
    lines(folder / "few_shot" / "5_3.jsonl", shown[2:])
    assert [one for one, _ in read(folder, "5_3", 3)[0].shots] == ["翻译。\n丙\n翻译结果:"]
    with pytest.raises(UserError, match="not 4"):
        read(folder, "5_3", 4)
    with pytest.raises(MissingData, match="worked examples"):
        read(folder, "3_5", 1)


def test_jecqa_reports_the_official_figures(tmp_path):
    options = {"A": "甲", "B": "乙"}
    lines(
        tmp_path / "0_test.json",
        [
            {"id": "0_1", "statement": "问一", "option_list": options, "answer": ["A"], "subject": "民法"},
            {"id": "0_2", "statement": "问二", "option_list": options, "answer": ["A", "B"]},
        ],
    )
    lines(
        tmp_path / "1_test.json",
        [
            {"id": "1_1", "statement": "问三", "option_list": "A：甲\nB：乙", "answer": "B", "instruction": "选。"},
            {"id": "1_2", "statement": "问四", "option_list": options, "answer": []},
        ],
    )
    benchmark = BENCHMARKS["jecqa"]
    questions = benchmark.read(tmp_path, "all", 0)
    assert questions[0].prompt.endswith("\n问一\nA: 甲\nB: 乙") and questions[2].prompt == "选。\n问三\nA：甲\nB：乙"
    assert questions[0].facets == {"kind": "knowledge", "subject": "民法"} and questions[3].facets == {"kind": "case"}
    found = benchmark.score("all", questions, ["A", "BA", "选A", "A"])
    assert found.score == found.fixed == pytest.approx(2 / 3) and len(found.per_question) == 3
    assert found.further == pytest.approx({"kds": 1, "kda": 1, "cas": 0, "caa": 0, "as": 1 / 2, "aa": 2 / 3})
    knowledge = benchmark.score("kd", benchmark.read(tmp_path, "kd", 0), ["B", "AB"])
    assert knowledge.further == {"kds": 0, "kda": 0.5}
    assert scored("jecqa", "ca", [("A", "A"), ("A", "AB")]).further == {"cas": 1, "caa": 0.5}


def test_unilaw_reads_the_workbook_and_scores_options(tmp_path):
    book = Workbook()
    rows = [
        ("index", "instruction", "input", "answer", "知识型/案例型", "法律领域"),
        (0, "选。\n", "问一", "A", "知识型", "法理"), (1, "选。\n", "问二", "ABC", "案例型", "刑法"),
    ]  # fmt: skip
    for row in rows:
        book.active.append(row)
    (tmp_path / "dataset").mkdir()
    book.save(tmp_path / "dataset" / "UnilawR1Eval.xlsx")
    benchmark = BENCHMARKS["unilaw"]
    questions = benchmark.read(tmp_path, "all", 0)
    assert questions[1] == Question(
        "1", "选。\n问二", "ABC", facets={"options": "multiple", "kind": "case", "domain": "刑法"}
    )
    assert [len(benchmark.read(tmp_path, task, 0)) for task in ("single", "multiple")] == [1, 1]
    found = benchmark.score("all", questions, ["选A", "AB"])
    assert found.score == 0.5
    assert found.further == pytest.approx(
        {"f1": (1 + 4 / 5) / 2, "single": 1, "multiple": 0, "knowledge": 1, "case": 0}
    )
    (tmp_path / "dataset" / "UnilawR1Eval.xlsx").write_bytes(b"no workbook")
    with pytest.raises(UserError, match="not a readable workbook"):
        benchmark.read(tmp_path, "all", 0)


def test_disc_reads_tables_and_its_patterns(tmp_path):
    table = tmp_path / "eval" / "datasets" / "objective" / "mcq_sing_nje.csv"
    table.parent.mkdir(parents=True)
    table.write_text('input,output,A,B,C,D,source,multichoice\n"何罪,\n请选",B,甲,乙,丙,丁,2018,False\n')
    shots = tmp_path / "eval" / "src" / "few_shot" / "mcq_sing_examples.csv"
    shots.parent.mkdir(parents=True)
    shots.write_text('input,output\n"例题\nA.甲",A\n')
    question = BENCHMARKS["disc"].read(tmp_path, "sing_nje", 1)[0]
    assert question.prompt.endswith("问题：何罪,\n请选\nA. 甲\nB. 乙\nC. 丙\nD. 丁\n答案：")
    assert question.reference == "B" and question.shots[0][1] == "A" and question.facets == {"source": "2018"}
    table.write_text("input,output,A,B,C,D\n问,B,甲\n")
    with pytest.raises(UserError, match="row 0: the row and the header"):
        BENCHMARKS["disc"].read(tmp_path, "sing_nje", 0)


CASES = [
    {
        "fact": "甲窃取财物",
        "meta": {
            "accusation": ["[盗窃]"],
            "relevant_articles": [264],
            "term_of_imprisonment": {"death_penalty": False, "life_imprisonment": False, "imprisonment": 18},
        },
    },
    {
        "fact": "乙骗取并窃取财物",
        "meta": {
            "accusation": ["诈骗", "盗窃"],
            "relevant_articles": [266, 264],
            "term_of_imprisonment": {"death_penalty": False, "life_imprisonment": True, "imprisonment": 0},
        },
    },
]


def test_cail2018_scores_micro_and_macro_f1(tmp_path):
    lines(tmp_path / "final_test.json", CASES)
    benchmark = BENCHMARKS["cail2018"]
    questions = benchmark.read(tmp_path, "charge", 0)
    assert [question.reference for question in questions] == [["盗窃"], ["诈骗", "盗窃"]]
    found = benchmark.score("charge", questions, ["盗窃罪", "构成诈骗罪、抢劫罪"])
    # Right 2 of 3 given and 3 wanted. 盗窃: 1 of 1 and 2, F1 2/3; 诈骗 1; 抢劫 0; the other 199 labels count 1.
    assert found.further == pytest.approx({"micro": 2 / 3, "macro": (2 / 3 + 1 + 0 + 199) / 202})
    assert found.score == pytest.approx((2 / 3 + (2 / 3 + 200) / 202) / 2)
    assert found.fixed == pytest.approx((2 / 3 + (2 / 3 + 1) / 3) / 2)
    assert [one.score for one in found.per_question] == pytest.approx([1, 1 / 2])


def test_cail2018_takes_lines_of_the_official_output(tmp_path):
    lines(tmp_path / "final_test.json", CASES)
    benchmark = BENCHMARKS["cail2018"]
    line = '{"accusation": [1, "[盗窃]"], "articles": [1], "imprisonment": -1}'  # 妨害公务, article 184, life
    charge, article, term = (benchmark.read(tmp_path, task, 0) for task in ("charge", "article", "term"))
    assert [one.score for one in benchmark.score("charge", charge, [line, line]).per_question] == pytest.approx(
        [2 / 3, 1 / 2]
    )
    assert benchmark.score("article", article, [line, "刑法第264条和第二百六十六条"]).per_question[1].score == 1
    assert benchmark.score("article", article, [line, line]).per_question[0].score == 0
    assert [one.score for one in benchmark.score("term", term, [line, line]).per_question] == [0, 1]


def test_cail2019_scores_elements_of_sentences(tmp_path):
    document = [{"sentence": "原告借款五万元", "labels": ["LN2", "LN5"]}, {"sentence": "被告未到庭", "labels": []}]
    lines(tmp_path / "data" / "loan" / "test.json", [document])
    benchmark = BENCHMARKS["cail2019"]
    questions = benchmark.read(tmp_path, "loan", 0)
    assert [question.id for question in questions] == ["0.0", "0.1"] and "原告借款五万元" in questions[0].prompt
    found = benchmark.score("loan", questions, ["返还借款、支付利息", "无"])
    # Right 1 of 2 given and 2 wanted; LN5 is 1, LN2 and LN9 are 0, the other 17 elements count 1.
    assert found.score == pytest.approx((1 / 2 + 18 / 20) / 2) and found.fixed == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert [one.score for one in found.per_question] == [0.5, 1.0]
    assert all(len(names) == 20 for names in ELEMENTS.values())


def test_judge_scores_whole_documents(tmp_path):
    lines(tmp_path / "data" / "test.json", [{"text_id": "a", "text": " 二人窃取财物。", "fd": DOCUMENT, "la": [264]}])
    benchmark = BENCHMARKS["judge_doc"]
    questions = benchmark.read(tmp_path, "document", 0)
    assert questions[0].id == "a" and questions[0].prompt.endswith("案件事实：二人窃取财物。")
    given = DOCUMENT.replace("一年六个月", "一年").replace("、第六十七条第三款", "").replace("犯盗窃罪", "犯诈骗罪")
    found = benchmark.score("document", questions, [given])
    wanted = {"term": 12 / 18, "fine": 1, "charge_f1": 0, "article_f1": 2 / 3, "article_recall": 1 / 2}
    assert {name: found.further[name] for name in wanted} == pytest.approx(wanted)
    assert found.score == pytest.approx((12 / 18 + 1 + 0 + 2 / 3) / 4)
    assert benchmark.score("document", questions, [DOCUMENT]).further["reasoning_meteor"] > 0.99


def test_stard_scores_ranked_articles(tmp_path):
    row = {
        "query_id": 7,
        "问题": "谁能开店？",
        "match_name": ["中华人民共和国民法典第五十四条", "个体工商户条例第二条"],
    }
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "queries.json").write_text(json.dumps([row | {"match_id": [705, 49282]}]))
    benchmark = BENCHMARKS["stard"]
    questions = benchmark.read(tmp_path, "all", 0)
    assert questions[0].id == "7"
    found = benchmark.score("all", questions, ["1. 刑法第一条\n2. 《民法典》第54条：自然人"])
    assert found.score == 0.5 and found.further["mrr"] == 0.5
    assert (found.further["recall@1"], found.further["recall@3"], found.further["hit@10"]) == (0, 0.5, 1)
    assert benchmark.score("all", questions, ["49282\n705"]).score == 1
    assert (
        benchmark.score("all", questions, ["根据《民法典》第五十四条和《个体工商户条例》第二条，自然人可以。"]).score
        == 1
    )
    assert benchmark.score("all", questions, ["不清楚"]).abstention_rate == 1


def test_casegen_asks_with_the_parts_before(tmp_path):
    case = {"id": 3, "prosecution": "诉请还款", "defense": "已还清", "fact": "借款五万元", "reasoning": "应当还款"}
    lines(tmp_path / "CaseGen.json", [case | {"judgement": "合同无效", "evidence": {"一": "借条"}}])
    benchmark = BENCHMARKS["casegen"]
    question = benchmark.read(tmp_path, "judgement", 0)[0]
    assert question.id == "3" and question.reference == "合同无效"
    assert "借款五万元" in question.prompt and "应当还款" in question.prompt and "诉请还款" not in question.prompt
    assert '"一": "借条"' in benchmark.read(tmp_path, "defense", 0)[0].prompt
    found = benchmark.score("judgement", [question], ["<think>想</think>合同无效的"])
    assert found.score == pytest.approx(4 / 5) and found.further["bleu1"] == pytest.approx(2 / 3)
    assert benchmark.judged == set(benchmark.tasks)
    lines(tmp_path / "prompt" / "judgement.json", [{"id": "3", "type": "judgement", "prompt": "请判决"}])
    assert benchmark.read(tmp_path, "judgement", 0)[0] == Question("3", "请判决", "合同无效")
    (tmp_path / "CaseGen.json").unlink()
    alone = benchmark.read(tmp_path, "judgement", 0)
    assert alone == [Question("3", "请判决", "")]
    with pytest.raises(UserError, match="hold no reference documents"):
        benchmark.score("judgement", alone, ["驳回"])


def _right(name, task, reference):
    """A reply with the right answer."""
    if name == "stard":
        return "\n".join(reference["names"])
    reference = reference.removeprefix("答案:")
    return (
        "".join(sorted(choice_letters.gold(reference)))
        if name == "lexeval" and task[0] != "5" and reference
        else reference
    )


@real
@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("lawbench", {"1-1": 500, "3-1": 500, "3-3": 500, "3-4": 500, "3-5": 500}),
        ("lexeval", {"1_2": 1000, "2_3": 100, "3_5": 400, "4_2": 300, "5_3": 250, "5_4": 500, "6_3": 500}),
        ("disc", {"sing_nje": 537, "mult_nje": 463, "mult_ungee": 87, "qa": 300}),
        ("stard", {"all": 1543, "dev": 308}),
    ],
)
def test_the_authors_files_are_read_whole_and_right_answers_score_one(name, counts):
    benchmark = BENCHMARKS[name]
    for task, count in counts.items():
        questions = benchmark.read(folder_of(Path(ROOT), benchmark), task, 0)
        assert len(questions) == count and len({question.id for question in questions}) == count
        right = [_right(name, task, one.reference) for one in questions[:200]]
        found = benchmark.score(task, questions[:200], right)
        assert found.fixed == pytest.approx(1.0, abs=0.002), task


@real
def test_examples_of_the_authors_files_are_read():
    for name, task, shots in (("lexeval", "2_1", 3), ("disc", "mult_pae", 4)):
        found = BENCHMARKS[name].read(folder_of(Path(ROOT), BENCHMARKS[name]), task, shots)
        assert len(found[0].shots) == shots and all(choice_letters.disc_letters(answer) for _, answer in found[0].shots)
