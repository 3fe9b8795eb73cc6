"""ROUGE-L of the answer against the reference (Lin 2004), over words or characters."""

import atexit
import logging
import math
import re
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from rapidfuzz.distance import LCSseq

from rewards.parsing import final_answer, normalised
from rewards.registry import reward
from rewards.verdict import Sample, Verdict

LONGEST = 4_000
"""Characters of the answer that are compared."""
MOST_LOGS = 100_000
"""Words and beginnings whose probabilities are kept."""
_IN_WORDS = re.compile(r"[\u4E00-\u9FD5a-zA-Z0-9+#&._%\-]+")
"""What words consist of, in jieba; everything else stands alone."""
_BLOCK = re.compile(rf"{_IN_WORDS.pattern}|(?s:.)")


def lcs_f1(left: Sequence[str], right: Sequence[str]) -> float:
    """F1 of the longest common subsequence, in [0, 1] (ROUGE-L with beta 1)."""
    if not left or not right:
        return float(len(left) == len(right))
    return float(2 * LCSseq.similarity(left, right) / (len(left) + len(right)))


@lru_cache(maxsize=1)
def segmenter() -> Any:
    """jieba's tokenizer with its own dictionary, which is read once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about jieba's own use of pkg_resources
        import jieba

    jieba.setLogLevel(logging.WARNING)
    tokenizer = jieba.Tokenizer()
    # jieba keeps its dictionary as a marshal file in the shared temporary folder, where anybody could put another file.
    tokenizer.tmp_dir = tempfile.mkdtemp(prefix="themis-jieba-")
    atexit.register(shutil.rmtree, tokenizer.tmp_dir, ignore_errors=True)
    tokenizer.initialize()
    return tokenizer


def words(text: str) -> list[str]:
    """Words of a Chinese text: jieba's, without its model for unknown words, whose cost grows with hostile input."""
    found = []
    for block in _BLOCK.findall(text[:LONGEST]):
        if _IN_WORDS.match(block):
            found += _segmented(block)
        elif not block.isspace():
            found.append(block)
    return found


class _Logs(dict[str, float | None]):
    """Log probabilities of words that were looked up: 1 for what is only the beginning of a word, None for what is not
    even that. Of jieba's 350,000 words a text needs a few thousand, which a processor's cache holds."""

    def __missing__(self, piece: str) -> float | None:
        count = segmenter().FREQ.get(piece)
        log = None if count is None else math.log(count) - math.log(segmenter().total) if count else 1.0
        self[piece] = log
        return log


@lru_cache(maxsize=1)
def _logs() -> _Logs:
    return _Logs()


def _segmented(block: str) -> list[str]:
    """The likeliest way to cut a block into words of the dictionary, as jieba's ``cut(block, HMM=False)`` in one pass
    instead of two, which takes a third of the time: the same sums in the same order, so the same words."""
    logs, size = _logs(), len(block)
    if len(logs) > MOST_LOGS:
        logs.clear()
    unknown = 0.0 - math.log(segmenter().total)
    best, ends = [0.0] * (size + 1), [0] * size
    for start in range(size - 1, -1, -1):
        score, at, end, log = None, start + 1, start + 1, logs[block[start]]
        while log is not None:
            if log < 0:
                this = log + best[end]
                if score is None or this >= score:
                    score, at = this, end
            end += 1
            log = logs[block[start:end]] if end <= size else None
        best[start], ends[start] = unknown + best[at] if score is None else score, at
    found, start, joined = list[str](), 0, False
    while start < size:
        word = block[start : ends[start]]
        alone = len(word) == 1 and word.isascii() and word.isalnum()
        if alone and joined:  # letters and digits that are no word stay together
            found[-1] += word
        else:
            found.append(word)
        start, joined = ends[start], alone
    return found


def rouge_l(answer: str, reference: str) -> float:
    """ROUGE-L over words, as LawBench and LexEval compute it on jieba's segmentation."""
    return lcs_f1(words(answer), words(reference))


@reward("rouge_l")
def rouge(sample: Sample) -> Verdict:
    """ROUGE-L of the answer over jieba's words; 0 without an answer (LegalOne's statute memorisation)."""
    answer = final_answer(sample.completion)
    if answer is None:
        return Verdict(0.0, reason="no answer")
    return Verdict(rouge_l(normalised(answer), normalised(sample.reference)))


@reward("rouge_l_chars")
def rouge_chars(sample: Sample) -> Verdict:
    """ROUGE-L of the answer over characters: needs no segmenter, and a wrong character in an article counts."""
    answer = final_answer(sample.completion)
    if answer is None:
        return Verdict(0.0, reason="no answer")
    return Verdict(lcs_f1(normalised(answer)[:LONGEST], normalised(sample.reference)[:LONGEST]))
