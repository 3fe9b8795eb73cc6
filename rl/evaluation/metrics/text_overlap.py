"""ROUGE-L, BLEU and METEOR over jieba's words, as the libraries that the benchmarks use compute them.

``lawbench`` is rouge-chinese (LawBench). ``lexeval`` is rouge 1.0.1 (LexEval): it counts each *different* word once,
and its recursion gives up on long texts, which LexEval scores 0. ``plain`` is ROUGE-L as Lin (2004) defines it.
"""

from __future__ import annotations

import math
import string
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from rapidfuzz.distance import LCSseq

from rewards.rules.rouge import lcs_f1, segmenter

DEEPEST = 990
"""Deepest recursion over words that Python's limit of 1000 frames leaves to LexEval's script."""
MARKS = (
    string.punctuation
    + "！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､、〃》「」『』【】"
    + "〔〕〖〗〘〙〚〛〜〝〞〟〰〾〿–—‘’‛“”„‟…‧﹏."
)
"""Punctuation that LexEval removes; it leaves 《."""
_MARKS = frozenset(MARKS)


def segmented(text: str) -> list[str]:
    """Words by jieba with its model for unknown words, white space included."""
    return list(segmenter().cut(text))


@lru_cache(maxsize=1)
def _library() -> Any:
    from rouge_chinese import Rouge

    return Rouge()


def lawbench(prediction: str, reference: str) -> float:
    """rouge-chinese's F; an empty prediction counts as the word 无内容."""
    sides = []
    for text in (prediction, reference):
        joined = " ".join(segmented(text))
        joined = joined if joined.strip() else "无内容"
        sentences = [" ".join(part.split()) for part in _library().cut_sent(joined) if part]
        sides.append([word for sentence in sentences for word in sentence.split(" ")])
    return _balanced(LCSseq.similarity(*sides), len(sides[0]), len(sides[1]))


def normalised(text: str) -> str:
    """LexEval's: lower case, no punctuation, no white space."""
    return "".join("".join(c for c in text.lower() if c not in _MARKS).split())


def lexeval(prediction: str, reference: str) -> float:
    """rouge 1.0.1's F on LexEval's normal form; 0 where either side is empty or the library gives up."""
    given, wanted = (" ".join(segmented(normalised(text))).split() for text in (prediction, reference))
    if not given or not wanted:
        return 0.0
    if min(len(given), len(wanted)) > DEEPEST:
        return 0.0
    common, depth = _path(wanted, given)
    return _balanced(len(common), len(set(given)), len(set(wanted))) if depth <= DEEPEST else 0.0


def plain(prediction: str, reference: str) -> float:
    """F1 of the longest common subsequence of words on the same normal form, at any length; 0 for an empty answer."""
    given, wanted = (segmented(normalised(text)) for text in (prediction, reference))
    return lcs_f1(given, wanted) if given and wanted else 0.0


def _balanced(common: int, given: int, wanted: int) -> float:
    precision, recall = common / given, common / wanted
    return 2.0 * ((precision * recall) / (precision + recall + 1e-8))


def _path(left: Sequence[str], right: Sequence[str]) -> tuple[set[str], int]:
    """Words of the longest common subsequence that rouge 1.0.1 finds, and the number of steps of its recursion."""
    codes: dict[str, int] = {}
    a, b = (np.array([codes.setdefault(word, len(codes)) for word in side]) for side in (left, right))
    table = np.zeros((len(a) + 1, len(b) + 1), dtype=np.int16)
    for i, code in enumerate(a, start=1):
        diagonal = np.where(b == code, table[i - 1, :-1] + 1, 0)
        np.maximum.accumulate(np.maximum(table[i - 1, 1:], diagonal), out=table[i, 1:])
    i, j, depth, words = len(a), len(b), 1, set()
    while i and j:
        if a[i - 1] == b[j - 1]:
            words.add(left[i - 1])
            i, j = i - 1, j - 1
        elif table[i - 1, j] > table[i, j - 1]:
            i -= 1
        else:
            j -= 1
        depth += 1
    return words, depth


def bleu(prediction: str, reference: str, n: int) -> float:
    """Precision of n-grams of words with brevity penalty and Chen and Cherry's (2014) smoothing 4, as in CaseGen."""
    given, wanted = segmented(prediction), segmented(reference)
    precisions = [_shared(given, wanted, order) for order in range(1, n + 1)]
    if not given or not precisions[0][0]:
        return 0.0
    right, total = precisions[-1]
    none = sum(not found for found, _ in precisions)
    precision = right / total if right else math.log(len(given)) / (5 * 2**none * total)
    return precision * (1.0 if len(given) > len(wanted) else math.exp(1 - len(wanted) / len(given)))


def _shared(given: Sequence[str], wanted: Sequence[str], n: int) -> tuple[int, int]:
    counts = [Counter(tuple(side[i : i + n]) for i in range(len(side) - n + 1)) for side in (given, wanted)]
    return (counts[0] & counts[1]).total(), max(1, counts[0].total())


def meteor(prediction: str, reference: str) -> float:
    """METEOR (Banerjee and Lavie 2005) of equal words, as in JuDGE, whose stemmer and WordNet know only English."""
    given, wanted = segmented(prediction.lower()), segmented(reference.lower())
    places: dict[str, list[int]] = {}
    for place, word in enumerate(wanted):
        places.setdefault(word, []).append(place)
    matches = [(i, places[given[i]].pop()) for i in reversed(range(len(given))) if places.get(given[i])]
    if not matches:
        return 0.0
    precision, recall = len(matches) / len(given), len(matches) / len(wanted)
    breaks = sum((i - 1, j - 1) != after for (i, j), after in pairwise(matches))
    penalty = 0.5 * ((breaks + 1) / len(matches)) ** 3
    return (1 - penalty) * precision * recall / (0.9 * precision + 0.1 * recall)
