"""Exam papers become choice questions: twenty in every layout of an answer key, and what is not read is counted."""

from collections import Counter

import pytest
from rich.console import Console

from rl.config.synthesis import SynthesisConfig
from rl.synthesis.papers.paper import Choice, Unread, read_paper
from rl.synthesis.pdf.read import read_pdf
from rl.synthesis.questions import read_questions
from rl.synthesis.run import synthesize
from tests.rl.synthesis.paper_texts import LAYOUTS, MATERIAL, QUESTIONS, paper
from tests.rl.synthesis.pdfs import pdf, typeset
from tests.rl.synthesis.runs import config, options, require_sums
from tools.scripted_server import Server
from tools.scripted_teacher import reply


def wanted(layout):
    for number, one in enumerate(QUESTIONS, 1):
        stem = f"{MATERIAL}\n{one.stem}" if number > 16 else one.stem
        said = one.explanation if layout in ("explained", "behind") else ""
        yield Choice(str(number), f"{stem}（ ）", dict(zip("ABCD", one.options, strict=True)), one.answer, said)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("columns", [0, 1, 2])
def test_twenty_questions_are_read_right(layout, columns, tmp_path):
    """As a text, and as a PDF of one and of two columns."""
    text = paper(layout)
    if columns:
        file = tmp_path / "paper.pdf"
        file.write_bytes(pdf(typeset(text, columns, "模拟试题（一）", "第{}页 共9页", size=11)))
        text = read_pdf(file)
    assert read_paper(text) == list(wanted(layout))


BODY = "1．甲盗窃，何罪？\nA．盗窃罪\nB．抢劫罪\n"


@pytest.mark.parametrize(
    ("text", "reason", "detail"),
    [
        (BODY, "no answer", "neither with the question nor in a key"),
        (f"{BODY}【答案】E\n", "answer is no option", "E of A, B"),
        (f"{BODY}答案：A\n参考答案\n1．B\n", "two answers", "A behind the options, B in the key"),
        (f"{BODY}参考答案\n1-3 AB\n", "answer unreadable", "the key has 2 letters for questions 1 to 3"),
        (f"{BODY}2．简述自首。\n3．乙？\nA．甲\nB．乙\n答案：A\n", "no options", "only choice questions are read"),
        (f"{BODY}3．乙？\nA．甲\nB．乙\n答案：A\n", "question not found", "its number is missing"),
        (f"{BODY}参考答案\n1．A\n2．B\n", "question not found", "the key has an answer to it"),
        ("1．甲？\nA．\nB．乙\n答案：A\n", "option empty", "A"),
        (f"{BODY}{'续' * 70}\n答案：A", "text behind the options", f"70 characters: {'续' * 30}"),
        ("1．\nA．甲\nB．乙\n答案：A\n", "no stem", "the options begin at once"),
    ],
)
def test_what_is_not_read_has_its_reason(text, reason, detail):
    assert (reason, detail) in [(one.reason, one.detail) for one in read_paper(text) if isinstance(one, Unread)]


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("一、单选题\n1．甲？\nA．子\nB．丑\n2．乙？\nA．子\nB．丑\n二、多选题\n1．丙？\nA．子\nB．丑\n"
         "参考答案\n一、单选题\n1．A 2．B\n二、多选题\n1．AB\n", {"1-1": "A", "1-2": "B", "2-1": "AB"}),
        ("1．甲？\nA．子  C．寅\nB．丑  D．卯\n答案：D\n", {"1": "D"}),
        ("1．A、B两地法院？（ AC ）\nA．子 B．丑\nC．B、A均对\n", {"1": "AC"}),
        ("第1题 甲？\n(A) 子\n(B) 丑\n[答案] A，B\n", {"1": "AB"}),
        ("51．甲？\nA．子\nB．丑\n正确答案：B。\n52．乙？\nA．子\nB．丑\n参考答案 A\n", {"51": "B", "52": "A"}),
        ("1．甲？\nA．子\nB．丑\n【答案】A\n【解析】三点：\n1．一是子。\n2．二是丑。\n2．乙？\nA．子\nB．丑\n【答案】B\n",
         {"1": "A", "2": "B"}),
        ("1．甲？\nA．子\nB．丑\n参考答案及解析\n1．【答案】B\n【解析】A项错误，\n2．不是题号。\n", {"1": "B"}),
    ],
)  # fmt: skip
def test_further_layouts(text, answers):
    found = read_paper(text)
    assert {one.place: one.answer for one in found if isinstance(one, Choice)} == answers, found


def test_what_is_shared_ends_the_question_before():
    one, two, three = read_paper(
        "1．甲？\nA．子\nB．丑\n（二）乙向丙借款，到期不还。\n请回答第2—3题。\n2．丙？\nA．子\nB．丑\n3．丁？\nA．子\nB．丑\n"
        "答案\n1-3 ABA\n"
    )
    assert one.options == {"A": "子", "B": "丑"} and one.stem == "甲？"
    assert two.stem.startswith("（二）乙向丙借款，到期不还。\n") and three.stem.endswith("第2—3题。\n丁？")


def test_papers_in_a_recipe(tmp_path):
    """Two papers in PDF, one of which is the other's copy in part, a scan, and a paper of essays."""
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / "a.pdf").write_bytes(pdf(typeset(paper("behind"), header="模拟试题")))
    (folder / "b.txt").write_text(f"{BODY}2．丙？\nA．子\nB．丑\n参考答案\n1．A 2．C\n", encoding="utf-8")
    (folder / "c.pdf").write_bytes(pdf([[]], extra=b"q 9 0 0 9 9 9 cm BI /W 1 /H 1 /CS /G /BPC 8 ID \x80 EI Q"))
    (folder / "d.txt").write_text("简述自首。\n", encoding="utf-8")
    (folder / "e.txt").write_text(paper("behind"), encoding="utf-8")
    read = list(read_questions(folder))
    assert Counter((one.fate, one.reason) for one in read) == {
        ("kept", ""): 21, ("dropped", "copy"): 20, ("failed", "not readable"): 2, ("failed", "answer is no option"): 1,
    }  # fmt: skip
    assert {one.fields["source"] for one in read if one.fate == "failed"} == {"b.txt:2", "c.pdf", "d.txt"}
    (asked,) = [one.made[0].fields for one in read if one.fields["source"] == "a.pdf:13"]
    assert asked["reference"] == "ABC" and asked["scenario"] == "multiple" and asked["explanation"] == "管制是主刑。"
    with Server(reply) as server:
        values = config(*options(tmp_path / "run", server.url, folder), recipe="unilaw").model_dump()
        for step in values["recipe"]["steps"]:
            if "share" in step:
                step["share"] = 1.0
        results = synthesize(SynthesisConfig.model_validate(values), Console(quiet=True))
        prompts = [body["messages"][0]["content"] for body in server.asked]
    require_sums(results)
    explained = [prompt for prompt in prompts if "【解释答案】" in prompt]
    assert any("试卷的解析" in prompt for prompt in explained), "what a paper explains is shown to the teacher"
    assert results[-1].kept, "the scripted teacher answers some"
