"""A judgment as JSON (LexPro-1.0, figure 1): its sections, and its elements with units, origin and place."""

from __future__ import annotations

from typing import Any

from rl.inference.structuring.claims_and_fees import claim_elements, fee_elements
from rl.inference.structuring.criminal import (
    charge_elements,
    circumstance_elements,
    reduction_elements,
    sentence_elements,
)
from rl.inference.structuring.element_schema import Element
from rl.inference.structuring.grounds import article_elements, outcome_element
from rl.inference.structuring.header import (
    NUMBER,
    TITLE,
    cause_element,
    header_elements,
    instance_of,
    kind_of,
)
from rl.inference.structuring.judgment_text import aligned
from rl.inference.structuring.payments import payment_elements
from rl.inference.structuring.sections import Section, split
from rl.inference.structuring.signature import date_elements, signature_elements

ACCUSED = ("被告人", "原审被告人", "被告单位", "原审被告单位")
_SIDES = ("委托", "法定", "诉讼代理人", "辩护人", "负责人", "指定", "公诉机关", "原公诉机关", "抗诉机关", "被害人")
"""First characters of the roles that are not parties themselves."""


def structure(text: str) -> dict[str, Any]:
    """Sections and elements of a judgment, by rules, in the shape of ``elements.SCHEMA``. Never raises.

    Places are characters of ``text``. A text that is no judgment (fewer than two of title, case number, 本院认为,
    判决如下 and 本调解书) has no elements; ``complete`` is whether it has a ruling with a judge or a date after it.
    """
    plain = aligned(text)
    sections = split(plain)
    places, judgment = _places(plain, sections)
    kind, instance = (kind_of(plain), instance_of(plain)) if judgment else ("other", None)
    found = _elements(plain, places, kind, instance) if judgment else []
    elements: dict[str, list[dict[str, Any]]] = {}
    for element in found:
        elements.setdefault(element.name, []).append(element.to_json())
    ends = "judge" in elements or "judgment_date" in elements
    return {
        "kind": kind,
        "judgment": judgment,
        "instance": instance,
        "complete": judgment and "ruling" in places and ends,
        "length": len(text),
        "sections": [{"name": s.name, "start": s.start, "end": s.end} for s in sections],
        "elements": elements,
    }


def parties_and_judges(text: str) -> tuple[list[str], list[str]]:
    """Their names in an aligned text, as :func:`structure` finds them, which takes five times as long."""
    places, judgment = _places(text, split(text))
    if not judgment:
        return [], []
    found = header_elements(text, places.get("header", (0, 0))[1])
    if "ruling" in places:
        found += signature_elements(text, places.get("tail", places["ruling"])[0])
    names = [[e.value["name"] for e in found if e.name == name] for name in ("party", "judge")]
    return names[0], names[1]


def _places(text: str, sections: list[Section]) -> tuple[dict[str, tuple[int, int]], bool]:
    """(first and last character of each section, whether the text is a judgment)."""
    places: dict[str, tuple[int, int]] = {section.name: (section.start, section.end) for section in sections}
    head = (TITLE.search(text, 0, 2_000), NUMBER.search(text, 0, 2_000))
    return places, sum(map(bool, (*head, "reasoning" in places, "ruling" in places, "本调解书" in text))) >= 2


def _elements(text: str, places: dict[str, tuple[int, int]], kind: str, instance: str | None) -> list[Element]:
    size = len(text)
    header = places.get("header", (0, 0))[1]
    found = header_elements(text, header)
    parties = [e for e in found if e.name == "party" and not e.value["role"].startswith(_SIDES)]
    names = [str(e.value["name"]) for e in parties]
    ruling, reasoning, tail = places.get("ruling"), places.get("reasoning"), places.get("tail")
    if kind == "criminal":
        accused = [e.value["name"] for e in parties if e.value["role"] in ACCUSED or e.value["formerly"] in ACCUSED]
        found += charge_elements(text, ruling, reasoning, accused)
        found += sentence_elements(text, *ruling, accused) if ruling else []
        found += reduction_elements(text, *ruling) if ruling and instance == "commutation" else []
        found += circumstance_elements(text, *reasoning, accused) if reasoning else []
    else:
        found += cause_element(text, 0, places.get("facts", places.get("reasoning", (size, size)))[0], names)
        found += claim_elements(text, *places["claims"]) if "claims" in places else []
        found += fee_elements(text, ruling[0], size) if ruling else []
    basis = reasoning or ruling  # the other articles in a ruling are the rules on interest for delay
    found += article_elements(text, *basis) if basis else []
    if ruling:
        found += payment_elements(text, *ruling, [(e.value["role"], e.value["name"]) for e in parties])
        mediated = any(e.name == "document" and e.value == "调解书" for e in found)
        found += [] if mediated else outcome_element(text, *ruling, kind, instance)
        found += signature_elements(text, tail[0] if tail else ruling[0])
    return _once(found) + date_elements(text, 0, "date")


def _once(elements: list[Element]) -> list[Element]:
    seen: dict[tuple[str, str], Element] = {}
    for element in elements:
        repeated = element.name in ("article", "charge", "judge", "party")
        seen.setdefault((element.name, repr(element.value) if repeated else f"{element.start}-{element.end}"), element)
    return list(seen.values())
