"""``rewards.score``: what the command gives, from Python."""

import json

import pytest

import rewards
from rewards.__main__ import main
from rewards.judge.client import JudgeSettings
from rewards.registry import Part
from rewards.verdict import Sample
from tools.scripted_server import Server

ANSWERS = [
    {"prompt": "盗窃罪？", "completion": "<think>偷</think><answer>刑法第264条</answer>", "reference": "刑法第264条"},
    {"prompt": "盗窃罪？", "completion": "不知道", "reference": "刑法第264条"},
]
SAMPLES = [Sample.from_json(one) for one in ANSWERS]


def test_verdicts_are_those_of_the_command(tmp_path, capsys):
    (tmp_path / "answers.jsonl").write_text("\n".join(json.dumps(one) for one in ANSWERS))
    (tmp_path / "mix.yaml").write_text("article_f1: 1.0\nlength: {weight: 0.5, options: {longest: 4, buffer: 2}}\n")
    command = ["score", "--weights", str(tmp_path / "mix.yaml"), "--input", str(tmp_path / "answers.jsonl")]
    assert main(command) == 0
    found = rewards.score({"article_f1": 1.0, "length": Part(0.5, options={"longest": 4, "buffer": 2})}, SAMPLES)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [one.to_json() for one in found]
    assert found[0].parts["article_f1"] == 1.0 and found[1].parts["article_f1"] == 0.0
    assert [one.score for one in rewards.score("article_f1", SAMPLES)] == [1.0, 0.0]


def test_a_served_judge_decides_its_part_and_its_answers_are_kept(tmp_path):
    with Server(lambda body: json.dumps({"reason": "半对", "points": 1})) as server:
        judge = {"judge": JudgeSettings(server.url, "m", "k"), "judge_cache": tmp_path / "judge.sqlite"}
        twice = [rewards.score({"article_f1": 1.0, "legal_validity": 0.5}, SAMPLES[:1], **judge) for _ in range(2)]
    (found,) = twice[0]
    assert found.score == 1.25 and found.parts == {"article_f1": 1.0, "legal_validity": 0.5}, "1 of 2 points"
    assert twice[1] == twice[0] and len(server.asked) == 1 and server.keys == {"Bearer k"}


@pytest.mark.parametrize(
    ("weights", "processes", "why"),
    [
        ("acuracy", 1, "did you mean accuracy"),
        ({"accuracy": Part(options={"x": 1})}, 1, "has no option x"),
        ("accuracy", 0, "processes=0 must be at least 1"),
    ],
)
def test_a_slip_is_a_sentence(weights, processes, why):
    with pytest.raises(ValueError, match=why):
        rewards.score(weights, SAMPLES, processes=processes)
