"""The pages have one figure of the laws and articles that are read: that of the statutes on the day they name."""

import re
from datetime import date

import pytest

from curricula.statutes import statutes_of
from tests.docs.pages import ROOT

DAY = date(2026, 11, 26)
IN_FORCE = (
    ("README.md", r"([\d,]+) articles of (\d+) laws on 2026-11-26"),
    ("docs/guides/statutes.md", r"On 2026-11-26 these are ([\d,]+) articles of (\d+) laws and decisions"),
)


@pytest.mark.parametrize(("page", "pattern"), IN_FORCE)
def test_the_laws_in_force_are_counted(page, pattern):
    found = statutes_of(DAY)
    ((articles, laws),) = re.findall(pattern, (ROOT / page).read_text(encoding="utf-8"))
    assert (articles, int(laws)) == (f"{len(found.articles()):,}", len(found.laws))


def test_the_chinese_readme_and_the_articles_with_a_number():
    found = statutes_of(DAY)
    chinese = f"截至 2026-11-26 为 {len(found.laws)} 部法律的 {len(found.articles()):,} 条"
    assert chinese in (ROOT / "README.zh.md").read_text(encoding="utf-8")
    numbered = f"{sum(article.number.startswith('第') for article in found.articles()):,}"
    for page in ("docs/guides/statutes.md", "docs/guides/retrieval.md"):
        assert numbered in (ROOT / page).read_text(encoding="utf-8"), f"{numbered} articles with a number"
