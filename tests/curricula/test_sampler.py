import json
import random
from collections import Counter
from dataclasses import replace

import pytest

from curricula.errors import DataError
from curricula.sampler import Sampler
from curricula.tasks import make_prompts

TASKS = {"age": 1.0, "parole": 3.0}
POOL = make_prompts("limitation", "train", 10, seed=0)


def sampler(difficulty=0.0, seed=3):
    return Sampler({**TASKS, "cases.jsonl": 2.0}, {"cases.jsonl": POOL}, seed, "s", difficulty)


def restored(other, difficulty=0.0):
    found = sampler(difficulty)
    found.load_state_dict(json.loads(json.dumps(other.state_dict())))
    return found


def answer(found, index, right):
    found.observe(index, [float(r) for r in right], [float(r) for r in right])


def test_tasks_are_drawn_by_weight_within_one_percent():
    found = Sampler(TASKS, {}, 0)
    drawn = Counter(found.at(i).task for i in range(10_000))
    assert drawn["parole"] / 10_000 == pytest.approx(0.75, abs=0.01)


def test_a_prompt_stays_the_same_until_its_group_is_observed_whatever_moves():
    found = sampler(difficulty=1.0)
    first = [found.at(i) for i in range(40)]
    for i in range(20):
        answer(found, i, [1, 1, 1, 1])
    assert [found.at(i) for i in range(20, 40)] == first[20:]
    assert set(found.picked) == set(range(20, 40))


def test_it_resumes_exactly_with_prompts_on_their_way():
    straight = sampler(difficulty=0.7)
    for i in range(60):
        straight.at(i)
        if i >= 8:
            answer(straight, i - 8, [i % 2, i % 3 == 0])
    broken = restored(straight, difficulty=0.7)
    for found in (straight, broken):
        found.log = []
        for i in range(52, 140):
            found.log.append(found.at(i))
            answer(found, i, [i % 5 == 0, 1])
    assert straight.log == broken.log and straight.state_dict() == broken.state_dict()
    assert straight.metrics() == broken.metrics()


def test_a_state_of_other_tasks_is_refused():
    found = sampler()
    found.at(0)
    state = found.state_dict()
    with pytest.raises(DataError, match="sampler state has the keys"):
        sampler().load_state_dict({"position": 1})
    with pytest.raises(DataError, match="pool state"):
        Sampler(TASKS, {}, 3).load_state_dict(state)
    answered = Sampler({"charge": 1.0}, {}, 3)
    answered.at(0)
    answer(answered, 0, [1, 0])
    with pytest.raises(DataError, match="task charge, which is not in this stage"):
        Sampler(TASKS, {}, 3).load_state_dict(answered.state_dict())


def test_a_pool_is_gone_through_once_an_epoch():
    found = Sampler({"cases.jsonl": 1.0}, {"cases.jsonl": POOL}, 0)
    first, second = ([found.at(i).uid for i in range(start, start + 10)] for start in (0, 10))
    assert set(first) == set(second) == {p.uid for p in POOL} and first != second


def test_difficulty_turns_to_what_is_solved_half_of_the_time():
    """After many groups that are always right on one task, its weight falls to 1 - d of what it was."""
    found = Sampler(TASKS, {}, 0, difficulty=0.8)
    for index in range(400):
        task = found.at(index).task
        answer(found, index, [1, 1] if task == "parole" else [1, 0])
    weights = found.current_weights()
    assert weights["age"] == pytest.approx(1.0) and weights["parole"] == pytest.approx(3 * 0.2, abs=0.01)
    assert found.metrics()["task/age/share"] == pytest.approx(1 / 1.6, abs=0.01)
    flat = Sampler(TASKS, {}, 0)
    flat.at(0)
    answer(flat, 0, [1, 1])
    assert flat.current_weights() == TASKS, "without difficulty nothing moves"


def test_difficulty_passes_over_solved_questions_of_a_pool_and_never_hangs():
    found = Sampler({"cases.jsonl": 1.0}, {"cases.jsonl": POOL}, 0, difficulty=1.0)
    easy = {p.uid for p in POOL[:5]}
    for index in range(10):
        right = found.at(index).uid in easy
        answer(found, index, [1, 1] if right else [1, 0])
    later = []
    for index in range(10, 40):
        later.append(found.at(index).uid)
        answer(found, index, [1, 1] if later[-1] in easy else [1, 0])
    assert not easy & set(later)
    for uid in [p.uid for p in POOL]:
        found.solved[uid] = 1.0
    assert found.at(40).uid in {p.uid for p in POOL}, "with nothing of interest left it still answers"


def rated(prompts, rates):
    return [replace(prompt, meta={"pass_rate": rate}) for prompt, rate in zip(prompts, rates, strict=True)]


def test_a_recorded_pass_rate_is_where_difficulty_starts():
    pool = rated(POOL[:5], [0, 1.0, 0, 1, 0.0]) + rated(POOL[5:8], [0.5, 0.4, 0.6]) + POOL[8:]
    hard_or_easy = {prompt.uid for prompt in pool[:5]}

    def drawn(pool, difficulty, count=10):
        found = Sampler({"cases.jsonl": 1.0}, {"cases.jsonl": pool}, 5, "s", difficulty)
        return [found.at(index).uid for index in range(count)], found

    assert drawn(pool, 0.0)[0] == drawn(POOL, 0.0)[0], "nothing is computed from it without difficulty"
    first, found = drawn(pool, 1.0)
    assert not set(first) & hard_or_easy and {prompt.uid for prompt in POOL[8:]} <= set(first)
    assert found.state_dict()["solved"] == {}, "it is no observation"
    for index, uid in enumerate(first):  # what is observed counts from then on
        answer(found, index, [1, 1] if uid == POOL[8].uid else [1, 0])
    later = [found.at(index).uid for index in range(10, 40)]
    assert POOL[8].uid not in later and not set(later) & hard_or_easy
    found.solved[POOL[0].uid] = 0.5
    assert POOL[0].uid in [found.at(index).uid for index in range(40, 60)]


@pytest.mark.parametrize("rate", [-0.1, 1.5, True, "0.5", [0.5], {"p": 0.5}])
def test_a_bad_pass_rate_is_refused_where_it_would_be_used(rate):
    pool = [*POOL[:3], *rated(POOL[3:4], [rate])]
    Sampler({"cases.jsonl": 1.0}, {"cases.jsonl": pool}, 5).at(0)
    with pytest.raises(DataError, match=r"prompt \w+ .*: meta.pass_rate is .*; with difficulty it must be a number"):
        Sampler({"cases.jsonl": 1.0}, {"cases.jsonl": pool}, 5, difficulty=0.5)


def test_a_group_with_a_failed_verdict_is_let_go_without_a_trace():
    found = sampler()
    found.at(0)
    found.observe(0, [], [])
    assert not found.picked and not found.observed


def test_the_rows_of_a_pool_are_those_of_the_plain_walk():
    """Every row in its turn is taken with its chance; that one seeded generator a row would do the same."""

    def walk(found, position, difficulty):
        while True:
            order = list(range(len(POOL)))
            random.Random(f"{found.seed}/cases.jsonl/{position // len(POOL)}").shuffle(order)
            prompt = POOL[order[position % len(POOL)]]
            solved = found.solved.get(prompt.uid, 0.5)
            interest = 1 - difficulty + 4 * difficulty * solved * (1 - solved)
            if random.Random(f"{found.seed}/cases.jsonl/{position}/taken").random() < interest:
                return position + 1, prompt
            position += 1

    for difficulty in (0.0, 0.3, 0.9, 1.0):
        found = Sampler({"cases.jsonl": 1.0}, {"cases.jsonl": POOL}, 5, "s", difficulty)
        for number, prompt in enumerate(POOL[:9]):
            found.solved[prompt.uid] = (0.0, 0.2, 0.5, 1.0)[number % 4]
        position = 0
        for index in range(60):
            position, wanted = walk(found, position, difficulty)
            assert found.at(index) is wanted
        assert found.positions == {"cases.jsonl": position}
