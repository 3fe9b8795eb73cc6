"""``python -m tools.retrieval``: quality of the retrieval of statutes for the questions of lay people.

    python -m tools.retrieval                   # sixty everyday questions of our own
    python -m tools.retrieval --data STARD
    python -m tools.retrieval --data STARD --method hybrid --model FOLDER --half 2 --json

STARD (Su et al. 2024) has 1,543 questions of lay people with the articles that answer them. If its folder has the
benchmark's own corpus (corpus.jsonl, 55,348 articles), that is searched, as in the published numbers; else, or with
--corpus statutes, the statutes in force are.
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rapidfuzz.fuzz import ratio
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from curricula.command import command
from curricula.numerals import ARTICLE, article_key
from rewards.parsing import normalised
from rewards.statute_check import law_in_force
from rl.errors import UserError
from rl.retrieval.measure import CUTS, averages, of_question
from rl.retrieval.passages import Passage, statute_passages
from rl.retrieval.retriever import CACHE, METHODS, retriever
from rl.retrieval.words import BEST, TERMS

EVERYDAY = Path(__file__).with_name("data") / "everyday_questions.jsonl"
"""Everyday questions of lay people, each with the articles that govern it; any of these is a right answer."""
SAME = 70.0
"""Two texts with at least this similarity (percent, Levenshtein ratio) are the same article, perhaps amended."""


@dataclass(frozen=True)
class RetrievalSet:
    """Questions, each with the passages that answer it."""

    questions: tuple[str, ...]
    relevant: tuple[frozenset[int], ...]
    passages: tuple[Passage, ...]
    articles: int
    """Articles that the benchmark names, over all questions."""
    matched: int
    """Those of them that are among the passages."""


def read_stard(folder: Path, corpus: str = "auto", laws: Sequence[str] = ()) -> RetrievalSet:
    """STARD over its own corpus, or over the statutes in force or some of their laws. Questions without an article in
    the corpus are left out.

    Raises:
        UserError: if a file is missing or does not have STARD's form.
    """
    path = _find(folder, "queries.json")
    if path is None:
        raise UserError(f"{folder} has no queries.json; --data takes a copy of STARD")
    own = _find(folder, "corpus.jsonl")
    if corpus == "stard" and own is None:
        raise UserError(f"{folder} has no corpus.jsonl, which --corpus stard searches; use --corpus statutes")
    try:
        asked = json.loads(path.read_text(encoding="utf-8"))
        if own is not None and corpus != "statutes":
            passages, wanted = _own_corpus(own, asked)
        else:
            passages = tuple(p for p in statute_passages() if not laws or p.law in laws)
            wanted = _in_force(asked, passages)
        kept = [(str(q["问题"]), found) for q, found in zip(asked, wanted, strict=True) if found]
        named = sum(len(q["match_name"]) for q in asked)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} does not have STARD's form ({type(error).__name__}: {error})") from None
    questions, relevant = (tuple(part) for part in zip(*kept, strict=True)) if kept else ((), ())
    return RetrievalSet(questions, relevant, passages, named, sum(len(found) for found in wanted))


def read_everyday() -> RetrievalSet:
    """Sixty everyday questions over the statutes in force, with a governing article each."""
    rows = [json.loads(line) for line in EVERYDAY.read_text(encoding="utf-8").splitlines()]
    passages = statute_passages()
    place = {passage.key: at for at, passage in enumerate(passages)}
    wanted = []
    for row in rows:
        cited = [(law, number) for law, _, number in (article.partition("第") for article in row["articles"])]
        keys = [(law, article_key(f"第{number}")) for law, number in cited]
        wanted.append(frozenset(place[key] for key in keys if key in place))
    named = sum(len(row["articles"]) for row in rows)
    return RetrievalSet(tuple(r["question"] for r in rows), tuple(wanted), passages, named, sum(map(len, wanted)))


def _find(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / "data" / name) if path.is_file()), None)


def _own_corpus(path: Path, asked: list[dict[str, Any]]) -> tuple[tuple[Passage, ...], list[frozenset[int]]]:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    passages = tuple(Passage(*_split(line["name"]), line["content"].strip()) for line in lines)
    place = {int(line["id"]): at for at, line in enumerate(lines)}
    return passages, [frozenset(place[i] for i in question["match_id"] if i in place) for question in asked]


def _in_force(asked: list[dict[str, Any]], passages: Sequence[Passage]) -> list[frozenset[int]]:
    """Places of the articles by law and number.

    One that was renumbered since is the article of its law that has its
    text; one whose text is gone, or whose law is not a statute, is not among them."""
    place = {passage.key: at for at, passage in enumerate(passages)}
    by_law: dict[str, list[int]] = {}
    for at, passage in enumerate(passages):
        by_law.setdefault(passage.law, []).append(at)

    def find(name: str, text: str) -> int | None:
        written, number = _split(name)
        law = (law_in_force(written) or "").removeprefix("中华人民共和国")
        if law not in by_law or not number:
            return None
        at, wanted = place.get((law, article_key(number))), normalised(text)
        if at is not None and ratio(wanted, normalised(passages[at].text)) >= SAME:
            return at
        best = max(by_law[law], key=lambda other: ratio(wanted, normalised(passages[other].text)))
        return best if ratio(wanted, normalised(passages[best].text)) >= SAME else None

    texts = {name: text for question in asked for name, text in question["相关法规"].items()}
    found = {name: find(name, text) for name, text in texts.items()}
    return [frozenset(a for name in q["match_name"] if (a := found.get(name)) is not None) for q in asked]


def _split(name: str) -> tuple[str, str]:
    """(law, number) of a name such as 建筑法第四十八条. The last number counts, because a law's name may hold one."""
    numbers = list(ARTICLE.finditer(name))
    return (name[: numbers[-1].start()], numbers[-1][0]) if numbers else (name, "")


def half_of(question: str) -> int:
    """1 or 2: settings are chosen on the first half of the questions and confirmed on the second."""
    return 1 + hashlib.sha256(question.encode()).digest()[-1] % 2


def measure(chosen: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Figures of one retrieval method over the benchmark."""
    data = read_stard(chosen.data, chosen.corpus, chosen.law) if chosen.data else read_everyday()
    kept = [n for n, question in enumerate(data.questions) if chosen.half in (0, half_of(question))]
    if not kept:
        raise UserError(f"no question of {chosen.data} has an article in the corpus")
    before = time.process_time()
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("embedding", total=len(data.passages), visible=chosen.method != "bm25")
        found = retriever(
            data.passages, chosen.method, chosen.model, chosen.cache, chosen.terms,
            lambda done: progress.update(task, completed=done),
        )  # fmt: skip
    built = time.process_time()
    ranked = found.ranked([data.questions[n] for n in kept], max(CUTS))
    searched = time.process_time()
    each = [of_question([place for place, _ in own], data.relevant[n]) for n, own in zip(kept, ranked, strict=True)]
    return {
        "method": chosen.method, "terms": chosen.terms, "questions": len(kept), "passages": len(data.passages),
        "articles": data.articles, "matched": data.matched, "half": chosen.half,
        "index_cpu_s": round(built - before, 2), "search_cpu_s": round(searched - built, 2),
        "measures": averages(each),
    }  # fmt: skip


@command(UserError, OSError)
def main(argv: Sequence[str] | None = None) -> int:
    """0, or 2 with a sentence when the benchmark or the model can't be read."""
    parser = argparse.ArgumentParser(prog="python -m tools.retrieval", description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, help="a copy of STARD; without it, our own everyday questions")
    parser.add_argument("--method", choices=METHODS, default="bm25")
    parser.add_argument("--model", type=Path, help="folder of a sentence-transformers model, for dense and hybrid")
    parser.add_argument("--corpus", choices=("auto", "stard", "statutes"), default="auto")
    parser.add_argument("--law", action="append", default=[], help="a law of the statutes; may be given several times")
    parser.add_argument("--terms", choices=sorted(TERMS), default=BEST, help="what BM25 counts")
    parser.add_argument("--half", type=int, choices=(0, 1, 2), default=0, help="half of the questions; 0 is all")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of indexes and vectors")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    chosen = parser.parse_args(argv)
    figures = measure(chosen, Console(stderr=True))
    if chosen.json:
        print(json.dumps(figures, ensure_ascii=False))
        return 0
    table = Table(title=f"{figures['method']}: {figures['questions']} questions, {figures['passages']} articles")
    for column in ("measure", "mean", "95 % interval"):
        table.add_column(column)
    for name, (mean, low, high) in figures["measures"].items():
        table.add_row(name, f"{mean:.3f}", f"{low:.3f} to {high:.3f}")
    console = Console()
    console.print(table)
    console.print(
        f"{figures['matched']} of the {figures['articles']} articles named are in the corpus; "
        f"index {figures['index_cpu_s']} s, search {figures['search_cpu_s']} s of CPU"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
