"""CAIL2018 (Xiao et al. 2018, arXiv 1807.02478): charges, articles and prison terms of criminal cases.

A prediction is prose, or a line of the official output: {"accusation": [numbers or names], "articles": [numbers of
law.txt], "imprisonment": months, -1 for life, -2 for death}. Charges and articles score the mean of micro and macro F1
over all 202 and 183 labels; labels that occur nowhere have F1 1 there, and ``fixed`` leaves them out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rewards.parsing import articles, charges
from rewards.rules.term import STEPS, log_distance, read_term
from rl.errors import UserError
from rl.evaluation.benchmark import Benchmark, Question, QuestionScore, TaskScore
from rl.evaluation.benchmark_files import Entry, entries, find_file
from rl.evaluation.metrics.labels import (
    CAIL2018_ARTICLES,
    CAIL2018_CHARGES,
    cail2018_labels,
    micro_macro,
    occurring,
    question_f1,
)
from rl.evaluation.scoring import Scored, answered, mean, score_each, tried

SOURCE = "https://github.com/china-ai-law-challenge/CAIL2018 (link CAIL2018_ALL_DATA.zip; Xiao et al. 2018)"
TASKS = {"charge": "charges", "article": "articles of the criminal law", "term": "prison term"}
FILES = ("final_test.json", "first_stage/test.json", "exercise_contest/data_test.json", "test.json", "data_test.json")
ASKED = {
    "charge": "根据下面的案情，被告人构成什么罪？只列出罪名，多个罪名用分号隔开。",
    "article": "根据下面的案情，应适用《中华人民共和国刑法》的哪些条文？只列出条文序号，例如：第二百六十四条。",
    "term": "根据下面的案情，被告人应判处多长刑期？只回答月数、无期徒刑或死刑，例如：18个月。",
}
LIFE, DEATH = -1, -2


def read(folder: Path, task: str, shots: int = 0) -> list[Question]:
    """Cases of the final test, else of the first stage's, else of the exercise's."""
    if shots:
        raise UserError("CAIL2018 has no worked examples; ask for 0")
    names = [f"{home}{name}" for home in ("", "final_all_data/") for name in FILES]
    found = entries(find_file("CAIL2018", SOURCE, folder, *names))
    return [
        Question(
            str(number), f"{ASKED[task]}\n\n{entry.text('fact')}", _truth(entry, task), parts=(entry.text("fact"),)
        )
        for number, entry in enumerate(found)
    ]


def _truth(entry: Entry, task: str) -> Any:
    try:
        meta = entry.fields["meta"]
        if task == "charge":
            return [name.translate(_BRACKETS).removesuffix("罪") for name in meta["accusation"]]
        if task == "article":
            return [int(number) for number in meta["relevant_articles"]]
        term = meta["term_of_imprisonment"]
        return DEATH if term["death_penalty"] else LIFE if term["life_imprisonment"] else int(term["imprisonment"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{entry.where}: no judgment in CAIL2018's form (meta with {error})") from None


_BRACKETS = str.maketrans("", "", "[]")


def read_months(text: str) -> int | None:
    """Months of the sentence in a prediction, -1 for life, -2 for death; None without a sentence."""
    official = _official(text)
    if official is not None:
        months = official["imprisonment"]
        return months if isinstance(months, int) and months >= DEATH else None
    term = read_term(text)
    if term is None:
        return None
    severe = {"life": LIFE, "death": DEATH}.get(term.kind)
    return severe if severe is not None else int(term.months or 0)


def read_labels(text: str, task: str) -> set[Any]:
    """Charges without 罪, or numbers of articles, that a prediction names."""
    official = _official(text)
    if official is None:
        return cail2018_labels(charges(text)) if task == "charge" else {number for number, _ in articles(text)}
    key, labels = ("accusation", CAIL2018_CHARGES) if task == "charge" else ("articles", CAIL2018_ARTICLES)
    found: set[Any] = set()
    for label in official[key]:
        if isinstance(label, int) and 1 <= label <= len(labels):
            found.add(labels[label - 1])
        elif isinstance(label, str):
            found.add(label.translate(_BRACKETS).removesuffix("罪"))
    return found


def _official(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    known = isinstance(found, dict) and {"accusation", "articles", "imprisonment"} <= found.keys()
    return found if known and all(isinstance(found[key], list) for key in ("accusation", "articles")) else None


def term_score(prediction: str, reference: int) -> Scored:
    """1, .8, .6, .4, .2 or 0 by |ln(a+1) - ln(b+1)|; life and death must be predicted exactly."""
    given = read_months(prediction)
    if given is None:
        return 0.0, True
    if given < 0 or reference < 0:
        return float(given == reference), False
    return next((score for limit, score in STEPS if log_distance(given, reference) <= limit), 0.0), False


def score(task: str, questions: Sequence[Question], predictions: Sequence[str]) -> TaskScore:
    """The official score of a task, in [0, 1]; ``micro`` and ``macro`` are the two F1."""
    if task == "term":
        return score_each(questions, predictions, term_score)
    labels = CAIL2018_CHARGES if task == "charge" else CAIL2018_ARTICLES
    given: list[set[Any]] = [tried(partial(read_labels, task=task), answered(text), set()) for text in predictions]
    return label_score(questions, given, labels)


def label_score(questions: Sequence[Question], given: Sequence[set[Any]], labels: Sequence[Any]) -> TaskScore:
    """CAIL's score of label sets; the score of one question is its own F1."""
    pairs = [(named, set(question.reference)) for question, named in zip(questions, given, strict=True)]
    micro, macro = micro_macro(pairs, labels)
    fixed = micro_macro(pairs, occurring(pairs, labels))
    each = [
        QuestionScore(question.id, question_f1(named, wanted), not named and bool(wanted))
        for question, (named, wanted) in zip(questions, pairs, strict=True)
    ]
    return TaskScore(
        score=(micro + macro) / 2,
        abstention_rate=mean([one.abstained for one in each]),
        fixed=sum(fixed) / 2,
        per_question=tuple(each),
        further={"micro": micro, "macro": macro},
    )


BENCHMARK = Benchmark("cail2018", "CAIL2018", SOURCE, TASKS, read, score)
