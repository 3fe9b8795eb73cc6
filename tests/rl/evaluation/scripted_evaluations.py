"""Folders of evaluations as ``python -m rl.evaluate run`` writes them, made by its own code without a model."""

from __future__ import annotations

from pathlib import Path

from rl.evaluation.asking import answer
from rl.evaluation.own import BENCHMARK
from rl.evaluation.run_command import assess, read_tasks
from rl.inference.backend import Answer
from rl.inference.journal import Journal, OpenFolder
from rl.inference.model_options import Sampling

HOSTILE = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
TEMPLATES = "${document.title='taken'} {{constructor.name}} {% raw %}"
CITED = "依照《中华人民共和国刑法》第二百六十四条，又见刑法第九千九百条和《宇宙航行法》第一条。"
TASKS = ("age", "charge")


class Scripted:
    """A backend with fixed answers, by the place of the question."""

    max_length = None

    def __init__(self, say) -> None:
        self.say = say

    def generate(self, asks, done):
        for place, ask in enumerate(asks):
            thinking, text = self.say(place, ask)
            done(ask, [Answer(text, thinking, 12, 30, truncated=place == 3)])

    def count_tokens(self, messages):
        return sum(len(content) for _, content in messages)

    def close(self):
        pass


def evaluation(folder: Path, model: str, right, limit: int = 6, tasks=TASKS) -> Path:
    """A run in which the answer to question number ``n`` (from 0, over all tasks) is right where ``right(n)``."""
    sampling = Sampling()
    head = {"benchmark": BENCHMARK.name, "model": model, "backend": "server", "shots": 0, "max_length": None}
    opened = OpenFolder(folder, head)
    runs = read_tasks(BENCHMARK, tasks, None, 0, limit)
    references = {f"{run.name}/{question.id}": question.reference for run in runs for question in run.questions}

    def say(place, ask):
        said = references[ask.key] if right(place) else "不明"
        thinking = f"想一想。{CITED}{HOSTILE}{TEMPLATES}" if place % 2 == 0 else ""
        return thinking, f"{HOSTILE}{TEMPLATES}<answer>{said}</answer>"

    answer({run.name: run for run in runs}, Journal(Scripted(say), folder / "answers"), None, sampling)
    assess(BENCHMARK, runs, folder, head, None)
    opened.close()
    return folder
