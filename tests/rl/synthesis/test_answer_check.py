"""The answer check of choice questions, on answers as models write them."""

import pytest

from curricula.errors import DataError
from rl.synthesis.answer_check import check_answer, right_options


@pytest.mark.parametrize(
    ("completion", "gold", "outcome"),
    [
        ("<think>A错误，B正确，D正确。</think><answer>BD</answer>", "BD", "matched"),
        ("<think>先看A项。</think>\n\n<answer>D、B</answer>", ["B", "D"], "matched"),
        ("<think>应选BD</think><answer>B</answer>", "BD", "unmatched"),
        ("<think>应选BD</think><answer>ABD</answer>", "BD", "unmatched"),
        ("<think>应选B</think>故选ＢＤ。", "D、B", "matched"),
        ("<think>应选BD", "BD", "unreadable"),
        ("<think>…</think><answer>无法判断</answer>", "BD", "unreadable"),
        ("<think>…</think><answer></answer>", "A", "unreadable"),
    ],
)
def test_the_set_of_options_decides(completion, gold, outcome):
    assert check_answer(completion, gold).outcome == outcome


def test_what_was_chosen_and_what_is_right_are_kept():
    checked = check_answer("<think>…</think><answer>AC</answer>", "AB")
    assert (checked.chosen, checked.right) == (frozenset("AC"), frozenset("AB"))


@pytest.mark.parametrize("gold", ["", [], "甲", "AA", ["A", "或B"]])
def test_a_question_without_a_readable_answer_is_a_sentence(gold):
    with pytest.raises(DataError, match="no set of option letters"):
        right_options(gold)
