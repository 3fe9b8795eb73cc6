"""``python -m tests.synthesis.measure_privacy [TEXTS]``: recall and precision of the masker on generated texts.

A piece of personal data is found if it is masked whole, whatever kind it was taken for. A masked place is right if it
overlaps one.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable

from rl.synthesis.privacy.masking import personal_data
from tests.synthesis.personal_texts import Made, text

Figures = dict[str, tuple[int, int, int, int]]
"""Kind → places, those found, masked places, those right."""


def measure(texts: Iterable[Made], show: int = 0) -> Figures:
    """Figures by kind, and of all."""
    places: Counter[str] = Counter()
    found: Counter[str] = Counter()
    masked: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for made in texts:
        spans = personal_data(made.text)
        covered = {at for span in spans for at in range(span.start, span.end)}
        known = {at for start, end, _ in made.spans for at in range(start, end)}
        for start, end, kind in made.spans:
            places[kind] += 1
            hit = covered.issuperset(at for at in range(start, end) if made.text[at].strip())
            found[kind] += hit
            if not hit and show > 0:
                show -= 1
                print(
                    "missed",
                    kind,
                    repr(made.text[max(0, start - 12) : start]),
                    made.text[start:end],
                    repr(made.text[end : end + 12]),
                )
        for span in spans:
            masked[span.kind] += 1
            good = not known.isdisjoint(range(span.start, span.end))
            right[span.kind] += good
            if not good and show > 0:
                show -= 1
                print(
                    "wrong",
                    span.kind,
                    repr(made.text[max(0, span.start - 12) : span.start]),
                    made.text[span.start : span.end],
                    repr(made.text[span.end : span.end + 12]),
                )
    figures = {kind: (places[kind], found[kind], masked[kind], right[kind]) for kind in sorted({*places, *masked})}
    return figures | {"all": tuple(sum(one.values()) for one in (places, found, masked, right))}  # type: ignore[dict-item]


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    for kind, (places, found, masked, right) in measure(
        map(text, range(count)), 60 if len(sys.argv) > 2 else 0
    ).items():
        print(
            f"{kind:<14} recall {found / max(1, places):.4f} of {places:>6}   precision {right / max(1, masked):.4f} of {masked:>6}"
        )
