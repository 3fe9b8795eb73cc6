"""Evaluation end to end: real Ray and real vLLM in separate processes; killed and resumed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from rl import job
from rl.evaluate import main as evaluate
from rl.inference.__main__ import main as inference
from rl.inference.backend import Ask
from rl.inference.backends.engine import EngineBackend, EngineSettings
from rl.inference.backends.hf import TransformersBackend
from rl.inference.journal import BATCH as BATCH_OF_A_STAGE
from rl.inference.json_lines import read_lines
from tests.e2e.catalogue import hold_to_catalogue
from tests.e2e.runs import ROOT, left_over
from tests.e2e.test_variants import config

BATCH = 4
TASKS = ("age", "limitation")


@pytest.fixture(scope="module")
def nano(tmp_path_factory):
    """A nano model with room for the Assessor's prompts. Its weights are random, so that it answers at full length."""
    from rl.config.schema import NanoConfig
    from rl.models.nano import ensure_nano

    shape = {"vocab_size": 1500, "hidden_size": 64, "layers": 2, "heads": 2, "kv_heads": 1, "intermediate_size": 128}
    return str(ensure_nano(NanoConfig(**shape), 0, 2048, tmp_path_factory.mktemp("nano")))


def start(*arguments):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "rl.evaluate", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def arguments(nano, out):
    return (
        "run", "--benchmark", "held_out", "--tasks", *TASKS, "--model", nano, "--out", str(out), "--limit", "24",
        "--batch", str(BATCH), "--max-tokens", "40", "--max-length", "256",
        "--max-num-seqs", "4", "--temperature", "0.8",
    )  # fmt: skip


def finish(process):
    printed, _ = process.communicate(timeout=800)
    assert process.returncode == 0, printed[-4000:]
    return printed


def lines(out):
    found = [path.read_text().splitlines() for path in sorted((out / "answers").glob("*.jsonl"))]
    return [json.loads(line) for some in found for line in some]


@pytest.mark.slow  # two starts of engines and a comparison: a minute
@pytest.mark.timeout(1800)
def test_killed_it_goes_on_and_ends_as_if_it_had_not_been(nano, tmp_path, request):
    import psutil

    broken, whole = tmp_path / "broken", tmp_path / "whole"
    process = start(*arguments(nano, broken))
    deadline = time.monotonic() + 600
    while not (broken / "answers").is_dir() or not lines_so_far(broken):
        assert process.poll() is None and time.monotonic() < deadline, process.stdout.read()[-4000:]
        time.sleep(0.02)
    family = psutil.Process(process.pid).children(recursive=True)
    engines = [one for one in family if "InferenceActor" in one.name()]
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert engines and not left_over(engines, 60), "engines end with the process that started them"
    kept = lines_so_far(broken)
    assert 0 < kept < 2 * 24
    with (broken / "answers" / "age.jsonl").open("a") as file:
        file.write('{"key": "age/hal')  # as a crash within a write leaves it
    printed = finish(start(*arguments(nano, broken)))
    assert f"{2 * 24 - kept} answers" in printed and "half written" in printed, (
        "what was on the disk is not asked again"
    )
    request.getfixturevalue("ray_cluster")
    assert evaluate(arguments(nano, whole)) == 0
    for task in TASKS:
        for folder in ("answers", "scored"):
            name = f"{folder}/{task}.jsonl"
            assert (broken / name).read_bytes() == (whole / name).read_bytes(), name
    assert len(lines(broken)) == 48


def lines_so_far(out):
    return sum(path.read_bytes().count(b"\n") for path in (out / "answers").glob("*.jsonl"))


@pytest.mark.timeout(1200)
def test_every_strategy_runs_on_a_nano_model(ray_cluster, nano, tmp_path, capsys):
    found = inference(
        (
            "strategies", "--task", "exam_single", "exam_multi", "--model", nano, "--out", str(tmp_path),
            "--limit", "4", "--chains", "3", "--max-tokens", "24", "--assess-tokens", "24",
            "--outcome", "reward:format",
        )
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert found == 0
    assert "SC acc" in printed and "MC F1" in printed
    found = json.loads((tmp_path / "strategies.json").read_text())["methods"]
    names = ["zero-shot CoT", "best of n", "majority", *(f"iterative, round {n}" for n in (1, 2, 3))]
    assert [one["name"] for one in found] == names
    assert found[3]["counts"]["assessed"] == 2 * 4 * 3 and found[3]["tokens"] > found[2]["tokens"] > found[0]["tokens"]
    assert len((tmp_path / "rounds.jsonl").read_text().splitlines()) == 4 * 24
    assert {path.stem for path in (tmp_path / "chains").glob("*.jsonl")} >= {"cot", "samples", "assess-1"}
    assert (tmp_path / "strategies.svg").is_file()


RUN = """
import sys
from rl.config.schema import RunConfig
from rl.job import run
run(RunConfig.model_validate_json(sys.argv[1]))
"""


def kill_while_it_evaluates(given, stage, least):
    """Start a run in a process of its own, and kill it once so many answers are on the disk; gives their number."""
    import psutil

    log = given.run_dir + ".log"
    with open(log, "w") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, given.model_dump_json()], cwd=ROOT, stdout=file, stderr=file
        )
    folder, deadline = Path(given.run_dir) / "answers" / stage, time.monotonic() + 600

    def written():
        return sum(path.read_bytes().count(b"\n") for path in folder.glob("*.jsonl"))

    while written() < least:
        assert process.poll() is None and time.monotonic() < deadline, Path(log).read_text()[-4000:]
        time.sleep(0.01)
    process.send_signal(signal.SIGSTOP)  # it writes no more while its family is looked up, which can take seconds
    family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait(60)
    assert not left_over([one for one in family if "RolloutActor" in one.name()], 60)
    return written()


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("killed", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_stage_asks_the_engines_of_its_run_and_goes_on_after_a_kill(ray_cluster, models, tmp_path, capsys, killed):
    tasks, sampling = ["age", "exam_single"], {"temperature": 0, "max_tokens": 40}
    stage = {"name": "look", "kind": "evaluate", "tasks": ["limitation"], "questions": 8, "sampling": sampling}
    stage |= {"benchmarks": {"held_out": tasks, "limit": 60, "shots": 1}}
    # One sequence at a time, handed over every two seconds, so that it can be killed in the middle.
    slowly = {"max_num_seqs": 1, "timeout_s": 8.0} if killed else {}
    given = config(tmp_path / "run", models, [stage], rollout=slowly)
    kept = kill_while_it_evaluates(given, "look", least=8 + BATCH_OF_A_STAGE) if killed else 0
    job.run(given)
    printed, folder = capsys.readouterr().out, tmp_path / "run"
    assert "held_out" in printed and (f"stage look went on from {kept} answers" in printed) == killed
    assert kept < 8 + 2 * 60 and (kept > 8) == killed
    assert not (folder / "answers").exists(), "what is done is kept elsewhere"
    records = json.loads((folder / "benchmarks.json").read_text())
    assert [(one["task"], one["n"], one["after"]) for one in records] == [
        ("age", 60, "base"),
        ("exam_single", 60, "base"),
    ]
    logged = hold_to_catalogue(folder)
    assert {"benchmark/held_out/age", "benchmark/held_out/exam_single", "accuracy/limitation"} <= logged
    results = folder / "benchmarks" / "look" / "held_out"
    assert evaluate(["report", str(results), "--out", str(tmp_path / "p.html")]) == 0
    same = ["run", "--benchmark", "held_out", "--tasks", *tasks, "--model", str(models["untied"]), "--shots", "1"]
    same += ["--limit", "60", "--max-tokens", "40", "--backend", "transformers", "--out", str(tmp_path / "alone")]
    assert evaluate(same) == 0
    for task in tasks:
        found, alone = (read_lines(one / "answers" / f"{task}.jsonl", print) for one in (results, tmp_path / "alone"))
        assert [(one["key"], one["answers"]) for one in found] == [(one["key"], one["answers"]) for one in alone]


@pytest.mark.timeout(1200)
def test_engines_answer_as_transformers_does_and_a_lost_one_is_replaced(ray_cluster, models, tmp_path):
    asks = [Ask(f"t/{n}", (("user", "盗窃" * (1 + n)),), max_tokens=16) for n in range(24)]
    whole, expected, found = {}, {}, {}
    model = models["untied"]  # the other one says the same all the time
    TransformersBackend(str(model)).generate(asks, lambda ask, answers: whole.update({ask.key: answers}))
    folder, end = ending_elsewhere(model, tmp_path / "m", whole["t/0"][0].text)
    TransformersBackend(folder).generate(asks, lambda ask, answers: expected.update({ask.key: answers}))
    cut = {
        key: [one.text.partition(end)[0].replace("<|endoftext|>", end).strip() for one in answers]
        for key, answers in whole.items()
    }
    assert {key: [one.text for one in answers] for key, answers in expected.items()} == cut, (
        "a turn ends where the template ends it, and generation_config.json has no say in sampling"
    )
    assert {answers[0].truncated for answers in expected.values()} == {True, False} and cut["t/0"] != [""]
    backend = EngineBackend(EngineSettings(folder, max_length=256, data_parallel=2, max_num_seqs=2))
    try:
        victim = backend.actors[0].call("ready", timeout_s=60)

        def done(ask, answers):
            if not found:
                os.kill(victim, signal.SIGKILL)
            assert ask.key not in found
            found[ask.key] = answers

        backend.generate(asks, done)
        assert found == expected and backend.actors[0].restarts == 1
    finally:
        backend.close()


def ending_elsewhere(model, folder, text):
    """(The model, which now says ``<|endoftext|>`` for a token that ``text`` holds, with a template that ends the
    assistant's turn with it; that token's text)."""
    shutil.copytree(model, folder)
    tokenizer = AutoTokenizer.from_pretrained(model)
    token = tokenizer.encode(text, add_special_tokens=False)[4]
    end = "{{ '<|endoftext|>' if m['role'] == 'assistant' else '<|im_end|>' }}"
    tokenizer.chat_template = tokenizer.chat_template.replace("<|im_end|>", end)
    tokenizer.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        weights[name][[token, tokenizer.pad_token_id]] = weights[name][[tokenizer.pad_token_id, token]]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"repetition_penalty": 5.0, "top_k": 2}))
    return str(folder), tokenizer.decode([token])
