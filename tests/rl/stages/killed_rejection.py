"""A rejection stage that is killed at every moment once: the real loop, stream, selection, checkpoints and log, over an
engine, a trainer and rewards that only count. Each start is a process of its own, forked from that of :func:`main`."""

import os
import random
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from rich.console import Console

from rewards.verdict import Verdict
from rl.config.compose import load
from rl.config.schema import TrackerConfig
from rl.driver.runtime import Runtime
from rl.driver.scoring import with_verdicts
from rl.models.chat import load_tokenizer
from rl.records.checkpoint import Checkpoints
from rl.records.tracking import Tracker
from rl.samples import Completion
from rl.seeds import stable_seed
from rl.stages import rejection

STAGE = {
    "name": "own", "kind": "rejection", "rounds": 2, "sampling_steps": 3, "training_steps": 3, "prompts_per_step": 4,
    "samples_per_prompt": 4, "tasks": {"age": 1, "limitation": 1}, "keep": {"at_least": 1, "per_prompt": 2},
    "max_prompt_tokens": 128,
}  # fmt: skip


class Counted:
    """Engine and trainer of a policy whose weights are one number: that of all that it was trained on, in its order."""

    name, away, restarts = "rollout/0", False, 0

    def __init__(self, moment):
        self.weights, self.served, self.asked, self.seed, self.moment = 0, 0, [], 0, moment

    def call(self, method, *arguments, timeout_s=None, weights_only=False):
        if method == "submit":
            requests, samples, _, seed = arguments
            self.seed = self.seed if seed is None else seed
            self.asked += [(uid, samples) for uid, _ in requests]
            return None
        if method == "collect":
            self.moment("sampling")
            answered, self.asked = self.asked[:2], self.asked[2:]
            return [(uid, [self._completion(uid, i) for i in range(n)]) for uid, n in answered]
        path = Path(arguments[0])
        if method == "save":
            path.mkdir()
            (path / "weights").write_text(str(self.weights))
            return [{"weights": len(str(self.weights))}]
        assert method == "load"
        self.weights = int((path / "weights").read_text())
        return None

    def _completion(self, uid, place):
        draw = random.Random(f"{self.served}/{self.seed}/{uid}/{place}")
        ids = np.asarray([draw.randrange(100) for _ in range(draw.randint(1, 6))])
        return Completion(ids, np.zeros(len(ids), dtype=np.float32), f"答{draw.randrange(3)}", "stop", self.served)

    def begin_stage(self, optim, updates):
        pass

    def update(self, batch, algorithm, *, max_tokens_per_microbatch):
        self.moment("training")
        self.weights = stable_seed(self.weights, batch.input_ids.tolist(), batch.loss_mask.tolist())
        return {"loss": self.weights / 2**31, "grad_norm": 1.0, "lr": 1e-3}


class Scores:
    """Every third answer is right."""

    def score(self, groups, weights):
        found = []
        for group in groups:
            right = [float(one.text == "答1") for one in group.completions]
            found.append(with_verdicts(group, [Verdict(score, parts={"accuracy": score}) for score in right]))
        return found

    def judge_metrics(self):
        return {}


class Run:
    """What a stage sees of a run."""

    sampler, stream = Runtime.sampler, Runtime.stream

    def __init__(self, folder, tokenizer, moment):
        values = {"run_dir": str(folder), "curriculum": {"name": "c", "stages": [STAGE]}}
        self.config = load(values | {"trainer": {"checkpoint_every": 2}})
        self.stage, self.run_dir, self.tokenizer = self.config.curriculum.stages[0], folder, tokenizer
        self.trainer, self.scorer = Counted(moment), Scores()
        self.checkpoints = Checkpoints(folder, 2)
        self.tracker = Tracker(folder, TrackerConfig(wandb="disabled", progress=False), Console(quiet=True))
        weights = SimpleNamespace(version=0)
        self.fleet = SimpleNamespace(rollouts=[self.trainer], takes_turns=False, weights=weights)
        self.lineage = SimpleNamespace(load_before=lambda name: None, begin_training=lambda: None)
        self.stale = True

    def weights_changed(self):
        self.stale = True

    def sync_weights(self):
        if self.stale:
            self.trainer.served, self.stale = self.trainer.weights, False

    def sampling_done(self):
        pass


def start(folder, tokenizer, moments):
    """Run the stage, or go on with it, and die at the first of these moments at which it did not die before."""
    deaths = folder.with_suffix(".deaths")
    run = None

    def moment(name):
        place = f"{name} {run.tracker.place[1]}"
        if name in moments and place not in (deaths.read_text().splitlines() if deaths.exists() else ()):
            with deaths.open("a") as file:
                file.write(place + "\n")
            os.kill(os.getpid(), signal.SIGKILL)

    run = Run(folder, tokenizer, moment)
    log, save = run.tracker.log, run.checkpoints.save

    def logged(*arguments):
        log(*arguments)
        run.tracker._step -= 1
        moment("logged")
        run.tracker._step += 1

    def saved(*arguments):
        found = save(*arguments)
        moment("saved")
        return found

    run.tracker.log, run.checkpoints.save = logged, saved
    if run.checkpoints.latest("own") is None:
        run.tracker.drop("own")
    rejection.run(run.stage, run)
    (folder / "weights").write_text(str(run.trainer.weights))


def main(folder, model, *moments):
    """Start until it comes to its end; returns how often it was killed."""
    folder.mkdir()
    tokenizer = load_tokenizer(str(model))
    for times in range(200):
        child = os.fork()
        if child == 0:
            try:
                start(folder, tokenizer, moments)
                os._exit(0)
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
                os._exit(1)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if ended != -signal.SIGKILL:
            assert ended == 0, ended
            return times
    raise AssertionError("it does not end")
