import pytest

from tests.rewards.reading import SNIPPETS, expected, read


@pytest.mark.parametrize("row", SNIPPETS, ids=[f"{row['kind']}: {row['text']}"[:60] for row in SNIPPETS])
def test_a_snippet_is_read_as_a_person_reads_it(row):
    assert read(row["kind"], row["text"]) == expected(row["kind"], row["right"]), row["text"]


def test_there_are_snippets_of_every_kind():
    assert len(SNIPPETS) >= 400 and len({(row["kind"], row["text"]) for row in SNIPPETS}) == len(SNIPPETS)
