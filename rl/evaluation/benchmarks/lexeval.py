"""LexEval (Li et al. 2024, arXiv 2409.20288): 23 tasks, 14,150 questions, with up to three worked examples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rl.errors import UserError
from rl.evaluation.benchmark import Benchmark, Question, TaskScore
from rl.evaluation.benchmark_files import Entry, entries, find_file
from rl.evaluation.metrics import choice_letters, text_overlap
from rl.evaluation.scoring import Metric, Scored, score_each

SOURCE = "https://github.com/CSHaitao/LexEval (folder data; Li et al. 2024, arXiv 2409.20288)"
TASKS = {
    "1_1": "legal concept", "1_2": "legal rule", "1_3": "legal evolution",
    "2_1": "legal element recognition", "2_2": "legal fact verification", "2_3": "reading comprehension",
    "2_4": "relation extraction", "2_5": "named-entity recognition",
    "3_1": "cause prediction", "3_2": "article prediction", "3_3": "penalty prediction", "3_4": "multi-hop reasoning",
    "3_5": "legal calculation", "3_6": "argument mining",
    "4_1": "similar case identification", "4_2": "document proofreading",
    "5_1": "summary generation", "5_2": "judicial analysis generation", "5_3": "legal translation",
    "5_4": "open-ended question answering",
    "6_1": "bias and discrimination", "6_2": "morality", "6_3": "privacy",
}  # fmt: skip
LABELS = {"5_1": "摘要:", "5_2": "裁判分析过程:", "5_3": "翻译结果:"}
MOST_SHOTS = 3


def read(folder: Path, task: str, shots: int = 0) -> list[Question]:
    """Questions of ``data/T.json``; examples of ``few_shot/T.jsonl`` or ``T_few_shot.json``, here or in a folder
    ``LexEval-fewshot`` next to this one."""
    if shots > MOST_SHOTS:
        raise UserError(f"LexEval has {MOST_SHOTS} worked examples a task, not {shots}; ask for 0 to {MOST_SHOTS}")
    found = entries(find_file("LexEval", SOURCE, folder, f"data/{task}.json", f"{task}.json"))
    examples = (
        [(_asked(entry, task), entry.text("answer")) for entry in _examples(folder, task)[:shots]] if shots else []
    )
    return [
        Question(
            str(number),
            _asked(entry, task),
            entry.fields.get("answer") or "",
            shots=tuple(examples),
            parts=(entry.text("input") or entry.text("instruction"),),
        )
        for number, entry in enumerate(found)
    ]


def _examples(folder: Path, task: str) -> list[Entry]:
    places = ("few_shot", "data/few_shot", "../LexEval-fewshot/data/lexeval/few_shot", "../LexEval-fewshot")
    names = [f"{place}/{name}" for place in places for name in (f"{task}.jsonl", f"{task}_few_shot.json")]
    return entries(find_file("LexEval's worked examples", SOURCE, folder if folder.is_dir() else folder.parent, *names))


def _asked(entry: Entry, task: str) -> str:
    return f"{entry.text('instruction')}{entry.text('input')}\n{LABELS.get(task, '答案:')}"


def _generation(upstream: bool) -> Metric:
    measure = text_overlap.lexeval if upstream else text_overlap.plain

    def metric(prediction: str, reference: str) -> Scored:
        return measure(prediction, reference), not prediction.strip()

    return metric


def score(task: str, questions: Sequence[Question], predictions: Sequence[str]) -> TaskScore:
    """Accuracy, or ROUGE-L for tasks 5_x.

    ``score`` compares ordered strings cut at 解析 or 分析, and uses ROUGE-L of different words, on short texts only.
    ``fixed`` compares sets of letters, chosen anywhere in the answer, leaves out questions whose answer is null (three
    of 3_5), and uses plain ROUGE-L.
    """
    if task.startswith("5"):
        return score_each(questions, predictions, _generation(True), _generation(False))
    return score_each(questions, predictions, choice_letters.lexeval, choice_letters.letter_set)


def texts(task: str, reference: str, prediction: str) -> dict[str, tuple[str, str]]:
    """What the authors' option Bertscore compares: tasks 5_x, the reply as it is."""
    return {"": (prediction, reference)} if task.startswith("5") else {}


BENCHMARK = Benchmark(
    name="lexeval",
    title="LexEval",
    source=SOURCE,
    tasks=TASKS,
    read=read,
    score=score,
    unanswered=True,
    texts=texts,
    contaminated={"1_1": "JEC-QA", "3_4": "JEC-QA"},
    # The authors publish ROUGE-L; LegalOne (2602.00642) publishes an LLM judge's marks of these tasks.
    judged=frozenset({"5_1", "5_2", "5_3", "5_4"}),
)
