"""``python -m tools.bench``: our engines against TRL and each other on the same machine, in CPU-seconds on one thread.

Each contender runs in its own process, and they take turns, so that other load on the machine affects both. The first
turns are dropped; medians are reported. Trainers replay the same frozen rollouts, and no ratio is printed where
loss or gradient differ. Raw numbers go to a JSON file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from curricula.statutes import load_statutes
from tools.bench.models import MAX_LENGTH, nano, stopping
from tools.bench.protocol import MARK
from tools.bench.workloads import CASES, Workload, frozen

HERE = Path(__file__).parent
TOLERANCE = 1e-5
ENGINES = 1.15
"""Target: CPU-seconds of the Megatron engine over those of the FSDP2 engine."""
LR = 1e-9
"""So small that the weights, and so the loss, do not change."""
console = Console()


class MeasuredProcess:
    """A measured process."""

    def __init__(self, python: str, arguments: list[str], job: dict[str, Any], folder: Path) -> None:
        path = folder / f"{job['name']}.json"
        path.write_text(json.dumps(job))
        one = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        quiet = {"VLLM_LOGGING_LEVEL": "ERROR", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
        self.log = (folder / f"{job['name']}.log").open("w")
        self.process = subprocess.Popen(
            [python, *arguments, str(path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
            env={**os.environ, **one, **quiet},
        )  # fmt: skip
        self.ready = self._answer()

    def turn(self, command: dict[str, Any] | None = None) -> dict[str, Any]:
        """One step; its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command or {}) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(MARK):
                found: dict[str, Any] = json.loads(line.removeprefix(MARK))
                return found
        raise RuntimeError(f"a measured process ended: see {self.log.name}")

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()


def ours(job: dict[str, Any], folder: Path) -> MeasuredProcess:
    """One of our processes."""
    return MeasuredProcess(sys.executable, ["-m", "tools.bench.our_worker"], job, folder)


def trl(job: dict[str, Any], folder: Path, python: str) -> MeasuredProcess:
    """TRL's process."""
    return MeasuredProcess(python, [str(HERE / "trl_worker.py")], job, folder)


def replay(case: Workload, folder: Path, python: str, rounds: int) -> dict[str, Any]:
    """Trainer against trainer on frozen rollouts, with loss and gradient compared."""
    job = frozen_job(case, folder)

    def peer() -> MeasuredProcess:
        return trl({**job, "name": f"{case.name}-trl", "kind": "replay", "rounds": rounds + 1,
                    "prompts": [str(i) for i in range(case.groups)], "folder": str(folder / "out"),
                    "gradient": str(gradient_file(case, folder, "trl"))}, folder, python)  # fmt: skip

    contenders = {"ours": lambda: our_trainer(job, case, folder, "ours"), "trl": peer}
    return compared(contenders, case, folder, rounds) | {"target": case.target}


def engines(case: Workload, folder: Path, python: str, rounds: int) -> dict[str, Any]:
    """The Megatron engine, uncut, against the FSDP2 engine on frozen rollouts, with loss and gradient compared."""
    job = frozen_job(case, folder)
    names = ("megatron", "fsdp")
    contenders = {name: partial(our_trainer, {**job, "engine": name}, case, folder, name) for name in names}
    return compared(contenders, case, folder, rounds) | {"target": ENGINES}


def frozen_job(case: Workload, folder: Path) -> dict[str, Any]:
    """What every trainer of a case is given."""
    return {"model": str(nano(folder)), "frozen": frozen(case), "longest": case.longest, "lr": LR,
            "samples": case.samples}  # fmt: skip


def our_trainer(job: dict[str, Any], case: Workload, folder: Path, name: str) -> MeasuredProcess:
    """One of our trainers."""
    return ours({**job, "name": f"{case.name}-{name}", "role": "train", "max_tokens": 16384,
                 "shared": str(folder / f"shared-{name}"), "gradient": str(gradient_file(case, folder, name))},
                folder)  # fmt: skip


def gradient_file(case: Workload, folder: Path, name: str) -> Path:
    """Where a trainer leaves its first gradient."""
    return folder / f"{case.name}-{name}.safetensors"


def compared(
    contenders: Mapping[str, Callable[[], MeasuredProcess]], case: Workload, folder: Path, rounds: int
) -> dict[str, Any]:
    """Two trainers that take turns: CPU-seconds of each, and the differences of loss and gradient from the second."""
    from safetensors.numpy import load_file

    paths = {name: gradient_file(case, folder, name) for name in contenders}
    for path in paths.values():
        path.unlink(missing_ok=True)
    workers: dict[str, MeasuredProcess] = {}
    try:
        for name, start in contenders.items():
            workers[name] = start()
        turns = alternate(workers, rounds)
    finally:
        for worker in workers.values():
            worker.close()
    first, second = (load_file(path) for path in paths.values())
    size = sum(float((g.astype("f8") ** 2).sum()) for g in second.values()) ** 0.5
    gap = sum(float(((first[name].astype("f8") - g) ** 2).sum()) for name, g in second.items()) ** 0.5
    loss_gap = max(abs(x["loss"] - y["loss"]) for x, y in zip(*turns.values(), strict=True))
    medians = {name: statistics.median(t["training_s"] for t in found[2:]) for name, found in turns.items()}
    return {
        "case": case.name, "turns": turns, "training_s": medians, "loss_difference": loss_gap,
        "relative_gradient_difference": gap / size, "parity": loss_gap <= TOLERANCE and gap / size <= TOLERANCE,
        "completion_tokens": sum(map(len, frozen(case)["completion_ids"])),
    }  # fmt: skip


def end_to_end(case: Workload, folder: Path, python: str, rounds: int) -> dict[str, Any]:
    """Whole steps: sampling, rewards that take no time, and the update."""
    model = str(stopping(folder, 0.03) if case.ragged else nano(folder))
    shortest = 0 if case.ragged else case.longest
    job = {"model": model, "samples": case.samples, "longest": case.longest, "lr": LR, "max_tokens": 16384,
           "prompts": texts(case, folder), "shortest": shortest, "max_length": MAX_LENGTH,
           "shared": str(folder / "shared")}  # fmt: skip
    sampler = ours({**job, "name": f"{case.name}-sampler", "role": "sample"}, folder)
    trainer = ours({**job, "name": f"{case.name}-trainer", "role": "train"}, folder)
    generation = {"min_new_tokens": shortest} if shortest else {}
    b = trl({**job, "name": f"{case.name}-trl-steps", "kind": "generate", "rounds": rounds + 1,
             "folder": str(folder / "out"), "generation": generation}, folder, python)  # fmt: skip
    turns: dict[str, list[dict[str, Any]]] = {"ours": [], "trl": [], "bare": []}
    try:
        for turn in range(rounds):
            for name in list(turns)[:: 1 if turn % 2 else -1]:
                if name == "trl":
                    turns[name].append(b.turn())
                elif name == "bare":
                    turns[name].append(sampler.turn({"bare": True}))
                else:
                    sampled = sampler.turn()
                    trained = trainer.turn(sampled)
                    turns[name].append({**trained, "sampling_s": sampled["sampling_s"],
                                        "total_s": sampled["sampling_s"] + trained["total_s"],
                                        "completion_tokens": sampled["completion_tokens"]})  # fmt: skip
    finally:
        for worker in (sampler, trainer, b):
            worker.close()
    for found in turns.values():
        for turn_values in found:
            for bulky in ("completion_ids", "prompt_ids", "rewards"):
                turn_values.pop(bulky, None)
    return {
        "case": case.name, "turns": turns, "target": case.target_end_to_end,
        **{f"{part}_s": {name: statistics.median(t.get(f"{part}_s", 0.0) for t in turns[name][2:])
                         for name in ("ours", "trl")} for part in ("sampling", "training", "total")},
        "tokens_per_cpu_second": {
            name: rate(turns[name][2:], "total_s") for name in ("ours", "trl")
        },
        "sampling_rate_over_bare": rate(turns["ours"][2:], "sampling_s") / rate(turns["bare"][2:], "sampling_s"),
    }  # fmt: skip


def rate(turns: list[dict[str, Any]], seconds: str) -> float:
    """Median completion tokens a CPU-second."""
    return statistics.median(turn["completion_tokens"] / turn[seconds] for turn in turns)


def texts(case: Workload, folder: Path) -> list[str]:
    """Prompts of about ``case.prompt`` tokens, cut from articles of the Criminal Law."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(nano(folder))
    ids = tokenizer.encode("".join(article.text for article in load_statutes().articles("刑法")))
    return [tokenizer.decode(ids[i * case.prompt : (i + 1) * case.prompt]) for i in range(case.groups)]


def alternate(workers: dict[str, MeasuredProcess], rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Each worker's turns, in an order that is reversed every round."""
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
    for turn in range(rounds):
        for name in list(workers)[:: 1 if turn % 2 else -1]:
            turns[name].append(workers[name].turn())
    return turns


def replay_table(found: list[dict[str, Any]]) -> Table:
    """Trainer against trainer."""
    table = Table(title="Trainer on frozen rollouts (CPU-seconds a step, one thread)", box=box.SIMPLE_HEAD)
    for column in ("case", "tokens", "Themis", "TRL", "speed", "target", "|Δ loss|", "|Δ grad| / |grad|"):
        table.add_column(column, justify="left" if column == "case" else "right")
    for r in found:
        seconds = r["training_s"]
        speed = f"{seconds['trl'] / seconds['ours']:.2f}x" if r["parity"] else "no parity"
        table.add_row(
            r["case"], str(r["completion_tokens"]), f"{seconds['ours']:.3f}", f"{seconds['trl']:.3f}", speed,
            f"{r['target']}x", f"{r['loss_difference']:.1e}", f"{r['relative_gradient_difference']:.1e}",
        )  # fmt: skip
    return table


def engines_table(found: list[dict[str, Any]]) -> Table:
    """Engine against engine."""
    table = Table(title="Our engines on frozen rollouts (CPU-seconds a step, one thread)", box=box.SIMPLE_HEAD)
    for column in ("case", "tokens", "FSDP2", "Megatron", "ratio", "target", "|Δ loss|",
                   "|Δ grad| / |grad|"):  # fmt: skip
        table.add_column(column, justify="left" if column == "case" else "right")
    for r in found:
        seconds = r["training_s"]
        ratio = f"{seconds['megatron'] / seconds['fsdp']:.2f}" if r["parity"] else "no parity"
        table.add_row(
            r["case"], str(r["completion_tokens"]), f"{seconds['fsdp']:.3f}", f"{seconds['megatron']:.3f}", ratio,
            f"≤ {r['target']}", f"{r['loss_difference']:.1e}", f"{r['relative_gradient_difference']:.1e}",
        )  # fmt: skip
    return table


def steps_table(found: list[dict[str, Any]]) -> Table:
    """Whole steps."""
    table = Table(title="Whole steps (CPU-seconds; completion tokens a CPU-second)", box=box.SIMPLE_HEAD)
    columns = ("case", "sampling\nThemis / TRL", "training\nThemis / TRL", "tokens/s\nThemis / TRL", "speed", "target",
               "rollout actor\n/ bare vLLM")  # fmt: skip
    for column in columns:
        table.add_column(column, justify="left" if column == "case" else "right")
    for r in found:
        rates = r["tokens_per_cpu_second"]
        table.add_row(
            r["case"],
            *(f"{r[f'{part}_s']['ours']:.2f} / {r[f'{part}_s']['trl']:.2f}" for part in ("sampling", "training")),
            f"{rates['ours']:.0f} / {rates['trl']:.0f}", f"{rates['ours'] / rates['trl']:.2f}x", f"{r['target']}x",
            f"{r['sampling_rate_over_bare']:.2f}",
        )  # fmt: skip
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """Run the chosen parts and print their tables; 1 if loss or gradient differ anywhere."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description="Themis's engines, and TRL's.")
    parser.add_argument("--trl-python", default=".bench/trl/bin/python", help="Python of TRL's virtual environment")
    parser.add_argument("--part", choices=("replay", "steps", "engines", "all"), default="all")
    parser.add_argument("--case", choices=[case.name for case in CASES], action="append")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=Path(".bench/results"))
    chosen = parser.parse_args(argv)
    if chosen.part != "engines" and not Path(chosen.trl_python).exists():
        console.print(f"{chosen.trl_python} does not exist; make bench builds TRL's environment")
        return 2
    chosen.out.mkdir(parents=True, exist_ok=True)
    cases = [case for case in CASES if case.name in (chosen.case or [c.name for c in CASES])]
    report: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "machine": platform.platform()}
    report["load"] = os.getloadavg()
    for part, measure, table in (
        ("replay", replay, replay_table),
        ("engines", engines, engines_table),
        ("steps", end_to_end, steps_table),
    ):
        if chosen.part in (part, "all"):
            report[part] = []
            for case in cases:
                with console.status(f"{part}: {case.name}"):
                    report[part].append(measure(case, chosen.out, chosen.trl_python, chosen.rounds))
            console.print(table(report[part]))
    path = chosen.out / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.write_text(json.dumps(report))
    console.print(f"raw numbers: {path}")
    return int(not all(r["parity"] for part in ("replay", "engines") for r in report.get(part, [])))


if __name__ == "__main__":
    sys.exit(main())
