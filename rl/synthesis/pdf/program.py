"""Reads a PDF within limits: ``python -m rl.synthesis.pdf.program FILE FOLDER LIMITS`` prints its lines as JSON.

It is a program of its own, because a PDF may be made to need any time and memory, or to end who reads it. PDFium is
built without JavaScript here. FOLDER is the only place where the program may write; it has no network.
"""

from __future__ import annotations

import ctypes
import json
import resource
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rewards.confinement import confine
from rl.synthesis.pdf.layout import Piece, lines_of

WITHOUT_MEANING = 0.02
"""Largest share of characters to which the fonts of the file give no Unicode character."""
UNREADABLE = "\ufffd"


class Unreadable(Exception):
    """Why a file is not read, as the end of a sentence."""


def main() -> None:
    """Print ``{"pages": [[[text, left, right, bottom, top, column], …], …]}`` or ``{"problem": …}``."""
    file, folder, *limits = sys.argv[1:]
    seconds, size, most_pages, most_characters = map(int, limits)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    data = Path(file).read_bytes()
    confine(folder, 1, network=False)
    try:
        found: dict[str, Any] = {"pages": pages(data, most_pages, most_characters)}
    except Unreadable as error:
        found = {"problem": str(error)}
    except MemoryError:
        found = {"problem": f"needs more than {size >> 20} MB of memory; split it"}
    print(json.dumps(found))


def pages(data: bytes, most_pages: int, most_characters: int) -> list[list[list[Any]]]:
    """The lines of each page.

    Raises:
        Unreadable: if there is no text to read.
    """
    try:
        import pypdfium2
        import pypdfium2.raw
    except ImportError:
        raise Unreadable("can't be read without the package pypdfium2; make setup installs it") from None
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        locked = error.err_code in (pypdfium2.raw.FPDF_ERR_PASSWORD, pypdfium2.raw.FPDF_ERR_SECURITY)
        raise Unreadable(
            "is encrypted; save it without a password" if locked else "is no PDF, or a damaged one; save it again"
        ) from None
    if len(document) > most_pages:
        raise Unreadable(f"has {len(document):,} pages, more than {most_pages:,}; split it")
    found, scanned, total, meaningless = [], [], 0, 0
    for number in range(len(document)):
        try:
            page = document[number]
            characters = list(_characters(page))
        except pypdfium2.PdfiumError:
            raise Unreadable(f"is damaged on page {number + 1}; save it again") from None
        written = [one for one in characters if one.text.strip()]
        total += len(written)
        meaningless += sum(one.text == UNREADABLE for one in written)
        if total > most_characters:
            raise Unreadable(f"has more than {most_characters:,} characters; split it")
        if not written and _shows_image(page):
            scanned.append(number + 1)
        found.append((characters, page.get_width()))
        page.close()
    if scanned:
        where = "" if len(scanned) == len(document) else f" on page {', '.join(map(str, scanned[:5]))}"
        raise Unreadable(f"is a scan without a text layer{where}; run OCR on it and give that")
    if not total:
        raise Unreadable("holds no text")
    if meaningless > WITHOUT_MEANING * total:
        raise Unreadable(f"has fonts that give {meaningless:,} of {total:,} characters no meaning; run OCR on it")
    return [[list(vars(line).values()) for line in lines] for lines in lines_of(found)]


def _characters(page: Any) -> Iterator[Piece]:
    """The characters of a page, as it is shown; turned ones, such as those along a binding line, are left out."""
    import pypdfium2.raw as raw

    text, box = page.get_textpage(), raw.FS_RECTF()
    turned, (width, height) = page.get_rotation(), page.get_size()
    high = ""
    for place in range(text.count_chars()):
        code = raw.FPDFText_GetUnicode(text, place)
        if raw.FPDFText_IsGenerated(text, place) == 1:
            continue
        character, high = high + chr(code), ""
        if 0xD800 <= code < 0xDC00:  # the first half of a rare character; the second stands at the same place
            high = chr(code)
            continue
        if len(character) == 2:
            character = character.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            place -= 1
        angle = raw.FPDFText_GetCharAngle(text, place) * 180 / 3.141592653589793 + turned
        if not raw.FPDFText_GetLooseCharBox(text, place, ctypes.byref(box)) or not -5 < (angle + 180) % 360 - 180 < 5:
            continue
        if raw.FPDFText_HasUnicodeMapError(text, place) == 1:
            character = UNREADABLE
        yield Piece(_standard(character), *_shown(box.left, box.right, box.bottom, box.top, turned, width, height))
    text.close()


def _standard(character: str) -> str:
    """A character; a radical (⽤), which some fonts give in place of the ideograph (用), as the ideograph."""
    kind = unicodedata.category(character[0])
    if kind in ("Cc", "Cs", "Co", "Cn"):
        return " " if character.isspace() else UNREADABLE
    if "\u2e80" <= character <= "\u2fdf" or "\uf900" <= character <= "\ufaff":
        return unicodedata.normalize("NFKC", character)
    return "" if kind == "Cf" else character


def _shown(
    left: float, right: float, bottom: float, top: float, turned: int, width: float, height: float
) -> tuple[float, float, float, float]:
    """(left, right, bottom, top) on the page as it is shown, of a box on the page before it is turned."""
    if turned == 90:
        return bottom, top, height - right, height - left
    if turned == 180:
        return width - right, width - left, height - top, height - bottom
    if turned == 270:
        return width - top, width - bottom, left, right
    return left, right, bottom, top


def _shows_image(page: Any) -> bool:
    import pypdfium2.raw as raw

    return any(True for _ in page.get_objects(filter=(raw.FPDF_PAGEOBJ_IMAGE,), max_depth=4))


if __name__ == "__main__":
    main()
