import pytest

from curricula.numerals import article_key, to_int


@pytest.mark.parametrize(
    ("numeral", "value"), [("二六四", 264), ("三○七", 307), ("一〇二", 102), ("两百", 200), ("〇", 0), ("三", 3)]
)
def test_digits_read_out_one_by_one_are_one_number(numeral, value):
    assert to_int(numeral) == value
    assert article_key(f"第{numeral}条之一") == (value, 1)
