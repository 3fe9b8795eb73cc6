"""Seven defects of another toolkit for the same benchmarks, each shown to be absent here."""

import json
import subprocess
import sys

import pytest

from rl.evaluate import COMMANDS
from rl.evaluation.benchmark import Question
from rl.evaluation.benchmarks import BENCHMARKS
from rl.evaluation.metrics import text_overlap
from rl.evaluation.predictions import in_order, read_predictions
from rl.evaluation.scoring import answered

CHOICES = (("lexeval", "1_2"), ("jecqa", "kd"), ("unilaw", "all"), ("disc", "mult_nje"))


def scored(name, task, pairs):
    questions = [Question(str(number), "", reference) for number, (_, reference) in enumerate(pairs)]
    return BENCHMARKS[name].score(task, questions, [prediction for prediction, _ in pairs])


@pytest.mark.parametrize(("name", "task"), CHOICES)
def test_1_reasoning_that_the_prompt_opened_is_no_part_of_the_answer(name, task):
    reply = "先看A和D，再看C。</think>\n\nB"
    assert answered(reply) == "B"
    assert scored(name, task, [(reply, "B")]).fixed == 1


@pytest.mark.parametrize(("name", "task"), CHOICES)
def test_2_an_analysis_before_the_answer_does_no_harm(name, task):
    found = scored(name, task, [("分析：甲有过错，乙无过错。解析完毕，故选B。", "B")])
    assert found.fixed == 1


@pytest.mark.parametrize(("name", "task"), CHOICES)
def test_3_letters_are_a_set(name, task):
    found = scored(name, task, [("BA", "AB"), ("答案是C、A", "AC"), ("According to the Civil Code, 选B", "B")])
    assert found.fixed == 1


def test_4_an_empty_prediction_does_not_move_the_others():
    found = scored("lexeval", "5_4", [("", "盗窃罪"), ("合同无效", "合同无效"), ("", "诈骗"), ("有期徒刑", "有期徒刑")])
    assert [one.score for one in found.per_question] == pytest.approx([0, 1, 0, 1])
    assert [one.fixed for one in found.per_question] == pytest.approx([0, 1, 0, 1])
    assert text_overlap.lexeval("", "盗窃罪") == 0.0


@pytest.mark.parametrize("command", COMMANDS)
def test_5_every_command_can_be_called(command):
    done = subprocess.run(
        [sys.executable, "-m", "rl.evaluate", command, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and f"rl.evaluate {command}" in done.stdout


def test_6_tasks_that_are_published_with_a_judge_are_marked():
    judged = {name: set(BENCHMARKS[name].judged) for name in BENCHMARKS if BENCHMARKS[name].judged}
    assert judged == {
        "lexeval": {"5_1", "5_2", "5_3", "5_4"},
        "disc": {"qa"},
        "casegen": {"defense", "fact", "reasoning", "judgement"},
    }
    assert all(tasks <= set(BENCHMARKS[name].tasks) for name, tasks in judged.items())


def test_7_predictions_are_lines_that_may_be_appended(tmp_path):
    path, count = tmp_path / "1_2.jsonl", 2_000
    with path.open("w") as file:
        for number in range(count):  # one write for each record, none of them of the whole file
            file.write(json.dumps({"id": number, "prediction": "A"}) + "\n")
    questions = [Question(str(number), "", "A") for number in range(count)]
    assert [one.text for one in in_order(read_predictions(path, "1_2"), questions, path)] == ["A"] * count
