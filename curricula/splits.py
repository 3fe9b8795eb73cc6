"""Held-out splits by a stable hash of what a question is about."""

import hashlib
from typing import Literal

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")


def split_of(*key: object) -> Split:
    """The split of a content key: 70 % train, 10 % dev, 20 % test, the same on every machine and in every run.

    A task hashes the content that must not be memorised (an article, a pair of numbers), so that every question about
    the same content lies in one split.
    """
    text = "\x1f".join(str(part) for part in key)
    bucket = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % 100
    return "train" if bucket < 70 else "dev" if bucket < 80 else "test"
