"""``python -m tools.bench.rewards``: what the rules cost.

Verdicts per second of the standard mix in worker processes, on texts as short as demonstrations; then the CPU time of
every rule and of every published total by the length of the completion, in this process, and how it grows.
"""

import argparse
import math
import random
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import psutil
from rich import box
from rich.console import Console
from rich.table import Table

from curricula.statutes import load_statutes
from curricula.tasks import make_prompts
from rewards.pool import WorkerPool
from rewards.published import PUBLISHED
from rewards.registry import REWARDS, Weights
from rewards.total import compose
from rewards.verdict import Sample

MIX = {"accuracy": 1.0, "format": 0.1, "rouge_l": 0.1, "language": 0.1, "repetition": 0.1, "citation": 0.1}
"""The standard mix: rules that fit any question."""
TASKS = ("charge", "limitation", "age", "governing_law", "recitation")
LENGTHS = (300, 1_000, 8_000, 32_000)
"""Characters of a completion."""
LONGEST_ANSWER = 1_000
GROWTH = (1_000, 32_000)
"""Lengths between which the exponent is taken."""
SETS: dict[str, Weights] = {"the standard mix": MIX, **{name: {name: 1.0} for name in PUBLISHED}}
REFERENCE = (
    '{"罪名": "盗窃罪", "法条": "《刑法》第二百六十四条", "刑期": "有期徒刑三年", "罚金": "罚金五千元"}',
    {"option_set": "AB", "option_partial": "AB", "amount": "五千元", "entity_f1": "罪名:盗窃罪;罚金:五千元"},
)
"""What answers are compared with: one for every rule, and those of rules that can't read it."""


def completions(count: int) -> list[Sample]:
    """Demonstrations of five tasks, half of them with a wrong answer and four times the reasoning."""
    found = []
    for task in TASKS:
        for number, prompt in enumerate(make_prompts(task, "train", count // len(TASKS), seed=0, fewer_ok=True)):
            text = prompt.demonstration or ""
            if number % 2:
                thought, _, rest = text.partition("</think>")
                text = thought * 4 + "依据《刑法》第二百六十四条处理。</think>" + rest.replace("第", "地")
            found.append(Sample(prompt.messages[-1]["content"], text, prompt.reference, prompt.answer_kind))
    return (found * (count // len(found) + 1))[:count]


def long_completions(length: int, count: int) -> list[Sample]:
    """Completions of a length: half of it, 1,000 characters at most, is the answer, the rest reasoning. Both consist of
    demonstrations and of articles that are cited with their text, one after the other, so that no passage comes soon
    again; a fifth of the quotations lack a character."""
    rng, short = random.Random(0), completions(400)[::2]
    every = load_statutes().articles("刑法") + load_statutes().articles("民法典")
    question = "下列说法正确的是？\nA. 甲构成盗窃罪\nB. 乙构成诈骗罪\nC. 丙无罪\nD. 丁是从犯"
    tags = ("<think>", "</think>", "<answer>", "</answer>")
    found = []
    for _ in range(count):
        text, wanted = "", length - sum(map(len, tags))
        while len(text) < wanted:
            article, place = rng.choice(every), rng.randrange(20)
            quoted = article.text if rng.random() < 0.8 else article.text[:place] + article.text[place + 1 :]
            cited = f"依照《{article.short}》{article.number}规定：“{quoted[:390]}”，本案应予处理。"
            text += rng.choice(short).completion + cited
            for tag in tags:
                text = text.replace(tag, "\n")
        cut = wanted - min(wanted // 2, LONGEST_ANSWER)
        found.append(Sample(question, "".join((tags[0], text[:cut], *tags[1:3], text[cut:wanted], tags[3])), ""))
    return found


def cost(weights: Weights, samples: list[Sample], reference: str, rounds: int) -> float:
    """CPU-milliseconds for a completion (the least of the rounds).

    Raises:
        RuntimeError: if a verdict is an error.
    """
    total, seconds = compose(weights), []
    for _ in range(rounds):
        fresh = [replace(sample, reference=reference) for sample in samples]
        started = time.process_time()
        verdicts = [total(sample) for sample in fresh]
        seconds.append(time.process_time() - started)
        if errors := [verdict.error for verdict in verdicts if verdict.error is not None]:
            raise RuntimeError(f"{', '.join(weights)}: {errors[0]}")
    return 1_000 * min(seconds) / len(samples)


def by_length(rounds: int) -> Table:
    """A table of CPU-milliseconds: a row for every rule and total, a column for every length."""
    heads = [f"{length:,}" for length in LENGTHS]
    table = Table("CPU-ms by characters", *heads, "exponent", "a second at 8,000", box=box.SIMPLE_HEAD)
    samples = {length: long_completions(length, max(6, min(60, 200_000 // length))) for length in LENGTHS}
    rules: dict[str, Weights] = {name: {name: 1.0} for name in sorted(REWARDS) if name != "rubric"}  # needs a model
    for name, weights in (SETS | rules).items():
        reference = REFERENCE[1].get(name, REFERENCE[0])
        cost(weights, samples[LENGTHS[0]], reference, 1)  # loads what it needs
        found = {length: cost(weights, some, reference, rounds) for length, some in samples.items()}
        exponent = math.log(found[GROWTH[1]] / found[GROWTH[0]]) / math.log(GROWTH[1] / GROWTH[0])
        columns = [f"{value:.3f}" for value in found.values()]
        table.add_row(name, *columns, f"{exponent:.2f}", f"{1_000 / found[8_000]:,.0f}")
    return table


def measure(processes: int, samples: list[Sample], rounds: int) -> dict[str, float]:
    """Medians of completions and rule verdicts per second, and the workers' CPU-seconds for 1,000 rule verdicts."""
    pool = WorkerPool(processes)
    try:
        pool.score(samples[:200], MIX)  # starts the workers, loads statutes and segmenter
        supervisors = [psutil.Process(w._process.pid) for w in pool.workers if w._process is not None]
        workers = [one for supervisor in supervisors for one in (supervisor, *supervisor.children())]
        before = sum(sum(w.cpu_times()[:2]) for w in workers)
        seconds = []
        for _ in range(rounds):
            started = time.perf_counter()
            verdicts = pool.score(samples, MIX)
            seconds.append(time.perf_counter() - started)
            assert all(verdict.error is None for verdict in verdicts)
        used = sum(sum(w.cpu_times()[:2]) for w in workers) - before
    finally:
        pool.close()
    rate = len(samples) / statistics.median(seconds)
    return {
        "completions a second": rate,
        "rule verdicts a second": rate * len(MIX),
        "CPU-seconds for 1,000 rule verdicts": 1000 * used / (rounds * len(samples) * len(MIX)),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.rewards", description="Throughput of the rules.")
    parser.add_argument("--samples", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args(argv)
    samples = completions(chosen.samples)
    short = f"{statistics.median(len(sample.completion) for sample in samples):.0f} characters (median)"
    table = Table("worker processes", "completions/s", "rule verdicts/s", "CPU s per 1,000", box=box.SIMPLE_HEAD)
    for processes in (1, 2):
        found = list(measure(processes, samples, chosen.rounds).values())
        table.add_row(str(processes), f"{found[0]:,.0f}", f"{found[1]:,.0f}", f"{found[2]:.3f}")
    console = Console()
    console.print(f"{len(MIX)} rules: {', '.join(MIX)}; completions of {short}")
    console.print(table)
    console.print(by_length(chosen.rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
