"""How many tokens prompts have, as far as it must be known to say that none is too long. Large files are measured once.

A token of a byte-level tokenizer stands for at least one byte. So a text has no more tokens than bytes, and one that
is short enough in bytes need not be tokenized before it is used.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from curricula.errors import together
from curricula.prompt_file import PromptFile
from curricula.prompts import Prompt
from curricula.rows import SHOWN
from rl.data import kept_arrays
from rl.data.chosen import Chosen
from rl.data.prompt_files import Look
from rl.data.spread import spread
from rl.data.tokens import encode_demonstrations, encode_prompts, identity
from rl.errors import UserError
from rl.models.chat import prompt_parts

Progress = Callable[[int], None]
"""Called with the number of prompts that are measured."""
PART = 2000
"""Rows that are measured in one go."""


def longer(
    tokenizer: Any, prompts: Sequence[Prompt], limit: int, *, whole: bool, progress: Progress = lambda done: None
) -> list[tuple[int, int]]:
    """(place, number of tokens) of those that have more tokens than ``limit``; ``whole``: with their demonstrations.

    Raises:
        UserError: if the chat template can't render one, naming the first and how many.
    """
    counts = _of_all(tokenizer, prompts, limit, whole, progress)
    refused = np.flatnonzero(counts == 0)
    if len(refused):
        first = [_refusal(tokenizer, prompts[place]) for place in refused[:SHOWN].tolist()]
        raise UserError(together(first, len(refused), len(prompts), "prompts can't be rendered"))
    places = np.flatnonzero(counts > limit)
    return list(zip(places.tolist(), counts[places].tolist(), strict=True))


def while_read(tokenizer: Any, limit: int, *, whole: bool) -> Look:
    """Measures a file while it is read for the first time, so that :func:`longer` need not read it again."""

    def keep(prompts: PromptFile, counts: np.ndarray) -> None:
        if path := _path(tokenizer, prompts, whole):
            _keep(path, counts)

    return Look(partial(_counts, tokenizer, limit, whole, _one_byte_or_more(tokenizer)), keep)


def _of_all(tokenizer: Any, prompts: Sequence[Prompt], limit: int, whole: bool, progress: Progress) -> np.ndarray:
    """As :func:`_counts`, in the order of the prompts."""
    if isinstance(prompts, Chosen):
        parts = [_of_all(tokenizer, part, limit, whole, progress) for part in prompts.parts]
        chosen: np.ndarray = np.concatenate(parts)[prompts.places]
        return chosen
    path = _path(tokenizer, prompts, whole)
    kept = kept_arrays.read(path) if path else None
    counts = np.zeros(len(prompts), dtype=np.int32)
    if kept is not None and [*kept] == ["counts"] and kept["counts"].shape == counts.shape:
        counts = kept["counts"]
    unsure = np.flatnonzero((counts == 0) | (counts < -limit))
    parts = [unsure[at : at + PART] for at in range(0, len(unsure), PART)]
    measured = partial(_counts, tokenizer, limit, whole, _one_byte_or_more(tokenizer))
    for rows, found in zip(parts, spread(lambda rows: measured([prompts[row] for row in rows]), parts), strict=True):
        counts[rows] = found
        progress(len(rows))
    if path and len(unsure):
        _keep(path, counts)
    return counts


def _keep(path: Path, counts: np.ndarray) -> None:
    if counts.all():
        kept_arrays.write(path, {"counts": counts})


def _path(tokenizer: Any, prompts: Sequence[Prompt], whole: bool) -> Path | None:
    if not isinstance(prompts, PromptFile) or len(prompts) < kept_arrays.KEPT_FROM:
        return None
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        return None
    return kept_arrays.path_of("lengths", whole, prompts.needed, prompts.fingerprint, identity(tokenizer))


def _counts(
    tokenizer: Any, limit: int, whole: bool, bounded: Callable[[str], bool], prompts: Sequence[Prompt]
) -> np.ndarray:
    """int32, the number of tokens of each prompt; or, if the bytes show that it is at most ``limit``, minus the number
    of bytes; 0 if the template can't render it."""
    found = np.zeros(len(prompts), dtype=np.int32)
    unsure: list[tuple[int, Prompt]] = []
    for at, prompt in enumerate(prompts):
        try:
            text = "".join(prompt_parts(tokenizer, prompt.messages))
        except UserError:
            continue
        text += (prompt.demonstration or "") if whole else ""
        size = len(text.encode()) + whole  # one for the end of the turn
        if size <= limit and bounded(text):
            found[at] = -size
        else:
            unsure.append((at, prompt))
    asked = [prompt for _, prompt in unsure]
    if whole:
        exact = [len(ids) for ids, _ in encode_demonstrations(tokenizer, asked)]
    else:
        exact = [len(ids) for ids in encode_prompts(tokenizer, asked)]
    found[[at for at, _ in unsure]] = exact
    return found


def _refusal(tokenizer: Any, prompt: Prompt) -> str:
    try:
        prompt_parts(tokenizer, prompt.messages)
    except UserError as error:
        return f"{prompt.name}: {error}"
    raise AssertionError(f"{prompt.name} was refused before")


def _one_byte_or_more(tokenizer: Any) -> Callable[[str], bool]:
    """Whether each token of a text stands for at least one of its bytes, as far as the tokenizer's parts show it."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or not type(tokenizer).__module__.startswith("transformers."):
        return _never
    parts = json.loads(backend.to_str())
    normal = {one["type"] for one in _flat(parts["normalizer"], "normalizers")}
    before = _flat(parts["pre_tokenizer"], "pretokenizers")
    bytewise = [one for one in before if one["type"] == "ByteLevel" and not one["add_prefix_space"]]
    others = {one["type"] for one in before if one not in bytewise} - {"Split", "Digits"}
    model = parts["model"]
    if len(bytewise) != 1 or others or normal - {"NFC"} or model["type"] != "BPE" or model.get("byte_fallback"):
        return _never
    return partial(unicodedata.is_normalized, "NFC") if normal else _always


def _flat(part: Any, inside: str) -> list[Any]:
    if part is None:
        return []
    return [one for each in part[inside] for one in _flat(each, inside)] if part["type"] == "Sequence" else [part]


def _always(text: str) -> bool:
    return True


def _never(text: str) -> bool:
    return False
