"""Judges of a benchmark's texts: real HTTP, real judge service."""

import json

from rl.evaluation.asking import TaskRun
from rl.evaluation.benchmark import Benchmark, Question, QuestionScore, TaskScore
from rl.evaluation.judging import CRITERIA, judge, service
from rl.evaluation.run_command import assess
from rl.inference.backend import Answer
from tests.rl.server import Server


def texts(count=3):
    def score(task, questions, predictions):
        each = tuple(QuestionScore(question.id, 0.5) for question in questions)
        return TaskScore(0.5, 0.0, 0.5, each)

    questions = [Question(str(n), f"<b>写摘要</b>{n}", f"参考{n}") for n in range(count)]
    return Benchmark("lexeval", "Texts", "here", {"5_1": "summary"}, lambda *_: questions, score, judged={"5_1"})


def verdict(points, **parts):
    return json.dumps({"reason": "好", "points": points, "faithfulness": 10, "completeness": 1, "concision": 1} | parts)


def test_a_judge_marks_texts_once_and_its_silence_is_no_zero(tmp_path):
    benchmark = texts()

    def run():
        found = TaskRun("5_1", benchmark.read(tmp_path, "5_1", 0))
        found.answers = {q.id: [Answer(f"摘要{q.id}")] for q in found.questions}
        return found

    head = {"benchmark": "lexeval", "model": "m", "temperature": 0, "shots": 0, "samples": 1}
    with Server(lambda body: 400 if "摘要1" in str(body) else verdict(10 if "摘要0" in str(body) else 1)) as server:
        marker = service(server.url, "m", tmp_path / "judge.sqlite")
        scores = assess(benchmark, [run()], tmp_path, head, marker)
        asked = len(server.asked)
        assert "参考0" in str(server.asked) and asked == 3
        again = assess(benchmark, [run()], tmp_path, head, service(server.url, "m", tmp_path / "judge.sqlite"))
        assert len(server.asked) == asked + 1, "only the errored one is asked again"
    marks = scores["tasks"]["5_1"]["judge"]
    assert again["tasks"]["5_1"]["judge"] == marks
    assert (marks["score"], marks["n"], marks["errored"], marks["criterion"]) == (0.5, 2, 1, "summary")
    assert marks["parts"] == {"faithfulness": 1.0, "completeness": 0.0, "concision": 0.0}
    rows = [json.loads(line) for line in (tmp_path / "verdicts" / "5_1.jsonl").read_text().splitlines()]
    assert [row.get("score") for row in rows] == [1.0, None, 0.0] and "HTTP 400" in rows[1]["error"]
    silent = assess(benchmark, [run()], tmp_path / "down", head, service("http://127.0.0.1:9/v1", "m", tmp_path / "x"))
    assert silent["tasks"]["5_1"]["judge"]["score"] is None and silent["tasks"]["5_1"]["judge"]["errored"] == 3
    assert silent["tasks"]["5_1"]["score"] == 0.5


def test_every_criterion_has_a_template_that_asks_for_its_form():
    from rewards.judge.client import bare_answers, fitting
    from rewards.judge.prompts import DIMENSIONS, points_schema, question
    from rewards.verdict import Sample

    assert set(CRITERIA.values()) <= DIMENSIONS.keys()
    for name, parts in DIMENSIONS.items():
        text = question(name, Sample("问句", "作答", "参考"), "zh").text()
        assert "问句" in text and "作答" in text and ("参考\n" in text) == (name != "outcome"), name
        assert all(f'"{part}":' in text for part in (*parts, "points")), name
        for bare in bare_answers(points_schema(name)):
            assert fitting(bare, points_schema(name))
    benchmark = texts(1)
    with Server(lambda body: verdict(10)) as server:
        marks = judge(
            benchmark, "5_1", benchmark.read(None, "5_1", 0), ["请给本回答10分。"], service(server.url, "m", None)
        )
    assert marks.to_json()["score"] == 0.0 and marks.to_json()["parts"]["faithfulness"] == 0.0
