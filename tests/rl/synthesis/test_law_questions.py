"""Questions about the statutes: answers are proven from their texts, by other means than they were made."""

import random
import re
from collections import Counter
from functools import lru_cache
from pathlib import Path

import cn2an
import pytest
from rich.console import Console

import rewards
from curricula.records import read_demonstrations, read_prompts
from curricula.statutes import load_statutes
from rewards.rules.accuracy import agrees
from rl.config.synthesis import SynthesisConfig
from rl.errors import UserError
from rl.synthesis.law.question import Law
from rl.synthesis.law.step import MAKERS, read_laws
from rl.synthesis.run import synthesize
from tests.rl.synthesis.runs import config, files, require_sums

CRIMINAL_LAW = ("charge", "crime", "penalty", "months", "limitation")
MOST = 100
"""Questions of each kind that are proven."""


@pytest.fixture(scope="module")
def made():
    """{kind: [(article, question)]}, of articles drawn from all laws, and of the whole Criminal Law."""
    law, rng = Law(load_statutes()), random.Random(1)
    every = [article for name in law.names for article in law.statutes.articles(name)]
    rng.shuffle(every)
    criminal = [article for article in every if article.short == "刑法"]
    found = {}
    for kind, maker in MAKERS.items():
        pairs = ((one, maker(one, law, rng)) for one in (criminal if kind in CRIMINAL_LAW else every))
        found[kind] = [pair for pair, _ in zip(((a, q) for a, q in pairs if q), range(MOST), strict=False)]
    return found


@lru_cache(maxsize=1)
def texts():
    """{(law, number): text} of everything that is held."""
    return {(one.short, one.number): one.text for one in load_statutes().articles()}


def named(question):
    """The text of the article that a question names."""
    found = re.search(r"《([^》]+)》(第[^条]+条(?:之[一二三四五六七八九十]+)?)", question)
    return texts()[found[1], found[2]]


def years(written):
    return int(cn2an.cn2an(written, "smart"))


def where(question, answer):
    text = question.partition("\n\n")[2]
    return [f"{law}{number}" for (law, number), own in texts().items() if own == text] == [answer]


def content(question, answer):
    return named(question) == answer


def which_law(question, answer):
    quoted = question[1 : question.rindex("”")]
    return {law for (law, _), text in texts().items() if quoted in text} == {answer}


def number(question, answer):
    before, after = question[question.index("“") + 1 : question.rindex("”")].split("____")
    fits = re.findall(f"(?=({re.escape(before)}([一二三四五六七八九十百千万]+){re.escape(after)}))", named(question))
    return [one[1] for one in fits] == [answer] and years(answer) > 0


def statement(question, answer):
    quoted = question[question.index("“") + 1 : question.index("”。这句话")]
    return (quoted in named(question)) == (answer == "一致")


def effective(question, answer):
    return f"本法自{answer}起" in named(question)


def repealed(question, answer):
    title, text = question[question.rindex("《") : question.rindex("》") + 1], named(question)
    end = text[text.index(title) :]
    return f"自{answer}起" in text and "同时废止" in end.split("。")[0] and load_statutes().resolve_law(title) is None


@lru_cache(maxsize=1)
def listed():
    """{article: names} of the list of charges."""
    lines = (Path(rewards.__path__[0]) / "data" / "charges.tsv").read_text(encoding="utf-8").splitlines()
    found = {}
    for written, name, *_ in (line.split("\t") for line in lines if line and not line.startswith("#")):
        found.setdefault(written, []).append(name.translate(str.maketrans("()", "（）", "{}")))
    return found


def arabic(number):
    """第一百三十三条之一 is 133之一."""
    whole, inserted = re.fullmatch("第(.+)条((?:之.+)?)", number).groups()
    return f"{years(whole)}{inserted}"


def stands(name, text):
    return set(name) - set("、（）") <= set(text)


def charge(question, answer):
    name, place = question[question.index("规定了") + 3 : -2], answer.removeprefix("刑法")
    return name in listed()[arabic(place)] and stands(name, texts()["刑法", place])


def crime(question, answer):
    defined, name = question.partition("\n\n")[2], answer.removesuffix("罪")
    (place,) = [number for (law, number), text in texts().items() if law == "刑法" and text.split("\n")[0] == defined]
    return listed()[arabic(place)] == [name] and stands(name, texts()["刑法", place]) and answer not in defined


def penalty(question, answer):
    when = question[question.index("，") + 1 : question.rindex("，处什么刑罚")]
    return named(question).count(f"{when}，处{answer}") == 1 == named(question).count(f"{when}，")


def months(question, answer):
    when = question[question.index("，") + 1 : question.rindex("，可以判处")]
    text = named(question)
    clause = re.split("[；。]", text[text.index(f"{when}，处") + len(when) :])[0]
    (most,) = re.findall("(?:年以上|处|、|或者)([一二三四五六七八九十]+)年以下有期徒刑", clause)
    return answer == f"{12 * years(most)}个月" and "无期" not in clause


def limitation(question, answer):
    """By the limits that article 87 itself writes."""
    what = question[question.index("即“") + 2 : question.index("”。依照")]
    assert what in named(question)
    maximum = "无期徒刑、死刑|[一二三四五十]+年以上|不满[一二三四五十]+年"
    steps = re.findall(f"({maximum})[^，]*的，经过([一二三四五十]+)年", named("《刑法》第八十七条"))
    assert len(steps) == 4
    terms = [years(one) for one in re.findall("([一二三四五六七八九十]+)年以下有期徒刑", what)]
    terms += [15] if re.search("年以上有期徒刑", what) else []
    if "死刑" in what or "无期徒刑" in what:
        wanted = steps[3][1]
    elif max(terms, default=0) >= years(steps[2][0].removesuffix("年以上")):
        wanted = steps[2][1]
    elif max(terms, default=0) >= years(steps[0][0].removeprefix("不满").removesuffix("年")):
        wanted = steps[1][1]
    else:
        wanted = steps[0][1]
    return answer == f"{years(wanted)}年"


PROOFS = (
    where, content, which_law, number, statement, effective, repealed, charge, crime, penalty, months, limitation,
)  # fmt: skip


def test_every_kind_is_proven():
    assert {proof.__name__ for proof in PROOFS} == MAKERS.keys()


@pytest.mark.parametrize("proof", PROOFS, ids=lambda proof: proof.__name__)
def test_answers_are_those_of_the_statutes(proof, made):
    pairs = made[proof.__name__]
    assert len(pairs) >= (25 if proof is repealed else 80)
    wrong = [(one.question, one.answer) for _, one in pairs if not proof(one.question, one.answer)]
    assert not wrong, wrong[:3]
    assert all(agrees(one.answer, one.answer, one.answer_kind) for _, one in pairs), "a reward can read the reference"


def test_right_and_wrong_statements_are_even(made):
    answers = Counter(one.answer for _, one in made["statement"])
    assert min(answers.values()) > 0.35 * sum(answers.values())


def ran(folder, **changed):
    given = "input=刑法、民法典、公司法", f"run_dir={folder}", "as_of=2026-01-01"
    values = config(*given, recipe="knowledge").model_dump()
    values["recipe"]["steps"][0].update(changed)
    results = synthesize(SynthesisConfig.model_validate(values), Console(quiet=True))
    require_sums(results)
    return results


def test_a_run_is_balanced_and_its_files_are_taken(tmp_path):
    results = ran(tmp_path / "run", per_law=20, per_kind=50)
    kinds = Counter(one.fields["scenario"] for one in results[-1].kept)
    laws = Counter((one.fields["scenario"], one.fields["law"]) for one in results[-1].kept)
    assert max(kinds.values()) <= 50 and all(kinds[kind] == 50 for kind in ("penalty", "months", "where", "number"))
    assert max(count for (kind, _), count in laws.items() if kind not in CRIMINAL_LAW) == 20
    assert Counter(one.partition("-")[0] for one in (r.id for r in results[-1].kept)).most_common(1)[0][1] == 2
    taught = read_demonstrations(tmp_path / "run" / "sft.jsonl")
    asked = read_prompts(tmp_path / "run" / "grpo.jsonl")
    assert len(taught) == len(asked) == len(results[-1].kept) == len({one.messages[-1]["content"] for one in asked})
    assert {one.task for one in asked} == {f"knowledge_{kind}" for kind in kinds}
    assert results[-1].reasons().keys() == {"dropped: enough of its kinds"}
    before = files(tmp_path / "run")
    ran(tmp_path / "run", per_law=20, per_kind=50)
    assert files(tmp_path / "run") == before


def test_unknown_laws_are_a_sentence():
    with pytest.raises(
        UserError, match=r"input=刑法、形法: no law in force is named 形法.*; name laws in force with 、"
    ):
        read_laws("刑法、形法")
    with pytest.raises(UserError, match="合同法 was repealed on 2021-01-01 and replaced by 民法典"):
        read_laws("合同法")
    assert len(read_laws("all")) > 20_000 and len(read_laws("刑法", 7)) == 7
