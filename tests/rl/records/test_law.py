"""Which law a run and a command read, and that they keep it."""

import json
from datetime import date, timedelta
from types import SimpleNamespace

import pytest
from hydra import compose, initialize_config_dir

from curricula.statutes import law_setting, load_statutes, use_law
from rl.config.compose import CONF, accept_overrides, load
from rl.errors import UserError
from rl.inference.__main__ import main
from rl.records import manifest as manifests
from rl.records.manifest import Manifest


@pytest.fixture(autouse=True)
def law():
    before = law_setting()
    yield
    use_law(before.as_of, before.folder)


def config(folder, *overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        accepted = accept_overrides(["+curriculum=smoke", *overrides])
        return load(compose("config", overrides=[*accepted, f"run_dir={folder}"]))


def later(monkeypatch, days):
    """From now on it is some days later."""
    today = date.today() + timedelta(days=days)
    clock = type("Clock", (date,), {"today": staticmethod(lambda: today)})
    monkeypatch.setattr(manifests, "datetime", SimpleNamespace(date=clock))
    return today


def test_a_run_keeps_the_day_on_which_it_started(tmp_path, monkeypatch):
    first = Manifest.open(tmp_path, config(tmp_path)).content
    assert first["date"] == first["law"]["as_of"] == date.today().isoformat()
    assert Manifest.open(tmp_path, config(tmp_path)).content == first
    later(monkeypatch, 400)  # laws have taken effect meanwhile
    again = Manifest.open(tmp_path, config(tmp_path)).content
    assert again == first and load_statutes().as_of == date.today()
    new = later(monkeypatch, 400)
    other = Manifest.open(tmp_path / "other", config(tmp_path / "other")).content
    assert other["date"] == new.isoformat() and other["data"] != first["data"]
    restarted = Manifest.open(tmp_path, config(tmp_path, "resume=restart")).content
    assert restarted["law"]["as_of"] == new.isoformat()


def test_a_chosen_day_wins_and_is_part_of_the_run(tmp_path):
    chosen = config(tmp_path, "statutes.as_of=2026-11-26")
    found = Manifest.open(tmp_path, chosen).content
    assert found["law"] == {"as_of": "2026-11-26", "snapshot": "2026-08-28"}
    assert found["date"] == date.today().isoformat(), "the run's own day is another thing"
    with pytest.raises(UserError, match=r"statutes\.as_of: was 2026-11-26, now 2027-01-01"):
        Manifest.open(tmp_path, config(tmp_path, "statutes.as_of=2027-01-01"))
    forced = Manifest.open(tmp_path, config(tmp_path, "statutes.as_of=2027-01-01", "resume=force")).content
    assert forced["law"]["as_of"] == "2027-01-01"


def test_a_folder_of_laws_is_data_of_the_run(tmp_path):
    laws = tmp_path / "laws"
    laws.mkdir()
    (laws / "laws.yaml").write_text("- {law: 献血法, repealed: 2020-01-01}\n", encoding="utf-8")
    run = tmp_path / "run"
    plain = Manifest.open(run, config(run)).content["data"]["statutes"]
    with pytest.raises(UserError, match="other data"):
        Manifest.open(run, config(run, f"statutes.folder={laws}"))
    assert Manifest.open(run, config(run)).content["data"]["statutes"] == plain


@pytest.mark.parametrize("value", ["gestern", "2026-13-01"])
def test_a_day_that_does_not_exist_is_an_error(tmp_path, value):
    with pytest.raises(UserError, match=r"statutes\.as_of"):
        config(tmp_path, f"statutes.as_of={value}")


def test_verify_says_which_law_it_read(tmp_path, capsys):
    answers = tmp_path / "answers.jsonl"
    quoted = (
        "刑法第390条“对犯行贿罪的，处三年以下有期徒刑或者拘役，并处罚金”，《工伤保险条例》第十四条，《合同法》第八条"
    )
    answers.write_text(json.dumps({"answer": quoted}, ensure_ascii=False), encoding="utf-8")
    verdicts = {}
    for day in ("2024-02-29", "2024-03-01"):
        assert main(["verify", str(answers), "--as-of", day]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["as_of"] == day and found["snapshot"] == "2026-08-28"
        verdicts[day] = [(one["verdict"], one["in_force"], one["exists"]) for one in found["citations"]]
    unknown, repealed = ("unknown", None, None), ("wrong", False, False)
    assert verdicts["2024-02-29"] == [("wrong", True, True), unknown, repealed]
    assert verdicts["2024-03-01"] == [("right", True, True), unknown, repealed]
    assert main(["verify", str(answers), "--as-of", "bald"]) == 2 and "is not a day" in capsys.readouterr().err


def test_retrieval_searches_the_law_of_the_day(tmp_path, capsys):
    asked = ["retrieve", "第一条", "--law", "医疗保障法", "--cache", str(tmp_path), "--json"]
    assert main([*asked, "--as-of", "2026-12-31"]) == 2
    assert "no law in force is named 医疗保障法" in capsys.readouterr().err
    assert main([*asked, "--as-of", "2027-01-01"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["as_of"] == "2027-01-01" and found["articles"][0]["law"] == "医疗保障法"
