"""The main job end to end: real Ray, real vLLM, the real engine, real statutes, through the command line."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import psutil
import pytest

from cluster.processes import known
from rl.actors.process_group import free_port
from rl.records.losses import read_losses
from rl.records.rollouts import read_rows
from rl.records.status import read_status
from rl.records.tracking import read_metrics
from tests.e2e.canaries import CANARIES, holding
from tests.e2e.catalogue import hold_to_catalogue
from tests.e2e.runs import ROOT, actor_pids, command, fail, finish, kill, left_over, metrics, start, wait_for
from tests.prometheus import missing, needs_prometheus, scraping
from tests.rl.records.test_trace import holds_to_line, rows
from tests.sockets import listening, open_to_others
from tools.grafana import BOARD, PANELS
from tools.replay import main as replay

TRAINS = f"+curriculum={Path(__file__).with_name('trains.yaml')}"
TRAINED = 60
"""Its steps."""


@pytest.fixture(scope="module")
def ray_folder():
    """A folder for Ray of its own, so that its list of what Prometheus is to scrape is known before it starts."""
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:  # a short path, for Ray's sockets
        yield Path(folder)


@pytest.fixture(scope="module")
def prometheus(ray_folder, tmp_path_factory):
    """A Prometheus that scrapes the unbroken run; None where there is none."""
    if missing():
        yield None
        return
    targets = ray_folder / "ray" / "prom_metrics_service_discovery.json"
    with scraping(targets, tmp_path_factory.mktemp("prometheus"), BOARD.with_name("alerts.yaml")) as running:
        yield running


@pytest.fixture(scope="module")
def unbroken(prometheus, ray_folder, tmp_path_factory):
    """An unbroken run that others are compared with, with Ray's dashboard, which writes what is to be scraped."""
    run_dir = tmp_path_factory.mktemp("unbroken") / "run"
    dashboard = ("cluster.dashboard=true", f"cluster.dashboard_port={free_port('127.0.0.1')}")
    often = {"RAY_TMPDIR": str(ray_folder), "RAY_metrics_report_interval_ms": "1000"}
    traced = "tracker.trace_steps=[3]"
    overrides = ("rollout.verify_sync=true", "tracker.wandb=offline", traced, *dashboard)
    printed = finish(run_dir, *overrides, given=CANARIES | often)
    return run_dir, printed


def test_a_run_leaves_everything_it_promises(unbroken):
    run_dir, printed = unbroken
    assert "Held-out accuracy" in printed and "majority answer" in printed
    lines = metrics(run_dir)
    assert [line["stage"] for line in lines] == (
        ["scores"] + ["mid"] * 3 + ["sft"] * 40 + ["look"] + ["grpo"] * 6 + ["eval"]
    )
    losses = [line["loss"] for line in lines if line["stage"] == "sft"]
    assert losses[-1] < 0.5 * losses[0], "it learns"
    trained = [line for line in lines if line["stage"] == "grpo" and line["groups/trained"]]
    assert trained and all(line["log_prob_difference"] < 1e-4 for line in trained)
    assert all(abs(line["ratio"] - 1) < 1e-4 and line["mismatch_kl"] < 1e-6 for line in trained)
    for line in trained:
        parts = line["reward/rouge_l_chars"] + line["reward/accuracy"] + 0.1 * line["reward/format"]
        assert line["reward"] == pytest.approx(parts, abs=1e-6)
    manifest = json.loads((run_dir / "manifest.json").read_text())
    assert (
        manifest["versions"]["verl"]
        and manifest["data"]["statutes"]
        and all(s["done"] for s in manifest["stages"].values())
    )
    assert len(list((run_dir / "rollouts" / "grpo").glob("*.parquet"))) == 6
    assert len(list((run_dir / "checkpoints" / "sft").iterdir())) <= 3, "the last two and the best"
    assert json.loads((run_dir / "results.json").read_text())[-1]["after"] == "grpo"
    assert 'id="stage-grpo"' in (run_dir / "report.html").read_text(encoding="utf-8") and "report.html" in printed


def test_no_file_of_a_run_and_nothing_that_it_prints_holds_a_secret(unbroken):
    run_dir, printed = unbroken
    assert holding(run_dir) == [] and not [name for name, value in CANARIES.items() if value in printed]
    assert list(run_dir.glob("wandb/offline-run-*/*.wandb")), "W&B wrote its files, too"


def test_every_number_is_in_the_catalogue(unbroken):
    seen = hold_to_catalogue(unbroken[0])
    assert {"staleness", "ratio", "clip_fraction", "held_out_loss", "alpha", "accuracy", "time/bubble"} <= seen


def test_a_traced_step_shows_who_did_what_and_agrees_with_the_log(unbroken):
    assert len(list((unbroken[0] / "traces").rglob("*.json"))) == 2, "of sft and grpo; the others have fewer steps"
    for stage, actors in (("sft", {"trainer"}), ("grpo", {"trainer", "rollout/0", "reward/0"})):
        found = rows(json.loads((unbroken[0] / "traces" / stage / "step-000003.json").read_text())["traceEvents"])
        (line,) = (
            one for one in read_metrics(unbroken[0] / "metrics.jsonl") if (one["stage"], one["step"]) == (stage, 3)
        )
        holds_to_line(found, line)
        assert {row.split()[0] for row in found} == {"driver", *actors}


@needs_prometheus
def test_prometheus_gets_what_every_panel_of_the_board_shows(prometheus, unbroken):
    """Prometheus finds the run by the file that Ray writes. What each line of some stage had must have been seen."""
    had = defaultdict(list)
    for line in read_metrics(unbroken[0] / "metrics.jsonl"):
        had[line["stage"]].append({*line, *(f"time/{name}" for name in line["time"])})
    del had["eval"]  # the run ends with it
    always = set().union(*(set.intersection(*lines) for lines in had.values()))
    for panel in PANELS:
        for line in panel.lines:
            if line.gpu or (line.metrics and not always & set(line.metrics)):
                continue
            found = prometheus.seen(line.expr.replace("$run", "run").replace("$stage", ".*"))
            assert found, f"{panel.title}: {line.expr}"
    seen = {one["stage"] for one in prometheus.seen('ray_themis_step{run="run"}')}
    assert seen >= {"sft", "grpo"}, "short stages may pass between two looks"
    assert prometheus.seen("ray_node_disk_utilization_percentage") and prometheus.seen("ray_node_mem_total")
    assert not prometheus.get("query", query="ray_themis_step")["result"], "nothing is left of a run that has ended"


def test_the_export_is_the_policy(unbroken):
    """transformers loads the export, and greedy decoding gives what the evaluation's rollout gave."""
    import pyarrow.parquet as pq
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run_dir, _ = unbroken
    export = run_dir / "exports" / "grpo"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(export).eval(), AutoTokenizer.from_pretrained(export)
    rows = pq.read_table(run_dir / "rollouts" / "eval" / "step-000000.parquet").to_pylist()
    assert len(rows) == 16
    for row in rows[:4]:
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": row["prompt"]}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        assert prompt["input_ids"][0].tolist() == row["prompt_ids"]
        with torch.no_grad():
            answer = model.generate(**prompt, max_new_tokens=32, do_sample=False)[0, len(row["prompt_ids"]) :]
        assert answer.tolist() == row["token_ids"]


def test_the_same_command_again_does_nothing_and_shows_the_table(unbroken):
    run_dir, _ = unbroken
    before = metrics(run_dir)
    printed = finish(run_dir, "rollout.verify_sync=true")
    assert printed.count("majority answer") == 2 and printed.count("Ray is up") == 1, "the second time nothing starts"
    assert metrics(run_dir) == before


def completions(run_dir):
    """What the rollout files hold, except the parts in which the groups of a step came and the version of the weights,
    which a driver counts from its own start."""
    rows = [{**row, "part": None, "weight_version": None} for row in read_rows(run_dir, None, None)]
    assert any(row["reasons"] for row in rows)
    return sorted(rows, key=lambda row: (row["stage"], row["step"], row["uid"]))


@pytest.mark.slow
def test_whatever_it_loses_in_every_stage_it_ends_bit_identically_and_tells_it(unbroken, tmp_path):
    """Ray's processes and the driver are killed, actors of every kind are frozen."""
    run_dir, log, frozen = tmp_path / "run", tmp_path / "run.log", []

    def started():
        return start(run_dir, "cluster.frozen_s=2")

    def freeze(process, *names):
        pids = [pid for name in names for pid in actor_pids(name, process.pid)]
        assert len(pids) == len(names)
        frozen.extend(known(pid) for pid in pids)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)

    def lose_ray(process, name):
        family = psutil.Process(process.pid).children(recursive=True)
        victim = next(one for one in family if one.name() == name)
        victim.kill()
        assert process.wait(300) == 1, log.read_text()[-4000:]
        printed, why = log.read_text(), f"was lost: its {name} (pid {victim.pid}) died"
        assert f"error: Ray {why}. The same command goes on from what was saved" in printed
        assert "Traceback" not in printed and not left_over(family)
        assert why in (run_dir / "post-mortem.html").read_text()
        return why

    def lose_driver(process):
        kill(process.pid)
        process.wait()

    process = started()
    wait_for(run_dir, "mid", 2, process)
    raylet = lose_ray(process, "raylet")
    process = started()
    wait_for(run_dir, "sft", 10, process)
    freeze(process, "TrainerActor")
    wait_for(run_dir, "sft", 21, process)
    lose_driver(process)
    process = started()
    wait_for(run_dir, "grpo", 0, process)
    freeze(process, "RewardActor", "RolloutActor")
    wait_for(run_dir, "grpo", 2, process)
    gcs = lose_ray(process, "gcs_server")
    process = started()
    wait_for(run_dir, "grpo", 5, process)
    while not json.loads((run_dir / "manifest.json").read_text())["stages"].get("grpo", {}).get("done"):
        time.sleep(0.02)
    lose_driver(process)  # inside the evaluation
    finish(run_dir)
    assert metrics(run_dir) == metrics(unbroken[0]), "groups that were issued again came out the same"
    assert completions(run_dir) == completions(unbroken[0]), "verdicts and their reasons, too"
    first, second = (json.loads((d / "results.json").read_text()) for d in (run_dir, unbroken[0]))
    assert first == second
    assert [one.state() for one in frozen] == [None] * 3, "none is left stopped"
    losses = read_losses(run_dir)
    told = [loss["why"] if loss["who"] == "Ray" else loss["who"] for loss in losses]
    assert told[:3] == [raylet, "trainer/0", "driver"] and told[-2:] == [gcs, "driver"]
    assert sorted(told[3:-2]) == ["reward/0", "rollout/0"]
    by_signal = [loss for loss in losses if "was stopped by a signal" in loss["why"]]
    assert {loss["pid"] for loss in by_signal} == {one.pid for one in frozen}
    assert all(loss["lost"].startswith("nothing") for loss in losses) and losses[1]["stage"] == "sft"
    assert "trainer/0 was stopped by a signal" in log.read_text()
    assert 'id="losses"' in (run_dir / "report.html").read_text() and read_status(run_dir)["ended"] == ""


def test_a_replay_without_a_rollout_engine_is_bit_identical(unbroken, ray_cluster, capsys):
    assert replay([str(unbroken[0]), "--step", "3"]) == 0
    printed = capsys.readouterr().out
    assert "bit-identical" in printed and "grad_norm" in printed


@pytest.mark.slow  # a minute each; the stream's own tests lose engines at every place
@pytest.mark.parametrize("driver_too", [False, True])
def test_asynchronous_sampling_trains_on_every_group_once_across_kills(tmp_path, driver_too):
    """Its rollout engine is killed in the middle of a stage, and before that its driver: no uid twice, none lost."""
    asynchronous = ("rollout.overlap=async", "rollout.max_staleness=2")
    process = start(tmp_path / "run", *asynchronous)
    wait_for(tmp_path / "run", "grpo", 1, process)
    actors = [pid for name in ("Trainer", "Rollout", "Reward") for pid in actor_pids(f"{name}Actor", process.pid)]
    assert len(actors) >= 3 and set(actors) <= {one.pid for one in listening(process.pid)}
    assert not open_to_others(process.pid), "every socket of a local run is on loopback"
    if driver_too:
        kill(process.pid)
        process.wait()
        process = start(tmp_path / "run", *asynchronous)
        wait_for(tmp_path / "run", "grpo", 3, process)
        assert "stage grpo goes on after step" in (tmp_path / "run.log").read_text()
    for pid in actor_pids("RolloutActor", process.pid):
        kill(pid)
    assert process.wait(300) == 0, (tmp_path / "run.log").read_text()[-4000:]
    found = [line for line in metrics(tmp_path / "run") if line["stage"] == "grpo"]
    assert [line["step"] for line in found] == list(range(6))
    assert 0 < max(line["staleness_max"] for line in found) <= 2
    uids = [row["uid"] for row in read_rows(tmp_path / "run", "grpo", None)]
    numbers = sorted(int(uid.split("-")[1]) for uid in uids)
    assert numbers == sorted(list(range(6 * 4)) * 4), "four completions of each of the 24 prompts"


@pytest.mark.parametrize(
    "signs",
    [
        (signal.SIGINT, signal.SIGINT),
        pytest.param((signal.SIGTERM, signal.SIGTERM), marks=pytest.mark.slow),
        pytest.param((signal.SIGHUP,), marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_run_leaves_no_process_and_says_a_sentence(tmp_path, signs):
    process = start(tmp_path / "run", TRAINS)
    wait_for(tmp_path / "run", "sft", 0, process)
    family = psutil.Process(process.pid).children(recursive=True)
    assert any("raylet" in p.name() for p in family)
    for sign in signs:
        process.send_signal(sign)
        time.sleep(0.5)  # within the time that a run takes to end, whatever that is
    assert process.wait(60) != 0
    assert not left_over(family)
    assert "Traceback" not in (tmp_path / "run.log").read_text()


@pytest.mark.slow  # two whole starts; a Slurm job that is stopped shows the same in a second
def test_a_terminated_run_saves_its_step_first_and_goes_on_from_there(tmp_path):
    run_dir, words = tmp_path / "run", (TRAINS, "trainer.checkpoint_every=1000")
    process = start(run_dir, *words)
    wait_for(run_dir, "sft", 0, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(180) != 0
    printed = (tmp_path / "run.log").read_text()
    assert "the run ends when its step is done and saved" in printed and "Traceback" not in printed
    before = sum(line["stage"] == "sft" for line in metrics(run_dir))
    (saved,) = (run_dir / "checkpoints" / "sft").iterdir()
    assert 0 < before < TRAINED and saved.name == f"step-{before:06}", "every step that was logged is saved"
    assert f"stage sft goes on after step {before} of {TRAINED}" in finish(run_dir, *words)
    assert [line["step"] for line in metrics(run_dir)] == list(range(TRAINED))


def test_a_changed_config_is_refused_on_resume(unbroken):
    run_dir, _ = unbroken
    before = metrics(run_dir)
    assert "seed: was 0, now 1" in fail(run_dir, "seed=1")
    assert metrics(run_dir) == before


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("trainer.thread=2",), "did you mean trainer.threads"),
        (("model=hf", "model.path=./no/such/model"), "no such folder"),
        (("model.nano.hidden_size=wide",), "model.nano.hidden_size"),
        (("model.max_length=100",), "more than model.max_length=100"),
    ],
)
def test_bad_input_is_one_clear_error(tmp_path, overrides, message):
    assert message in fail(tmp_path / "run", *overrides)


def sweep(folder, launcher, *words):
    """The words of a sweep of small runs below a folder."""
    whole = [word for word in command(folder, *words) if not word.startswith("run_dir")]
    whole.insert(3, "-m")
    return [*whole, f"hydra/launcher={launcher}", "cluster.num_cpus=2", f"hydra.sweep.dir={folder}"]


@pytest.mark.slow  # 150 CPU-seconds; tests/rl/sweeps has the launcher
def test_runs_of_a_sweep_at_the_same_time_are_those_that_each_is_alone(tmp_path):
    """Both on one Ray of two CPUs, with two that fail before them."""
    folder = tmp_path / "sweep"
    with (tmp_path / "log").open("w") as log:
        words = sweep(folder, "parallel", TRAINS, "model.max_length=32,512", "seed=0,1")
        process = subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
    raylets, exposed = set(), None
    while process.poll() is None:
        time.sleep(0.5)
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(process.pid).children(recursive=True)
            raylets |= {one.pid for one in family if one.name() == "raylet"}
            if exposed is None and len(list(folder.glob("*=512*/metrics.jsonl"))) == 2:
                exposed = open_to_others(process.pid)
    printed = (tmp_path / "log").read_text()
    assert process.returncode == 1 and "Traceback" not in printed, printed
    assert len(raylets) == 1 and exposed == [], "all on the same Ray, with every socket on loopback"
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    good, bad = ([name for name in names if length in name] for length in ("length=512", "length=32"))
    assert [json.loads((folder / name / "manifest.json").read_text())["seed"] for name in good] == [0, 1]
    began, ended = ([printed.index(f"{name} {what}") for name in good] for what in ("started", "ended"))
    assert max(began) < min(ended), "at the same time"
    finish(tmp_path / "alone", TRAINS, "model.max_length=512")
    first, second = (metrics(folder / name) for name in good)
    assert first == metrics(tmp_path / "alone") != second and len(first) == len(second) == TRAINED
    assert "error: 2 of 4 runs failed" in printed and len(bad) == 2
    for name in bad:
        assert f"{name} failed with exit code 2" in printed
        assert "more than model.max_length=32" in (folder / f"{name}.log").read_text()
    page = (folder / "compare.html").read_text()
    assert all(name in page for name in good)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_four_whole_runs_at_the_same_time_are_those_of_one_after_the_other(tmp_path):
    for launcher in ("basic", "parallel"):
        words = sweep(tmp_path / launcher, launcher, "seed=0,1,2,3")
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=1500)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    one_by_one, at_once = (sorted((tmp_path / launcher).glob("*seed=*/")) for launcher in ("basic", "parallel"))
    assert [one.name for one in one_by_one] == [other.name for other in at_once] and len(at_once) == 4
    for one, other in zip(one_by_one, at_once, strict=True):
        assert metrics(one) == metrics(other) != [] and completions(one) == completions(other)
        assert (one / "results.json").read_text() == (other / "results.json").read_text()
