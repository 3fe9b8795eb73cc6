"""F1 of label sets over a whole task, as CAIL computes it, and the numbers of CAIL2018's labels."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from rewards.parsing import present_name
from rewards.parsing.charge_names import cail2018_charges
from rewards.sets import f1
from rl.evaluation.scoring import mean

CAIL2018_CHARGES = cail2018_charges()
"""In the order of accu.txt, which the official output numbers from 1."""
CAIL2018_ARTICLES = (
    184, 336, 314, 351, 224, 132, 158, 128, 223, 308, 341, 349, 382, 238, 369, 248, 266, 313, 127, 340, 288, 172, 209,
    243, 302, 200, 227, 155, 147, 143, 261, 124, 359, 343, 291, 241, 235, 367, 393, 274, 240, 269, 199, 119, 246, 282,
    133, 177, 170, 310, 364, 201, 312, 244, 357, 233, 236, 264, 225, 234, 328, 417, 151, 135, 136, 348, 217, 168, 134,
    237, 262, 150, 114, 196, 303, 191, 392, 226, 267, 272, 212, 353, 315, 205, 372, 215, 350, 275, 385, 164, 338, 292,
    159, 162, 333, 388, 356, 375, 326, 402, 397, 125, 395, 290, 176, 354, 185, 141, 279, 399, 192, 383, 307, 295, 361,
    286, 404, 390, 294, 115, 344, 268, 171, 117, 273, 193, 418, 220, 198, 231, 386, 363, 346, 210, 270, 144, 347, 280,
    281, 118, 122, 116, 360, 239, 228, 305, 130, 152, 389, 276, 213, 186, 413, 285, 316, 245, 232, 175, 149, 263, 387,
    283, 391, 211, 396, 352, 345, 258, 253, 163, 140, 293, 194, 342, 161, 358, 271, 156, 260, 384, 153, 277, 214,
)  # fmt: skip
"""Articles of the criminal law in the order of law.txt, which the official output numbers from 1."""

_BY_PRESENT_NAME = {present_name(label): label for label in reversed(CAIL2018_CHARGES)}


def cail2018_labels(charges: Iterable[str]) -> set[str]:
    """Charges as CAIL2018's labels: a charge under a later name becomes the label of 2018."""
    return {name if name in CAIL2018_CHARGES else _BY_PRESENT_NAME.get(name, name) for name in charges}


Sets = Sequence[tuple[Collection[object], Collection[object]]]
"""(given, wanted) labels of each question."""


def micro_macro(pairs: Sets, labels: Collection[object]) -> tuple[float, float]:
    """(micro F1, macro F1) over ``labels``. A label that is neither wanted nor given has F1 1; others do not count.

    CAIL's score is the mean of the two (Xiao et al. 2018).
    """
    right, given, wanted = (dict.fromkeys(labels, 0) for _ in range(3))
    for one, other in pairs:
        for label in set(one) & given.keys():
            given[label] += 1
            right[label] += label in other
        for label in set(other) & wanted.keys():
            wanted[label] += 1
    micro = f1(sum(right.values()), sum(given.values()), sum(wanted.values()))
    return micro, mean([f1(right[label], given[label], wanted[label]) for label in labels])


def occurring(pairs: Sets, labels: Collection[object]) -> list[object]:
    """The labels that are wanted or given at least once."""
    seen = {label for one, other in pairs for label in (*one, *other)}
    return [label for label in labels if label in seen]


def question_f1(given: Collection[object], wanted: Collection[object]) -> float:
    """F1 of one question; 1 if nothing is wanted and nothing given."""
    one, other = set(given), set(wanted)
    return f1(len(one & other), len(one), len(other))
