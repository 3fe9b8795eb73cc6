import random
from collections import Counter
from datetime import date
from operator import itemgetter

import pytest

from curricula.errors import DataError
from curricula.splits import SPLITS
from curricula.statutes import load_statutes, reading
from curricula.tasks import TASKS, find_task, make_prompts
from curricula.tasks import age as age_task
from curricula.tasks import charge as charge_task
from curricula.tasks import limitation as limitation_task
from curricula.tasks import parole as parole_task
from curricula.tasks.age import ACTS, responsibility
from curricula.tasks.charge import CHARGES
from curricula.tasks.choice import CHAPTERS
from curricula.tasks.limitation import MAXIMA, period_of
from curricula.tasks.parole import decision
from curricula.tasks.renewed import renewed
from curricula.tasks.sentence_terms import remaining
from curricula.tasks.wording import SURNAMES, cases_by_answer

STATUTE_TASKS = {
    "recitation",
    "governing_law",
    "choice_single",
    "choice_multi",
    "sentence_terms",
    "limitation",
    "charge",
}


def test_every_kind_of_task_is_there():
    assert set(TASKS) >= STATUTE_TASKS


@pytest.mark.parametrize("name", sorted(TASKS))
def test_questions_are_unique_deterministic_and_disjoint_between_splits(name):
    found = {split: make_prompts(name, split, 60, seed=3, fewer_ok=True) for split in SPLITS}
    texts = {split: {p.messages[-1]["content"] for p in prompts} for split, prompts in found.items()}
    assert all(len(texts[split]) == len(found[split]) > 20 for split in SPLITS)
    assert not texts["train"] & texts["test"] and not texts["train"] & texts["dev"] and not texts["dev"] & texts["test"]
    assert found["train"] == make_prompts(name, "train", 60, seed=3, fewer_ok=True)
    assert found["train"] != make_prompts(name, "train", 60, seed=4, fewer_ok=True)


@pytest.mark.parametrize("name", sorted(TASKS))
def test_demonstrations_are_right_by_the_rewards(name):
    from rewards.total import compose
    from rewards.verdict import Sample

    judge = compose({"accuracy": 1.0, "format": 1.0})
    for prompt in make_prompts(name, "train", 40, seed=0, fewer_ok=True):
        sample = Sample(prompt.messages[-1]["content"], prompt.demonstration, prompt.reference, prompt.answer_kind)
        assert judge(sample).score == 2.0, prompt
        assert "<" not in prompt.reference


def test_unknown_task_names_the_nearest():
    with pytest.raises(DataError, match="did you mean limitation"):
        find_task("limitatoin")


def test_exhausted_task_says_how_many_questions_there_are():
    with pytest.raises(DataError, match="about"):
        make_prompts("recitation", "dev", 5000, seed=0)


def test_charges_and_articles_agree_with_the_statute():
    statutes = load_statutes()
    words = {"抢劫罪": "抢劫", "贪污罪": "是贪污罪", "职务侵占罪": "利用职务上的便利，将本单位财物非法占为己有"}
    for charge in CHARGES:
        text = statutes.find("刑法", charge.article).text
        assert words.get(charge.name, charge.name.removesuffix("罪")) in text, charge.name


def test_choice_options_stand_in_their_chapters():
    expected = {
        "危害公共安全": "危害公共安全罪", "侵犯人身": "侵犯公民人身权利", "侵犯财产": "侵犯财产罪",
        "贪污贿赂": "贪污贿赂罪", "妨害管理": "妨害社会管理秩序罪",
    }  # fmt: skip
    for chapter, crimes in CHAPTERS.items():
        for crime, article in crimes.items():
            heading = load_statutes().find("刑法", article).chapter
            assert expected[chapter] in heading, (crime, article, heading)


def test_limitation_periods_are_article_87():
    text = load_statutes().find("刑法", 87).text
    for numeral, period in (("五年；", 5), ("十年；", 10), ("十五年；", 15), ("二十年。", 20)):
        assert f"经过{numeral}" in text
        assert period in MAXIMA
    assert "4年" in MAXIMA[5] and "5年" in MAXIMA[10] and "9年" in MAXIMA[10] and "10年" in MAXIMA[15]


@pytest.mark.parametrize(("maximum", "period"), [("拘役", 5), ("5年", 10), ("15年", 15), ("无期徒刑", 20)])
def test_limitation_period_of_a_maximum_punishment(maximum, period):
    assert period_of(maximum) == period


@pytest.mark.parametrize("module", [age_task, charge_task, limitation_task, parole_task])
def test_no_frame_and_no_surname_stands_in_two_splits(module):
    for said in (module.FRAMES, SURNAMES):
        everything = [part for split in SPLITS for part in said[split]]
        assert len(everything) == len(set(everything))


@pytest.mark.parametrize("name", ["age", "limitation", "parole"])
@pytest.mark.parametrize("split", SPLITS)
def test_answers_are_drawn_equally_often(name, split):
    module = {"age": age_task, "limitation": limitation_task, "parole": parole_task}[name]
    answers = set(module.cases("train"))
    assert set(module.cases(split)) == answers
    drawn = Counter(TASKS[name].generate(random.Random(i), split).reference for i in range(200 * len(answers)))
    assert all(150 <= drawn[answer] <= 250 for answer in answers), drawn


def test_a_case_lies_in_one_split_whole():
    cases = [(answer, (i,)) for i in range(200) for answer in "甲乙"]
    found = {split: cases_by_answer("any", split, cases) for split in SPLITS}
    assert all(found[split]["甲"] == found[split]["乙"] for split in SPLITS)
    assert sorted(case for split in SPLITS for case in found[split]["甲"]) == [(i,) for i in range(200)]


@pytest.mark.parametrize(
    ("kind", "age", "answer"),
    [
        ("杀人", 11, "不负责任"), ("杀人", 12, "核准追诉"), ("八类", 13, "不负责任"), ("八类", 14, "负责从宽"),
        ("其他", 15, "不负责任"), ("其他", 16, "负责从宽"), ("其他", 18, "应当负责"), ("杀人", 75, "可以从宽"),
    ],
)  # fmt: skip
def test_age_follows_article_17(kind, age, answer):
    assert kind in ACTS
    assert responsibility(kind, age) == answer


@pytest.mark.parametrize(
    ("crime", "term", "served", "recidivist", "answer"),
    [
        ("盗窃", 10, 5, False, "可以假释"), ("盗窃", 11, 5, False, "期限不足"), ("盗窃", 0, 12, False, "期限不足"),
        ("盗窃", 0, 13, False, "可以假释"), ("抢劫", 10, 9, False, "暴力不得"), ("抢劫", 9, 5, False, "可以假释"),
        ("盗窃", 4, 3, True, "累犯不得"),
    ],
)  # fmt: skip
def test_parole_follows_article_81(crime, term, served, recidivist, answer):
    assert decision(crime, term, served, recidivist) == answer


def test_detention_is_credited_as_articles_41_44_47_say():
    assert remaining(12, 3, "管制") == 6
    assert remaining(6, 3, "拘役") == 3
    assert remaining(31, 11, "有期徒刑") == 20


def test_the_end_of_the_year_moves_no_question():
    """On 2027-01-01 four laws take effect; no question rests on them."""
    found = []
    for day in (date(2026, 11, 26), date(2027, 1, 1)):
        with reading(day):
            found.append([make_prompts(name, "test", 60, seed=0, fewer_ok=True) for name in sorted(TASKS)])
    assert found[0] == found[1]


def test_entries_stay_where_they_are():
    printed = [("一", "甲"), ("一", "乙"), ("二", "丙"), ("三", "丁")]
    now = [("一", "甲"), ("一", "子"), ("一", "丑"), ("三", "丁"), ("四", "寅")]
    assert renewed(printed, printed, itemgetter(0)) == tuple(printed)
    assert renewed(printed, now, itemgetter(0)) == (("一", "甲"), ("一", "子"), ("一", "子"), ("三", "丁"))
    assert renewed([("一", "旧"), ("二", "丙")], [("二", "丙")], itemgetter(0)) == (("二", "丙"), ("二", "丙"))
    assert renewed(printed, [], itemgetter(0)) == ()


def test_bribery_is_asked_as_it_is_punished_today():
    with reading(date(2026, 11, 26)):
        asked = make_prompts("recitation", "test", 72, 0, fewer_ok=True)
    (now,) = (prompt for prompt in asked if "第三百九十条：" in prompt.messages[-1]["content"])
    assert now.reference == "处三年以下有期徒刑或者拘役，并处罚金"
