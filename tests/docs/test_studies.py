"""The tables of studies are those of the records that are kept of them."""

import json

import pytest

from tests.docs.pages import ROOT
from tools.studies.record import tables

RECORDS = sorted((ROOT / "docs" / "studies").glob("*.json"))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_table_is_that_of_its_record(path):
    shown = (ROOT / "docs" / "measurements.md").read_text(encoding="utf-8")
    assert tables(json.loads(path.read_text(encoding="utf-8"))) in shown


def test_there_are_records():
    assert RECORDS
