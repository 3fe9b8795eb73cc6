"""JuDGE (Su et al. 2025, arXiv 2503.14258): a whole criminal judgment from the facts of the case.

The benchmark names no total. ``score`` is the mean of its four legal figures, which ``further`` gives: ``term`` and
``fine`` (ratios), ``charge_f1`` and ``article_f1`` (F1 of mean precision and mean recall). METEOR of the sections
``reasoning`` and ``judgment`` is given too, and the BERTScore that the authors also publish if it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rewards.sets import f1
from rl.errors import UserError
from rl.evaluation.benchmark import Benchmark, Question, QuestionScore, TaskScore
from rl.evaluation.benchmark_files import entries, find_file
from rl.evaluation.metrics.judgment_decisions import NOTHING, Decision, decided, decided_fixed, ratio, sections
from rl.evaluation.metrics.text_overlap import meteor, segmented
from rl.evaluation.scoring import answered, mean, tried

SOURCE = "https://github.com/oneal2000/JuDGE (data/test.json; Su et al. 2025, arXiv 2503.14258)"
TASKS = {"document": "judgment document"}
INSTRUCTION = (
    "请根据下面的案件事实写一份完整的刑事判决书：首部、查明的事实、以“本院认为”开头的裁判理由（引用法律条文，"
    "以“判决如下：”结尾）、判决结果和上诉权利告知。"
)


def read(folder: Path, task: str, shots: int = 0) -> list[Question]:
    """Cases of ``data/test.json``, or documents of ``expected.jsonl``, which hold no facts to make a prompt from."""
    if shots:
        raise UserError("JuDGE has no worked examples; ask for 0")
    questions = []
    for entry in entries(find_file("JuDGE", SOURCE, folder, "data/test.json", "test.json", "expected.jsonl")):
        document = entry.text("document" if "document" in entry.fields else "fd")
        key = entry.fields.get("id", entry.fields.get("text_id"))
        facts = entry.text("text", "")
        prompt = f"{INSTRUCTION}\n\n案件事实：{facts.strip()}" if facts else ""
        questions.append(Question(str(key), prompt, document, parts=(facts,)))
    return questions


def score(task: str, questions: Sequence[Question], predictions: Sequence[str]) -> TaskScore:
    """The published figures, and ``fixed`` without the known defects (see metrics/judgment_decisions.py)."""
    given = [answered(text) for text in predictions]
    wanted = [str(question.reference) for question in questions]
    upstream, each = _figures(
        [decided(text) for text in wanted], [tried(decided, text, NOTHING) for text in predictions]
    )
    fixed, corrected = _figures(
        [decided_fixed(text) for text in wanted], [tried(decided_fixed, text, NOTHING) for text in given]
    )
    scores = tuple(
        QuestionScore(question.id, one, not text.strip(), other)
        for question, one, other, text in zip(questions, each, corrected, given, strict=True)
    )
    legal = ("term", "fine", "charge_f1", "article_f1")
    return TaskScore(
        score=mean([upstream[name] for name in legal]),
        abstention_rate=mean([one.abstained for one in scores]),
        fixed=mean([fixed[name] for name in legal]),
        per_question=scores,
        further=upstream,
    )


def _figures(wanted: list[Decision], given: list[Decision]) -> tuple[dict[str, float], list[float]]:
    pairs = list(zip(wanted, given, strict=True))
    terms, fines = ([ratio(read(a), read(b)) for a, b in pairs] for read in (_term, _fine))
    figures = {
        "term": mean([one for one in terms if one is not None]),
        "fine": mean([one for one in fines if one is not None]),
    }
    of_sets: dict[str, Callable[[Decision], frozenset[object]]] = {"charge": _charges, "article": _articles}
    for name, labels in of_sets.items():
        recall = mean([_share(labels(a) & labels(b), labels(a)) for a, b in pairs])
        precision = mean([_share(labels(a) & labels(b), labels(b)) for a, b in pairs])
        both = recall + precision
        figures |= {f"{name}_f1": 2 * recall * precision / both if both else 0.0}
        figures |= {f"{name}_recall": recall, f"{name}_precision": precision}
    both_there = [(a, b) for a, b in pairs if a.reasoning and a.judgment and b.reasoning and b.judgment]
    figures["reasoning_meteor"] = mean([meteor(b.reasoning, a.reasoning) for a, b in both_there])
    figures["judgment_meteor"] = mean([meteor(b.judgment, a.judgment) for a, b in both_there])
    each = []
    for (a, b), term, fine in zip(pairs, terms, fines, strict=True):
        sets = [f1(len(read(a) & read(b)), len(read(b)), len(read(a))) for read in of_sets.values()]
        each.append(mean([one for one in (term, fine, *sets) if one is not None]))
    return figures, each


def _share(part: frozenset[object], whole: frozenset[object]) -> float:
    return len(part) / len(whole) if whole else 0.0


def _term(decision: Decision) -> int:
    return decision.months


def _fine(decision: Decision) -> int:
    return decision.yuan


def _charges(decision: Decision) -> frozenset[object]:
    return frozenset(decision.charges)


def _articles(decision: Decision) -> frozenset[object]:
    return frozenset(decision.articles)


def texts(task: str, reference: str, prediction: str) -> dict[str, tuple[str, str]]:
    """Reasoning and judgment as in the authors' code: words with spaces between them, missing sections included."""
    given, wanted = tried(sections, prediction, ("", "")), sections(reference)
    pairs = ((" ".join(segmented(a)), " ".join(segmented(b))) for a, b in zip(given, wanted, strict=True))
    return dict(zip(("reasoning_", "judgment_"), pairs, strict=True))


BENCHMARK = Benchmark("judge_doc", "JuDGE", SOURCE, TASKS, read, score, texts=texts)
