"""Sources of mid-training corpora."""

from collections.abc import Sequence
from pathlib import Path

from curricula.errors import DataError
from curricula.records import Document, read_texts
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
