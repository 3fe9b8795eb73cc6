"""Asks a model for the elements that the rules did not find, and checks its answer by schema and quotations."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rewards.rules.elements_f1 import read_elements
from rl.inference.backend import Answer, Ask, Backend, Messages
from rl.inference.structuring.element_schema import VALUES, Element, fault
from rl.inference.structuring.judgment_text import aligned

WANTED: dict[str, tuple[str, ...]] = {
    "criminal": ("court", "case_number", "party", "charge", "article", "sentence", "circumstance", "judgment_date"),
    "civil": ("court", "case_number", "party", "cause", "article", "claim", "payment", "outcome", "judgment_date"),
    "administrative": ("court", "case_number", "party", "cause", "article", "outcome", "judgment_date"),
}
"""Elements that a judgment of a kind should have."""
MOST = 50
"""Most elements of one name that are taken from an answer."""

_SYSTEM = (
    '你从裁判文书中提取要素，只输出一个JSON对象。每个键的值是列表，每项为{"value":…,"quote":…}：'
    "value须符合所给的JSON Schema（刑期以月计，金额以元计，罚金与赔偿分开），"
    "quote是文书中的原文片段。文书中没有的要素给空列表。"
)


def missing(document: dict[str, Any]) -> tuple[str, ...]:
    """Names of the elements that a judgment of its kind should have and the rules did not find."""
    return tuple(name for name in WANTED.get(document["kind"], ()) if not document["elements"].get(name))


def question(text: str, names: Sequence[str]) -> Messages:
    """The prompt that asks for elements of a text."""
    schemas = json.dumps({name: VALUES[name] for name in names}, ensure_ascii=False)
    return ("system", _SYSTEM), ("user", f"要素及其Schema：{schemas}\n\n文书：\n{text}")


def read_answer(answer: str, text: str, names: Sequence[str]) -> tuple[list[Element], list[str]]:
    """The valid elements of a model's answer, and what is wrong with the others.

    An element is valid if it was asked for, its value fits the schema, and its quotation is in the text, whatever the
    form of letters and punctuation. Its place is that of the quotation.
    """
    found: list[Element] = []
    faults: list[str] = []
    given = read_elements(answer)
    if given is None:
        return [], ["the answer holds no JSON object"]
    plain = aligned(text)
    for name, items in given.items():
        if name not in names or not isinstance(items, list):
            faults.append(f"{str(name)[:40]} was not asked for or is not a list")
            continue
        for item in items[:MOST]:
            if not isinstance(item, dict) or not isinstance(item.get("quote"), str) or not item["quote"].strip():
                faults.append(f"{name}: an item lacks value or quote")
                continue
            quote = aligned(item["quote"].strip())
            place, wrong = plain.find(quote), fault(name, item.get("value"))
            if wrong is not None:
                faults.append(wrong)
            elif place < 0:
                faults.append(f"{name}: {item['quote'][:30]!r} is not in the text")
            else:
                found.append(Element(name, item["value"], place, place + len(quote), "model"))
    return found, faults


def complete(
    texts: Mapping[str, str],
    documents: Mapping[str, dict[str, Any]],
    backend: Backend,
    budget: int | None,
    done: Callable[[str, dict[str, Any], list[str]], None],
    max_tokens: int = 1_024,
) -> None:
    """Ask a model for the elements that the rules did not find. ``texts`` and ``documents`` are by name.

    ``done`` is called once for each document, with its name, the document with the model's additions, and the faults of
    the answer. The elements from the rules don't change. A text whose prompt is over ``budget`` tokens (None: no limit)
    keeps its document, with a note.

    Raises:
        UserError: from the backend, after what it did answer has been handed to ``done``.
    """
    asks: list[Ask] = []
    for name, document in documents.items():
        names = missing(document)
        messages = question(texts[name], names)
        if not names:
            done(name, document, [])
        elif budget is not None and backend.count_tokens(messages) > budget:
            done(name, document, [f"the prompt is over {budget} tokens; the model was not asked"])
        else:
            asks.append(Ask(name, messages, max_tokens=max_tokens))

    def answered(ask: Ask, answers: list[Answer]) -> None:
        document = copy.deepcopy(documents[ask.key])
        found, faults = read_answer(answers[0].text, texts[ask.key], missing(document))
        for element in found:
            document["elements"].setdefault(element.name, []).append(element.to_json())
        done(ask.key, document, faults)

    if asks:
        backend.generate(asks, answered)
