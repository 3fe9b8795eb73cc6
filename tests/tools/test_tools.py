import json
import os
import socket
import subprocess
import sys
from dataclasses import replace

import pytest

from rl.config.schema import TrackerConfig
from rl.records.rollouts import read_file, read_rows, rows, write_rows
from rl.records.tracking import Tracker
from tests.rl.forks import in_fork
from tools import doctor, gpu_check, rollouts


def test_the_doctor_finds_this_machine_usable():
    answer = subprocess.run(
        [sys.executable, "-m", "tools.doctor", "--no-ray", "--json"], capture_output=True, text=True
    )
    found = {line["name"]: line for line in json.loads(answer.stdout)}
    assert answer.returncode == 0, found
    assert "laws in force on 20" in found["statutes"]["detail"] and found["verl"]["status"] == "ok"


def test_the_doctor_names_what_is_wrong():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert doctor.port(taken.getsockname()[1]).status == "warning"
    assert doctor.package("no-such-package", "1.0").status == "error"
    assert doctor.package("torch", "0.1").status == "warning"


def test_the_doctor_looks_at_the_environment(monkeypatch):
    monkeypatch.setenv("HOME", "/proc/nobody")
    assert doctor.home().status == "warning" and "/proc/nobody" in doctor.home().detail
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert doctor.proxies().detail == "none"
    monkeypatch.setenv("ALL_PROXY", "socks5://somebody:secret@127.0.0.1:9")
    found = doctor.proxies()
    assert "ALL_PROXY" in found.detail and "secret" not in found.detail + found.fix


@pytest.mark.parametrize("encoding", ["ascii:strict"])
def test_chinese_is_printed_in_any_encoding(encoding):
    for command in (
        ["rl.inference", "retrieve", "盗窃怎么处罚", "--k", "1"],
        ["rewards", "list"],
        ["tools.doctor", "--no-ray"],
    ):
        environment = os.environ | {"PYTHONIOENCODING": encoding}
        done = subprocess.run([sys.executable, "-m", *command], env=environment, capture_output=True, timeout=120)
        assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr


def dumped(run_dir):
    import numpy as np
    from rich.console import Console

    from curricula.prompts import ask
    from rl.samples import Completion, Group

    done = Completion(
        np.array([5, 6]), np.array([-0.1, -0.2], np.float32), "<think>甲</think><answer>乙</answer>", "stop", 3
    )
    good = Group(
        "g-1",
        replace(ask("age", "何责？", "乙"), meta={"source": "课本", "verdicts": [1, {"by": "甲"}]}),
        [1, 2],
        [done, done],
        [1.0, 0.5],
        [{"accuracy": 1.0}, {"accuracy": 0.5}],
        reasons=["", "accuracy: '乙' is not '丁'; wholly"],
    )
    bad = Group("g-2", ask("parole", "假释？", "丙"), [1], [done], error="reward accuracy raised")
    tracker = Tracker(run_dir, TrackerConfig(progress=False), Console())
    tracker.dump_groups("first", 4, rows(good, 0) + rows(bad, 0))
    tracker.wait()


def test_rollouts_are_readable(tmp_path, capsys):
    dumped(tmp_path)
    found = read_rows(tmp_path, None, None)
    assert [row["reward"] for row in found] == [1.0, 0.5, None] and found[0]["token_ids"] == [5, 6]
    assert [row["reasons"] for row in found] == [{}, {"accuracy": "'乙' is not '丁'; wholly"}, {}]
    assert rollouts.main([str(tmp_path), "--order", "worst", "--limit", "1"]) == 0
    assert [row["meta"] for row in found] == [{"source": "课本", "verdicts": [1, {"by": "甲"}]}] * 2 + [{}]
    assert "accuracy: '乙' is not '丁'" in capsys.readouterr().out
    assert rollouts.main([str(tmp_path), "--order", "best", "--limit", "1"]) == 0
    shown = capsys.readouterr().out
    assert 'meta: {"source": "课本", "verdicts": [1, {"by": "甲"}]}' in shown
    assert "何责？" in shown and "reward 1.000" in shown and "1 of 2 completions" in shown
    assert rollouts.main([str(tmp_path), "--order", "errors"]) == 0
    assert "reward accuracy raised" in capsys.readouterr().out
    assert rollouts.main([str(tmp_path), "--summary"]) == 0
    assert "0.750" in capsys.readouterr().out


def test_a_summary_is_sorted_and_fits_80_columns(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    dumped(tmp_path)
    (path,) = tmp_path.rglob("*.parquet")
    named = [f"legal_validity_{n}" for n in range(6)]
    found = [{**row, "parts": dict.fromkeys(named, 0.5)} for row in read_file(path)[:2]]
    for stage, step in (("second", 10), ("first", 12), ("second", 9)):
        write_rows(tmp_path / "rollouts" / stage / f"step-{step:06d}.parquet", found)
    assert rollouts.main([str(tmp_path), "--summary"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80 and "…" not in out
    titles = [line.strip() for line in out.splitlines() if "second" in line or "first" in line]
    assert titles == ["first", "first, further rewards", "second", "second, further rewards"]
    steps = [line.split()[:3] for line in out.splitlines() if line.split() and line.split()[0].isdigit()]
    first, second = [["4", "3", "0.750"], ["12", "2", "0.750"]], [["9", "2", "0.750"], ["10", "2", "0.750"]]
    assert steps == first * 2 + second * 2
    assert rollouts.main([str(tmp_path), "--summary", "--stage", "second", "--task", "parole"]) == 2
    assert "no rollouts of --stage second --task parole" in capsys.readouterr().err


def test_rollouts_of_earlier_versions_have_no_meta(tmp_path):
    import pyarrow.parquet as pq

    dumped(tmp_path)
    (path,) = tmp_path.rglob("*.parquet")
    pq.write_table(pq.read_table(path).drop_columns(["meta"]), path)
    assert [row["meta"] for row in read_rows(tmp_path, None, None)] == [{}, {}, {}]


def test_a_folder_without_rollouts_is_named(tmp_path, capsys):
    assert rollouts.main([str(tmp_path)]) == 2
    assert "has no rollouts/" in capsys.readouterr().err


def test_the_gpu_check_works_at_the_smallest_shapes(tmp_path):
    """On a GPU it measures more; here the test shows that the script itself works."""
    command = [sys.executable, "-m", "tools.gpu_check", "--device", "cpu", "--json", str(tmp_path / "found.json")]
    done = subprocess.run([*command, "--only", "packages"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["packages"]["status"] == "ok" and found["packages"]["verl"]
    assert in_fork(_check, "precision")["largest"] < 1e-5
    assert in_fork(_check, "megatron-parity")["log_probs"] < 1e-5


def _check(name):
    return gpu_check.CHECKS[name]("cpu")


def test_the_statute_judge_agrees_with_the_cases_shipped(tmp_path):
    from tools import judge_agreement, judge_cases

    path = tmp_path / "figures.json"
    assert judge_agreement.main(["--json", str(path)]) == 0
    figures = json.loads(path.read_text())
    assert figures["cases"] == 200 and figures["errors"] == 0
    assert figures["accuracy"] >= 0.95 and figures["kappa"] >= 0.9 and min(figures["by_kind"].values()) >= 0.8
    fresh = judge_cases.cases(seed=1234)
    assert sum(case["points"] == 2 for case in fresh) == 50
    shipped = judge_agreement.read_cases(judge_agreement.CASES)
    assert judge_cases.cases(seed=0) == shipped, "the file is what the tool writes"


def test_agreement_by_hand():
    from rewards.verdict import Verdict
    from tools.judge_agreement import agreement, kappa

    assert kappa([0, 1, 2, 0], [0, 1, 2, 0]) == 1.0
    assert kappa([0, 0, 1, 1], [0, 1, 0, 1]) == 0.0
    cases = [{"points": p, "completion": "字" * n, "kind": "k"} for p, n in ((2, 10), (0, 20), (0, 30), (1, 40))]
    given = [Verdict(1.0), Verdict(0.0), Verdict(1.0), Verdict.failed("no")]
    found = agreement(cases, given)
    assert found["errors"] == 1 and found["accuracy"] == pytest.approx(2 / 3)
    assert found["calibration"] == {0: 0.0, 2: 1.0} and found["length_bias"] > 0.8, "it favours the longest"


def test_a_malformed_case_is_named(tmp_path, capsys):
    from tools import judge_agreement

    path = tmp_path / "cases.jsonl"
    path.write_text('{"completion": "x", "points": 2}\n{"completion": "x", "points": 7}\n')
    assert judge_agreement.main(["--cases", str(path)]) == 2
    assert f"{path}:2" in capsys.readouterr().err
