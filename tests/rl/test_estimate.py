"""The time of a plan: what a run computes, counted by hand; how it follows from the speed; and what is unknown."""

import io
import json
import re
from dataclasses import replace

import pytest
from rich.console import Console

from curricula.errors import DataError
from rl import job, load_config, run
from rl.config.derive import derive
from rl.config.parallel import model_shape
from rl.errors import UserError
from rl.estimate import machine, times
from rl.estimate.machine import Speed, Work, faster, measure
from rl.estimate.times import PROCESS_S, SEQUENCE_S, START_S, STEP_S, stage_times, start_time
from rl.estimate.tokens import tokens_of
from rl.models.at_hand import tokenizer_at_hand
from rl.models.chat import render_demonstration

WORDS = ("model.max_length=256", "trainer.threads=1", "rollout.threads=1", "plan=true")
ROWS = [{"prompt": "一年有几个月？", "demonstration": "<answer>12</answer>", "reference": "12"}] * 4
SFT = {"name": "sft", "kind": "sft", "steps": 5, "prompts_per_step": 2, "data": "shown.jsonl"}
RL = {"name": "rl", "kind": "grpo", "steps": 3, "data": "asked.jsonl", "prompts_per_step": 4, "samples_per_prompt": 6}
TEST = {"name": "test", "kind": "evaluate", "data": "asked.jsonl"}


@pytest.fixture
def plan_of(tmp_path, monkeypatch, models):
    """A plan of stages in a folder with two files of four rows each, and what it prints."""
    monkeypatch.chdir(tmp_path)
    asked = [{key: row[key] for key in ("prompt", "reference")} for row in ROWS]
    write(tmp_path / "shown.jsonl", ROWS)
    write(tmp_path / "asked.jsonl", asked)

    def load(*stages, path=models["tied"]):
        (tmp_path / "c.yaml").write_text(json.dumps({"name": "c", "stages": stages}))
        return load_config("curriculum=./c.yaml", f"model.path={path}", *WORDS)

    return load


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(machine, "SECONDS", 0.5)


def write(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def printed(config, monkeypatch):
    console = Console(width=200, record=True, file=io.StringIO())
    monkeypatch.setattr(job, "console", console)
    run(config)
    return console.export_text()


def test_tokens_are_counted_from_the_data(plan_of, models):
    held = {**RL, "name": "held", "held_out": 5, "held_out_every": 2}
    config = plan_of({**RL, "name": "before"}, SFT, RL, {**RL, "name": "kl", "algorithm": {"kl_coef": 0.1}}, held, TEST)
    tokenizer = tokenizer_at_hand(config.model)
    before, sft, after, kl, held, test = tokens_of(config, tokenizer)
    whole, head = render_demonstration(tokenizer, one(config))
    answer = len(whole) - head
    assert (sft.updates, sft.trained, sft.sequences) == (5, 5 * 2 * len(whole), 0)
    assert (before.length, before.longest) == (64, True), "nothing is known of completions before demonstrations"
    assert (after.length, after.longest, after.batches, after.sequences) == (answer, False, 3, 24)
    assert after.trained == 3 * 4 * (head + 6 * answer), "a group's prompt stands in its row once"
    assert after.read == 3 * 4 * head and kl.read == after.read + kl.trained
    assert (held.measurements, held.questions) == (3, 2), "before, after two steps, after the last; half of the file"
    assert held.read == after.read + 3 * 2 * head
    assert (test.batches, test.sequences, test.read, test.trained) == (1, 4, 4 * head, 0)


def one(config):
    from rl.data.prompt_files import demonstrations_of

    return demonstrations_of("shown.jsonl")[0]


def test_times_follow_from_the_speed(plan_of, monkeypatch):
    config = plan_of(SFT, RL)
    monkeypatch.setattr(times, "measure", lambda shape, work: Speed(0.1, 0.01, 0.001 * work.sequences, 1e-3))
    shape = model_shape(config.model)
    counted = tokens_of(config, tokenizer_at_hand(config.model))
    sft, rl = stage_times(config, derive(config), shape, counted)
    assert sft.training == pytest.approx(counted[0].trained * 0.1 + 5 * shape.parameters * 1e-3) and sft.sampling == 0
    step = STEP_S + 24 * (SEQUENCE_S + 0.001)
    assert rl.sampling == pytest.approx(3 * counted[1].length * step)
    held = replace(counted[1], measurements=4, questions=30)  # which take two turns of 24 each
    _, more = stage_times(config, derive(config), shape, [counted[0], held])
    assert more.sampling == pytest.approx((3 + 4 * 2) * held.length * step)
    monkeypatch.setattr(times.os, "cpu_count", lambda: 4)
    two = config.model_copy(update={"trainer": config.trainer.model_copy(update={"world_size": 2, "threads": 2})})
    assert stage_times(two, derive(two), shape, counted)[0].training == pytest.approx(sft.training / 2 / faster(2))


def test_muon_takes_its_iterations_once_an_update(plan_of, monkeypatch):
    config = plan_of({**SFT, "optim": {"optimizer": "muon"}}, SFT | {"name": "other"})
    shape, asked = model_shape(config.model), []
    monkeypatch.setattr(times, "measure", lambda shape, work: asked.append(work) or Speed(0.1, 0.01, 0.0, 0.0, 2.0))
    counted = tokens_of(config, tokenizer_at_hand(config.model))
    found, without = stage_times(config, derive(config), shape, counted)
    assert asked[0].muon and found.training == pytest.approx(without.training + 5 * 2.0)
    muon, adamw = (measure(shape, Work(64, 32, 4, False, muon=whether)) for whether in (True, False))
    assert muon.orthogonal > 0 == adamw.orthogonal


def test_a_start_takes_longer_with_more_processes(plan_of, monkeypatch):
    monkeypatch.setattr(times.os, "cpu_count", lambda: 2)
    config = plan_of(SFT, {**RL, "algorithm": {"kl_coef": 0.1}})
    assert start_time(plan_of(SFT), sampling=False) == START_S + PROCESS_S / 2
    assert start_time(config, sampling=True) == START_S + 3 * PROCESS_S / 2, "trainer, reference and engine"
    many = config.model_copy(update={"rollout": config.rollout.model_copy(update={"replicas": 16})})
    assert start_time(many, sampling=True) == START_S + 18 * PROCESS_S / 2


def test_a_larger_model_is_measured_as_slower(models):
    from rl.config.schema import ModelConfig, NanoConfig

    work = Work(row=512, length=64, sequences=16, adapter=False)
    small, large = (
        measure(model_shape(ModelConfig(nano=NanoConfig(**sizes))), work)
        for sizes in ({}, {"hidden_size": 768, "intermediate_size": 2048})
    )
    assert 4 < large.train / small.train < 40 and large.decode > 3 * small.decode
    assert small.forward < small.train and 1e-10 < small.update < 1e-6
    adapter = measure(model_shape(ModelConfig()), Work(512, 64, 16, adapter=True))
    assert adapter.train < small.train and adapter.update == 0


def test_a_plan_says_its_time_or_why_not(plan_of, monkeypatch, tmp_path):
    text = printed(plan_of(SFT, RL), monkeypatch)
    assert "no row is too long" in text and "time: about " in text and "not counted: moving weights" in text
    assert re.search(r"start: about 1\d s until Ray, engines and trainer are up", text)
    assert "time: at most " in printed(plan_of(RL), monkeypatch)
    text = printed(plan_of(SFT, path="nobody/no-such-model"), monkeypatch)
    assert "too long: the tokenizer of nobody/no-such-model is not on this machine" in text
    assert "CPU: unknown" in text and "time: about" not in text
    assert not (tmp_path / "runs").exists() and not (tmp_path / ".cache").exists()


def test_a_plan_finds_what_the_start_would_refuse(plan_of, monkeypatch, tmp_path):
    config = plan_of({**SFT, "name": "s"})
    write(tmp_path / "shown.jsonl", [*ROWS, {"prompt": "长" * 300, "demonstration": "x"}])
    with pytest.raises(UserError, match=r"stage s: the demonstration of .* tokens, more than model\.max_length=256"):
        printed(config, monkeypatch)
    write(tmp_path / "shown.jsonl", [*ROWS, {"question": "x"}])
    for given in (config, plan_of(SFT, path="nobody/no-such-model")):  # rows are read without a tokenizer, too
        with pytest.raises(DataError, match=r"shown\.jsonl:5"):
            printed(given, monkeypatch)
    (tmp_path / "shown.jsonl").unlink()
    with pytest.raises(UserError, match=r"data file shown\.jsonl does not exist"):
        printed(config, monkeypatch)
