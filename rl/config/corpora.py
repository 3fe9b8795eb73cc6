"""Mid-training corpora as typed models: sources, cleaning, plasticity-adjusted sampling."""

from typing import Literal

from pydantic import Field, model_validator

from curricula.corpora import read_corpus
from curricula.records import Document
from rl.config.base import Strict


class CorpusSource(Strict):
    """One source of a mid-training mixture."""

    path: str = "statutes"
    """``statutes`` for the bundled statutes in force; a JSONL or Parquet file with a ``text`` column; a text file (one
    document); a folder of such files; or ``hf:name`` for a dataset on the hub, which is streamed."""
    laws: tuple[str, ...] = ()
    """Names of the laws to take from the statute corpus; empty takes every law in force."""
    kind: Literal["general", "legal", "synthetic"] = "legal"
    """What it counts as in the corpus card and in measures of forgetting."""
    weight: float = Field(1.0, ge=0)
    """Share of tokens drawn from this source, relative to the others."""
    decay_weight: float | None = Field(None, ge=0)
    """Its weight in the decay phase of PAS, where high-quality sources are meant to come forward; empty keeps it."""
    subset: str | None = None
    """Configuration of a hub dataset."""
    split: str = "train"
    """Split of a hub dataset."""
    column: str = "text"
    """Column of a hub dataset that holds the text."""
    limit: int | None = Field(None, ge=1)
    """Most documents taken from the source; a hub dataset needs it."""

    @property
    def on_hub(self) -> bool:
        """Whether it is streamed from the hub."""
        return self.path.startswith("hf:")

    @property
    def local(self) -> bool:
        """Whether it is read from files or folders of this machine."""
        return self.path != "statutes" and not self.on_hub

    def read(self) -> list[Document]:
        """Its documents, before cleaning.

        Raises:
            DataError: if the source is missing, malformed or empty.
        """
        return read_corpus(
            self.path, self.laws, subset=self.subset, split=self.split, column=self.column, limit=self.limit
        )

    @model_validator(mode="after")
    def _possible(self) -> "CorpusSource":
        if self.laws and self.path != "statutes":
            raise ValueError(f"{self.path}: laws can be chosen from path=statutes only")
        if self.on_hub and self.limit is None:
            raise ValueError(f"{self.path}: a streamed dataset has no end; set limit, the number of documents to take")
        return self


class CleaningConfig(Strict):
    """Which documents are left out of a corpus."""

    near_duplicates: float = Field(0.8, ge=0, le=1)
    """Jaccard similarity of character 5-grams (candidates by MinHash) from which the later of two documents is
    dropped; 0 drops only exact copies."""
    min_chars: int = Field(10, ge=0)
    """Shortest document (characters that are not white space)."""
    min_text: float = Field(0.6, ge=0, le=1)
    """Least share of letters, ideographs and digits outside of tags among the characters that are not white space."""
    min_chinese: float = Field(0.0, ge=0, le=1)
    """Least share of ideographs among letters and ideographs; 0.5 drops documents in another language."""


class PASConfig(Strict):
    """Plasticity-adjusted sampling (LegalOne, section 3): easy documents first, while the learning rate rises.

    The sources leave some points open. Chosen here: the reference model is the policy at the perplexity stage; a
    score belongs to a whole document; shares are shares of tokens in every batch, inside each corpus source; the
    formula holds while the rate rises and while it is stable; in the decay ``decay`` and ``decay_weight`` take over.
    """

    scores: str
    """Name of the perplexity stage."""
    scale: Literal["perplexity", "quantile"] = "perplexity"
    """What ``borders`` are: perplexities, or shares of the documents in the order of their perplexity."""
    borders: tuple[float, float, float] = (5.0, 15.0, 30.0)
    """Low up to the first, mid up to the second, high below the third; from there on a document is dropped."""
    weights: tuple[float, float, float] = (0.2, 0.5, 0.3)
    """Target shares of low, mid and high."""
    strength: float = Field(5.0, ge=0)
    """The formula's lambda: how strongly low is preferred while the learning rate is low."""
    decay: tuple[float, float, float] | None = None
    """Shares of low, mid and high in the decay phase; empty keeps ``weights``."""

    @model_validator(mode="after")
    def _possible(self) -> "PASConfig":
        if not 0 < self.borders[0] < self.borders[1] < self.borders[2]:
            raise ValueError(f"borders={list(self.borders)} must rise from above 0")
        if self.scale == "quantile" and self.borders[1] >= 1:
            raise ValueError(
                f"borders={list(self.borders)} are perplexities; with scale=quantile they are shares of the documents, "
                f"such as [0.3, 0.8, 0.98]"
            )
        for shares in (self.weights, self.decay or self.weights):
            if min(shares) < 0 or sum(shares) <= 0:
                raise ValueError(f"shares {list(shares)} must not be negative, and not all 0")
        return self
