"""Bad documents, teachers and disks: one clear line each, and nothing is lost."""

import errno
import os
import subprocess
import sys

import pytest

from rl.config.compose import load_synthesis
from rl.config.synthesis import RecipeConfig
from rl.errors import UserError
from rl.files import disk_problem
from rl.inference.json_lines import JsonLines
from rl.synthesis.recipe import require_order
from tests.conftest import ROOT
from tests.rl.synthesis.runs import JUDGMENTS, config, files, options, require_sums, run
from tools.scripted_server import Server
from tools.scripted_teacher import reply


def folder_of_trouble(folder):
    folder.mkdir()
    theft = (JUDGMENTS / "theft.txt").read_text(encoding="utf-8")
    (folder / "copy.txt").write_text(theft, encoding="utf-8")
    (folder / "theft.txt").write_text(theft, encoding="utf-8")
    (folder / "empty.txt").write_bytes(b" \n")
    (folder / "binary.txt").write_bytes(bytes(range(256)) * 8)
    (folder / "zeros.txt").write_bytes("判决".encode() + b"\0" * 8)
    (folder / "gone.txt").symlink_to(folder / "nowhere.txt")
    (folder / "linked").symlink_to(folder)
    (folder / "scan.pdf").write_bytes(b"%PDF-1.7")
    (folder / "recipe.txt").write_text("红烧肉的做法：先焯水，再炒糖色，最后小火慢炖一小时。", encoding="utf-8")
    fraud = (JUDGMENTS / "fraud.txt").read_bytes().decode()
    (folder / "gb.txt").write_bytes(fraud.encode("gb18030"))
    head, tail = (JUDGMENTS / "loan.txt").read_text(encoding="utf-8").split("本院认为")
    (folder / "mixed.txt").write_bytes(f"\ufeff{head}".encode() + f"\n本院认为{tail}".encode("gb18030"))
    (folder / "cut.txt").write_text(theft.partition("本院认为")[0], encoding="utf-8")
    return folder


def test_each_bad_document_has_its_reason(tmp_path):
    with Server(reply) as server:
        results = run(tmp_path / "run", server.url, folder_of_trouble(tmp_path / "in"))
    require_sums(results)
    lost = {
        one.fields["source"]: (result.name, one.fate, one.reason, one.detail)
        for result in results
        for one in result.outcomes
        if one.fate != "kept"
    }
    assert {name: found[:3] for name, found in lost.items()} == {
        "theft.txt": ("read", "dropped", "copy"),
        "empty.txt": ("read", "failed", "not readable"),
        "binary.txt": ("read", "failed", "not readable"),
        "zeros.txt": ("read", "failed", "not readable"),
        "scan.pdf": ("read", "failed", "not readable"),
        "gone.txt": ("read", "failed", "not readable"),
        "linked": ("read", "failed", "not readable"),
        "recipe.txt": ("segment", "dropped", "no judgment"),
        "cut.txt": ("segment", "dropped", "unknown layout"),
    }
    assert lost["theft.txt"][3] == "the same text as copy.txt"
    assert lost["cut.txt"][3] == "without reasoning, ruling"
    assert lost["linked"][3].startswith("linked is a link to a folder, which is not followed, or to nothing")
    assert "neither UTF-8 nor GB18030" in lost["binary.txt"][3] and "empty" in lost["empty.txt"][3]
    kept = {record.fields["source"]: record.fields for record in results[-1].kept}
    assert kept.keys() == {"copy.txt", "gb.txt", "mixed.txt"}
    assert "返还原告陈某丁借款80000元" in kept["mixed.txt"]["text"] and kept["gb.txt"]["charges"] == ["诈骗"]
    card = (tmp_path / "run" / "card.md").read_text(encoding="utf-8")
    assert all(name in card for name in lost)


def test_nothing_kept_is_no_empty_file(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("不是裁判文书。", encoding="utf-8")
    with Server(reply) as server:
        run(tmp_path / "run", server.url, tmp_path / "in")
        assert not server.asked
    assert {"dropped.jsonl", "card.html"} <= set(os.listdir(tmp_path / "run"))
    assert not {"sft.jsonl", "grpo.jsonl", "corpus.jsonl"} & set(os.listdir(tmp_path / "run"))


def test_a_teacher_that_goes_away_loses_nothing(tmp_path):
    """It fails after some answers; the same command goes on and asks only the rest."""
    asked = []

    def leaves(body):
        asked.append(body["messages"][-1]["content"])
        return reply(body) if len(asked) <= 20 else 503

    with Server(leaves) as server, pytest.raises(UserError, match="it asks only what is missing"):
        run(tmp_path / "run", server.url, JUDGMENTS, "limit=2", "teacher.concurrency=1")
    with Server(reply) as server:
        run(tmp_path / "run", server.url, JUDGMENTS, "limit=2")
        again = {body["messages"][-1]["content"] for body in server.asked}
        assert len(server.asked) == 50 - 20 and not again & set(asked[:20])
        run(tmp_path / "whole", server.url, JUDGMENTS, "limit=2")
    assert files(tmp_path / "run") == files(tmp_path / "whole")


def test_a_full_disk_is_one_sentence_and_the_same_command_goes_on(tmp_path, monkeypatch):
    written = []
    append = JsonLines.append

    def full(self, record):
        written.append(record)
        if len(written) == 12:
            raise OSError(errno.ENOSPC, "No space left on device")
        return append(self, record)

    with Server(reply) as server:
        monkeypatch.setattr(JsonLines, "append", full)
        with pytest.raises(OSError) as caught:
            run(tmp_path / "run", server.url, JUDGMENTS, "limit=2", "teacher.concurrency=1")
        assert "the disk is full" in disk_problem(caught.value)
        monkeypatch.setattr(JsonLines, "append", append)
        before = len(server.asked)
        run(tmp_path / "run", server.url, JUDGMENTS, "limit=2")
        assert len(server.asked) == before + 50 - 11
        run(tmp_path / "whole", server.url, JUDGMENTS, "limit=2")
    assert files(tmp_path / "run") == files(tmp_path / "whole")


def test_a_folder_of_other_settings_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("不是裁判文书。", encoding="utf-8")
    with Server(reply) as server:
        run(tmp_path / "run", server.url, tmp_path / "in")
        with pytest.raises(UserError, match=r"holds answers with seed=0, and now seed=1 .* give another run_dir"):
            run(tmp_path / "run", server.url, tmp_path / "in", "seed=1")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("input=x", "teacher.base_ulr=u"), "did you mean teacher.base_url"),
        (("input=x", "teacher.seed=0"), r"teacher\.seed is not among the configuration keys; did you mean seed"),
        (("limit=2",), "input: no value is given; add input="),
        (("input=x", "recipe=laed"), "did you mean lead"),
        (("input=x", "recipe.steps.0.needs=facts"), "steps are a list"),
        (("input=x", "trainer.world_size=2"), "is not among the configuration keys"),
        (("input=x", "teacher.base_url=http://me:secret@h/v1"), "base_url holds a login"),
    ],
)
def test_a_slip_on_the_command_line_is_named(overrides, message):
    with pytest.raises(UserError, match=message):
        config(*overrides, "run_dir=r")


def test_a_slip_in_a_recipe_is_named():
    def load(*steps):
        return load_synthesis({"input": "x", "run_dir": "r", "recipe": {"name": "n", "steps": list(steps)}})

    with pytest.raises(UserError, match=r"recipe.steps.0: step is 'scroe'; did you mean score"):
        load({"step": "scroe"})
    with pytest.raises(UserError, match=r"recipe.steps.0.score.at_lest: no such key; did you mean at_least"):
        load({"step": "score", "at_lest": 3})
    with pytest.raises(UserError, match="the step filter uses what converge or rephrase or distil finds; put "):
        require_order(RecipeConfig.model_validate({"name": "n", "steps": [{"step": "filter"}]}))


def test_a_wrong_teacher_is_a_sentence(tmp_path):
    with Server(reply) as server, pytest.raises(UserError, match=r"serves m and not teacher.model=x"):
        run(tmp_path / "a", server.url, JUDGMENTS, "teacher.model=x")
    assert not (tmp_path / "a" / "manifest.json").exists(), "the folder takes the right model"
    with pytest.raises(UserError, match=r"does not answer.*correct teacher.base_url"):
        run(tmp_path / "b", "http://127.0.0.1:9/v1")
    with pytest.raises(UserError, match=r"no teacher is named; add teacher\.base_url"):
        run(tmp_path / "c", "null")


def test_the_plan_asks_nothing_and_the_command_is_light(tmp_path):
    command = [sys.executable, "-m", "rl.synthesize", "+recipe=lead", "plan=true", *options(tmp_path / "run", "null")]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert "125 requests at most" in answer.stdout and "no teacher is named yet" in answer.stdout
    assert not (tmp_path / "run" / "manifest.json").exists()
    code = "import sys, rl.synthesize\nassert not {'torch', 'ray', 'vllm', 'verl', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)


def test_a_multirun_gives_each_run_a_folder(tmp_path):
    command = ["-m", "rl.synthesize", "-m", "+recipe=lexpro", "seed=0,1", "limit=1", "as_of=2026-01-01"]
    more = [f"input={JUDGMENTS}", f"hydra.sweep.dir={tmp_path}"]
    subprocess.run([sys.executable, *command, *more], cwd=ROOT, capture_output=True, timeout=240, check=True)
    cards = sorted(tmp_path.glob("*/card.html"))
    assert len(cards) == 2 and all(f"seed={seed}" in card.parent.name for seed, card in enumerate(cards))
