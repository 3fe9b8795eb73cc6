"""Tasks over short cases, checked against the statutes."""

import json
import random
import re
from collections import Counter

import pytest

from curricula.splits import SPLITS
from curricula.statutes import load_statutes
from curricula.tasks import make_prompts
from curricula.tasks.cases import CIRCUMSTANCES, TIERS, draw
from curricula.tasks.charge import CHARGES
from curricula.tasks.grounded import EXCERPT, nearest
from curricula.tasks.judgment import CONDUCT
from rewards.rules.article_f1 import article_soft_f1
from rewards.rules.elements_f1 import elements_f1
from rewards.statute_judge import judge
from rewards.total import score
from rewards.verdict import Sample

CASE_TASKS = (
    "application", "judgment", "drafting", "grounded_charge", "elements",
    "exam_charge", "exam_single", "exam_multi", "exam_age", "exam_parole",
)  # fmt: skip
NUMERAL = {"3": "三", "10": "十"}


def demonstrated(prompt):
    return Sample(prompt.messages[-1]["content"], prompt.demonstration, prompt.reference, prompt.answer_kind)


def article_text(number):
    return load_statutes().find("刑法", number).text


def test_circumstances_are_defined_by_their_articles():
    for name, (number, _) in CIRCUMSTANCES.items():
        assert name in article_text(number), name


@pytest.mark.parametrize("split", SPLITS)
def test_a_case_is_stated_as_it_is(split):
    rng = random.Random(1)
    for _ in range(200):
        case = draw(rng, split, tier=True, most_circumstances=2)
        assert case.tier in case.facts and any(means in case.facts for means in case.charge.means)
        assert {name for name, (_, stated) in CIRCUMSTANCES.items() if stated in case.facts} == set(case.circumstances)


def test_every_punishment_is_the_statutes():
    """The range stands in the clause of its grade; robbery of a huge amount is the fourth of its aggravated cases."""
    seen = set()
    rng = random.Random(0)
    while len(seen) < len(CHARGES) * len(TIERS):
        case = draw(rng, "train", tier=True)
        number, term = case.punishment
        seen.add((case.charge.name, case.tier))
        written = re.sub(r"\d+", lambda found: NUMERAL[found[0]], term) + "有期徒刑"
        text = article_text(number)
        if case.charge.name == "抢劫罪":
            basic, aggravated = text.split("；有下列情形之一的", 1)
            assert "抢劫数额巨大" in aggravated
            clause = basic if case.tier == "数额较大" else aggravated
        else:
            clause = next(part for part in re.split(r"[；。]", text) if case.tier in part)
        assert f"处{written}" in clause, (case.charge.name, case.tier)


@pytest.mark.parametrize("name", ["judgment", "application", "drafting", "grounded_charge"])
def test_cited_articles_are_the_crimes_own(name):
    """The charge of an answer and the first article it names belong together."""
    own = {charge.name: {charge.article} for charge in CHARGES}
    own["贪污罪"].add(383)
    for prompt in make_prompts(name, "test", 60, seed=2):
        text = (prompt.demonstration or "").replace("《中华人民共和国刑法》", "刑法")
        crime = max((c for c in own if c in text), key=len)
        numbers = [int(n) for n in re.findall(r"刑法第(\d+)条", text)]
        assert numbers and numbers[0] in own[crime], prompt


def test_drafts_name_the_article_in_official_form():
    for prompt in make_prompts("drafting", "test", 60, seed=2):
        crime = max((c for c in CONDUCT if c in prompt.reference), key=len)
        number = 383 if crime == "贪污罪" else next(c.article for c in CHARGES if c.name == crime)
        assert f"《中华人民共和国刑法》{load_statutes().find('刑法', number).number}之规定" in prompt.reference


def test_elements_are_in_months_and_yuan():
    """LexPro's unit trap: what a judgment says in years and ten thousands is the same element in months and yuan."""
    for prompt in make_prompts("elements", "test", 60, seed=2):
        found = json.loads(prompt.reference)
        assert elements_f1(demonstrated(prompt)).score == 1.0
        months = int(found["刑期"].removesuffix("个月"))
        said = re.search(r"有期徒刑(?:(\d+)年)?(?:(\d+)个月)?", prompt.messages[-1]["content"])
        assert months == 12 * int(said[1] or 0) + int(said[2] or 0)
        swapped = found | {"罚金": found["赔偿"], "赔偿": found["罚金"]}
        wrong = f"<think>x</think><answer>{json.dumps(swapped, ensure_ascii=False)}</answer>"
        if found["罚金"] != found["赔偿"]:
            assert elements_f1(Sample("", wrong, prompt.reference)).score == 0.5, "a fine is not a compensation"


def test_application_is_scored_provision_by_provision():
    prompt = next(p for p in make_prompts("application", "train", 40, seed=0) if p.reference.count("第") == 2)
    assert article_soft_f1(demonstrated(prompt)).score == 1.0
    first = prompt.reference.split("、")[0]
    half = Sample("", f"<think>x</think><answer>{first}</answer>", prompt.reference)
    assert article_soft_f1(half).score == pytest.approx(2 / 3)


def test_retrieved_articles_are_real_others_and_stand_in_the_prompt():
    for charge in CHARGES:
        found = nearest(charge.article)
        assert len(found) == 2 and charge.article not in {article.key[0] for article in found}
    for prompt in make_prompts("grounded_charge", "test", 40, seed=0):
        question = prompt.messages[-1]["content"]
        candidates = re.findall(r"第(\d+)条 (.+)", question)
        assert len(candidates) == 3
        assert all(article_text(int(n)).replace("\n", "").startswith(text) for n, text in candidates)
        assert re.search(r"第(\d+)条$", prompt.reference)[1] in {n for n, _ in candidates}
    openings = [tuple(article_text(a.key[0])[:EXCERPT] for a in nearest(c.article)) for c in CHARGES]
    assert all(len({*pair, article_text(c.article)[:EXCERPT]}) == 3 for c, pair in zip(CHARGES, openings, strict=True))


@pytest.mark.parametrize("name", [t for t in CASE_TASKS if t.startswith("exam_")])
def test_half_of_the_exam_demonstrations_are_legally_valid_and_the_rest_are_not(name):
    points = [judge(demonstrated(prompt))[0] for prompt in make_prompts(name, "train", 200, seed=0)]
    assert set(points) == {0, 2}
    assert 0.35 < points.count(2) / len(points) < 0.65


@pytest.mark.parametrize("name", ["application", "judgment", "drafting", "grounded_charge"])
def test_other_demonstrations_are_legally_valid(name):
    for prompt in make_prompts(name, "train", 60, seed=0):
        assert score("legal_validity", demonstrated(prompt)).score == 1.0


def test_exam_answers_follow_from_the_case():
    for prompt in make_prompts("exam_multi", "test", 100, seed=1):
        question = prompt.messages[-1]["content"]
        facts, options = question.split("哪些成立？ ")
        for letter, name in (part.split(".") for part in options.split()):
            charged = name in CONDUCT and any(m in facts for c in CHARGES if c.name == name for m in c.means)
            stated = name in CIRCUMSTANCES and CIRCUMSTANCES[name][1] in facts
            assert (letter in prompt.reference) == bool(charged or stated), prompt


def test_no_case_is_trained_on_in_one_task_and_tested_in_another():
    """Way of committing it and goods decide the split, in every task with cases."""
    contents = {split: set() for split in SPLITS}
    for name in ("charge", *(t for t in CASE_TASKS if t not in ("elements", "exam_age", "exam_parole"))):
        for split in SPLITS:
            for prompt in make_prompts(name, split, 150, seed=4, fewer_ok=True):
                facts = prompt.messages[-1]["content"].split("。")[0]
                means = max((m for c in CHARGES for m in c.means if m in facts), key=len)
                contents[split].add((means, facts.partition(means)[2][:2]))
    assert not contents["train"] & contents["test"] and not contents["dev"] & contents["test"]


@pytest.mark.parametrize("name", CASE_TASKS)
def test_guessing_does_not_pay_and_questions_are_short(name):
    prompts = make_prompts(name, "test", 200, seed=1, fewer_ok=True)
    assert max(Counter(p.reference for p in prompts).values()) < 0.35 * len(prompts), "the majority answer"
    longest = max(len(p.messages[-1]["content"]) for p in prompts)
    assert longest <= (160 if name == "grounded_charge" else 100)
