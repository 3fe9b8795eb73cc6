"""JEC-QA (Zhong et al. 2020, arXiv 1911.12011): questions of the national judicial examination, any number of options.

Files ``0_*.json`` hold knowledge-driven questions, ``1_*.json`` case analyses. The official figures are the accuracies
kds, kda (knowledge: questions with one right option, all), cas, caa (cases) and as, aa (both), here in [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import regex

from rl.errors import UserError
from rl.evaluation.benchmark import Benchmark, Question, QuestionScore, TaskScore
from rl.evaluation.benchmark_files import Entry, each_entry, find_file
from rl.evaluation.metrics.choice_letters import gold, letter_set
from rl.evaluation.scoring import answered, mean, score_each

SOURCE = "http://jecqa.thunlp.org (Zhong et al. 2020, arXiv 1911.12011; academic use only)"
TASKS = {"kd": "knowledge-driven questions", "ca": "case analyses", "all": "all questions"}
KINDS = {"kd": ("0",), "ca": ("1",), "all": ("0", "1")}
LETTER = regex.compile(r"^\s*[A-Z]\s*[:：.．、)]\s*")
INSTRUCTION = "下面的选择题有一个或多个正确选项。请选出全部正确选项，只回答选项的字母。"


def read(folder: Path, task: str, shots: int = 0) -> list[Question]:
    """Questions of ``0_test.json`` and ``1_test.json``; without them, of the files without ``_test``."""
    if shots:
        raise UserError("JEC-QA has no worked examples; ask for 0")
    return list(each_question(folder, task))


def each_question(folder: Path, task: str) -> Iterator[Question]:
    """As :func:`read`, one by one."""
    for kind in KINDS[task]:
        names = [f"{kind}_test.json", f"data/{kind}_test.json", f"JEC-QA/{kind}_test.json", f"{kind}.json"]
        path = find_file("JEC-QA", SOURCE, folder, *names)
        yield from (_question(entry, number, kind) for number, entry in enumerate(each_entry(path)))
        if path == folder:
            break


def _question(entry: Entry, number: int, kind: str) -> Question:
    given = entry.fields.get("option_list")
    if isinstance(given, dict):
        options = "\n".join(f"{letter}: {text}" for letter, text in given.items())
        parts = list(map(str, given.values()))
    elif isinstance(given, list):
        options = "\n".join(map(str, given))
        parts = [LETTER.sub("", str(text)) for text in given]
    else:
        options = entry.text("option_list")
        parts = [options]
    instruction = str(entry.fields.get("instruction") or INSTRUCTION).strip()
    return Question(
        id=str(entry.fields.get("id", f"{kind}_{number}")),
        prompt=f"{instruction}\n{entry.text('statement')}\n{options}",
        reference=entry.fields.get("answer") or "",
        parts=(entry.text("statement"), *parts),
        facets={"kind": "knowledge" if kind == "0" else "case"} | _subject(entry),
    )


def _subject(entry: Entry) -> dict[str, str]:
    return {"subject": str(entry.fields["subject"])} if entry.fields.get("subject") else {}


def score(task: str, questions: Sequence[Question], predictions: Sequence[str]) -> TaskScore:
    """Share of questions with exactly the right set of options; questions without an answer key are left out."""
    kinds = {question.id: question.facets.get("kind", "") for question in questions}
    single = {question.id for question in questions if question.reference and len(gold(question.reference)) == 1}

    def further(scores: Sequence[QuestionScore]) -> Mapping[str, float]:
        wanted = {"kd": ("kd",), "ca": ("ca",), "all": ("kd", "ca", "a")}[task]
        names = {"kd": "knowledge", "ca": "case"}
        found = {}
        for key in wanted:
            # Predictions with their own references name no kind: all have the task's.
            chosen = [one for one in scores if key in (task, "a") or kinds[one.id] == names[key]]
            found[f"{key}s"] = mean([one.score for one in chosen if one.id in single])
            found[f"{key}a"] = mean([one.score for one in chosen])
        return found

    return score_each(questions, [answered(text) for text in predictions], letter_set, further=further)


BENCHMARK = Benchmark("jecqa", "JEC-QA", SOURCE, TASKS, read, score, unanswered=True)
