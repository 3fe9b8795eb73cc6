"""Whole runs of a model that megatron-core cuts over ranks: what they compute, and what they lose when a rank dies."""

import os
import signal
import threading
import time
from functools import cache

import pytest

from cluster.waits import waiting
from rl.config.schema import NanoConfig
from rl.job import run
from rl.models.nano import ensure_nano
from rl.records.losses import read_losses
from rl.records.tracking import Tracker
from tests.e2e.runs import metrics
from tests.e2e.test_variants import config, stages
from tools.chaos.compare import completions

CUT = {"engine": "megatron", "pipeline_parallel": 2, "world_size": 2, "checkpoint_every": 2}
TWICE = CUT | {"tensor_parallel": 2, "sequence_parallel": True, "world_size": 4}
MID = {
    "name": "mid", "kind": "mid_training", "steps": 3, "prompts_per_step": 4, "sequence_length": 128,
    "corpus": [{"laws": ["反电信网络诈骗法"]}], "optim": {"lr": 2e-3},
}  # fmt: skip
STAGES = [MID, *stages({"demonstrations": {"age": 40}}, {"tasks": {"age": 1.0}, "updates_per_step": 2, "steps": 4})]
VICTIMS = {("mid", 1): "trainer/0", ("sft", 2): "trainer/1", ("rl", 0): "reference/1", ("rl", 2): "trainer/1"}
"""By the step after which they die: the first and the last part of the layers, and one of the reference."""
OF_FOUR = {("mid", 1): "trainer/3", ("sft", 2): "trainer/1", ("rl", 0): "reference/2", ("rl", 2): "trainer/0"}


def go(run_dir, models, cut):
    run(config(run_dir, models, STAGES, trainer=cut))
    return metrics(run_dir)


@pytest.fixture(scope="module")
def cuttable(tmp_path_factory):
    """A model whose heads can be cut in two, as its layers."""
    shape = {"vocab_size": 1500, "hidden_size": 64, "layers": 2, "heads": 2, "kv_heads": 2, "head_dim": 32}
    return {"untied": ensure_nano(NanoConfig(**shape, intermediate_size=128), 0, 256, tmp_path_factory.mktemp("model"))}


@pytest.fixture(scope="module")
def unbroken(ray_cluster, cuttable, tmp_path_factory):
    """The folder of an unbroken run and its metrics, by how the model is cut."""

    @cache
    def of(ranks):
        run_dir = tmp_path_factory.mktemp("cut") / "run"
        return run_dir, go(run_dir, cuttable, CUT if ranks == 2 else TWICE)

    return of


@pytest.mark.slow  # tests/e2e/test_variants.py trains such a model in every way
def test_a_cut_model_is_trained_and_sampled_from(unbroken):
    run_dir, lines = unbroken(2)
    losses = [line["loss"] for line in lines if line["stage"] == "sft"]
    assert losses[-1] < 0.5 * losses[0], "it learns"
    first, *others = [line for line in lines if line["stage"] == "rl"]
    assert abs(first["kl"]) < others[-1]["kl"], "the reference is the policy at the start of the stage"
    assert all(line["log_prob_difference"] < 1e-4 for line in [first, *others])
    assert first["groups/trained"] > 1 and abs(first["ratio"] - 1) > 1e-6
    assert (run_dir / "exports" / "rl" / "model.safetensors").is_file()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("cut", "victims"), [(CUT, VICTIMS), (TWICE, OF_FOUR)], ids=("two ranks", "four ranks"))
def test_whichever_rank_dies_the_numbers_are_those_of_an_unbroken_run(
    unbroken, cuttable, tmp_path, monkeypatch, cut, victims
):
    """Each victim is stopped first, so that the others are in the middle of what they do together when it dies."""
    import ray
    from ray.util import list_named_actors

    left, killers, log = dict(victims), [], Tracker.log

    def kill(name, pid):
        while not any(wait.who == name.split("/")[0] for wait in waiting.longest()):
            time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)

    def log_and_stop(tracker, stage, step, *others):
        log(tracker, stage, step, *others)
        name = left.pop((stage, step), None)
        if name is not None:
            (one,) = [one for one in list_named_actors(all_namespaces=True) if one["name"] == f"run/{name}"]
            pid = ray.get(ray.get_actor(**one).pid.remote())
            os.kill(pid, signal.SIGSTOP)
            killers.append(threading.Thread(target=kill, args=(name, pid)))
            killers[-1].start()

    monkeypatch.setattr(Tracker, "log", log_and_stop)
    monkeypatch.setattr("rl.curriculum.TRAINER_RESTARTS", len(victims))
    found = go(tmp_path / "run", cuttable, cut)
    for killer in killers:
        killer.join()
    whole, lines = unbroken(cut["world_size"])
    assert found == lines and completions(tmp_path / "run") == completions(whole)
    assert (tmp_path / "run" / "results.json").read_text() == (whole / "results.json").read_text()
    told = [loss["who"] for loss in read_losses(tmp_path / "run")]
    assert not left and told == list(victims.values())
