"""Chosen elements of sequences, without a copy of them."""

from collections.abc import Sequence
from typing import Generic, TypeVar, overload

import numpy as np

T = TypeVar("T")


class Chosen(Sequence[T], Generic[T]):
    """Elements of several sequences, in any order."""

    def __init__(self, parts: Sequence[Sequence[T]], places: Sequence[int] | np.ndarray) -> None:
        """``places`` are those of the elements in the parts laid end to end."""
        self.parts = parts
        self.places = np.asarray(places, dtype=np.int64)
        self._ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, at: int) -> T: ...

    @overload
    def __getitem__(self, at: slice) -> list[T]: ...

    def __getitem__(self, at: int | slice) -> T | list[T]:
        if isinstance(at, slice):
            return [self[one] for one in range(*at.indices(len(self)))]
        place = int(self.places[at])
        part = int(np.searchsorted(self._ends, place, side="right"))
        return self.parts[part][place - (int(self._ends[part - 1]) if part else 0)]
