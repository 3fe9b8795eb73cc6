"""The data card of a run: what came in, what was kept, what was dropped and why, with samples."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from rl.config.synthesis import SynthesisConfig
from rl.files import write_bytes
from rl.inference.backends.served import estimate
from rl.language import HTML_LANG, Lang, code, sayer
from rl.synthesis.askers import cost
from rl.synthesis.card_words import shown
from rl.synthesis.outputs import written as written_parts
from rl.synthesis.records import Fields, Record
from rl.synthesis.results import StepResult, Stream
from rl.synthesis.tables import tables

SAMPLES = 5
"""Records that are shown with their lineage."""
ROWS = 20
"""Most rows of a table of shares."""
MEASURED = (
    "question", "converge", "rephrase", "distil", "explain", "filter", "judge", "select", "instructions",
    "law_questions",
)  # fmt: skip
"""Steps whose records are measured."""
SHARES = ("scenario", "way", "check", "style", "perspective", "field", "charge", "province", "law")
PARTS = ("prompt", "think", "answer", "text")


def write_card(folder: Path, config: SynthesisConfig, results: Sequence[StepResult], written: dict[str, int]) -> Path:
    """Write ``card.html``, ``card.md`` and ``card.json``; returns the first."""
    content = card(config, results, written)
    write_bytes(folder / "card.json", json.dumps(content, ensure_ascii=False, indent=1).encode())
    for name in ("card.md", "card.html"):
        page = _environment(name.endswith(".html"), config.lang).get_template(f"{name}.j2").render(**content)
        write_bytes(folder / name, page.encode("utf-8", "replace"))
    return folder / "card.html"


def card(config: SynthesisConfig, results: Sequence[StepResult], written: dict[str, int]) -> Fields:
    """The card's content: figures and samples."""
    last = results[-1].kept
    shares, samples = _shares(last), list(islice(last, SAMPLES))
    found = _found(samples, results)
    return {
        "name": config.recipe.name,
        "input": config.input,
        "steps": [_row(config, result) for result in results],
        "written": written,
        "lengths": [row for result in results if (row := _lengths(result))],
        "reasons": [
            {"step": result.name, "reason": reason, "records": count}
            for result in results
            for reason, count in result.reasons().items()
        ],
        "shares": shares,
        "overlap": [row for result in results for row in result.report],
        "tables": tables(config, results),
        "samples": [_sample(record, found) for record in samples],
        "lost": [
            {"step": name, "id": one["id"], "source": one["source"], "fate": one["fate"], "reason": one["reason"],
             "detail": one["detail"][:300]}
            for name, one in islice(((result.name, one) for result in results for one in result.lost), ROWS)
        ],
    }  # fmt: skip


def _row(config: SynthesisConfig, result: StepResult) -> Fields:
    usage = result.usage
    return {
        "step": result.name,
        "in": len(result.outcomes),
        "kept": result.count("kept"),
        "dropped": result.count("dropped"),
        "failed": result.count("failed"),
        "out": len(result.kept),
        "requests": usage.requests,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cost": round(cost(config, result.name, usage), 6),
    }


def _lengths(result: StepResult) -> Fields:
    """Records and mean tokens (estimated) of each part, after the steps that write, change or sort it out."""
    if result.name not in MEASURED or not result.kept:
        return {}
    tokens: Counter[str] = Counter()
    for one in result.kept:
        parts = written_parts(one.fields) or {"prompt": one.fields["question"]}
        tokens.update({part: estimate(text) for part, text in parts.items()})
    count = len(result.kept)
    means = {part: round(tokens[part] / count) if part in tokens else None for part in PARTS}
    return {"step": result.name, "records": count} | means


def _shares(records: Stream[Record]) -> dict[str, list[Fields]]:
    counts: dict[str, Counter[str]] = {name: Counter() for name in SHARES}
    for record in records:
        for name, values in counts.items():
            values.update(_values(record.fields, name))
    return {
        name: [
            {"value": value, "records": count, "share": round(count / len(records), 4)}
            for value, count in sorted(values.items(), key=lambda pair: (-pair[1], pair[0]))[:ROWS]
        ]
        for name, values in counts.items()
    }


def _values(fields: Fields, name: str) -> Iterable[str]:
    if name == "field":
        return [fields["kind"]] if fields.get("kind") else []
    if name == "charge":
        return fields.get("charges") or ([fields["cause"]] if fields.get("cause") else [])
    if name == "law":
        return sorted({one["place"].partition("第")[0] for one in fields.get("citations", ()) if one["place"]})
    return [fields[name]] if fields.get(name) else []


def _found(samples: Sequence[Record], results: Sequence[StepResult]) -> dict[str, list[tuple[str, Fields]]]:
    """What each step made of the samples and of their documents, by id: (id before the step, line of what was made)."""
    found: dict[str, list[tuple[str, Fields]]] = {
        name: [] for one in samples for name in (one.id, one.id.partition("-")[0])
    }
    for result in results if samples else ():
        for line in result.lines():
            for made in line.get("made", ()):
                if made["id"] in found:
                    found[made["id"]].append((line["id"], made))
            if line["id"] > samples[-1].id:  # lines are sorted, and so are samples
                break
    return found


def _sample(record: Record, found: dict[str, list[tuple[str, Fields]]]) -> Fields:
    """A record with what each step gave it, in order."""
    document = record.id.partition("-")[0]
    of_document = [made for before, made in found[document] if before == document and document != record.id]
    steps = [*of_document, *(made for _, made in found[record.id])]
    fields = record.fields
    parts = written_parts(fields)
    return {
        "id": record.id,
        "source": fields["source"],
        "question": fields.get("question", fields.get("passage", "")),
        "reasoning": parts.get("think", ""),
        "answer": parts.get("answer", parts.get("text", "")),
        "steps": [{"entry": made["lineage"], "found": _readable(made["fields"])} for made in steps],
    }


def _readable(new: Fields) -> list[Fields]:
    return [
        {"name": name, "text": value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)}
        for name, value in new.items()
    ]


def _indented(text: Any) -> str:
    return "\n".join(f"    {line}" for line in str(text).splitlines())


def _environment(html: bool, lang: Lang) -> Environment:
    """Templates in a language; those of HTML escape whatever they print, as it is text of untrusted origin."""
    made = Environment(
        loader=ChoiceLoader([PackageLoader("rl.synthesis"), PackageLoader("rl.report")]), autoescape=html,
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    made.globals |= {"html_lang": HTML_LANG[lang], "t": sayer(lang), "code": code}
    made.filters |= {
        "indented": _indented,
        "cell": lambda text: " ".join(str(text).split()).replace("|", "\\|"),
        "shown": partial(shown, lang),
    }
    return made
