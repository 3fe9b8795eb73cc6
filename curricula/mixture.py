"""Packs documents of several sources and buckets into rows in exact shares of tokens, with exact resume."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curricula.errors import DataError
from curricula.pas import BUCKETS, Bucket
from curricula.records import Document
from curricula.sampler import require_keys


@dataclass(frozen=True)
class Cell:
    """Documents that are drawn alike: those of one source, or of one of its buckets."""

    source: int
    """Number of the source."""
    bucket: Bucket | None
    """Bucket of perplexity; None for a source that has no buckets."""
    documents: Sequence[Document]
    """Never empty."""

    @property
    def name(self) -> str:
        """Number of the source and bucket, such as ``0/low``."""
        return f"{self.source}/{self.bucket or 'all'}"


def cells_of(source: int, documents: Sequence[Document], buckets: Sequence[Bucket | None] | None = None) -> list[Cell]:
    """The cells of a source: one for all documents, or one for each bucket with documents; None's are left out.

    Raises:
        DataError: if no document is left.
    """
    if buckets is None:
        found = [Cell(source, None, documents)]
    else:
        pairs = list(zip(documents, buckets, strict=True))
        found = [Cell(source, name, [document for document, bucket in pairs if bucket == name]) for name in BUCKETS]
    found = [cell for cell in found if cell.documents]
    if not found:
        raise DataError(f"source {source + 1} of the mixture holds no document")
    return found


def cell_shares(
    cells: Sequence[Cell], weights: Sequence[float], buckets: Mapping[Bucket, float] | None = None
) -> list[float]:
    """Share of each cell: its source's share, times its bucket's share among the buckets that the source has.

    So the share of a bucket that a source lacks goes to its other buckets; where none of those has a share,
    their numbers of documents decide. ``weights`` has a number for each source, on any scale.

    Raises:
        DataError: if no source with documents has a weight above 0.
    """
    inside: list[float] = []
    for cell in cells:
        kin = [other for other in cells if other.source == cell.source]
        asked = [1.0 if other.bucket is None else (buckets or {}).get(other.bucket, 0.0) for other in kin]
        if not sum(asked):
            asked = [float(len(other.documents)) for other in kin]
        inside.append(asked[kin.index(cell)] / sum(asked))
    found = [weights[cell.source] * share for cell, share in zip(cells, inside, strict=True)]
    return _normalised(found)


class Mixture:
    """Packs documents of several cells into rows of equal length, in the shares asked for, even if these change.

    Each drawn token adds its share to the credit of every cell, and takes a whole token from the credit of the cell it
    came from; the next document comes from the cell with the highest credit. So a cell is never ahead by a whole
    document, nor behind by more than H(cells - 1) documents, H being the harmonic number; and a cell that no longer has
    a share is owed nothing. The documents of a cell are shuffled again in each epoch. Only these orders are random, so
    the state is a few counters.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        shares: Sequence[float],
        seed: int,
        encode: Callable[[str], list[int]],
        eos_id: int,
    ) -> None:
        self.cells = list(cells)
        self.shares = self._checked(shares)
        self.seed, self.encode, self.eos_id = seed, encode, eos_id
        self.positions = [0] * len(self.cells)
        self.tokens = [0] * len(self.cells)
        self.credits = [0.0] * len(self.cells)
        self.rest: list[int] = []
        self.taken = 0
        self.document = 0
        self._orders: list[tuple[int, list[int]]] = [(-1, [])] * len(self.cells)

    def next_rows(
        self, n: int, length: int, shares: Sequence[float] | None = None
    ) -> tuple[list[list[int]], list[list[int]]]:
        """``n`` rows of exactly ``length`` token ids, and for each token the number of its document.

        A document that does not fit continues in the next row, as a new document there. ``shares`` has a number for
        each cell, on any scale, and applies to the documents begun in this call; the default is the shares given
        first.

        Raises:
            DataError: if the shares don't fit the cells, or none is above 0.
        """
        asked = self.shares if shares is None else self._checked(shares)
        rows, segments = [], []
        for _ in range(n):
            row: list[int] = []
            segment: list[int] = []
            while len(row) < length:
                if self.taken == len(self.rest):
                    self.rest, self.taken = self._next_document(asked), 0
                piece = self.rest[self.taken : self.taken + length - len(row)]
                self.taken += len(piece)
                row += piece
                segment += [self.document] * len(piece)
                self.document += 1
            rows.append(row)
            segments.append(segment)
        return rows, segments

    def _next_document(self, shares: Sequence[float]) -> list[int]:
        owed = sum(credit for credit, share in zip(self.credits, shares, strict=True) if not share)
        for i, share in enumerate(shares):
            self.credits[i] = self.credits[i] + share * owed if share else 0.0
        cell = max((i for i, share in enumerate(shares) if share), key=lambda i: (self.credits[i], shares[i]))
        ids = [*self.encode(self._text(cell)), self.eos_id]
        for i, share in enumerate(shares):
            self.credits[i] += share * len(ids)
        self.credits[cell] -= len(ids)
        self.positions[cell] += 1
        self.tokens[cell] += len(ids)
        return ids

    def _text(self, cell: int) -> str:
        documents = self.cells[cell].documents
        epoch, place = divmod(self.positions[cell], len(documents))
        if self._orders[cell][0] != epoch:
            order = list(range(len(documents)))
            random.Random(f"{self.seed}/{self.cells[cell].name}/{epoch}").shuffle(order)
            self._orders[cell] = (epoch, order)
        return documents[self._orders[cell][1][place]].text

    def _checked(self, shares: Sequence[float]) -> list[float]:
        if len(shares) != len(self.cells):
            raise DataError(f"the mixture has {len(self.cells)} cells, but {len(shares)} shares are given")
        return _normalised(shares)

    def _identity(self) -> list[Any]:
        return [self.seed, *([cell.name, len(cell.documents)] for cell in self.cells)]

    def state_dict(self) -> dict[str, Any]:
        """State as JSON values."""
        return {
            "mixture": self._identity(),
            "positions": list(self.positions),
            "tokens": list(self.tokens),
            "credits": list(self.credits),
            "rest": self.rest[self.taken :],
            "document": self.document,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state.

        Raises:
            DataError: if it belongs to another mixture: another seed, or cells of other names or sizes.
        """
        require_keys("mixture", state, self.state_dict())
        if state["mixture"] != self._identity():
            raise DataError(
                f"the state belongs to a mixture of seed and cells {state['mixture']}, this one has {self._identity()}"
            )
        self.positions, self.tokens = list(state["positions"]), list(state["tokens"])
        self.credits = list(state["credits"])
        self.rest, self.taken, self.document = list(state["rest"]), 0, int(state["document"])


def _normalised(shares: Sequence[float]) -> list[float]:
    total = sum(shares)
    if not total > 0 or min(shares) < 0:
        raise DataError(f"the shares {list(shares)} of the mixture must not be negative, and not all 0")
    return [share / total for share in shares]
