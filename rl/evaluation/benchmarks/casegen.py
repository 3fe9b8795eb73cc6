"""CaseGen (Li et al. 2025, arXiv 2502.17943): four parts of a civil case's documents, each from the parts before it.

The published score is an LLM judge's mark. Here ``score`` is ROUGE-L; BLEU of single n-gram orders is given too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rl.errors import UserError
from rl.evaluation.benchmark import Benchmark, Question, TaskScore
from rl.evaluation.benchmark_files import Entry, MissingData, entries, find_file
from rl.evaluation.metrics.text_overlap import bleu, plain
from rl.evaluation.scoring import Scored, answered, mean, score_each

SOURCE = "https://github.com/CSHaitao/CaseGen (data/CaseGen.json; Li et al. 2025, arXiv 2502.17943; CC BY-NC-SA 4.0)"
TASKS = {
    "defense": "defence statement", "fact": "trial facts", "reasoning": "reasoning", "judgement": "judgment result",
}  # fmt: skip
ASKED = {
    "defense": ("请代被告写一份答辩状，针对起诉状的诉请，依据证据答辩。", ("prosecution", "evidence")),
    "fact": ("请根据起诉状、答辩状和证据，写出判决书中审理查明的事实。", ("prosecution", "defense", "evidence")),
    "reasoning": (
        "请根据起诉状、答辩状和查明的事实，写出判决书的裁判理由：争议焦点、法律关系和法律适用。",
        ("prosecution", "defense", "fact"),
    ),
    "judgement": ("请根据查明的事实和裁判理由，写出判决结果及其法律依据。", ("fact", "reasoning")),
}
TITLES = {
    "prosecution": "起诉状", "defense": "答辩状", "evidence": "证据", "fact": "审理查明的事实", "reasoning": "裁判理由",
}  # fmt: skip


def read(folder: Path, task: str, shots: int = 0) -> list[Question]:
    """Cases of ``data/CaseGen.json``, with the authors' prompts of ``prompt/TASK.json`` if that file is there.
    With prompts only, answers can be generated but not scored."""
    if shots:
        raise UserError("CaseGen has no worked examples; ask for 0")
    names = [f"prompt/{task}.json", f"data/prompt/{task}.json", f"generate/prompt/{task}_generate_prompt.json"]
    prompts = next((folder / name for name in names if (folder / name).is_file()), None)
    asked = {_key(entry, n): entry.text("prompt") for n, entry in enumerate(entries(prompts))} if prompts else {}
    try:
        path = find_file("CaseGen", SOURCE, folder, "data/CaseGen.json", "CaseGen.json")
    except MissingData:
        if not asked:
            raise
        return [Question(key, prompt, "") for key, prompt in asked.items()]
    return [_question(entry, task, _key(entry, number), asked) for number, entry in enumerate(entries(path))]


def _key(entry: Entry, number: int) -> str:
    return str(entry.fields.get("id", number))


def _question(entry: Entry, task: str, key: str, asked: Mapping[str, str]) -> Question:
    reference = entry.text("judgment" if task == "judgement" and "judgement" not in entry.fields else task)
    instruction, parts = ASKED[task]
    if key in asked:
        return Question(key, asked[key], reference, parts=tuple(_given_parts(entry, parts)))
    shown = (f"【{TITLES[part]}】\n{_text(entry, part)}" for part in parts)
    return Question(key, "\n\n".join((instruction, *shown)), reference, parts=tuple(_given_parts(entry, parts)))


def _given_parts(entry: Entry, parts: Sequence[str]) -> list[str]:
    """The parts that are texts. Lists of evidence are left out, because other files write them differently."""
    return [entry.fields[part] for part in parts if isinstance(entry.fields.get(part), str)]


def _text(entry: Entry, part: str) -> str:
    found = entry.fields.get(part)
    return json.dumps(found, ensure_ascii=False, indent=1) if isinstance(found, dict | list) else entry.text(part)


def score(task: str, questions: Sequence[Question], predictions: Sequence[str]) -> TaskScore:
    """ROUGE-L over words; ``bleu1`` to ``bleu4`` are precisions of single orders with brevity penalty."""
    if not all(question.reference for question in questions):
        raise UserError(f"CaseGen's prompts hold no reference documents; put CaseGen.json beside them, from {SOURCE}")
    given = [answered(text) for text in predictions]
    pairs = list(zip(given, (question.reference for question in questions), strict=True))
    further = {f"bleu{n}": mean([bleu(one, other, n) for one, other in pairs]) for n in (1, 2, 3, 4)}
    return score_each(questions, given, _rouge, further=lambda _: further)


def _rouge(prediction: str, reference: str) -> Scored:
    return plain(prediction, reference), not prediction.strip()


def texts(task: str, reference: str, prediction: str) -> dict[str, tuple[str, str]]:
    """The answered document."""
    return {"": (answered(prediction), reference)}


BENCHMARK = Benchmark("casegen", "CaseGen", SOURCE, TASKS, read, score, texts=texts, judged=frozenset(TASKS))
