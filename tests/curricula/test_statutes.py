import subprocess
import sys

import pytest

from curricula.errors import DataError
from curricula.numerals import article_key, to_int
from curricula.statutes import load_statutes


def test_the_corpus_is_the_one_in_force():
    statutes = load_statutes()
    assert len(statutes.articles()) == 23_847
    assert statutes.resolve_law("合同法") is None, "repealed by the Civil Code"
    assert statutes.resolve_law("《民法典》") == "中华人民共和国民法典"


@pytest.mark.parametrize("number", [264, "264", "第264条", "第二百六十四条"])
def test_an_article_is_found_in_any_writing(number):
    assert load_statutes().find("刑法", number).text.startswith("盗窃公私财物")


def test_inserted_articles_are_articles_of_their_own():
    found = load_statutes().find("中华人民共和国刑法", "第十七条之一")
    assert found.key == (17, 1) and "七十五周岁" in found.text


def test_missing_laws_and_articles():
    statutes = load_statutes()
    assert statutes.find("刑法", 999) is None
    assert statutes.find("不存在法", 1) is None
    with pytest.raises(DataError, match="did you mean"):
        statutes.articles("民法点")


@pytest.mark.parametrize(
    ("numeral", "value"),
    [("十", 10), ("十七", 17), ("二十", 20), ("一百零三", 103), ("一千二百六十", 1260), ("264", 264)],
)
def test_numerals(numeral, value):
    assert to_int(numeral) == value
    assert article_key(f"第{numeral}条") == (value, 0)


def test_the_libraries_are_light():
    code = (
        "import time; t = time.perf_counter(); import rewards.library, curricula.tasks, curricula.corpora\n"
        "import sys; heavy = {'torch', 'ray', 'transformers', 'vllm', 'verl'} & set(sys.modules)\n"
        "assert not heavy, heavy; print(time.perf_counter() - t)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(answer.stdout) < 1.0
