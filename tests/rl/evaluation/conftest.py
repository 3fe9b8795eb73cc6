"""The page of evaluations as it is served, once for all tests of it."""

import json
import os
import signal
import subprocess
import sys

import pytest

from rewards.judge.options import KEY_ENV as JUDGE_KEY_ENV
from rl.evaluation.web.page_settings import PageSettings
from rl.inference.backend import KEY_ENV
from tests.conftest import ROOT
from tests.rl.evaluation.scripted_evaluations import evaluation


@pytest.fixture(scope="package")
def settings(tmp_path_factory):
    """Two runs on the same 12 questions: one right on the even ones, the other wrong on every third."""
    folder = tmp_path_factory.mktemp("page")
    evaluation(folder / "runs" / "sft", "qwen-sft", lambda n: n % 2 == 0)
    evaluation(folder / "runs" / "grpo", "qwen-grpo", lambda n: n % 3 != 0)
    for name in ("models/small", "models/deep/large", "elsewhere"):
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text("{}")
    texts = [{"instruction": "写摘要。\n", "input": f"案情{n}", "answer": "摘要"} for n in range(8)]
    (folder / "root" / "LexEval" / "data").mkdir(parents=True)
    (folder / "root" / "LexEval" / "data" / "5_1.json").write_text("".join(json.dumps(one) + "\n" for one in texts))
    return PageSettings(folder / "runs", folder / "models", folder / "root")


@pytest.fixture(scope="package")
def opened(settings):
    """The address that opens the page, as the command prints it."""
    command = [sys.executable, "-m", "rl.evaluate", "serve", "--runs", str(settings.runs), "--port", "0"]
    command += ["--models", str(settings.models), "--root", str(settings.root)]
    keys = {KEY_ENV: "secret", JUDGE_KEY_ENV: "secret"}
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ | keys)
    try:
        yield process.stdout.readline().strip()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()


@pytest.fixture(scope="package")
def address(opened):
    """The page's address, without the token."""
    return opened.partition("/?token=")[0]
