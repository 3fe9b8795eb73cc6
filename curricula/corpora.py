"""Sources of mid-training corpora."""

from collections.abc import Sequence

from curricula.errors import DataError
from curricula.records import Document, read_texts
from curricula.splits import Split, split_of
from curricula.statutes import load_statutes


def statute_documents(laws: Sequence[str] = (), split: Split | None = "train") -> list[Document]:
    """One document per article, headed by law and number. Articles of other splits are left out; None takes all.

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


def read_corpus(
    path: str,
    laws: Sequence[str] = (),
    *,
    subset: str | None = None,
    split: str = "train",
    column: str = "text",
    limit: int | None = None,
) -> list[Document]:
    """The first ``limit`` documents of a source: ``statutes``, ``hf:name``, or a file or folder (``read_texts``).

    ``subset``, ``split`` and ``column`` apply only to a dataset of the hub.

    Raises:
        DataError: if the source is missing, malformed or empty.
    """
    if path == "statutes":
        return statute_documents(laws)[:limit]
    if laws:
        raise DataError(f"{path}: laws can be chosen from the statute corpus only")
    if path.startswith("hf:"):
        return _hub_documents(path.removeprefix("hf:"), subset, split, column, limit)
    return read_texts(path, limit)


def _hub_documents(name: str, subset: str | None, split: str, column: str, limit: int | None) -> list[Document]:
    import datasets  # slow to import

    found: list[Document] = []
    try:
        for row in datasets.load_dataset(name, subset, split=split, streaming=True):
            if column not in row:
                raise DataError(f"hf:{name}: no column {column}; it has {', '.join(sorted(row))}")
            text = row[column]
            if not isinstance(text, str | None):
                raise DataError(f"hf:{name}: column {column} must be text, found {type(text).__name__}")
            if text and text.strip():
                found.append(Document(text, name))
            if len(found) == limit:
                break
    except DataError:
        raise
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise DataError(
            f"hf:{name} (subset {subset}, split {split}) can't be read: {type(error).__name__}: {reason}"
        ) from None
    if not found:
        raise DataError(f"hf:{name}: split {split} holds no text in column {column}")
    return found
