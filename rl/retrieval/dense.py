"""Dense retrieval: texts and questions as vectors of a sentence-transformers model, compared by cosine."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rl.errors import UserError
from rl.files import digest, in_one_move
from rl.retrieval.passages import fingerprint

CHUNK = 512
"""Texts that are embedded and saved together; an interruption loses so many at most."""
OURS = "sentence_transformers."
"""Package that every module of a model must come from: code in a model's folder is not run."""


class DenseIndex:
    """Vectors of texts, one row each, of length 1."""

    def __init__(self, encoder: Encoder, vectors: np.ndarray) -> None:
        self.encoder, self.vectors = encoder, vectors

    def search(self, questions: Sequence[str]) -> np.ndarray:
        """Cosines, shape (questions, texts), float32."""
        return self.encoder.questions(questions) @ self.vectors.T


class Encoder:
    """A sentence-transformers model from a folder, on the CPU or a GPU."""

    def __init__(self, folder: Path, batch: int = 32, threads: int = 1, device: str | None = None) -> None:
        """
        Raises:
            UserError: if the folder holds no model, one with pickled weights, or one with its own code.
        """
        self.folder, self.batch = folder, batch
        _examine(folder)
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(threads)
        try:
            self._model: Any = SentenceTransformer(str(folder), device=device, local_files_only=True)
        except Exception as error:  # a damaged folder can raise anything
            raise UserError(
                f"the model in {folder} can't be loaded ({error}); give a sentence-transformers folder"
            ) from None
        self.fingerprint = fingerprint(tuple(f"{p.relative_to(folder)} {digest(p)}" for p in _files(folder)))

    def questions(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of questions, with the prompt that the model has for queries."""
        return self._unit(self._model.encode_query(list(texts), batch_size=self.batch, show_progress_bar=False))

    def documents(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of texts, with the prompt that the model has for documents."""
        return self._unit(self._model.encode_document(list(texts), batch_size=self.batch, show_progress_bar=False))

    def index(
        self, texts: Sequence[str], cache: Path, advance: Callable[[int], None] = lambda done: None
    ) -> DenseIndex:
        """Vectors of all texts; chunks that were embedded before come from ``cache``.

        ``advance`` gets the number of texts that are done. A chunk is named after its texts and the model, so that
        after a change only changed chunks are embedded again. An interruption loses ``CHUNK`` texts at most.
        """
        found = []
        for start in range(0, len(texts), CHUNK):
            chunk = tuple(texts[start : start + CHUNK])
            path = cache / self.fingerprint[:16] / f"{fingerprint(chunk)[:32]}.npy"
            vectors = _read(path, len(chunk))
            if vectors is None:
                vectors = self.documents(chunk)
                _write(path, vectors)
            found.append(vectors)
            advance(start + len(chunk))
        return DenseIndex(self, np.concatenate(found) if found else np.zeros((0, 1), np.float32))

    @staticmethod
    def _unit(vectors: Any) -> np.ndarray:
        found = np.asarray(vectors, dtype=np.float32)
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)


def _files(folder: Path) -> list[Path]:
    return sorted(
        p for p in folder.rglob("*") if p.is_file() and p.suffix in (".json", ".safetensors", ".txt", ".model")
    )


def _examine(folder: Path) -> None:
    try:
        modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        kinds = [str(module["type"]) for module in modules]
    except FileNotFoundError:
        raise UserError(f"{folder} has no modules.json; give the folder of a sentence-transformers model") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / 'modules.json'} is damaged ({error}); fetch the model again") from None
    foreign = [kind for kind in kinds if not kind.startswith(OURS)]
    if foreign:
        raise UserError(
            f"the model in {folder} contains its own code ({foreign[0]}), which is not run; take another one"
        )
    for path in folder.rglob("*.bin"):
        if not any(path.parent.glob("*.safetensors")):
            raise UserError(f"{path} is pickled, which is not read; save the model with safetensors")


def _read(path: Path, rows: int) -> np.ndarray | None:
    """Saved vectors; None where there are none or they are damaged."""
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.ndim == 2 and len(found) == rows and found.dtype == np.float32 else None


def _write(path: Path, vectors: np.ndarray) -> None:
    with in_one_move(path, f".{os.getpid()}") as partial, partial.open("wb") as file:
        np.save(file, vectors, allow_pickle=False)
