"""The recipe lexpro: the elements of judgments as instructions, balanced, and without any teacher."""

import json
import shutil
from collections import Counter
from types import SimpleNamespace

import pytest
from rich.console import Console

from curricula.records import read_demonstrations, read_prompts
from rewards.rules.elements_f1 import elements_f1
from rewards.verdict import Sample
from rl.config.element_steps import BalanceStep
from rl.synthesis.elements import PROVINCES, Balance
from rl.synthesis.records import Dropped, Record
from rl.synthesis.run import synthesize
from rl.synthesis.step import Context
from tests.rl.synthesis.judgments import FOLDER, judgments
from tests.rl.synthesis.runs import config, files, require_sums


def ran(folder, source):
    made = config(f"input={source}", f"run_dir={folder}", "cache=null", "as_of=2026-01-01", recipe="lexpro")
    results = synthesize(made, Console(quiet=True))
    require_sums(results)
    return results


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder, results) of a run over the thirty judgments."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copytree(FOLDER, folder / "in", ignore=shutil.ignore_patterns("*.yaml"))
    return folder / "run", ran(folder / "run", folder / "in")


def test_terms_and_fines_are_those_of_the_judgments(made):
    """Against the truth that was written with the judgments, not by the rules."""
    folder, _ = made
    asked = {one.meta["source"]: json.loads(one.reference) for one in read_prompts(folder / "grpo.jsonl")}
    compared = 0
    for judgment in judgments():
        gold = asked.get(f"{judgment.name}.txt")
        wanted = judgment.truth.get("sentences") or [] if gold else []
        for found, truth in zip(gold["判决"] if wanted else [], wanted, strict=True):
            assert found.get("刑期") == (f"{truth['months']}个月" if truth.get("months") else None), judgment.name
            assert found.get("罚金") == (f"{truth['fine']}元" if truth.get("fine") else None), judgment.name
            compared += 1
    assert compared >= 12


def test_the_files_are_taken_and_an_answer_earns_its_reward(made):
    folder, results = made
    taught = read_demonstrations(folder / "sft.jsonl")
    tasks = Counter(one.task for one in taught)
    assert tasks.keys() == {"lexpro_elements", "lexpro_knowledge"} and sum(tasks.values()) == len(results[-1].kept)
    asked = read_prompts(folder / "grpo.jsonl")
    assert len(asked) == tasks["lexpro_elements"] == len(results[-1].outcomes) == 28
    for one in taught:
        if one.task == "lexpro_elements":
            assert elements_f1(Sample("", one.demonstration, one.reference)).score == 1.0
    rules = [one.messages[-1]["content"] for one in taught if one.task == "lexpro_knowledge"]
    assert len(rules) == len(set(rules)), "an article is asked once"
    assert {result.usage.requests for result in results} == {0}


def test_provinces_are_known_and_on_the_card(made):
    folder, _ = made
    assert len(set(PROVINCES.values())) == 31
    shares = json.loads((folder / "card.json").read_text(encoding="utf-8"))["shares"]
    assert shares["province"][0]["value"] == "云南" and {row["value"] for row in shares["charge"]} >= {"盗窃", "受贿"}


def test_a_second_run_writes_the_same(made):
    folder, _ = made
    before = files(folder)
    ran(folder, folder.parent / "in")
    assert files(folder) == before


def documents():
    """Twelve thefts of four provinces, a copy of one, and two frauds."""
    for number in range(12):
        text = "".join(chr(0x4E00 + (number * 977 + place * 31) % 5000) for place in range(200))
        yield Record(
            f"t{number:02}", {"text": text, "charges": ["盗窃"], "cause": "", "province": "云京沪粤"[number % 4]}
        )
    yield Record("t99", {"text": text, "charges": ["盗窃"], "cause": "", "province": "京"})
    for number in range(2):
        text = "".join(chr(0x6E00 + (number * 577 + place * 17) % 5000) for place in range(200))
        yield Record(
            f"f{number}", {"text": text, "charges": ["诈骗", "盗窃"][: number + 1], "cause": "", "province": ""}
        )


def balanced(seed, **options):
    records = list(documents())
    step = Balance(BalanceStep(step="balance", **options), Context(seed))
    step.look(records)
    found = SimpleNamespace(kept=[], reasons=Counter())
    for record in records:
        try:
            step.run(record)
            found.kept.append(record)
        except Dropped as error:
            found.reasons[error.reason] += 1
    return found


def test_at_most_so_many_of_each_charge_and_province_and_no_copies():
    found = balanced(0, per_charge=6, per_province=2)
    charges = Counter(name for one in found.kept for name in one.fields["charges"])
    provinces = Counter(one.fields["province"] for one in found.kept)
    assert charges["盗窃"] <= 6 and max(provinces.values()) <= 2 and charges["诈骗"] >= 1
    assert len(found.kept) + found.reasons.total() == 15
    everything = balanced(0)
    assert everything.reasons == {"exact copy": 1} and len(everything.kept) == 14


def test_the_draw_is_seeded():
    kept = [[one.id for one in balanced(seed, per_charge=3).kept] for seed in (0, 0, 1)]
    assert kept[0] == kept[1] != kept[2]
