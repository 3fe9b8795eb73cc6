"""``python -m rl.inference retrieve "问题"``: the articles that may answer a question, or prompts with them.

python -m rl.inference retrieve 酒后驾车怎么处罚 --k 5 --law 刑法
python -m rl.inference retrieve --input questions.jsonl --method hybrid --model FOLDER --prompts prompts.jsonl
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from curricula.command import command
from curricula.errors import DataError
from curricula.statutes import law_read
from curricula.statutes.options import add_law, use_options
from rl.errors import UserError
from rl.inference.backend import Messages
from rl.inference.grounding.grounded_answer import ground
from rl.inference.grounding.questions import read_records
from rl.inference.model_options import positive
from rl.retrieval.passages import statute_passages
from rl.retrieval.retriever import CACHE, METHODS, Hit, Retriever, retriever

BUDGET = 3_000
"""Default limit on the tokens of a prompt."""


@command(UserError, DataError, OSError)
def main(argv: Sequence[str] | None = None) -> int:
    """0, or 2 with a sentence when something can't be read or found."""
    parser = argparse.ArgumentParser(prog="python -m rl.inference retrieve", description="Statutes for questions.")
    parser.add_argument("question", nargs="?", help="the question, unless --input holds them")
    parser.add_argument("--input", type=Path, help='JSONL file of lines {"question": …}')
    add_search(parser, "--model")
    parser.add_argument("--prompts", type=Path, help="write the grounded prompts to this JSONL file")
    parser.add_argument("--budget", type=int, default=BUDGET, help="tokens of a prompt (%(default)s)")
    parser.add_argument(
        "--tokenizer", type=Path, help="folder of the tokenizer that counts; without it a character is one"
    )
    parser.add_argument("--json", action="store_true", help="print JSON alone, one line a question")
    add_law(parser)
    chosen = parser.parse_args(argv)
    use_options(chosen)
    if (chosen.question is None) == (chosen.input is None):
        raise UserError("give either a question or --input FILE")
    asked = [{"question": chosen.question}] if chosen.input is None else read_records(chosen.input, ("question",))
    found = open_retriever(chosen)
    hits = [found.search(record["question"], chosen.k, chosen.law) for record in asked]
    if chosen.prompts is not None:
        _write_prompts(chosen, asked, hits)
    for record, own in zip(asked, hits, strict=True):
        _show(record["question"], own, chosen.json)
    if not chosen.json:
        Console().print(law_said(), style="dim", highlight=False)
    return 0


def add_search(parser: argparse._ActionsContainer, model: str) -> None:
    """Add the options of retrieval; ``model`` is the one that names the folder of an embedding model."""
    parser.add_argument("--k", type=positive, default=5, help="articles for a question (%(default)s)")
    parser.add_argument("--law", action="append", default=[], help="search this law alone; may be given several times")
    parser.add_argument("--method", choices=METHODS, default="bm25", help="(%(default)s)")
    parser.add_argument(
        model, type=Path, dest="embedder", metavar="FOLDER", help="sentence-transformers model, for dense and hybrid"
    )
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of indexes and vectors (%(default)s)")


def open_retriever(chosen: argparse.Namespace) -> Retriever:
    """The retriever that the options choose.

    Raises:
        UserError: if dense retrieval is asked for without a model, or the model can't be loaded.
        DataError: if the statute database is not installed.
    """
    passages = statute_passages()
    progress = Progress(console=Console(stderr=True), transient=True) if chosen.method != "bm25" else None
    with progress or nullcontext():
        task = None if progress is None else progress.add_task("embedding the statutes", total=len(passages))

        def advance(done: int) -> None:
            if progress is not None and task is not None:
                progress.update(task, completed=done)

        return retriever(passages, chosen.method, chosen.embedder, chosen.cache, advance=advance)


def law_said() -> str:
    """A note on which law was read."""
    read = law_read()
    return f"law in force on {read['as_of']}; newest text of the package {read['snapshot']}"


def _write_prompts(chosen: argparse.Namespace, asked: list[dict[str, str]], hits: list[list[Hit]]) -> None:
    count = _counter(chosen.tokenizer)
    with chosen.prompts.open("w", encoding="utf-8") as file:
        for record, own in zip(asked, hits, strict=True):
            grounded = ground(record["question"], [hit.passage for hit in own], chosen.budget, count)
            messages = [{"role": role, "content": content} for role, content in grounded.messages]
            both = {"articles": grounded.articles, "left_out": grounded.left_out}
            named = {name: [passage.place for passage in passages] for name, passages in both.items()}
            line = record | law_read() | {"messages": messages, **named}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _counter(folder: Path | None) -> Callable[[Messages], int]:
    """Tokens of a prompt, chat template included; without a tokenizer a character counts as one."""
    if folder is None:
        return lambda messages: sum(len(content) for _, content in messages)
    from transformers import AutoTokenizer

    from rl.models.template import try_template

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError) as error:
        raise UserError(f"no tokenizer can be loaded from --tokenizer={folder} ({error})") from None
    try_template(tokenizer)

    def count(messages: Messages) -> int:
        chat = [{"role": role, "content": content} for role, content in messages]
        if tokenizer.chat_template is None:
            return sum(len(tokenizer.encode(message["content"])) for message in chat)
        return len(tokenizer.encode(tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)))

    return count


def _show(question: str, hits: list[Hit], as_json: bool) -> None:
    if as_json:
        listed = [
            {"law": h.passage.law, "article": h.passage.number, "text": h.passage.text, "score": round(h.score, 6),
             "named": h.named}
            for h in hits
        ]  # fmt: skip
        print(json.dumps({"question": question, **law_read(), "articles": listed}, ensure_ascii=False))
        return
    console = Console()
    console.print(f"[bold]{escape(question)}[/bold]")
    for rank, hit in enumerate(hits, start=1):
        mark = "named" if hit.named else f"{hit.score:.4g}"
        console.print(f"{rank}. [cyan]{escape(hit.passage.place)}[/cyan] [dim]{mark}[/dim]", highlight=False)
        console.print(f"   {escape(hit.passage.text)}", highlight=False)
    if not hits:
        console.print("no article shares a term with the question")
