"""The charges in force, their parts and former names."""

import pytest

from curricula.statutes import load_statutes
from rewards.parsing import charges, charges_in_force, known_charges, present_charges, present_name
from rewards.parsing.charge_names import _GROUP, _in_force, cail2018_charges
from rewards.rules.charge_f1 import charge_f1
from rewards.verdict import Sample


def score(completion, reference):
    return charge_f1(Sample("", completion, reference)).score


def test_every_charge_in_force_has_its_article():
    assert len(charges_in_force()) == 483
    for name, article in charges_in_force().items():
        number, _, insertion = article.partition("之")
        written = f"第{number}条" + (f"之{insertion}" if insertion else "")
        assert load_statutes().find("刑法", written) is not None, name


def test_every_part_of_a_selective_charge_is_that_charge():
    """Each part alone, with the first of the other places, in the writing of a judgment."""
    selective = [charge for charge in _in_force() if "{" in charge.shapes[0]]
    assert len(selective) > 150
    for charge in selective:
        pieces = _GROUP.split(charge.shapes[0])
        for place in range(1, len(pieces), 2):
            for part in pieces[place].split("、"):
                chosen = [
                    part if i == place else piece.split("、")[0] if i % 2 else piece for i, piece in enumerate(pieces)
                ]
                written = "".join(chosen)
                assert {present_name(name) for name in charges(f"犯{written}罪")} == {charge.name}, written


def test_no_charge_is_read_inside_another():
    for name in charges_in_force():
        prose = (
            f"本院认为，公诉机关指控的事实清楚，证据确实、充分，被告人的行为已构成{name}罪，依法应当追究其刑事责任，并予惩处。"
            + "量刑时酌情考虑。" * 3
        )
        assert present_charges(prose) == {name}, name


def test_labels_of_cail2018_stay_readable_and_stand_for_a_charge_in_force():
    assert len(cail2018_charges()) == 202 and set(cail2018_charges()) <= set(known_charges())
    for label in cail2018_charges():
        assert charges(label) == charges(label + "罪") == {label}
    without = {label for label in cail2018_charges() if present_name(label) not in charges_in_force()}
    assert without == {"经济犯", "走私", "组织、强迫、引诱、容留、介绍卖淫"}, "catch-all labels"


@pytest.mark.parametrize(
    ("completion", "reference", "right"),
    [
        ("运输毒品罪", "走私、贩卖、运输、制造毒品", 1), ("运输毒品罪", "贩卖毒品罪", 1),
        ("非法持有毒品罪", "贩卖毒品罪", 0),
        ("偷税罪", "逃税罪", 1), ("强制猥亵妇女罪", "强制猥亵、侮辱罪", 1), ("单位行贿罪", "行贿罪", 0),
        ("行贿罪", "单位行贿罪", 0), ("盗窃罪、运输毒品罪、贩卖毒品罪", "盗窃；贩卖毒品", 1),
        ("盗窃罪", "盗窃罪、诈骗罪", 2 / 3),
    ],
)  # fmt: skip
def test_f1_of_parts_and_former_names(completion, reference, right):
    assert score(completion, reference) == pytest.approx(right)
