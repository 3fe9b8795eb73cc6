"""Which of the policy's answers are kept, and that their files give them back."""

import random
from dataclasses import replace

import numpy as np
import pytest

from curricula.prompts import ask
from curricula.records import read_demonstrations
from rl.config.stages import KeepConfig, SFTStage
from rl.data import kept_answers
from rl.data.demonstrations import demonstrations
from rl.data.kept_answers import Answer, right_answers, select
from rl.errors import UserError
from rl.models.chat import load_tokenizer
from rl.samples import Completion, Group


@pytest.fixture(scope="module")
def tokenizer(models):
    return load_tokenizer(str(models["tied"]))


def answer(text, reward=1.0, question="几岁？", tokens=None):
    prompt = ask("age", question, "18", "number", think="")
    return Answer(replace(prompt, demonstration=text), [1, 2], list(range(tokens or len(text))), reward)


def texts(answers):
    return [one.prompt.demonstration for one in answers]


def group(rewards, answers=None, *, ends=None, error=None, accuracy=None, index=0):
    completions = [
        Completion(np.asarray([5, 6, 7]), np.zeros(3, dtype=np.float32), text, end, 1)
        for text, end in zip(
            answers or [f"<think></think><answer>{i}</answer>" for i in range(len(rewards))],
            ends or ["stop"] * len(rewards),
            strict=True,
        )
    ]
    parts = [{"accuracy": a, "format": 1.0} for a in accuracy or rewards]
    prompt = ask("age", f"问题{index}", "18", "number")
    if error:
        return Group(f"u{index}", prompt, [3, 4], completions, error=error, index=index)
    return Group(f"u{index}", prompt, [3, 4], completions, list(rewards), parts, index=index)


def test_the_best_of_a_prompt_is_kept_and_of_equals_the_first():
    given = [answer("甲", 0.5), answer("乙", 1.0), answer("丙", 1.0), answer("丁", 0.2, question="别的？")]
    assert texts(select(given, KeepConfig(at_least=0))) == ["乙", "丁"]
    assert texts(select(given, KeepConfig(at_least=0, per_prompt=2))) == ["乙", "丙", "丁"]
    assert texts(select(given, KeepConfig(at_least=0, per_prompt=9))) == ["甲", "乙", "丙", "丁"], "as they came"


def test_the_shortest_come_first_on_request():
    given = [answer("长", 1.1, tokens=9), answer("短", 1.0, tokens=3), answer("也短", 1.1, tokens=3)]
    assert texts(select(given, KeepConfig(at_least=1, shortest=True))) == ["也短"], "of equal length the better"
    assert texts(select(given, KeepConfig(at_least=1, shortest=True, per_prompt=2))) == ["短", "也短"]
    assert texts(select(given, KeepConfig(at_least=1))) == ["长"]


def test_no_answer_of_a_prompt_is_kept_twice():
    given = [answer("甲", tokens=4), answer("甲", tokens=2), answer("乙"), answer("甲", question="别的？")]
    assert texts(select(given, KeepConfig(at_least=1, per_prompt=3))) == ["甲", "乙", "甲"]
    kept = select(given, KeepConfig(at_least=1, per_prompt=3, shortest=True))
    assert [len(one.token_ids) for one in kept] == [2, 1, 1], "of the same answer the one that ranks first"


@pytest.mark.parametrize("shortest", [False, True])
def test_a_selection_of_selections_is_the_selection_of_all(shortest):
    draw = random.Random(0)
    for per_prompt in (1, 2, 4):
        keep = KeepConfig(at_least=0, per_prompt=per_prompt, shortest=shortest)
        given = [
            answer(draw.choice("甲乙丙丁戊"), draw.choice([0.5, 1.0]), draw.choice("问答"), draw.randint(1, 4))
            for _ in range(60)
        ]
        once, kept = select(given, keep), []
        for start in range(0, 60, 7):
            kept = select([*kept, *given[start : start + 7]], keep)
        assert kept == once and 0 < len(once) <= 2 * per_prompt


def test_right_is_what_reaches_the_threshold_and_was_not_cut_off(tokenizer):
    groups = [
        group([1.1, 1.0, 1.1], ends=["length", "stop", "stop"], index=3),
        group([1.1], error="the judge is away", index=2),
        group([0.0, 1.0], accuracy=[1.0, 0.0], index=1),
    ]
    found = right_answers(groups, KeepConfig(at_least=1.0), tokenizer)
    assert [(one.prompt.messages[0]["content"], one.reward) for one in found] == [
        ("问题1", 1.0), ("问题3", 1.0), ("问题3", 1.1)
    ], "in the order of the prompts, whatever came first"  # fmt: skip
    by_part = right_answers(groups, KeepConfig(at_least=1.0, reward="accuracy"), tokenizer)
    assert [one.reward for one in by_part] == [0.0, 1.0, 1.1]
    assert list(found[0].example[0]) == [3, 4, 5, 6, 7] and found[0].example[1] == 2, "the tokens that were sampled"


def test_a_sum_that_was_rounded_reaches_its_threshold(tokenizer):
    assert sum([0.7, 0.2, 0.1]) < 1
    assert right_answers([group([0.7 + 0.2 + 0.1])], KeepConfig(at_least=1.0), tokenizer)
    assert not right_answers([group([0.999])], KeepConfig(at_least=1.0), tokenizer)


def test_what_no_file_may_hold_is_not_kept(tokenizer):
    found = right_answers([group([1, 1, 1, 1], ["", " \n", "a\0b", "好"])], KeepConfig(at_least=1), tokenizer)
    assert texts(found) == ["好"]


def test_what_the_template_opened_is_part_of_the_demonstration(tokenizer):
    opened = group([1.0], ["想</think><answer>1</answer>"])
    opened.prompt_ids[:] = tokenizer.encode("问<think>", add_special_tokens=False)
    (found,) = right_answers([opened], KeepConfig(at_least=1), tokenizer)
    assert found.prompt.demonstration == "<think>想</think><answer>1</answer>"


def test_answers_come_back_from_their_file(tmp_path, tokenizer):
    found = right_answers([group([1.0, 0.5], index=i) for i in range(3)], KeepConfig(at_least=0.5), tokenizer)
    path = kept_answers.answers_file(tmp_path / "answers" / "s", 4)
    kept_answers.write_answers(path, found)
    back = kept_answers.read_answers(path, "fix")
    assert path.name == "step-000004.parquet" and back == found
    assert all(np.array_equal(a.example[0], b.example[0]) for a, b in zip(back, found, strict=True))
    kept_answers.write_answers(path, [])
    assert kept_answers.read_answers(path, "fix") == []
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"step-000004.parquet can't be read as Parquet .*; remove the checkpoints"):
        kept_answers.read_answers(path, "remove the checkpoints")


def test_an_sft_stage_takes_what_a_round_keeps(tmp_path, tokenizer):
    found = right_answers([group([1.0, 0.5], index=i) for i in range(3)], KeepConfig(at_least=0.5), tokenizer)
    path = kept_answers.demonstrations_file(tmp_path, 1)
    kept_answers.write_demonstrations(path, found, 1)
    assert [one.meta["kept"] for one in read_demonstrations(path)][:2] == [
        {"round": 1, "reward": 1.0}, {"round": 1, "reward": 0.5}
    ]  # fmt: skip
    train, held_out = demonstrations(SFTStage(name="s", kind="sft", steps=1, data=str(path)), seed=0)
    assert sorted(one.demonstration for one in train) == sorted(texts(found)) and not held_out
    assert {one.reference for one in train} == {"18"}
