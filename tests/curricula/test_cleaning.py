import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curricula.cleaning import RECALL, Cleaning, Duplicates, banding, clean, copies, fault, jaccard, shingles
from curricula.corpora import statute_documents
from curricula.errors import DataError
from curricula.records import Document

ARTICLE = "盗窃公私财物，数额较大的，处三年以下有期徒刑、拘役或者管制，并处或者单处罚金。"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (ARTICLE, None),
        (f"<p>{ARTICLE}</p>", None),
        ("  法 条\n 。 ", "too_short"),
        ("+-----+-----+\n| 税目 | 税率 |\n+-----+-----+", "not_text"),
        ('<table class="statute"><tr><td align="left">税目</td></tr></table>', "not_text"),
        ("Whoever steals public or private property 窃", "other_language"),
        ("二〇二四年三月五日开庭审理", None),
        ("本案适用 Civil Code 第一百八十八条", None),
        ("1979 1997 1999 2001 2002", "other_language"),
    ],
)
def test_faults_of_a_document(text, reason):
    assert fault(text, Cleaning(min_chinese=0.5)) == reason


def test_rules_can_be_loosened():
    loose = Cleaning(min_chars=0, min_text=0)
    assert fault("", loose) is fault("--", loose) is fault("English only", loose) is None


def test_copies_are_dropped_across_sources_and_the_first_is_kept():
    near = ARTICLE.replace("三年", "五年")
    sources = [
        [Document(ARTICLE, "a"), Document("另一条规定完全不同的内容及其效力。", "a"), Document("短", "a")],
        [Document(f" {ARTICLE}\n", "b"), Document(near, "b"), Document("合同自成立时生效，法律另有规定的除外。", "b")],
    ]
    kept, dropped = clean(sources, Cleaning(near_duplicates=0.7))
    assert [len(documents) for documents in kept] == [2, 1] and kept[0] == sources[0][:2]
    assert dropped == [{"too_short": 1}, {"exact_copy": 1, "near_duplicate": 1}]
    kept, dropped = clean(sources, Cleaning(near_duplicates=0))
    assert dropped == [{"too_short": 1}, {"exact_copy": 1}]
    assert clean(sources, Cleaning(near_duplicates=1))[1] == dropped


def test_a_source_of_which_nothing_is_left():
    with pytest.raises(
        DataError, match=r"source 2: cleaning left none of its 2 documents \(exact_copy 1, too_short 1\)"
    ):
        clean([[Document(ARTICLE, "a")], [Document(ARTICLE, "b"), Document("短", "b")]], Cleaning())


def grams(text):
    return {text[i : i + 5] for i in range(max(1, len(text) - 4))}


texts = st.text(st.characters(exclude_categories=()), max_size=60)


@settings(deadline=None)
@given(texts, texts)
def test_shingles_are_the_set_of_five_grams(one, other):
    a, b = grams(one) - {""}, grams(other) - {""}
    assert len(shingles(one)) == len(a)
    assert jaccard(shingles(one), shingles(other)) == pytest.approx(len(a & b) / max(1, len(a | b)))


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8, 0.95, 1.0])
def test_banding_finds_pairs_at_the_threshold(threshold):
    bands, rows = banding(threshold)
    assert bands * rows <= 64 and bands >= 2
    assert 1 - (1 - threshold**rows) ** bands >= RECALL


def edited(rng, text, changes):
    letters = list(text)
    for place in rng.sample(range(len(letters)), changes):
        letters[place] = chr(rng.randrange(0x4E00, 0x9FA0))
    return "".join(letters)


def test_near_duplicates_are_exactly_those_from_the_threshold_on():
    rng = random.Random(0)
    found = wrong = missed = 0
    for _ in range(300):
        text = "".join(chr(rng.randrange(0x4E00, 0x9FA0)) for _ in range(300))
        other = edited(rng, text, rng.randrange(1, 14))
        similar = len(grams(text) & grams(other)) / len(grams(text) | grams(other)) >= 0.8
        seen = Duplicates(0.8)
        seen.add(text)
        dropped = seen.add(other) == "near_duplicate"
        found += similar
        wrong += dropped and not similar
        missed += similar and not dropped
    assert wrong == 0 and 50 < found < 250 and missed <= 0.02 * found


def templated(rng, n):
    """Documents of one template, alike by a Jaccard similarity of about 0.7."""
    frame = "".join(chr(rng.randrange(0x4E00, 0x9FA0)) for _ in range(250))
    return [frame + "".join(chr(rng.randrange(0x4E00, 0x9FA0)) for _ in range(50)) for _ in range(n)]


def test_documents_of_one_template_are_separated_quickly():
    rng = random.Random(1)
    found = templated(rng, 1500)
    copy = edited(rng, found[700], 2)
    seen = Duplicates(0.8)
    started = time.process_time()
    assert {seen.add(text) for text in found} == {None}
    assert seen.add(copy) == "near_duplicate"
    assert time.process_time() - started < 20


def test_a_long_document():
    rng = random.Random(2)
    text = "".join(chr(rng.randrange(0x4E00, 0x9FA0)) for _ in range(200_000))
    seen = Duplicates(0.8)
    assert seen.add(text) is None and seen.add(text[:-5000]) == "near_duplicate"
    assert seen.add(text[:100_000]) is None


def test_statutes_are_cleaned_quickly_and_nearly_all_kept():
    documents = statute_documents()[:5000]
    started = time.process_time()
    kept, dropped = clean([documents], Cleaning())
    assert time.process_time() - started < 10
    assert sum(dropped[0].values()) == len(documents) - len(kept[0]) < 0.003 * len(documents)
    assert clean([kept[0]], Cleaning())[0] == kept


def test_a_stream_of_prompts_is_marked_one_by_one_as_a_list_in_memory_is():
    rng = random.Random(3)
    texts = ["".join(rng.choices(ARTICLE, k=60)) for _ in range(200)]
    texts += [text[:-1] + "\ud800" for text in texts[::3]] + texts[::5]
    rng.shuffle(texts)
    memory = Duplicates(0.8)
    wanted = [memory.add(text) for text in texts]
    assert [reason for _, reason in copies(enumerate(texts), lambda item: item[1])] == wanted
    assert {None, "exact_copy", "near_duplicate"} == set(wanted)
    endless = copies(iter(lambda: ARTICLE, None), str)
    assert [next(endless)[1] for _ in range(3)] == [None, "exact_copy", "exact_copy"]
