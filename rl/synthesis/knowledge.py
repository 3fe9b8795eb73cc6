"""What the room knows about law and questions: the expert protocols by field of law, scenarios, perspectives,
styles."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent


@lru_cache(maxsize=8)
def _data(name: str) -> tuple[dict[str, Any], str]:
    raw = (FOLDER / name).read_text(encoding="utf-8")
    found = yaml.safe_load(raw)
    return found, f"{found['version']}-{hashlib.sha256(raw.encode()).hexdigest()[:8]}"


def protocol(kind: str, step: str) -> str:
    """What the expert protocol of a field of law says to a step; a case that is not criminal follows civil law's."""
    return str(_data(f"protocols/{_field(kind)}.yaml")[0][step]).strip()


def protocol_version(kind: str) -> str:
    """Its version: the number in the file and the start of the file's SHA-256."""
    return f"{_field(kind)}-{_data(f'protocols/{_field(kind)}.yaml')[1]}"


def scenario(name: str) -> dict[str, Any]:
    """Title, task and material of a scenario."""
    found: dict[str, Any] = _data("scenarios.yaml")[0]["scenarios"][name]
    return found


def perspective(name: str) -> dict[str, Any]:
    """Title of who asks, and the kinds of case that have such a person."""
    found: dict[str, Any] = _data("scenarios.yaml")[0]["perspectives"][name]
    return found


def style(name: str) -> dict[str, Any]:
    """Title of a style of rewriting, and what it asks for."""
    found: dict[str, Any] = _data("styles.yaml")[0]["styles"][name]
    return found


def writer(name: str) -> str:
    """Title of who writes a rewriting."""
    return str(_data("styles.yaml")[0]["perspectives"][name])


def _field(kind: str) -> str:
    return "criminal" if kind == "criminal" else "civil"
