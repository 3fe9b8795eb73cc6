"""Exam papers from files: .pdf or .txt, one paper each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rl.errors import UserError
from rl.synthesis.documents import READERS, files_of, read_file
from rl.synthesis.papers.paper import Choice, Unread, read_paper


def are_papers(path: Path) -> bool:
    """Whether an input is exam papers: a .pdf or .txt file, or a folder with .pdf files, or with .txt files and
    without JSON (a folder of JEC-QA may hold a text that explains it)."""
    if path.is_file():
        return path.suffix.lower() in READERS
    kinds = {file.suffix.lower() for file in files_of(path)} if path.is_dir() else set()
    return ".pdf" in kinds or (".txt" in kinds and ".json" not in kinds)


def read_papers(path: Path) -> Iterator[tuple[str, Choice | Unread | str]]:
    """(source, question, or why it is not read) of each question in the order of the papers. A paper that can't be read
    is one sentence; so is one without a question.

    Raises:
        UserError: if there is no file.
    """
    files = files_of(path) if path.is_dir() else [path]
    if not files:
        raise UserError(f"input={path}: the folder holds no file; put exam papers there as .pdf or .txt files")
    for file in files:
        source, text, problem = read_file(file, path if path.is_dir() else path.parent)
        found = [] if problem else read_paper(text)
        if not found:
            yield (
                source,
                problem or f"{source} has no numbered question with options A and B; see docs/guides/recipes.md",
            )
        for one in found:
            yield f"{source}:{one.place}", one
