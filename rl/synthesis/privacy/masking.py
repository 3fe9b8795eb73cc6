"""Masks the personal data of a judgment, the same way everywhere in it: 张三 becomes 张某1, a number 某电话1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import regex

from rl.inference.structuring.judgment_text import aligned
from rl.synthesis.privacy.addresses import address_spans
from rl.synthesis.privacy.names import surname
from rl.synthesis.privacy.numbers import number_spans
from rl.synthesis.privacy.persons import People, people, person_spans
from rl.synthesis.privacy.spans import Kind, Span, apart

LABELS: dict[Kind, str] = {
    "id_number": "某证件号", "phone": "某电话", "bank_account": "某账号", "plate": "某车牌", "address": "某地址",
    "email": "某邮箱", "passport": "某护照号", "account": "某网络账号", "credit_code": "某信用代码",
}  # fmt: skip
"""What stands for a value of each kind, with its number in the document; a person has the surname and 某 instead."""
_NEXT = regex.compile(r"[\d〇零一二两三四五六七八九十百千万亿半壹贰叁肆伍陆柒捌玖拾年月日号个元条款项岁分.]")
"""Before these a mask, which ends with a digit, is set apart by a space: 赔偿张某1 3万元."""


@dataclass(frozen=True)
class Choice:
    """What is masked beside what always is."""

    officials: bool = False
    """Judges, clerks and prosecutors; they act in public, and courts publish their names."""
    credit_codes: bool = False
    """Credit codes of companies; they are public, and a company is no person."""


@dataclass(frozen=True)
class Mask:
    """A place that was masked, without what stood there."""

    start: int
    end: int
    """Characters ``start`` to ``end`` (exclusive) of the text before."""
    kind: Kind
    mask: str


@dataclass(frozen=True)
class Masked:
    """A text without its personal data."""

    text: str
    masks: tuple[Mask, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Places by kind."""
        return dict(sorted(Counter(mask.kind for mask in self.masks).items()))

    def report(self) -> dict[str, Any]:
        """Counts by kind, how many different values of each, and every place; nothing of what was masked."""
        values = Counter(kind for kind, _ in {(mask.kind, mask.mask) for mask in self.masks})
        spans = [{"start": m.start, "end": m.end, "kind": m.kind, "mask": m.mask} for m in self.masks]
        return {"counts": self.counts, "values": dict(sorted(values.items())), "spans": spans}


def personal_data(text: str, choice: Choice = Choice(), who: People | None = None) -> list[Span]:
    """The personal data of a judgment, by place. Names come from its roles, parties and surnames, numbers from their
    form and check digits, addresses from the words before them. ``who`` is named, if others than the text names."""
    plain = aligned(text)
    who = who or people(plain)
    names = [*who.persons, *(who.officials if choice.officials else ())]
    kept = [m.span() for name in who.organisations for m in regex.finditer(regex.escape(name), plain)]
    if not choice.officials:
        kept += _officials(plain, who.officials, names)
    return apart(number_spans(plain, choice.credit_codes), address_spans(plain), person_spans(plain, names, kept))


def _officials(plain: str, officials: Sequence[str], names: Sequence[str]) -> list[tuple[int, int]]:
    return [m.span() for name in officials if name not in names for m in regex.finditer(regex.escape(name), plain)]


def mask(text: str, choice: Choice = Choice()) -> Masked:
    """A judgment with its personal data masked. Equal values get the same mask, different ones different masks; masks
    that the text holds already are not given again. Masking a masked text changes nothing."""
    return mask_together((text,), choice)[0]


def mask_together(texts: Sequence[str], choice: Choice = Choice()) -> list[Masked]:
    """Texts that belong together, such as the fields of a record, masked as one document: who is named in one of them
    is masked in all."""
    named = [people(aligned(text)) for text in texts]
    who = People(
        *(tuple(sorted({name for one in named for name in getattr(one, part.name)})) for part in fields(People))
    )
    written: dict[tuple[Kind, str], str] = {}
    whole = "\n".join(texts)
    return [_masked(text, personal_data(text, choice, who), written, whole) for text in texts]


def _masked(text: str, spans: Sequence[Span], written: dict[tuple[Kind, str], str], whole: str) -> Masked:
    """``written`` are the masks so far, to which new ones are added; ``whole`` holds none of these."""
    pieces, masks, at = [], [], 0
    for span in spans:
        key = (span.kind, span.value)
        if key not in written:
            written[key] = _unused(whole, span, set(written.values()))
        room = " " if _NEXT.match(text, span.end) else ""
        pieces += [text[at : span.start], written[key], room]
        masks.append(Mask(span.start, span.end, span.kind, written[key]))
        at = span.end
    return Masked("".join([*pieces, text[at:]]), tuple(masks))


def _unused(text: str, span: Span, used: set[str]) -> str:
    stem = f"{surname(span.value)}某" if span.kind == "person" else LABELS[span.kind]
    number = 1
    while (name := f"{stem}{number}") in used or name in text:
        number += 1
    return name
