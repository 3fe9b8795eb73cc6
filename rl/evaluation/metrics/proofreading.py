"""LawBench 2-1, proofreading: F0.5 of a prediction's edits against the reference's, over all sentences together.

``score`` is what LawBench's copy of ChERRANT computes. White space is removed. A prediction is cut 5 characters after
the reference's length. Predictions and references (not the sentence itself) are converted to simplified characters. The
sentence ends with its line in the model's prompt, chat template included. An edit counts once for each different list
of edits, among all cheapest alignments, that holds it. A prediction that takes the published code over ten seconds is
replaced by 无.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rl.errors import UserError
from rl.evaluation.benchmark import Question, QuestionScore, TaskScore
from rl.evaluation.metrics.alignment import cheapest
from rl.evaluation.metrics.characters import FOLDER, Tables, load
from rl.evaluation.metrics.edits import Edit, Spans, edit, ways
from rl.evaluation.scoring import Unscorable, answered
from rl.language import Text

HEAD = "句子：\n"
BEYOND = 5
"""A prediction may be so many characters longer than its reference."""
ALL_WITHIN = 10
"""Up to this difference of lengths ChERRANT uses all cheapest alignments; above, only the first."""
PATIENCE = 10
"""Seconds that the published code takes for a sentence at most."""
NOTHING, GIVEN_UP = "无内容", "无"


@dataclass(frozen=True)
class Counts:
    """Edits that are right, wrong, and missing."""

    right: int = 0
    wrong: int = 0
    missed: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.right + other.right, self.wrong + other.wrong, self.missed + other.missed)

    @property
    def precision(self) -> float:
        return self.right / (self.right + self.wrong) if self.wrong else 1.0

    @property
    def recall(self) -> float:
        return self.right / (self.right + self.missed) if self.missed else 1.0

    @property
    def f(self) -> float:
        """F0.5."""
        both = self.precision + self.recall
        return 1.25 * self.precision * self.recall / (0.25 * self.precision + self.recall) if both else 0.0


def score(questions: Sequence[Question], predictions: Sequence[str], tables: Tables) -> TaskScore:
    """F0.5 to four digits as published. ``fixed`` counts each edit of the first cheapest alignment once, on the answer
    without its reasoning, with the sentence in simplified characters too. A question's score is the F0.5 of its edits.

    Raises:
        UserError: if a prompt names no sentence.
    """
    found, corrected, each = Counts(), Counts(), []
    for question, prediction in zip(questions, predictions, strict=True):
        reference, given = str(question.reference), (prediction, answered(prediction))
        wanted, (cut, cut_answer) = _bare(reference), (_cut(text, reference) for text in given)
        framed = _sentence(question.id, question.asked or question.prompt)
        one = compared(published(framed, cut, tables), published(framed, wanted, tables))
        plain = tables.simplified(_sentence(question.id, question.prompt))
        other = compared(single(plain, cut_answer, tables), single(plain, wanted, tables))
        found, corrected = found + one, corrected + other
        each.append(QuestionScore(question.id, one.f, fixed=other.f))
    further = {"precision": found.precision, "recall": found.recall}
    return TaskScore(round(found.f, 4), 0.0, corrected.f, tuple(each), further)


def compared(given: Mapping[Edit, int], wanted: Mapping[Edit, int]) -> Counts:
    """Edits of a prediction against those of the reference. A right one counts as often as the reference has it."""
    return Counts(
        right=sum(wanted[one] for one in given if one in wanted),
        wrong=sum(times for one, times in given.items() if one not in wanted),
        missed=sum(times for one, times in wanted.items() if one not in given),
    )


def published(source: str, target: str, tables: Tables) -> Counter[Edit]:
    """Edits of all cheapest alignments, each as often as different lists of edits hold it."""
    target = tables.simplified(target)
    if target in (source, "没有错误"):
        return Counter()
    if target == "无法标注":  # ChERRANT's note that a sentence can't be annotated
        return Counter({(-1, -1, ""): 1})
    found = _ways(source, target, tables) if target else None
    if found is None:
        return published(source, GIVEN_UP, tables)
    return Counter(edit(span, target) for one in found for span in one)


def _ways(source: str, target: str, tables: Tables) -> set[Spans] | None:
    """Lists of edits; None where the published code would not find them in time.

    Its time is estimated in seconds: searching other orders (where it copies both sentences and sorts), filling the
    table, walking along all alignments, and merging the steps of each. The factors are near those measured on one
    machine, times 2.3, and chosen so that as many published scores as possible are reproduced (96 of 102).
    """
    grid = cheapest(source, target, tables)
    if abs(len(source) - len(target)) > ALL_WITHIN:
        grid = grid.preferred()
    alignments, ends = grid.count()
    seconds = 3.3e-8 * grid.looks * (len(source) + len(target)) + 2e-7 * grid.looked_at
    seconds += 1.2e-5 * len(source) * len(target) + 1.3e-6 * ends + 3e-7 * alignments * max(len(source), len(target))
    if seconds > PATIENCE:
        return None
    found = ways(grid, source, target)
    seconds += 5.5e-6 * alignments * sum(map(len, found)) / len(found)
    return None if seconds > PATIENCE else found


def single(source: str, target: str, tables: Tables) -> Counter[Edit]:
    """Edits of the first cheapest alignment."""
    target = tables.simplified(target)
    grid = cheapest(source, target, tables).preferred()
    return Counter(edit(span, target) for one in ways(grid, source, target) for span in one)


def tables_of(questions: Sequence[Question]) -> Tables:
    """ChERRANT's tables in the folder that the questions come from.

    Raises:
        Unscorable: if there is no folder, it has no tables, or a package is missing.
    """
    folder = next((question.folder for question in questions if question.folder), None)
    if folder is None:
        raise Unscorable(
            Text(
                "LawBench's task 2-1 needs {folder}/cilin.txt and confusion_dict.txt of the authors' repository; give "
                "its folder with --root or --data",
                folder=FOLDER,
            )
        )
    return load(folder)


def _sentence(name: str, prompt: str) -> str:
    _, head, rest = prompt.partition(HEAD)
    if not head:
        raise UserError(f"question {name}: no sentence after 句子： in its prompt; give the benchmark's own file")
    return _bare(rest.split("\n")[0])


def _cut(prediction: str, reference: str) -> str:
    text = prediction.replace("\n", "").replace("\t", "")
    return _bare(text[: len(reference) + BEYOND] or NOTHING)


def _bare(text: str) -> str:
    return "".join(text.split())
