"""Damaged files: cut short, with flipped bits, and JSON of another shape."""

import json
import random
from collections.abc import Iterator
from typing import Any

ODD: list[Any] = [None, True, -1, 10**30, 1.5, float("nan"), "", "文", "\ud800", [], [1], {}, {"a": {}}, [[]], [{}]]
"""What stands in place of another value."""


def damaged(content: bytes, rng: random.Random, count: int) -> Iterator[bytes]:
    """Damaged versions of a file, ``count`` of each kind, and some that are always tried."""
    yield from (b"", b"\xff", b"\0" * 64, b"[" * 100_000, b"1" * 5000, b"null", b"[]", b"{}", b'"x"', b"\xef\xbb\xbf{}")
    for _ in range(count):
        yield content[: rng.randrange(len(content))]
        flipped = bytearray(content)
        for _ in range(rng.choice((1, 1, 8))):
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        yield bytes(flipped)
        start = rng.randrange(len(content))
        yield content[:start] + bytes(min(4096, len(content) - start)) + content[start + 4096 :]  # a block of zeros
    yield from _other_shapes(content, rng, count)


def _other_shapes(content: bytes, rng: random.Random, count: int) -> Iterator[bytes]:
    """A JSON file, or the lines of one, with a value that was replaced, removed or renamed."""
    lines = content.splitlines()
    try:
        whole, lines = [json.loads(content)], []
    except ValueError:
        try:
            whole = [json.loads(line) for line in lines]
        except ValueError:
            return
    for number in range(3 * count):
        copy = json.loads(json.dumps(whole))
        _change(copy, rng, depth=rng.choice((0, 1, 1, 2, 3, 9)) if number % 2 else 1)
        dumped = [json.dumps(one).encode() for one in copy]
        yield b"".join(line + b"\n" for line in dumped) if lines else (dumped or [b""])[0]


def _change(value: Any, rng: random.Random, depth: int) -> None:
    places = list(value) if isinstance(value, dict) else list(range(len(value)))
    if not places:
        return
    place = rng.choice(places)
    if depth > 0 and isinstance(value[place], dict | list) and value[place]:
        _change(value[place], rng, depth - 1)
    elif isinstance(value, dict) and rng.random() < 0.4:
        kept = value.pop(place)
        if rng.random() < 0.5:
            value[f"{place}x"] = kept
    else:
        value[place] = rng.choice(ODD)
