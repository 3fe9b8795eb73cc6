"""``python -m tests.rl.synthesis.measure_privacy [TEXTS]``: recall and precision of the masker on generated texts.

A piece of personal data is found if it is masked whole, whatever kind it was taken for. A masked place is right if it
overlaps one.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable

from rl.synthesis.privacy.masking import personal_data
from tests.rl.synthesis.personal_texts import Made, text

Figures = dict[str, tuple[int, int, int, int]]
"""Kind → places, those found, masked places, those right."""


def measure(texts: Iterable[Made], show: int = 0) -> Figures:
    """Figures by kind, and of all; the first ``show`` mistakes are printed."""
    places: Counter[str] = Counter()
    found: Counter[str] = Counter()
    masked: Counter[str] = Counter()
    right: Counter[str] = Counter()
    mistakes: list[str] = []
    for made in texts:
        spans = personal_data(made.text)
        covered = {at for span in spans for at in range(span.start, span.end)}
        known = {at for start, end, _ in made.spans for at in range(start, end)}
        for start, end, kind in made.spans:
            places[kind] += 1
            hit = covered.issuperset(at for at in range(start, end) if made.text[at].strip())
            found[kind] += hit
            mistakes += [] if hit else [f"missed {kind} {_around(made.text, start, end)}"]
        for span in spans:
            masked[span.kind] += 1
            good = not known.isdisjoint(range(span.start, span.end))
            right[span.kind] += good
            mistakes += [] if good else [f"wrong {span.kind} {_around(made.text, span.start, span.end)}"]
    print("\n".join(mistakes[:show]), end="\n" if mistakes[:show] else "")
    figures = {kind: (places[kind], found[kind], masked[kind], right[kind]) for kind in sorted({*places, *masked})}
    return figures | {"all": (places.total(), found.total(), masked.total(), right.total())}


def _around(text: str, start: int, end: int) -> str:
    return f"{text[max(0, start - 12) : start]}[{text[start:end]}]{text[end : end + 12]}".replace("\n", " ")


if __name__ == "__main__":
    count, show = (int(one) for one in (*sys.argv[1:], *("300", "0")[len(sys.argv) - 1 :]))
    for kind, (places, found, masked, right) in measure(map(text, range(count)), show).items():
        recall, precision = found / max(1, places), right / max(1, masked)
        print(f"{kind:<14} recall {recall:.4f} of {places:>6}   precision {precision:.4f} of {masked:>6}")
