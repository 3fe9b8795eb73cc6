"""Items of several sources as they come, and what an error leaves."""

import threading

import pytest

from rl.inference.backends.merged import merged


def test_every_item_comes_once_and_in_the_order_of_its_source():
    found = list(merged([iter(range(start, 300, 3)) for start in range(3)]))
    assert sorted(found) == list(range(300))
    assert all([n for n in found if n % 3 == start] == list(range(start, 300, 3)) for start in range(3))
    assert list(merged([])) == []


def test_an_error_is_raised_after_what_had_come_and_stops_the_others():
    failed, asked = threading.Event(), []

    def fails():
        yield "first"
        failed.set()
        raise OSError("gone")

    def waits():
        failed.wait(10)
        while len(asked) < 1_000_000:
            asked.append(1)
            yield "other"

    found = []
    with pytest.raises(OSError, match="gone"):
        for item in merged([fails(), waits()]):
            found.append(item)
    assert "first" in found and 1 <= len(asked) < 1_000_000


def test_a_reader_that_stops_early_stops_the_sources():
    closed = threading.Event()

    def source():
        try:
            while True:
                yield 1
        finally:
            closed.set()

    items = merged([source()])
    assert next(items) == 1
    items.close()
    assert closed.wait(10)
