"""ROUGE-L of the answer against the reference (Lin 2004), over words or characters."""

import atexit
import logging
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
    """Words of a Chinese text (jieba, without its model for unknown words, whose cost grows with hostile input)."""
    return [word for word in segmenter().cut(text[:LONGEST], HMM=False) if word.strip()]


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
