"""The Chinese pages say what the English ones say: the same headings, blocks of code, tables, figures and links."""

import re
import unicodedata
from itertools import pairwise

import pytest

from tests.docs.pages import ROOT, anchors_in_order, blocks, links, prose

DOCS, CHINESE = ROOT / "docs", ROOT / "docs" / "zh"
PAIRS = [(ROOT / "README.md", ROOT / "README.zh.md")]
PAIRS += [(DOCS / page.relative_to(CHINESE), page) for page in sorted(CHINESE.rglob("*.md"))]
IN_CHINESE = dict(PAIRS)
every_pair = pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: str(pair[1].relative_to(ROOT)))
WIDEST = 140
"""Columns of a line outside of tables, lists and pictures; a Chinese character has two."""
HAN = re.compile(r"[一-鿿]")


def levels(page):
    """Level of each heading."""
    return [len(found[1]) for found in re.finditer(r"^(#+) ", prose(page), re.MULTILINE)]


def code(page):
    """Blocks of code without comments, and without the space before them."""
    found = ["\n".join(re.sub(r"(^|\s+)#( .*)?$", "", line).rstrip() for line in block) for _, block in blocks(page)]
    return [block.strip("\n") for block in found]


def rows(page):
    """Number of columns of each row of the tables."""
    return [len(re.findall(r"(?<!\\)\|", row)) for row in prose(page).splitlines() if row.startswith("|")]


def figures(page):
    """Numbers of two digits or more in the text."""
    return set(re.findall(r"\d[\d,.]*\d", re.sub(r"`[^`]*`|\]\([^)]*\)", " ", prose(page))))


def targets(page):
    """What the links lead to: (file as it is in Chinese, heading by its number); addresses of the web as they are."""
    found = []
    for _, target in links(page):
        if target.startswith(("http://", "https://")):
            found.append((target, None))
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        number = anchors_in_order(file).index(anchor) if anchor else None
        found.append((str(IN_CHINESE.get(file, file).relative_to(ROOT)), number))
    return sorted(found, key=str)


@every_pair
def test_a_pair_of_pages_has_one_structure(pair):
    english, chinese = pair
    assert english.is_file(), f"{chinese} is the page of no English one"
    assert levels(chinese) == levels(english)
    assert code(chinese) == code(english)
    assert rows(chinese) == rows(english)
    assert not figures(english) - figures(chinese), "the English page has other figures"


@every_pair
def test_a_pair_of_pages_has_the_same_links(pair):
    english, chinese = pair
    language = {(str(page.relative_to(ROOT)), None) for page in PAIRS[0]}  # from one language to the other
    there, here = ([one for one in targets(page) if one not in language] for page in pair)
    assert here == there, "a link leads to the Chinese page where there is one"
    for _, target in links(chinese):
        file = (chinese.parent / target.partition("#")[0]).resolve()
        assert file not in IN_CHINESE or file == english, f"{target} leads to the English page"


@every_pair
def test_lines_break_where_a_reader_pauses(pair):
    """A line break is shown as a space, which must not stand within a Chinese sentence's words."""
    _, page = pair
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        columns = sum(1 + (unicodedata.east_asian_width(one) in "WF") for one in line)
        assert line.startswith(("|", "-", "!", "#", "  ")) or columns <= WIDEST, (
            f"{page}:{number} has {columns} columns"
        )
    for before, after in pairwise(prose(page).splitlines()):
        assert not (HAN.match(before[-1:]) and HAN.match(after.lstrip()[:1])), f"{page}: {before}\n{after}"


@every_pair
def test_a_chinese_page_is_in_chinese(pair):
    english, chinese = pair
    words = re.sub(r"`[^`]*`|\]\([^)]*\)", " ", prose(chinese))
    assert len(HAN.findall(words)) > 0.15 * len(prose(english))


def test_a_difference_is_found(tmp_path):
    """The checks above can fail."""
    page = tmp_path / "page.md"
    page.write_text("# 甲\n\n    make run  # 说明\n\n## 乙\n\n| a | b |\n|---|---|\n\n[丙](#乙)\n", encoding="utf-8")
    assert levels(page) == [1, 2] and code(page) == ["make run"] and rows(page) == [3, 3]
    assert anchors_in_order(page) == ["甲", "乙"] and not HAN.match("，")


def test_the_index_names_every_chinese_page():
    index = DOCS / "README.md"
    there = {(index.parent / target).resolve() for _, target in links(index) if not target.startswith("http")}
    assert {page for _, page in PAIRS} <= there
