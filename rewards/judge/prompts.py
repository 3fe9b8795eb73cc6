"""What the judge is asked: versioned templates in Chinese and English, and the form of its answer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from string import Template
from typing import Any

import regex

from rewards.judge.fences import NOTICE, Language, fenced, without_control
from rewards.parsing import article_refs, folded
from rewards.parsing.text import LONGEST, scan
from rewards.statute_check import article_of, check
from rewards.verdict import Sample

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

PREFERENCE = "preference"
"""Name of the template that asks which of two completions is better."""
POINTS_SLOTS = ("question", "reference", "statutes", "completion")
PREFERENCE_SLOTS = ("question", "reference", "first", "second")
"""The slots that a template may have, each written ``$name``; the judged ones (from the end: one, two) it must have."""

_TO_THE_JUDGE = regex.compile(
    r"(?:给|打|评为?|请给)\S{0,12}(?:[2２二两]|10|十|满|最高)\s?分|(?:忽略|无视|不要理会)\S{0,10}(?:指令|要求|规则|标准|提示)"
    r"|(?:评审|评委|评分|打分|阅卷)(?:者|员|人|模型|系统|老师)\S{0,4}[,，:：请]|\"points\"\s?:"
    r"|(?i:ignore\s(?:all\s|any\s)?(?:the\s)?(?:previous|above|prior)|as\s(?:the|a)\s(?:judge|reviewer|grader)"
    r"|(?:give|award|assign)\s(?:this|the|me)\s(?:answer\s|response\s)?(?:full|2|10|two|ten|maximum)|system\s?prompt)"
)


@dataclass(frozen=True)
class JudgePrompt:
    """A template."""

    version: str
    """Its version and the start of the SHA-256 of all its wording, so that no changed text is taken for the old one."""
    text: Template
    language: Language


@dataclass(frozen=True)
class Asked:
    """What a judge is asked about, without the marks of a request, which are others each time."""

    prompt: JudgePrompt
    texts: dict[str, str]
    """The text in each slot, as the judge is shown it."""

    def text(self) -> str:
        """The text of one request, with marks of its own around the text of each slot."""
        return fenced(self.prompt.text, self.texts, self.prompt.language)


@lru_cache(maxsize=16)
def load(name: str, language: Language) -> JudgePrompt:
    """A template of the package.

    Raises:
        ValueError: if there is none, or if its slots are not those of its kind.
    """
    path = FOLDER / f"{name}.{language}.txt"
    if not path.is_file():
        known = sorted(found.name.removesuffix(".txt") for found in FOLDER.glob("*.txt"))
        raise ValueError(f"no judge prompt {name}.{language}; there are {', '.join(known)}")
    raw = path.read_text(encoding="utf-8")
    head, _, body = raw.partition("\n")
    text = Template(body)
    _require_slots(path, text, *((PREFERENCE_SLOTS, 2) if name == PREFERENCE else (POINTS_SLOTS, 1)))
    version, digest = head.removeprefix("version:").strip(), hashlib.sha256((raw + NOTICE[language]).encode())
    return JudgePrompt(f"{version}-{digest.hexdigest()[:8]}", text, language)


def _require_slots(path: Path, text: Template, slots: tuple[str, ...], judged: int) -> None:
    if not text.is_valid():
        raise ValueError(f"{path}: a $ that begins no slot is written $$")
    found = text.get_identifiers()
    for name in found:
        if name not in slots:
            raise ValueError(f"{path}: ${name} is no slot of this prompt; the slots are ${', $'.join(slots)}")
    for name in slots[-judged:]:
        if name not in found:
            raise ValueError(f"{path}: the prompt lacks ${name}, and so the text that is judged; add it")


def question(name: str, sample: Sample, language: Language) -> Asked:
    """A question for points on a sample, with the articles it cites in their official wording."""
    return _asked(
        name,
        language,
        question=sample.prompt,
        reference=sample.reference,
        statutes=official(sample.completion, language),
        completion=sample.completion[-LONGEST:],
    )


def comparison(sample: Sample, first: str, second: str, language: Language) -> Asked:
    """A question which of two completions is better."""
    return _asked(
        PREFERENCE,
        language,
        question=sample.prompt,
        reference=sample.reference,
        first=first[-LONGEST:],
        second=second[-LONGEST:],
    )


def _asked(name: str, language: Language, **texts: str) -> Asked:
    prompt = load(name, language)
    used = prompt.text.get_identifiers()
    return Asked(prompt, {slot: without_control(text) for slot, text in texts.items() if slot in used})


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
