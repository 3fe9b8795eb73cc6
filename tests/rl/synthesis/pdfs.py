"""Writes small PDF files with Chinese text: no font is embedded, PDFium knows the characters of UniGB-UTF16-H."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH, HEIGHT = 595, 842
_FONT = (
    b"<< /Type /Font /Subtype /Type0 /BaseFont /STSong-Light /Encoding /UniGB-UTF16-H /DescendantFonts [4 0 R] >>",
    b"<< /Type /Font /Subtype /CIDFontType0 /BaseFont /STSong-Light /CIDSystemInfo "
    b"<< /Registry (Adobe) /Ordering (GB1) /Supplement 4 >> /FontDescriptor 5 0 R /DW 1000 /W [1 95 500] >>",
    b"<< /Type /FontDescriptor /FontName /STSong-Light /Flags 6 /FontBBox [-25 -254 1000 880] /ItalicAngle 0 "
    b"/Ascent 880 /Descent -120 /CapHeight 880 /StemV 93 >>",
)
Run = tuple[float, float, str]
"""(x, y, text), in points from the lower left corner."""


def pdf(
    pages: Sequence[Sequence[Run]], size: int = 12, extra: bytes = b"", turned: int = 0, first: bytes = b""
) -> bytes:
    """A file with these pages.

    Args:
        pages: what is written on each.
        size: of the characters (points).
        extra: content stream that every page has besides.
        turned: ``/Rotate`` of every page.
        first: content that stands before everything on a page, such as a matrix.
    """
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"", *_FONT]
    kids = []
    for runs in pages:
        shown = b"".join(
            b"BT /F1 %d Tf 1 0 0 1 %g %g Tm <%s> Tj ET\n" % (size, x, y, text.encode("utf-16-be").hex().encode())
            for x, y, text in runs
        )
        stream = first + b"\n" + extra + b"\n" + shown
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        kids.append(b"%d 0 R" % (len(objects) + 1))
        box = (HEIGHT, WIDTH) if turned in (90, 270) and first else (WIDTH, HEIGHT)
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Rotate %d /Resources << /Font << /F1 3 0 R >> >> "
            b"/Contents %d 0 R >>" % (*box, turned, len(objects))
        )
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    return assembled(objects)


def assembled(objects: Sequence[bytes], trailer: bytes = b"") -> bytes:
    """A file of these objects, numbered from 1; the first is its catalogue."""
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, table)
    end = b"trailer\n<< /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, len(out))
    return out + head + end


def typeset(
    text: str,
    columns: int = 1,
    header: str = "",
    number: str = "",
    size: int = 12,
    top: float = 780,
    bottom: float = 60,
) -> list[list[Run]]:
    """The pages of a text: lines broken at the margin, as a word processor does.

    Args:
        text: with a line for each paragraph; two spaces at its beginning indent it.
        columns: of a page.
        header: on every page.
        number: at the foot of a page, with ``{}`` for its number.
        size: of the characters (points).
        top: first line of a page.
        bottom: last line of a page.
    """
    wide = 480 if columns == 1 else 220
    lines = [line for paragraph in text.split("\n") for line in _broken(paragraph, wide / size)]
    step, pages = 1.6 * size, [[]]
    per_column = int((top - bottom) // step)
    for place, line in enumerate(lines):
        column, row = (place // per_column) % columns, place % per_column
        if place and place % (per_column * columns) == 0:
            pages.append([])
        x = 57 + column * 260
        pages[-1].append((x, top - row * step, line))
    for place, page in enumerate(pages, 1):
        page += [(57, 815, header)] if header else []
        page += [(280, 25, number.format(place))] if number else []
    return pages


def _broken(paragraph: str, most: float) -> list[str]:
    """The lines of a paragraph; a character of ASCII is half as wide as another."""
    lines, used = [""], 0.0
    for character in paragraph:
        own = 0.5 if character.isascii() else 1
        if used + own > most:
            lines, used = [*lines, ""], 0.0
        lines[-1] += character
        used += own
    return lines
