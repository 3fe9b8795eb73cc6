"""``python -m rl.inference answer``: questions answered from the articles that may apply, each citation checked.

python -m rl.inference answer --question 酒后驾车怎么处罚 --model FOLDER
python -m rl.inference answer --input questions.jsonl --server URL --served-model NAME --out DIR --json

With --out the same command continues where it was interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from curricula.command import command, resumable
from curricula.statutes import law_read
from curricula.statutes.options import add_law
from rl.errors import USER_ERRORS, UserError
from rl.inference.backend import Backend
from rl.inference.grounding.grounded_answer import answer
from rl.inference.grounding.questions import read_records
from rl.inference.grounding.retrieve_command import BUDGET, add_search, law_said, open_retriever
from rl.inference.journal import BATCH, Journal, OpenFolder
from rl.inference.json_lines import write_lines
from rl.inference.model_options import (
    Sampling,
    Sized,
    add_model,
    add_sampling,
    identity,
    kind_of,
    open_backend,
    positive,
    prompt_room,
    sampling_of,
    use_law_of,
)
from rl.inference.progress import Metered
from rl.retrieval.retriever import Retriever

KNOWN = {True: "yes", False: "no", None: ""}
"""The text for a check in a table; empty where the result is unknown."""


@command(*USER_ERRORS, OSError)
def main(argv: Sequence[str] | None = None) -> int:
    """0; 1 when some questions are too long to be asked; 2 with a sentence when something is missing or fails."""
    chosen = _parser().parse_args(argv)
    stream = sys.stderr if chosen.json else sys.stdout
    console = Console(file=stream, width=None if stream.isatty() else 120)
    with resumable(chosen.out):
        records = _run(chosen, console)
    for record in records:
        if chosen.json:
            print(json.dumps(record, ensure_ascii=False))
        else:
            _show(record, console)
    if not chosen.json:
        console.print(law_said(), style="dim", highlight=False)
    if chosen.out and not chosen.json:
        console.print(f"{chosen.out}/grounded.jsonl · answers/", soft_wrap=True, highlight=False)
    return int(any("error" in record for record in records))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m rl.inference answer", description="Answers from statutes.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--question", help="one question")
    source.add_argument("--input", type=Path, help='JSONL file of lines {"question": …}')
    parser.add_argument("--out", type=Path, help="folder of the answers; can be continued (needed with --input)")
    parser.add_argument("--batch", type=positive, default=BATCH, help="answers written at once (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON alone, one line a question")
    add_search(parser.add_argument_group("retrieval"), "--embedder")
    parser.add_argument("--budget", type=positive, default=BUDGET, help="tokens of a prompt (%(default)s)")
    add_law(parser)
    add_model(parser)
    add_sampling(parser, several=False)
    return parser


def _run(chosen: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    sampling = sampling_of(chosen)
    use_law_of(chosen)
    head = {
        **law_read(),
        "model": identity(chosen),
        "backend": kind_of(chosen),
        "max_length": chosen.max_length,
        "chat_template_kwargs": chosen.chat_template_kwargs,
        "method": chosen.method,
        "embedder": None if chosen.embedder is None else chosen.embedder.resolve().name,
        "k": chosen.k,
        "laws": chosen.law,
        "budget": chosen.budget,
        **asdict(sampling),
    }
    if chosen.input is not None and chosen.out is None:
        raise UserError("--input needs --out FOLDER, where answers are kept as they come")
    asked = [{"question": chosen.question}] if chosen.input is None else read_records(chosen.input, ("question",))
    retriever = open_retriever(chosen)
    retriever.ranked([], chosen.k, chosen.law)  # an unknown law is reported before a model is loaded
    folder = OpenFolder(chosen.out, head) if chosen.out else None
    try:
        with open_backend(chosen, folder.date if folder else None) as backend:
            found = _answers(chosen, console, [record["question"] for record in asked], retriever, backend, sampling)
        records = [record | own for record, own in zip(asked, found, strict=True)]
        if chosen.out:
            write_lines(chosen.out / "grounded.jsonl", records)
        return records
    finally:
        if folder is not None:
            folder.close()


def _answers(
    chosen: argparse.Namespace,
    console: Console,
    questions: Sequence[str],
    retriever: Retriever,
    backend: Sized,
    sampling: Sampling,
) -> list[dict[str, Any]]:
    def notice(text: str) -> None:
        console.print(f"[yellow]{escape(text)}[/yellow]", soft_wrap=True, highlight=False)

    asked: Backend = Metered(backend, console)
    if chosen.out:
        asked = Journal(asked, chosen.out / "answers", chosen.batch, notice)
    room = prompt_room(backend, sampling.max_tokens)
    budget = chosen.budget if room is None else min(room, chosen.budget)
    found: dict[int, dict[str, Any]] = {}
    answer(questions, retriever, asked, found.__setitem__, chosen.k, budget, chosen.law, sampling)
    return [found[place] for place in range(len(questions))]


def _show(record: dict[str, Any], console: Console) -> None:
    if "error" in record:
        console.print(f"[red]not asked:[/red] {escape(record['error'])}\n", highlight=False)
        return
    console.print(f"[bold]{escape(record['question'])}[/bold]", highlight=False)
    given = "、".join(record["articles"]) or "none fits into the prompt"
    thought = f" · thinking, {len(record['thinking'])} characters" if record["thinking"] else ""
    console.print(f"[dim]given: {escape(given)}{thought}[/dim]", highlight=False)
    if record["left_out"]:
        console.print(
            f"[yellow]too long for --budget: {escape('、'.join(record['left_out']))}[/yellow]", highlight=False
        )
    cut = " [yellow](cut off)[/yellow]" if record["truncated"] else ""
    console.print(f"{escape(record['answer']) or '(no answer)'}{cut}", highlight=False)
    if not record["citations"]:
        console.print("[dim]it cites no article[/dim]\n")
        return
    table = Table("cited", "in force", "exists", "quotation", "was given", "", box=box.SIMPLE_HEAD, pad_edge=False)
    for one in record["citations"]:
        checks = (KNOWN[one[name]] for name in ("in_force", "exists", "quote_matches", "retrieved"))
        verdict = "[green]holds[/green]" if one["holds"] else escape(one["reason"]) or "nothing is known"
        table.add_row(escape(f"{one['law'] or ''}{one['article']}"), *checks, verdict)
    console.print(table)
