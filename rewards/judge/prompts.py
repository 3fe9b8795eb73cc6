"""What the judge is asked: versioned templates in Chinese and English, and the form of its answer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from string import Template
from typing import Any, Literal

import regex

from rewards.parsing import article_refs, folded
from rewards.parsing.text import LONGEST, scan
from rewards.statute_check import article_of, check
from rewards.verdict import Sample

Language = Literal["zh", "en"]
FOLDER = Path(__file__).parent / "templates"
MOST_ARTICLES = 6
LONGEST_ARTICLE = 500
"""Characters of one article that the judge is shown."""
DIMENSIONS: dict[str, tuple[str, ...]] = {
    "rubric": (),
    "summary": ("faithfulness", "completeness", "concision"),
    "judicial_analysis": ("issues", "law", "logic", "completeness"),
    "translation": ("accuracy", "terminology", "fluency"),
    "consultation": ("accuracy", "completeness", "clarity"),
    "casegen_defense": ("facts", "relations", "logic", "completeness"),
    "casegen_fact": ("facts", "relevance", "logic", "completeness"),
    "casegen_reasoning": ("issues", "relations", "logic", "completeness", "ethics"),
    "casegen_judgement": ("outcome", "articles"),
    "outcome": (),
}
"""Criteria of 1 to 10 points, each with the dimensions that get points as well. ``outcome`` shows no reference."""
LOWEST = {"legal_validity": 0} | dict.fromkeys(DIMENSIONS, 1)
HIGHEST = {"legal_validity": 2} | dict.fromkeys(DIMENSIONS, 10)
"""Fewest and most points of each criterion."""

_FENCE = regex.compile(r"<<<|>>>")
_TO_THE_JUDGE = regex.compile(
    r"(?:给|打|评为?|请给)\S{0,12}(?:[2２二两]|10|十|满|最高)\s?分|(?:忽略|无视|不要理会)\S{0,10}(?:指令|要求|规则|标准|提示)"
    r"|(?:评审|评委|评分|打分|阅卷)(?:者|员|人|模型|系统|老师)\S{0,4}[,，:：请]|\"points\"\s?:"
    r"|(?i:ignore\s(?:all\s|any\s)?(?:the\s)?(?:previous|above|prior)|as\s(?:the|a)\s(?:judge|reviewer|grader)"
    r"|(?:give|award|assign)\s(?:this|the|me)\s(?:answer\s|response\s)?(?:full|2|10|two|ten|maximum)|system\s?prompt)"
)


@dataclass(frozen=True)
class JudgePrompt:
    """A template."""

    name: str
    version: str
    """Its version and the start of its SHA-256, so that no changed text is taken for the old one."""
    text: Template


@lru_cache(maxsize=16)
def load(name: str, language: Language) -> JudgePrompt:
    """A template of the package.

    Raises:
        ValueError: if there is none.
    """
    path = FOLDER / f"{name}.{language}.txt"
    if not path.is_file():
        known = sorted(found.name.removesuffix(".txt") for found in FOLDER.glob("*.txt"))
        raise ValueError(f"no judge prompt {name}.{language}; there are {', '.join(known)}")
    raw = path.read_text(encoding="utf-8")
    head, _, body = raw.partition("\n")
    version = head.removeprefix("version:").strip()
    return JudgePrompt(name, f"{version}-{hashlib.sha256(raw.encode()).hexdigest()[:8]}", Template(body))


def question(name: str, sample: Sample, language: Language) -> str:
    """The text that asks for points on a sample, with the articles it cites in their official wording."""
    return load(name, language).text.substitute(
        question=_fenced(sample.prompt),
        reference=_fenced(sample.reference),
        completion=_fenced(sample.completion[-LONGEST:]),
        statutes=official(sample.completion, language),
    )


def comparison(sample: Sample, first: str, second: str, language: Language) -> str:
    """The text that asks which of two completions is better."""
    return load("preference", language).text.substitute(
        question=_fenced(sample.prompt),
        reference=_fenced(sample.reference),
        first=_fenced(first[-LONGEST:]),
        second=_fenced(second[-LONGEST:]),
    )


def _fenced(text: str) -> str:
    """Text that can't close the block in which it stands, and that can be sent (half a surrogate pair can't)."""
    return _FENCE.sub("", text).encode("utf-8", "replace").decode("utf-8")


def official(text: str, language: Language) -> str:
    """The articles that a text cites, as they are in force; those that do not exist or are not held are marked."""
    lines = []
    refs = {(ref.law, ref.edition, ref.key): ref for ref in reversed(article_refs(text)) if ref.law}
    for ref in list(refs.values())[::-1][:MOST_ARTICLES]:
        found, article = check(replace(ref, quote=None, paragraph=None, item=None)), article_of(ref)
        if found.outcome == "right" and article is not None:
            lines.append(f"{article.law}{ref.place}：{article.text[:LONGEST_ARTICLE]}")
        else:
            lines.append(f"{ref}：{_ABSENT[language][found.outcome]}")
    return "\n".join(lines) or ("（没有引用条文）" if language == "zh" else "(no article is cited)")


_ABSENT = {
    "zh": {"wrong": "现行法中没有此条", "unknown": "条文库未收录，无从核对"},
    "en": {"wrong": "no such article in force", "unknown": "not held here, so that it can't be checked"},
}
"""What is said about an article that can't be shown."""


def speaks_to_judge(completion: str) -> bool:
    """Whether a completion addresses its judge: asks for points, overrides instructions, writes the judge's answer."""
    return bool(scan(_TO_THE_JUDGE, folded(completion)))


def points_schema(name: str) -> dict[str, Any]:
    """JSON schema of the judge's answer; served models are held to it by guided decoding."""
    points = {"type": "integer", "enum": list(range(LOWEST[name], HIGHEST[name] + 1))}
    fields = [*DIMENSIONS.get(name, ()), "points"]
    return {
        "type": "object",
        "properties": {"reason": {"type": "string", "maxLength": 120}} | dict.fromkeys(fields, points),
        "required": ["reason", *fields],
        "additionalProperties": False,
    }


def preference_schema() -> dict[str, Any]:
    """JSON schema of a comparison."""
    return {
        "type": "object",
        "properties": {
            "reason": {"type": "string", "maxLength": 120},
            "better": {"type": "string", "enum": ["first", "second", "tie"]},
        },
        "required": ["reason", "better"],
        "additionalProperties": False,
    }
