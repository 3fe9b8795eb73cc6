"""What ChERRANT knows of characters: the thesaurus Cilin, characters that are confused, readings, and simplified forms.

The first two are files of LawBench's repository and stay with the user; readings and simplified forms are pypinyin's
and OpenCC's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rl.errors import UserError
from rl.evaluation.metrics.text_overlap import MARKS
from rl.evaluation.scoring import Unscorable
from rl.language import Text

PUNCTUATION = frozenset(MARKS) - {"。", "’"}
"""Punctuation marks by ChERRANT's list, which lacks 。 and 《."""
FOLDER = "evaluation/utils/data"
"""Where LawBench's repository has the two files."""


@dataclass(frozen=True, eq=False)
class Tables:
    """What is known of characters."""

    classes: Mapping[str, tuple[str, str, str]]
    """Class in the thesaurus at three levels."""
    confused: Mapping[str, Collection[str]]
    """Characters that are written by mistake for each character."""
    readings: Callable[[str], Collection[str]]
    """All syllables, without tones, that a character may stand for."""
    simplified: Callable[[str], str]
    """A sentence in simplified characters."""

    def alike(self, one: str, other: str) -> bool:
        """Whether two characters sound alike or are known to be confused."""
        if other in self.confused.get(one, ()) or one in self.confused.get(other, ()):
            return True
        return not set(self.readings(one)).isdisjoint(self.readings(other))


def chinese(character: str) -> bool:
    """Whether a character is in Unicode's main block of Chinese ones."""
    return "\u4e00" <= character <= "\u9fff"


@cache
def load(folder: Path) -> Tables:
    """Tables of a copy of LawBench's repository, or of a folder that holds ``cilin.txt`` and ``confusion_dict.txt``.

    Raises:
        Unscorable: naming the file that is missing, or the package that is not installed.
        UserError: naming a damaged file.
    """
    try:
        from opencc import OpenCC
        from pypinyin import Style, pinyin
    except ImportError as error:
        raise Unscorable(
            Text(
                "LawBench's task 2-1 needs the package {name}; install pypinyin and opencc, which are no part of the "
                "locked sets: pip install 'themis-rl[proofreading]'",
                name=error.name,
            )
        ) from None

    @cache
    def readings(character: str) -> frozenset[str]:
        return frozenset(pinyin(character, style=Style.NORMAL, heteronym=True)[0])

    codes = {word: code for code, *words in _rows(folder, "cilin.txt", "gbk") for word in words}
    confused = {one: frozenset(others) for one, *others in _rows(folder, "confusion_dict.txt", "utf-8")}
    classes = {word: (code[0], code[1], code[2:4]) for word, code in codes.items()}
    return Tables(classes, confused, readings, OpenCC("t2s").convert)


def _rows(folder: Path, name: str, encoding: str) -> list[list[str]]:
    """Lines of words with a space between them."""
    places = [folder, *(above / FOLDER for above in (folder, *folder.absolute().parents[:3]))]
    path = next((place / name for place in places if (place / name).is_file()), None)
    if path is None:
        raise Unscorable(
            Text(
                "LawBench's task 2-1 needs {path}; put the file there, from https://github.com/open-compass/LawBench",
                path=folder / FOLDER / name,
            )
        )
    try:
        lines = path.read_text(encoding=encoding).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} can't be read: {error}; fetch it again from its source") from None
    return [line.split(" ") for line in lines if line.strip()]
