"""Sequences of which only what is looked at is in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Any, Generic, TypeVar, overload

from rl.data.spooled import Spooled
from rl.evaluation.benchmark import Question

T = TypeVar("T", covariant=True)
FEW = 2_000
"""Questions that are simply kept in memory."""


class Lazily(Sequence[T], Generic[T]):
    """What a function makes of each place, made when it is asked for and not kept."""

    def __init__(self, make: Callable[[int], T], count: int) -> None:
        self._make, self._count = make, count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        return map(self._make, range(self._count))

    @overload
    def __getitem__(self, place: int) -> T: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[T]: ...

    def __getitem__(self, place: int | slice) -> T | Sequence[T]:
        chosen = range(self._count)[place]
        if isinstance(chosen, range):
            return Lazily(lambda n: self._make(chosen[n]), len(chosen))
        return self._make(chosen)


def kept(questions: Iterable[Question]) -> Sequence[Question]:
    """The questions of one task of a file; those of a large one are in a temporary file.

    Their references are JSON values, and all have the worked examples of the first.
    """
    left = iter(questions)
    found = list(islice(left, FEW + 1))
    if len(found) <= FEW:
        return found
    first = found[0]

    def read(fields: Sequence[Any]) -> Question:
        name, prompt, reference, system, facets, asked, parts = fields
        return replace(
            first, id=name, prompt=prompt, reference=reference, system=system, facets=facets, asked=asked,
            parts=tuple(parts),
        )  # fmt: skip

    on_disk = Spooled(chain(found, left), _fields, read)
    return Lazily(on_disk.__getitem__, len(on_disk))


def _fields(one: Question) -> Sequence[Any]:
    return one.id, one.prompt, one.reference, one.system, one.facets, one.asked, one.parts
