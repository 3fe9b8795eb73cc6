"""STARD (Su et al. 2024, arXiv 2406.15313): the articles of statutes that answer a layperson's question.

A prediction is a ranked list, best first, with a line for each article: its name (民法典第五十四条) or its number in
corpus.jsonl. Or it is a reply that cites articles. ``score`` is recall among the first ten.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import regex

from curricula.numerals import to_int
from rewards.parsing import article_refs, folded
from rl.errors import UserError
from rl.evaluation.benchmark import Benchmark, Question, QuestionScore, TaskScore
from rl.evaluation.benchmark_files import entries, find_file
from rl.evaluation.metrics.ranking import recall_at, reciprocal_rank
from rl.evaluation.scoring import answered, mean, tried

SOURCE = "https://github.com/oneal2000/STARD (data/queries.json; Su et al. 2024, arXiv 2406.15313)"
TASKS = {"all": "all queries", "dev": "queries of the published test split"}
DEPTH = 10
CUTS = (1, 3, 5, 10, 20, 50, 100)
INSTRUCTION = (
    "哪些法律条文能回答下面的问题？按相关程度从高到低列出，每行一条，只写法律名称和条文序号，例如：民法典第五十四条。"
)
_NAME = regex.compile(
    r"(?:[-*]\s?|\d{1,3}[.、)]\s?)?(?!根据|依照|依据|按照|参照)(?P<law>[^。;,，；]{1,80}?)\s?"
    r"第(?P<number>[0-9零〇一二两三四五六七八九十百千]{1,12})条(?:之(?P<insertion>[0-9一二三四五六七八九十]{1,4}))?"
    r"(?:[:。;(].*)?"
)
_MARKS = regex.compile("[《》<>〈〉]|中华人民共和国")

Article = str | tuple[str, int, int]
"""A number of the corpus, or (law, article, insertion)."""


def read(folder: Path, task: str, shots: int = 0) -> list[Question]:
    """Queries of ``data/queries.json``; ``dev`` are only those of ``data/example/dev.query.txt``."""
    if shots:
        raise UserError("STARD has no worked examples; ask for 0")
    path = find_file("STARD", SOURCE, folder, "data/queries.json", "queries.json")
    questions: list[Question] = []
    for entry in entries(path):
        names, numbers = entry.fields.get("match_name"), entry.fields.get("match_id", [])
        if not isinstance(names, list) or not isinstance(numbers, list) or not names:
            raise UserError(f"{entry.where}: match_name and match_id must be lists of the articles that answer")
        asked = entry.fields.get("问题")
        if isinstance(asked, str):  # the authors leave out queries without a text
            key = str(entry.fields.get("query_id", len(questions)))
            reference = {"names": names, "numbers": [str(number) for number in numbers]}
            questions.append(Question(key, f"{INSTRUCTION}\n\n问题：{asked}", reference, parts=(asked,)))
    if task == "dev":
        split = find_file("STARD", SOURCE, path.parent, "example/dev.query.txt", "dev.query.txt")
        kept = {line.split("\t")[0] for line in split.read_text(encoding="utf-8").splitlines()}
        questions = [question for question in questions if question.id in kept]
    return questions


def article(name: str) -> Article | None:
    """An article by its name, in any numerals, with or without 《》 and 中华人民共和国; None if it is not a name."""
    match = _NAME.fullmatch(folded(name).strip())
    if match is None:
        return None
    try:
        return (
            _MARKS.sub("", match["law"]).strip(),
            to_int(match["number"]),
            to_int(match["insertion"]) if match["insertion"] else 0,
        )
    except ValueError:
        return None


def ranked(prediction: str) -> list[Article]:
    """The articles that a prediction lists, best first, each once."""
    lines = [line.strip() for line in prediction.splitlines() if line.strip()]
    if lines and all(line.isdecimal() for line in lines):
        return list(dict.fromkeys(lines))
    found = [article(line) for line in lines]
    if not lines or any(one is None for one in found):
        found = [(ref.law, ref.number, ref.insertion) for ref in article_refs(prediction) if ref.law]
    return list(dict.fromkeys(one for one in found if one is not None))


def score(task: str, questions: Sequence[Question], predictions: Sequence[str]) -> TaskScore:
    """Recall among the first ten; ``recall@k``, ``mrr`` (of the first hundred) and ``hit@10`` (one_recall)."""
    nothing: list[Article] = []
    lists = [tried(ranked, answered(text), nothing) for text in predictions]
    wanted: list[set[Article]] = []
    for question, given in zip(questions, lists, strict=True):
        by_number = bool(given) and isinstance(given[0], str)
        names = (article(name) or name for name in question.reference["names"])
        wanted.append(set(question.reference["numbers"] if by_number else names))
    pairs = list(zip(lists, wanted, strict=True))
    further = {f"recall@{k}": mean([recall_at(given, right, k) for given, right in pairs]) for k in CUTS}
    further["mrr"] = mean([reciprocal_rank(given, right, CUTS[-1]) for given, right in pairs])
    further["hit@10"] = mean([float(recall_at(given, right, DEPTH) > 0) for given, right in pairs])
    each = tuple(
        QuestionScore(question.id, recall_at(given, right, DEPTH), not given)
        for question, (given, right) in zip(questions, pairs, strict=True)
    )
    found = mean([one.score for one in each])
    return TaskScore(found, mean([one.abstained for one in each]), found, each, further)


BENCHMARK = Benchmark("stard", "STARD", SOURCE, TASKS, read, score)
