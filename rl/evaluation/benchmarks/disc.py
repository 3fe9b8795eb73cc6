"""DISC-Law-Eval (Yue et al. 2023, arXiv 2309.11325): examinations, and open questions.

In the paper a language model marks open answers (accuracy, completeness, clarity). Without one, ROUGE-L is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rl.errors import UserError
from rl.evaluation.benchmark import Benchmark, Question, TaskScore
from rl.evaluation.benchmark_files import entries, find_file
from rl.evaluation.metrics import text_overlap
from rl.evaluation.metrics.choice_letters import disc, letter_set
from rl.evaluation.scoring import Scored, answered, score_each

SOURCE = "https://github.com/FudanDISC/DISC-LawLLM (folder eval; Yue et al. 2023, arXiv 2309.11325)"
EXAMS = {
    "nje": "national judicial examination", "pae": "patent agent examination", "cpa": "accountant qualification",
    "ungee": "postgraduate entrance examination", "lbk": "legal basic knowledge",
    "pfe": "public functionary examination",
}  # fmt: skip
SINGLE, MULTIPLE = ("cpa", "lbk", "nje", "pae", "pfe", "ungee"), ("cpa", "nje", "pae", "ungee")
TASKS = (
    {f"sing_{key}": f"{EXAMS[key]}, one right option" for key in SINGLE}
    | {f"mult_{key}": f"{EXAMS[key]}, several right options" for key in MULTIPLE}
    | {"qa": "open questions"}
)
INSTRUCTIONS = {
    "sing": "下面的单项选择题只有一个正确选项。请直接回答该选项的字母，不必解释。",
    "mult": "下面的多项选择题有两个以上正确选项。请直接回答全部正确选项的字母，不必解释。",
}


def read(folder: Path, task: str, shots: int = 0) -> list[Question]:
    """Questions of ``eval/datasets/objective/mcq_sing_nje.csv`` and the like, examples of ``eval/src/few_shot``."""
    if task == "qa":
        return _open_questions(folder, shots)
    name, kind = f"mcq_{task}.csv", task.split("_")[0]
    places = ("eval/datasets/objective", "datasets/objective", "objective", ".")
    found = entries(find_file("DISC-Law-Eval", SOURCE, folder, *(f"{place}/{name}" for place in places)))
    examples = tuple(_examples(folder, kind, shots)) if shots else ()
    questions = []
    for number, entry in enumerate(found):
        options = "\n".join(f"{letter}. {entry.text(letter)}" for letter in "ABCD")
        prompt = f"{INSTRUCTIONS[kind]}\n\n问题：{entry.text('input')}\n{options}\n答案："
        source = {"source": entry.fields["source"]} if entry.fields.get("source") else {}
        parts = (entry.text("input"), *(entry.text(letter) for letter in "ABCD"))
        questions.append(
            Question(str(number), prompt, entry.text("output"), shots=examples, facets=source, parts=parts)
        )
    return questions


def _examples(folder: Path, kind: str, shots: int) -> list[tuple[str, str]]:
    name = f"mcq_{kind}_examples.csv"
    home = folder if folder.is_dir() else folder.parent
    places = ("eval/src/few_shot", "src/few_shot", "few_shot")
    found = entries(find_file("DISC-Law-Eval", SOURCE, home, *(f"{place}/{name}" for place in places)))
    if shots > len(found):
        raise UserError(f"DISC-Law-Eval has {len(found)} worked examples, not {shots}; ask for fewer")
    asked = [(f"{INSTRUCTIONS[kind]}\n\n问题：{entry.text('input')}\n答案：", entry.text("output")) for entry in found]
    return asked[:shots]


def _open_questions(folder: Path, shots: int) -> list[Question]:
    if shots:
        raise UserError("DISC-Law-Eval's open questions have no worked examples; ask for 0")
    name = "qa_short_answer.json"
    places = ("eval/datasets/subjective", "datasets/subjective", "subjective", ".")
    found = entries(find_file("DISC-Law-Eval", SOURCE, folder, *(f"{place}/{name}" for place in places)))
    return [
        Question(str(entry.fields.get("id", number)), entry.text("input"), entry.text("output"))
        for number, entry in enumerate(found)
    ]


def score(task: str, questions: Sequence[Question], predictions: Sequence[str]) -> TaskScore:
    """Accuracy by the published patterns, ``fixed`` by the letters that the answer chooses; ROUGE-L for ``qa``."""
    if task == "qa":
        return score_each(questions, [answered(text) for text in predictions], _rouge)
    return score_each(questions, predictions, disc, letter_set)


def _rouge(prediction: str, reference: str) -> Scored:
    return text_overlap.plain(prediction, reference), not prediction.strip()


def texts(task: str, reference: str, prediction: str) -> dict[str, tuple[str, str]]:
    """The answer to an open question."""
    return {"": (answered(prediction), reference)} if task == "qa" else {}


BENCHMARK = Benchmark("disc", "DISC-Law-Eval", SOURCE, TASKS, read, score, texts=texts, judged=frozenset({"qa"}))
