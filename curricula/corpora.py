"""Mid-training corpora: documents, and a mixture that packs them into rows with exact resume."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from curricula.errors import DataError
from curricula.records import Document, read_texts
from curricula.sampler import require_keys
from curricula.splits import Split, split_of
from curricula.statutes import load_statutes


def statute_documents(laws: Sequence[str] = (), split: Split | None = "train") -> list[Document]:
    """One document an article, headed by law and number. Articles of other splits are left out; None takes all.

    Raises:
        DataError: if a law is not in force under that name.
    """
    statutes = load_statutes()
    articles = [article for law in (laws or statutes.laws) for article in statutes.articles(law)]
    return [
        Document(f"{article.short}{article.number}：{article.text}", article.law)
        for article in articles
        if split is None or split_of(article.law, article.number) == split
    ]


def read_corpus(path: str, laws: Sequence[str] = ()) -> list[Document]:
    """The documents of a corpus source: ``statutes``, or a JSONL or Parquet file (see ``curricula.records``).

    Raises:
        DataError: if the source is missing, malformed or empty.
    """
    if path == "statutes":
        return statute_documents(laws)
    if laws:
        raise DataError(f"{path}: laws can be chosen from the statute corpus only")
    return read_texts(Path(path))


class Mixture:
    """Packs documents of several sources into rows of equal length, sharing out tokens by weight.

    The next document always comes from the source that is furthest behind its share of tokens; within a source
    documents are gone through in an order shuffled anew each epoch. Nothing is drawn at random besides those orders,
    so the state is a few counters.
    """

    def __init__(
        self,
        sources: Sequence[tuple[float, Sequence[Document]]],
        seed: int,
        encode: Callable[[str], list[int]],
        eos_id: int,
    ) -> None:
        for number, (_, documents) in enumerate(sources):
            if not documents:
                raise DataError(f"source {number + 1} of the mixture holds no document")
        total = sum(weight for weight, _ in sources)
        self.weights = [weight / total for weight, _ in sources]
        self.documents = [documents for _, documents in sources]
        self.seed, self.encode, self.eos_id = seed, encode, eos_id
        self.positions = [0] * len(sources)
        self.tokens = [0] * len(sources)
        self.rest: list[int] = []
        self.document = 0

    def next_rows(self, n: int, length: int) -> tuple[list[list[int]], list[list[int]]]:
        """``n`` rows of exactly ``length`` token ids, and for each token the number of its document.

        A document that does not fit is continued in the next row, as a document of its own there.
        """
        rows, segments = [], []
        for _ in range(n):
            row: list[int] = []
            segment: list[int] = []
            while len(row) < length:
                if not self.rest:
                    self.rest = self._next_document()
                taken = self.rest[: length - len(row)]
                self.rest = self.rest[len(taken) :]
                row += taken
                segment += [self.document] * len(taken)
                self.document += 1
            rows.append(row)
            segments.append(segment)
        return rows, segments

    def _next_document(self) -> list[int]:
        total = sum(self.tokens)
        source = max(range(len(self.weights)), key=lambda i: self.weights[i] * total - self.tokens[i])
        documents = self.documents[source]
        epoch, place = divmod(self.positions[source], len(documents))
        order = list(range(len(documents)))
        random.Random(f"{self.seed}/{source}/{epoch}").shuffle(order)
        ids = [*self.encode(documents[order[place]].text), self.eos_id]
        self.positions[source] += 1
        self.tokens[source] += len(ids)
        return ids

    def state_dict(self) -> dict[str, Any]:
        """State as JSON values."""
        return {
            "positions": list(self.positions),
            "tokens": list(self.tokens),
            "rest": list(self.rest),
            "document": self.document,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state.

        Raises:
            DataError: if it belongs to another mixture.
        """
        require_keys("mixture", state, self.state_dict())
        if len(state["positions"]) != len(self.positions):
            raise DataError(f"the mixture state has {len(state['positions'])} sources, expected {len(self.positions)}")
        self.positions, self.tokens = list(state["positions"]), list(state["tokens"])
        self.rest, self.document = list(state["rest"]), int(state["document"])
