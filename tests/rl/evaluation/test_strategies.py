"""Inference strategies by hand on a scripted backend; outcome models and the command line on real ones."""

import json

import pytest

from rl.errors import UserError
from rl.evaluation.benchmark import Benchmark, Question, QuestionScore, TaskScore
from rl.evaluation.judging import service
from rl.evaluation.strategies.majority import majority
from rl.evaluation.strategies.methods import Model, Strategies, StrategySettings
from rl.evaluation.strategies.outcome import outcome_model
from rl.evaluation.strategies.scores import score as strategy_score
from rl.inference.__main__ import main as inference
from rl.inference.backend import Answer
from tests.rl.scripted import Scripted
from tests.rl.server import Server


@pytest.mark.parametrize(
    ("kind", "said", "place"),
    [
        ("choice", ["B", "选A、C", "CA", "B.", "应选C和A。"], 1),
        ("number", ["2年", "十二个月", "有期徒刑一年", "共12"], 1),
        ("term", ["一年六个月", "三年", "十八个月"], 0),
        ("article", ["刑法第264条", "刑法第二百六十四条", "第266条、第264条"], 0),
        ("charge", ["盗窃罪", "诈骗罪", "构成诈骗罪"], 1),
        ("choice", ["不知道", "也不知道"], 0),
    ],
)
def test_the_majority_is_of_what_is_said(kind, said, place):
    assert majority(said, kind) == place


def choice_benchmark():
    questions = [
        Question("0", "单选题", ["A"], facets={"answer_kind": "choice"}),
        Question("1", "多选题", ["A", "B"], facets={"answer_kind": "choice"}),
    ]

    def score(task, questions, predictions):
        each = tuple(
            QuestionScore(q.id, float("".join(sorted(p)) == "".join(q.reference)))
            for q, p in zip(questions, predictions, strict=True)
        )
        return TaskScore(sum(one.score for one in each) / len(each), 0.0, 0.0, each)

    return Benchmark("choices", "Choices", "here", {"all": "all"}, lambda *_: questions, score)


def think(answer):
    return f"<think>想</think><answer>{answer}</answer>"


def run_strategies(policy, helper, **changes):
    benchmark = choice_benchmark()
    questions = benchmark.read(None, "all", 0)
    settings = StrategySettings(chains=3, rounds=2, **changes)
    pairs = [(f"all/{question.id}", question) for question in questions]
    models = (Model(policy, None), Model(helper, None))
    strategies = Strategies(pairs, ["choice", "choice"], *models, Likes(), settings)
    results = [strategies.chain_of_thought(), strategies.best_of_n(), strategies.majority_vote(), *strategies.rounds()]
    scores = [strategy_score(benchmark, [("all", questions)], ["choice", "choice"], one) for one in results]
    return strategies, results, scores


class Likes:
    """An outcome model: the more right letters, the better; no score for the answer 空."""

    def scores(self, pairs):
        return [None if "空" in answer.text else sum(letter in answer.text for letter in "AB") for _, answer in pairs]


def test_strategies_by_hand():
    """Chains C, C and A: best of n finds A, the majority says C. Revision turns a criticised C into A, or AB."""

    def policy(ask):
        if ask.key.startswith("cot/"):
            return think("C")
        assert ask.key.startswith("samples/") and ask.temperature == 0.9 and ask.samples == 3
        return [think("C"), think("C"), think("A")]

    def helper(ask):
        text = ask.messages[-1][1]
        if ask.key.startswith("assess-"):
            assert ask.temperature == 0 and len(ask.messages) == 3, "with its example"
            low = "<answer>C" in text
            return json.dumps({"steps": [9, 3] if low else [9, 10], "feedback": "C不对" if low else "无"})
        assert ask.key.startswith("revise-") and "C不对" in text and ask.temperature == 0.9
        return think("A") if "单选题" in text else think("AB")

    strategies, results, scores = run_strategies(Scripted(policy), Scripted(helper))
    assert [one.predictions for one in results] == [["C", "C"], ["A", "A"], ["C", "C"], ["A", "AB"], ["A", "AB"]]
    by_name = {one.name: one for one in scores}
    first = by_name["iterative, round 1"]
    assert (first.single, first.multiple, first.multiple_f1, first.average) == (1.0, 1.0, 1.0, 1.0)
    best = by_name["best of n"]
    assert (best.single, best.multiple, best.average) == (1.0, 0.0, 0.5) and best.multiple_f1 == pytest.approx(2 / 3)
    assert first.counts == {"assessed": 6, "unreadable": 0, "revised": 4, "improved": 4}
    assert by_name["iterative, round 2"].counts == {"assessed": 4, "unreadable": 0, "revised": 0, "improved": 0}
    length = len(think("C"))
    assert by_name["zero-shot CoT"].tokens == length and by_name["majority"].tokens == best.tokens == 3 * length
    assert by_name["iterative, round 2"].tokens > first.tokens > best.tokens
    assert {record["round"] for record in strategies.records} == {0, 1, 2} and len(strategies.records) == 18


def test_what_is_not_better_is_not_kept_and_what_can_t_be_read_is_counted():
    def helper(ask):
        if ask.key.startswith("assess-"):
            return "说不好" if ask.key.endswith("/0") else '{"steps": [1], "feedback": "重写"}'
        return think("空") if ask.key.endswith("/1") else think("D")

    policy = Scripted(lambda ask: think("A"))
    _, results, _ = run_strategies(policy, Scripted(helper))
    assert [one.predictions for one in results[-2:]] == [["A", "A"]] * 2
    assert results[-2].counts == {"assessed": 6, "unreadable": 2, "revised": 4, "improved": 0}
    assert results[-1].counts == {"assessed": 0, "unreadable": 0, "revised": 4, "improved": 0}, (
        "no second look at a text"
    )


def test_outcome_models_see_no_reference(tmp_path, models):
    question = Question("0", "何罪？", "盗窃罪", facets={"answer_kind": "charge"})
    good = Answer("<answer>盗窃罪</answer>", "秘密窃取，依《刑法》第264条")
    bad = Answer("<answer>盗窃罪</answer>", "依《刑法》第9999条")
    assert outcome_model("reward:legal_validity", None).scores([(question, good), (question, bad)]) == [1.0, 0.0]
    with pytest.raises(UserError, match="accuracy can't judge an answer without its reference"):
        outcome_model("reward:accuracy", None).scores([(question, good)])
    with Server(lambda body: json.dumps({"reason": "", "points": 10 if "264" in str(body) else 1})) as server:
        judged = outcome_model("judge", service(server.url, "m", tmp_path / "j.sqlite"))
        assert judged.scores([(question, bad), (question, good)]) == [0.0, 1.0]
        assert all("盗窃罪" in str(body) and "参考答案\n" not in str(body) for body in server.asked)
    for written in ("judge", "reward:nothing", "oracle", "classifier:/nowhere"):
        with pytest.raises(UserError):
            outcome_model(written, None)


def test_a_classifier_is_read_as_transformers_reads_it(tmp_path, models):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = tmp_path / "classifier"
    tokenizer = AutoTokenizer.from_pretrained(models["tied"])
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(models["tied"], num_labels=1, pad_token_id=0)
    torch.nn.init.normal_(model.score.weight)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    pairs = [(Question("0", "何罪？", ""), Answer("盗窃" * n, "想")) for n in (9, 1, 4)]
    found = outcome_model(f"classifier:{folder}", None).scores(pairs)
    for (question, answer), score in zip(pairs, found, strict=True):
        turns = ("user", question.prompt), ("assistant", f"<think>想</think>{answer.text}")
        text = "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in turns)
        ids = torch.tensor([tokenizer.encode(text, add_special_tokens=False)])
        with torch.no_grad():
            assert score == pytest.approx(float(model.eval()(input_ids=ids).logits[0, 0]), abs=1e-4)


def test_strategies_from_the_command_line(models, tmp_path, capsys):
    arguments = ["strategies", "--task", "exam_single", "--model", str(models["tied"]), "--backend", "transformers"]
    arguments += ["--max-tokens", "8", "--chains", "2", "--limit", "3", "--out", str(tmp_path)]
    helper = json.dumps({"steps": [1], "feedback": "重写"})
    with Server(lambda body: helper if "评阅人" in str(body["messages"][-1]) else think("A")) as server:
        helped = ["--helper-server", server.url, "--helper-served-model", "m", "--outcome", "reward:format"]
        assert inference([*arguments, *helped, "--rounds", "1"]) == 0
        asked = len(server.asked)
        assert inference([*arguments, *helped, "--rounds", "1"]) == 0
        assert len(server.asked) == asked == 12, "every phase goes on from its file"
    found = json.loads((tmp_path / "strategies.json").read_text())
    assert [one["name"] for one in found["methods"]] == ["zero-shot CoT", "best of n", "majority", "iterative, round 1"]
    assert found["methods"][-1]["counts"] == {"assessed": 6, "unreadable": 0, "revised": 6, "improved": 6}
    assert len((tmp_path / "rounds.jsonl").read_text().splitlines()) == 12
    assert "<svg" in (tmp_path / "strategies.svg").read_text() and "SC acc" in capsys.readouterr().out
    assert (
        inference(["strategies", "--task", "age", "--model", "m", "--out", str(tmp_path / "b"), "--outcome", "x"]) == 2
    )
