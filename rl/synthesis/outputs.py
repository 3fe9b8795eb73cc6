"""What a synthesis gives to a curriculum: demonstrations, prompts with references, texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, takewhile
from pathlib import Path

from curricula.meta import PASS_RATE
from rl.inference.json_lines import write_lines
from rl.synthesis.collection import Question
from rl.synthesis.records import Fields, Record
from rl.synthesis.results import StepResult
from rl.synthesis.selection import SELECTING

SFT, GRPO, CORPUS, DROPPED = "sft.jsonl", "grpo.jsonl", "corpus.jsonl", "dropped.jsonl"
_KNOWN = (
    "source", "kind", "scenario", "way", "check", "pool", "part", "style", "perspective", "cause", "province",
    "overlap", PASS_RATE,
)  # fmt: skip


def write_outputs(
    folder: Path, recipe: str, results: Sequence[StepResult], questions: Sequence[Record] = ()
) -> dict[str, int]:
    """Write the files of a run, sorted by lineage; returns the records of each. A file without any is not written,
    because a curriculum would refuse it.

    Args:
        folder: of the run.
        recipe: its name.
        results: of all steps.
        questions: those of the RL set, where the recipe draws them.

    ``sft.jsonl`` holds what the last step kept, ``grpo.jsonl`` the questions to which the judgment itself has the
    answer, as the last of the steps that ask or select left them, ``corpus.jsonl`` the documents that were good enough,
    the chains and the rewritings, ``dropped.jsonl`` all else.
    """
    last = results[-1].kept
    names = (Question.name, "instructions", "law_questions", *SELECTING)
    kept = (result.kept for result in reversed(results) if result.name in names)
    asked: Iterable[Record] = questions or next(kept, ())
    files: dict[str, Iterable[Fields]] = {
        SFT: (demonstration(recipe, record) for record in last if "chain" in record.fields),
        GRPO: (prompt(recipe, record) for record in asked if "reference" in record.fields),
        CORPUS: chain(
            map(document, (one for one in good(results) if "text" in one.fields)),
            (own(recipe, one) for one in last if written(one.fields)),
        ),
        DROPPED: ({"step": result.name} | line for result in results for line in result.lost),
    }
    return {name: _written(folder / name, lines) for name, lines in files.items()}


def good(results: Sequence[StepResult]) -> Iterable[Record]:
    """The documents that passed every step that looks at documents."""
    return [result.kept for result in takewhile(lambda one: one.of_documents, results)][-1]


def _written(path: Path, lines: Iterable[Fields]) -> int:
    """The number of the lines; a file without any goes."""
    count = write_lines(path, lines)
    if not count:
        path.unlink()
    return count


def demonstration(recipe: str, record: Record) -> Fields:
    """A record for ``sft.data``."""
    found = record.fields["chain"]
    said = f"<think>{found['reasoning']}</think><answer>{found['answer']}</answer>"
    return prompt(recipe, record) | {"demonstration": said}


def prompt(recipe: str, record: Record) -> Fields:
    """A record for ``grpo.data``."""
    fields = record.fields
    known = {name: fields[name] for name in ("reference", "answer_kind") if name in fields}
    task = f"{recipe}_{fields['scenario']}"
    return {"prompt": fields["question"]} | known | {"task": task, "meta": meta(record)}


def document(record: Record) -> Fields:
    """A document for ``corpus.path``."""
    return {"text": record.fields["text"], "source": "documents", "meta": meta(record)}


def own(recipe: str, record: Record) -> Fields:
    """What a recipe has written, for ``corpus.path``."""
    return {"text": "\n".join(written(record.fields).values()), "source": recipe, "meta": meta(record)}


def written(fields: Fields) -> dict[str, str]:
    """What a recipe has written, by its parts: a question with a chain of thought and an answer, or a rewriting."""
    if "chain" in fields:
        return {
            "prompt": fields["question"],
            "think": fields["chain"]["reasoning"],
            "answer": fields["chain"]["answer"],
        }
    return {"text": fields["rephrased"]} if "rephrased" in fields else {}


def meta(record: Record) -> Fields:
    """What is known about a record, with its lineage."""
    fields = record.fields
    known = {name: fields[name] for name in _KNOWN if fields.get(name)}
    charges = {"charge": "、".join(fields["charges"])} if fields.get("charges") else {}
    return {"id": record.id} | known | charges | {"lineage": list(record.lineage)}
