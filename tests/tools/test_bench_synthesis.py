"""The measurement of how a synthesis grows: what it counts, on a few documents."""

import pytest

from tools.bench.synthesis import document, exponent, measured, table


def test_the_steps_are_measured_over_documents_that_pass_them():
    found = measured(40)
    assert found["kept"] == 38, "two of forty are near-duplicates, and every other passes all steps"
    assert list(found["steps"]) == ["read", "mask", "segment", "link", "copies", "outputs"]
    assert found["cpu_s"] == pytest.approx(sum(found["steps"].values())) and found["peak_mb"] >= found["before_mb"] > 0
    assert document(7) == document(7) != document(8)
    assert list(table([found, found | {"documents": 80}]).columns[0].cells) == ["40", "80", "exponent"]


def test_the_exponent_of_growth():
    assert exponent([10, 100, 1000], [2, 20, 200]) == pytest.approx(1)
    assert exponent([10, 100, 1000], [3, 300, 30_000]) == pytest.approx(2)
