"""Rules at long texts: the short ways give what the plain ways give, and the work grows with the text."""

import random
import sys
import unicodedata
from collections import Counter
from importlib import import_module

import numpy as np
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from curricula.statutes import load_statutes
from rewards import statute_check
from rewards.parsing import terms, text
from rewards.registry import REWARDS
from rewards.rules import language, readability, repetition, rouge, syllogism
from rewards.statute_check import CLOSE, check_citations, quotes
from rewards.total import score
from rewards.verdict import Sample
from tools.bench.rewards import REFERENCE, long_completions

ARTICLES = import_module("rewards.parsing.articles")  # the package has a function of this name
PIECES = (
    *"，：；（）！？％…　。、《》“”０Ａａﷺ①㈠é\u0301\u200b\x00\ue000\n\t 萬盜後ABH<>\\一龥㐀〇々가é",
    *("<think>", "</answer>", "\\boxed", "AB", "盗窃罪", "《刑法》第二百六十四条", "第十七条之一第二款第（三）项"),
    *("264、266条", "同法第3条", "Article 264", "最高人民法院关于刑法的解释第二条", "有期徒刑三年", "拘役六个月"),
    *("缓刑考验期", "零3天", "又2日", "半年", "三 3", "本案甲", "张某某", "因此", "规定", "综上", "条："),
    *("c++", "卡拉OK"),
)  # fmt: skip
TEXTS = st.one_of(st.text(max_size=80), st.lists(st.sampled_from(PIECES), max_size=40).map("".join))


def folded(given):
    return text._INVISIBLE.sub("", unicodedata.normalize("NFKC", given[-text.LONGEST :])[-text.LONGEST :])


@given(TEXTS)
def test_folded_and_plain_texts_are_those_of_the_plain_way(given):
    assert text.folded(given) == folded(given)
    assert text.plain(given) == folded(given).translate(text._simplified())


def test_no_character_that_counts_as_printed_is_one_that_is_not_seen():
    printed = "".join(c for c in map(chr, range(sys.maxunicode + 1)) if c.isprintable())
    assert not text._INVISIBLE.search(printed)


def test_the_usual_ideographs_are_all_letters_chinese_and_readable():
    usual = "".join(map(chr, range(ord("一"), ord("龥") + 1)))
    for pattern in (language._LETTER, language._CHINESE, readability._READABLE):
        assert len(pattern.findall(usual)) == len(usual)


@given(TEXTS)
def test_language_and_readability_count_every_character(given):
    tags = regex.compile(r"</?(?:think|answer)>|\\boxed|\b[A-H]{1,8}\b")
    rest = tags.sub(" ", folded(given))
    letters, chinese = len(language._LETTER.findall(rest)), len(language._CHINESE.findall(rest))
    sample = Sample("", given, "")
    assert language.language(sample).score == (chinese / letters if letters else 0)
    whole = folded(given).strip()
    sentences = [part for part in map(str.strip, readability._SENTENCE.findall(whole)) if part]
    if sentences:
        fit = sum(len(one) for one in sentences if 4 <= len(one) <= 80) / sum(map(len, sentences))
        clean = len(readability._READABLE.findall(whole)) / len(whole)
        broken = sum(min(len(line), 1_200) for line in whole.splitlines()) / len(whole.replace("\n", ""))
        assert readability.readability(sample).score == (fit + clean + broken) / 3


@given(TEXTS)
def test_words_are_jieba_s(given):
    cut = rouge.segmenter().cut(given[: rouge.LONGEST], HMM=False)
    assert rouge.words(given) == [word for word in cut if word.strip()]


@given(TEXTS)
def test_gates_of_patterns_shut_nothing_out(given):
    written = text.plain(given)
    every = regex.compile(terms._TERM.pattern.replace(terms._UNIT_AHEAD, ""))
    assert every.pattern != terms._TERM.pattern
    units = ("years", "months", "days")
    assert [(one.span(), one.groups()) for one in terms._TERM.finditer(written) if any(one.group(*units))] == [
        (one.span(), one.groups()) for one in every.finditer(written) if any(one.group(*units))
    ]
    every = regex.compile(ARTICLES._ARTICLE.pattern.replace(ARTICLES._SIGN_AHEAD, ""))
    assert every.pattern != ARTICLES._ARTICLE.pattern
    found = [(one.span(), one.groups()) for one in ARTICLES._ARTICLE.finditer(written)]
    assert found == [(one.span(), one.groups()) for one in every.finditer(written)]


@given(st.one_of(TEXTS, st.text("ab盗", max_size=400), st.text("甲\ud800😀\uffff", max_size=300)), st.integers(1, 9))
def test_distinct_n_grams_are_those_of_a_set(given, n):
    for size in {n, 8}:
        if len(given) >= size:
            wanted = len({given[place : place + size] for place in range(len(given) - size + 1)})
            assert repetition.distinct(given, size) == wanted


def test_n_grams_with_one_hash_are_told_apart(monkeypatch):
    monkeypatch.setattr(repetition, "_MIX", np.uint64(0))  # the hash is then the last four characters
    for long in ("".join(random.Random(0).choices("甲乙丙", k=3_000)), "甲" * 3_000, "甲乙丙丁" * 400):
        assert repetition.distinct(long, 8) == len({long[place : place + 8] for place in range(len(long) - 7)})


@given(TEXTS)
def test_numbers_within_titles_are_those_that_stand_in_any(given):
    written = text.plain(given)
    titles, matches = list(ARTICLES._MARKED.finditer(written)), list(ARTICLES._ARTICLE.finditer(written))
    inside = [title.span() for title in titles]
    wanted = [one for one in matches if not any(a < one.start() and one.end() < b - 1 for a, b in inside)]
    assert [one.span() for one in ARTICLES._outside(matches, titles)] == [one.span() for one in wanted]


@given(TEXTS, st.integers(0, 60))
def test_the_first_match_from_a_place_is_that_of_all_matches(given, least):
    for pattern in (syllogism._RULE, syllogism._FACTS, syllogism._CONCLUSION):
        every = (match.start() for match in pattern.finditer(given))
        assert syllogism._first(pattern, given, least) == next((place for place in every if place >= least), None)


TITLES = (
    *("刑法", "中华人民共和国刑法", "民法典", "物权法", "全国人大", "关于", "2020", "（2020修正）", "(修订)", "《"),
    *(" ", "法", "治安管理处罚法", "㈠", "é", "的", "中华人民共和国"),
    "全国人民代表大会常务委员会关于惩治骗购外汇、逃汇和非法买卖外汇犯罪的决定",
)  # fmt: skip


@given(st.lists(st.sampled_from(TITLES), max_size=5).map("".join))
def test_a_title_is_held_if_it_has_a_standing(title):
    for start in range(len(title)):
        assert load_statutes().holds(title[start:]) == (load_statutes().standing(title[start:]) is not None)


def plain_quotes(quote, body):
    """Whether a text is quoted, every passage looked for in the dear way."""
    body = text.normalised(body)
    for piece in quote.replace("…", "\n").split("\n"):
        wanted = text.normalised(piece)
        if wanted and wanted not in body:
            window = statute_check._window(wanted, body)
            alike = statute_check.LCSseq.similarity(wanted, window) / len(wanted)
            if alike < CLOSE or statute_check._changes_meaning(wanted, window):
                return False
    return True


@settings(max_examples=300, deadline=None)
@given(st.randoms(use_true_random=False))
def test_quotations_are_found_as_by_the_dear_way(rng):
    every = load_statutes().articles("刑法")
    article, other = rng.choice(every).text, rng.choice(every).text
    start = rng.randrange(len(article))
    quote = list(article[start : start + rng.randrange(6, 200)])
    for _ in range(rng.randrange(6)):
        quote[rng.randrange(len(quote))] = rng.choice("的不应当三上下，…")
    for body in (article, other):
        assert quotes("".join(quote), body) == plain_quotes("".join(quote), body)


# --- growth -----------------------------------------------------------------------------------------------------------


def calls(work):
    """How many functions a piece of work calls, in Python and of C."""
    seen = Counter()
    sys.setprofile(lambda frame, event, _: seen.update([event]) if event in ("call", "c_call") else None)
    try:
        work()
    finally:
        sys.setprofile(None)
    return seen.total()


@pytest.mark.parametrize("name", sorted({*REWARDS} - {"rubric"}))
def test_a_rule_calls_no_more_functions_than_its_text_grows(name):
    # The texts end before the parsers' limit, so that a rule which walks over a text from each of its places shows;
    # 2,000 and 8,000 characters of each are reasoning.
    reference = REFERENCE[1].get(name, REFERENCE[0])
    counted = []
    for length in (3_000, 9_000):
        samples = [Sample(one.prompt, one.completion, reference) for one in long_completions(length, 3)]
        for sample in samples:  # what is read once
            assert score(name, sample).error is None
        text._plain.cache_clear()
        counted.append(calls(lambda samples=samples: [score(name, sample) for sample in samples]))
    assert counted[1] < 1.3 * 4 * counted[0]


@pytest.mark.parametrize(
    "unit",
    [
        "《刑法》第二百六十四条，",
        "刑法第3条：“盗窃公私财物的”。",
        "本案甲。",
        "有期徒刑三年，",
        "罚金5万元；",
        "A项正确。",
        "盗窃罪、",
    ],
)
def test_a_dense_text_is_read_with_as_many_calls_as_it_has_parts(unit):
    def counted(count):
        samples = [Sample("", f"{unit * count}{place}", REFERENCE[0]) for place in range(2)]
        score("citation", samples[0])
        return calls(lambda: [score(name, samples[1]) for name in ("citation", "syllogism", "charge_f1", "term_ratio")])

    assert counted(400) < 1.1 * 4 * counted(100)


def test_a_quotation_is_laid_on_a_text_only_where_most_of_it_stands(monkeypatch):
    looked = []
    window = statute_check._window
    monkeypatch.setattr(statute_check, "_window", lambda wanted, body: looked.append(body) or window(wanted, body))
    theft, robbery = (load_statutes().find("刑法", number).text.split("\n")[0] for number in (264, 263))
    assert [one.fault for one in check_citations(f"刑法第二百六十四条：“{robbery[:60]}处”")] == [
        "inexact"
    ] and not looked
    assert [one.fault for one in check_citations(f"刑法第二百六十四条：“{theft[:30]}很{theft[30:60]}”")] == [""]
    assert len(looked) == 1
