"""The open field ``meta`` of a record: what is known about it, such as source, teacher, licence or verdicts.

It is carried along and shown. Nothing is computed from it, except that ``difficulty`` starts from a ``pass_rate``
(see ``curricula.sampler``).
"""

import json
import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

from curricula.errors import DataError
from curricula.rows import checked, shown, type_name

Meta = dict[str, Any]
"""A JSON object."""

DEEPEST = 16
"""Levels of objects and lists in a meta."""
PASS_RATE = "pass_rate"
"""Field with the share of right answers of a policy."""
MOST_VALUES = 20
"""A field with more different values tells single records apart, as an address does, and is not counted."""


def read_meta(given: Any, what: str) -> Meta:
    """A meta, checked. Fields that are null count as left out, at every level.

    Raises:
        DataError: that begins with ``what``, if it is not a JSON object.
    """
    if not isinstance(given, dict):
        raise DataError(f'{what} must be an object, found {type_name(given)}; write {{"source": …}}')
    found: Meta = _checked(given, what, 1)
    return found


def pass_rate(meta: Meta) -> Any:
    """Share of right answers that was measured before, 1/2 where there is none."""
    return meta.get(PASS_RATE, 0.5)


def is_share(found: Any) -> bool:
    """Whether a value is a number from 0 to 1."""
    return isinstance(found, int | float) and not isinstance(found, bool) and 0 <= found <= 1


def _checked(given: Any, what: str, level: int) -> Any:
    if isinstance(given, dict | list) and level > DEEPEST:
        raise DataError(f"{what} is nested more than {DEEPEST} levels deep; make it flatter")
    if isinstance(given, dict):
        named = {_text(name, f"{what}: the name of a field"): value for name, value in given.items()}
        return {
            name: _checked(value, f"{what}.{shown(name)}", level + 1)
            for name, value in named.items()
            if value is not None
        }
    if isinstance(given, list):
        return [_checked(one, f"{what}[{place}]", level + 1) for place, one in enumerate(given)]
    if isinstance(given, str):
        return _text(given, what)
    if isinstance(given, float) and not math.isfinite(given):
        raise DataError(f"{what} is {given}, which JSON does not have; write null or text")
    if given is None or isinstance(given, bool | int | float):
        return given
    raise DataError(f"{what} must be a JSON value, found {type_name(given)}; write it as text")


def _text(given: Any, what: str) -> str:
    return checked(given, what, empty=True, blank=True)


def meta_counts(metas: Iterable[Meta]) -> dict[str, dict[str, int]]:
    """How many metas have each value of a field, the most frequent first; ``""`` stands for no value.

    Numbers and booleans count as their JSON text. A field is left out if it holds lists or objects, or more than
    ``MOST_VALUES`` different values.
    """
    found: dict[str, Counter[str]] = {}
    nested: set[str] = set()
    total = 0
    for meta in metas:
        total += 1
        for name, value in meta.items():
            if isinstance(value, dict | list):
                nested.add(name)
            else:
                found.setdefault(name, Counter())[value if isinstance(value, str) else json.dumps(value)] += 1
    kept = {name: found[name] for name in sorted(found) if name not in nested and len(found[name]) <= MOST_VALUES}
    for values in kept.values():
        values[""] += total - values.total()
    return {name: {value: n for value, n in values.most_common() if n} for name, values in kept.items()}
