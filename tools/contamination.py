"""``python -m tools.contamination TRAINING_FILE.. --benchmarks NAME.. --root ROOT``: test questions in training data.

A question is a hit when one training record holds at least ``--share`` of its n-grams of characters (without
punctuation and white space; n is 13 by default, after Brown et al. 2020), or when a prompt or document has at least
``--similarity`` to it (Jaccard, by MinHash). The beginning and the end that all questions of a task share do not count,
and questions of less than ``SHORTEST`` characters are skipped. The exit code is 1 if there are hits.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from curricula.cleaning import PERMUTATIONS, banding, jaccard, shingles
from curricula.command import command
from curricula.errors import DataError
from curricula.records import corpus_files, read_demonstrations, read_prompts, read_texts
from rl.errors import UserError
from rl.evaluation.benchmark_files import MissingData
from rl.evaluation.benchmarks import find, folder_of

SHORTEST = 8
"""A question with fewer characters is too common to be searched."""


@dataclass(frozen=True)
class Record:
    """A training record."""

    where: str
    """File and number, counted from 1."""
    asked: str
    """Its last message of the user, or the document."""
    whole: str
    """All of its text."""


@dataclass
class TestQuestion:
    """A test question, and the closest training records."""

    task: str
    """``benchmark task``."""
    id: str
    text: str
    """Its letters, ideographs and digits, without the beginning and end that all questions of the task share."""
    share: float = 0.0
    """Largest share of its n-grams in one record."""
    share_in: str = ""
    similarity: float = 0.0
    """Largest Jaccard similarity to a prompt or document, of those above the threshold."""
    similar_to: str = ""


@dataclass
class Found:
    """The questions, and the tasks whose data is missing."""

    items: list[TestQuestion] = field(default_factory=list)
    frames: set[tuple[str, str]] = field(default_factory=set)
    """The beginning and end that all questions of a task share."""
    missing: list[str] = field(default_factory=list)


def plain(text: str) -> str:
    """Letters, ideographs and digits of a text, in lower case."""
    return "".join(character for character in text.lower() if character.isalnum())


def questions(names: Sequence[str], root: Path) -> Found:
    """The questions of benchmarks (``lawbench``) or single tasks (``lawbench:3-6``) below a root.

    Raises:
        UserError: for an unknown name, damaged data, or if there is no data at all.
    """
    found = Found()
    for name in names:
        benchmark_name, _, only = name.partition(":")
        benchmark = find(benchmark_name)
        if only and only not in benchmark.tasks:
            raise UserError(f"{benchmark.title} has no task {only}; its tasks are {', '.join(benchmark.tasks)}")
        for task in [only] if only else benchmark.tasks:
            try:
                read = benchmark.read(folder_of(root, benchmark), task, 0)
            except MissingData:
                found.missing.append(f"{benchmark.name} {task}")
                continue
            texts = [plain(question.prompt) for question in read]
            start, end = frame(texts)
            found.frames.add((start, end))
            found.items += [
                TestQuestion(f"{benchmark.name} {task}", question.id, text.removeprefix(start).removesuffix(end))
                for question, text in zip(read, texts, strict=True)
            ]
    if not found.items:
        raise UserError(f"{root} holds no data of {', '.join(names)}; see python -m rl.evaluate list --root {root}")
    return found


def frame(texts: Sequence[str]) -> tuple[str, str]:
    """The beginning and the end that all texts share; empty if there are not two different texts."""
    if len(set(texts)) < 2:
        return "", ""
    start = _common(texts)
    return start, _common([text[len(start) :][::-1] for text in texts])[::-1]


def _common(texts: Sequence[str]) -> str:
    least, most = min(texts), max(texts)
    return least[: next((i for i, pair in enumerate(zip(least, most, strict=False)) if len(set(pair)) > 1), len(least))]


def records(path: Path) -> Iterator[Record]:
    """Records of a training file or folder: prompts, demonstrations or texts, recognised by their fields.

    Raises:
        DataError: if it is none of these, naming file and line.
    """
    for file in corpus_files(path):
        prompts = _prompts(file)
        if prompts is None:
            for number, document in enumerate(read_texts(file), start=1):
                yield Record(f"{file.name}:{number}", document.text, document.text)
            continue
        for number, prompt in enumerate(prompts, start=1):
            said = [message["content"] for message in prompt.messages]
            asked = [message["content"] for message in prompt.messages if message["role"] == "user"] or said
            yield Record(
                f"{file.name}:{number}", asked[-1], "\n".join([*said, prompt.reference, prompt.demonstration or ""])
            )


def _prompts(file: Path) -> list[Any] | None:
    """Prompts or demonstrations of a file; None if it holds texts."""
    problems = []
    for read in (read_prompts, read_demonstrations):
        try:
            return read(file) if file.suffix != ".txt" else None
        except DataError as error:
            problems.append(error)
    try:
        read_texts(file, limit=1)
    except DataError:
        raise problems[0] from None
    return None


def overlap(items: Sequence[TestQuestion], training: Sequence[Record], n: int) -> None:
    """Fill in the largest share of each question's n-grams that one record holds."""
    each = [shingles(item.text, n) for item in items]
    owners = np.repeat(np.arange(len(items)), [len(one) for one in each])
    codes = np.concatenate(each)
    order = np.argsort(codes, kind="stable")
    codes, owners = codes[order], owners[order]
    totals = np.array([len(one) for one in each])
    short = sorted({len(item.text) for item in items if len(item.text) < n})
    for record in training:
        text = plain(record.whole)
        sizes = [size for size in (n, *short) if size <= len(text)]
        grams = np.unique(np.concatenate([codes[:0], *(shingles(text, size) for size in sizes)]))
        first, last = np.searchsorted(codes, grams, "left"), np.searchsorted(codes, grams, "right")
        hit = first < last
        if not hit.any():
            continue
        owned = np.concatenate([owners[a:b] for a, b in zip(first[hit], last[hit], strict=True)])
        counts = np.bincount(owned, minlength=len(items))
        for place in np.flatnonzero(counts):
            share = float(counts[place] / totals[place])
            if len(items[place].text) >= SHORTEST and share > items[place].share:
                items[place].share, items[place].share_in = share, record.where


def similar(found: Found, training: Sequence[Record], threshold: float) -> None:
    """Fill in the largest similarity of each question to a prompt or document, from ``threshold`` on."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(num_perm=PERMUTATIONS, params=banding(threshold))
    empty = MinHash(num_perm=PERMUTATIONS, seed=1, hashfunc=int, scheme="affine32")

    def signature(pieces: np.ndarray[Any, np.dtype[np.uint64]]) -> Any:
        made = empty.copy()
        made.update_batch((pieces >> np.uint64(32)).tolist())
        return made

    each = [shingles(item.text) for item in found.items]
    for place, pieces in enumerate(each):
        if len(found.items[place].text) >= SHORTEST:
            index.insert(place, signature(pieces), check_duplication=False)
    for record in training:
        asked = plain(record.asked)
        for text in {asked} | {asked.removeprefix(start).removesuffix(end) for start, end in found.frames}:
            pieces = shingles(text)
            for place in index.query(signature(pieces)) if text else ():
                alike, item = jaccard(pieces, each[place]), found.items[place]
                if alike >= threshold and alike > item.similarity:
                    item.similarity, item.similar_to = alike, record.where


@command(UserError, DataError)
def main(argv: Sequence[str] | None = None) -> int:
    """0 without hits, 1 with hits, 2 if something can't be read."""
    parser = argparse.ArgumentParser("python -m tools.contamination", description="Test questions in training data.")
    parser.add_argument("training", nargs="+", type=Path, help="JSON Lines, Parquet or text files, or folders of them")
    parser.add_argument("--benchmarks", nargs="+", required=True, help="names, or name:task, or YAML files")
    parser.add_argument("--root", type=Path, required=True, help="folder with a folder for each benchmark")
    parser.add_argument("--n", type=int, default=13, help="characters of an n-gram (default 13)")
    parser.add_argument("--share", type=float, default=0.5, help="share of a question's n-grams in one record (0.5)")
    parser.add_argument("--similarity", type=float, default=0.8, help="Jaccard similarity by MinHash (0.8)")
    parser.add_argument("--show", type=int, default=5, help="hits to print (5)")
    chosen = parser.parse_args(argv)
    if chosen.n < 1 or not 0 < chosen.share <= 1 or not 0 < chosen.similarity <= 1:
        parser.error("--n must be at least 1, --share and --similarity in (0, 1]")
    console = Console(soft_wrap=True)
    found = questions(chosen.benchmarks, chosen.root)
    training = [record for path in chosen.training for record in records(path)]
    overlap(found.items, training, chosen.n)
    similar(found, training, chosen.similarity)
    _print(console, found, len(training), chosen)
    return 1 if any(_hit(item, chosen) for item in found.items) else 0


def _hit(item: TestQuestion, chosen: argparse.Namespace) -> bool:
    return item.share >= chosen.share or item.similarity > 0


def _print(console: Console, found: Found, training: int, chosen: argparse.Namespace) -> None:
    table = Table("task", "questions", f"{chosen.n}-grams", "MinHash", "hits", "share")
    for task in dict.fromkeys(item.task for item in found.items):
        items = [item for item in found.items if item.task == task]
        hits = sum(_hit(item, chosen) for item in items)
        table.add_row(
            task, str(len(items)), str(sum(item.share >= chosen.share for item in items)),
            str(sum(item.similarity > 0 for item in items)), str(hits), f"{hits / len(items):.1%}",
        )  # fmt: skip
    console.print(table)
    console.print(f"{training} training records")
    if found.missing:
        console.print(f"no data of {', '.join(found.missing)}")
    for item in [item for item in found.items if _hit(item, chosen)][: chosen.show]:
        console.print(
            f"{item.task} question {item.id}: {item.share:.0%} of its n-grams in {item.share_in or 'no record'}, "
            f"similarity {item.similarity:.2f} to {item.similar_to or 'none'}: {item.text[:40]}",
            markup=False, highlight=False,
        )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
