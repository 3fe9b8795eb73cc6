"""An exported policy in other people's programs: lm-evaluation-harness, vLLM's server and transformers' pipeline."""

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request

import pytest

from rl.actors.judge import SERVER
from rl.actors.process_group import free_port
from rl.device import named
from rl.evaluate import main as evaluate
from rl.inference.json_lines import read_lines
from rl.job import run
from tests.e2e.test_variants import config, stages
from tools.export_lm_eval import main as export

pytestmark = pytest.mark.slow  # two minutes; one of the programs is installed for it
QUESTIONS, TOKENS = 24, 48
HARNESS = (
    "lm-eval==0.4.13", "evaluate", "jsonlines", "more_itertools", "pytablewriter", "DataProperty", "tabledata",
    "mbstrdecoder", "typepy", "pathvalidate", "tcolorpy", "rouge_score", "sacrebleu", "portalocker", "tabulate", "nltk",
    "sqlitedict", "word2number", "colorama", "lxml", "chardet",
)  # fmt: skip
"""What it needs and is not installed for other reasons."""


@pytest.fixture(scope="module")
def policy(ray_cluster, models, tmp_path_factory):
    """A policy after demonstrations alone, which knows the form of an answer and some of the answers."""
    folder = tmp_path_factory.mktemp("policy") / "run"
    sft, *_ = stages({"demonstrations": {"age": 400}, "steps": 60}, {})
    run(config(folder, models, [sft]))
    return folder / "exports" / "sft"


@pytest.fixture(scope="module")
def tasks(policy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    words = ("--tasks", "age", "--questions", str(QUESTIONS), "--model", str(policy), "--out", str(folder))
    assert export(words) == 0
    return folder


@pytest.fixture(scope="module")
def ours(policy, tmp_path_factory):
    """Our own answers by question, and the accuracy (share)."""
    out = tmp_path_factory.mktemp("ours")
    words = ["run", "--benchmark", "held_out", "--tasks", "age", "--model", str(policy), "--limit", str(QUESTIONS)]
    assert evaluate([*words, "--max-tokens", str(TOKENS), "--backend", "transformers", "--out", str(out)]) == 0
    answers = [one["answers"][0] for one in read_lines(out / "answers" / "age.jsonl", print)]
    right = [one["score"] for one in read_lines(out / "scored" / "age.jsonl", print)]
    found = [f"<think>{one['thinking']}</think>{one['text']}" for one in answers]
    assert len(found) == QUESTIONS and 0 < sum(right) < QUESTIONS, "neither all nor none, or equal scores say nothing"
    return found, sum(right) / QUESTIONS


def questions(tasks):
    rows = [json.loads(line) for line in (tasks / "age.jsonl").read_text(encoding="utf-8").splitlines()]
    return [row["question"] for row in rows if row["split"] == "test"]


def test_the_harness_gives_the_same_answers_and_accuracy(policy, tasks, ours, tmp_path):
    installed = tmp_path / "harness"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(installed), *HARNESS]
    done = subprocess.run(pip, capture_output=True, text=True)
    if "(from versions: none)" in done.stderr:  # a machine without a network; a version that is gone is a failure
        pytest.skip("lm-eval can't be installed here: no package can be reached")
    assert done.returncode == 0, done.stderr[-1000:]
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    words = [
        "run", "--tasks", "themis", "--include_path", str(tasks), "--apply_chat_template", "--model", "hf",
        "--model_args", f"pretrained={policy},dtype=float32", "--gen_kwargs", f"max_gen_toks={TOKENS}",
        "--device", "cpu", "--batch_size", "8", "--log_samples", "--output_path", str(tmp_path / "out"),
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "lm_eval", *words], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | offline | {"PYTHONPATH": str(installed)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    (results,), (samples,) = (list((tmp_path / "out").rglob(name)) for name in ("results*.json", "samples*.jsonl"))
    rows = sorted((json.loads(line) for line in samples.read_text().splitlines()), key=lambda row: row["doc_id"])
    assert [row["doc"]["question"] for row in rows] == questions(tasks)
    answers, accuracy = ours
    assert [row["resps"][0][0] for row in rows] == answers
    assert json.loads(results.read_text())["results"]["themis_age"]["exact_match,answer"] == pytest.approx(accuracy)


def test_a_pipeline_of_transformers_gives_the_same_answers(policy, tasks, ours):
    from transformers import pipeline

    answer = pipeline("text-generation", model=str(policy), tokenizer=str(policy), device="cpu", dtype="float32")
    for question, expected in zip(questions(tasks)[:8], ours[0], strict=False):
        found = answer([{"role": "user", "content": question}], max_new_tokens=TOKENS, do_sample=False)
        assert found[0]["generated_text"][-1]["content"] == expected


def test_the_server_of_vllm_gives_the_same_answers(policy, tasks, ours):
    port = free_port("127.0.0.1")
    words = [
        "--model",
        str(policy),
        "--dtype",
        "float32",
        "--enforce-eager",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    environment = os.environ | named("cpu").vllm_environment(1, True)
    server = subprocess.Popen([sys.executable, "-m", SERVER, *words], env=environment, stderr=subprocess.DEVNULL)
    try:
        deadline, url = time.monotonic() + 300, f"http://127.0.0.1:{port}"
        up = False
        while not up and time.monotonic() < deadline and server.poll() is None:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{url}/health", timeout=5).close()
                up = True
            time.sleep(0.5)
        assert up
        for question, expected in zip(questions(tasks), ours[0], strict=True):
            body = {
                "model": str(policy), "messages": [{"role": "user", "content": question}], "temperature": 0,
                "max_tokens": TOKENS,
            }  # fmt: skip
            asked = urllib.request.Request(
                f"{url}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(asked, timeout=60) as response:
                assert json.load(response)["choices"][0]["message"]["content"] == expected
    finally:
        server.terminate()
        server.wait(60)
