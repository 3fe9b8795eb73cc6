"""The text of PDF files: lines in reading order without headers and page numbers, or a sentence that says why not."""

import pytest

from rl.errors import UserError
from rl.synthesis.documents import read_documents
from rl.synthesis.pdf import read as reading
from rl.synthesis.pdf.layout import Piece, text_of, without_edges
from rl.synthesis.pdf.read import read_pdf
from tests.rl.synthesis.pdfs import assembled, pdf, typeset

SENTENCE = "被告人张三以非法占有为目的，秘密窃取他人财物，数额较大，其行为已构成盗窃罪。"
JUDGMENT = "\n".join(
    [
        "某市某区人民法院", "刑事判决书", "（2023）某0101刑初12号", f"　　公诉机关指控：{SENTENCE * 9}",
        f"　　本院认为，{SENTENCE * 40}", "　　一、被告人张三犯盗窃罪，判处有期徒刑一年。",
        "　　二、责令退赔3.5万元。", "审判员　　李四", "二〇二三年五月一日",
    ]
)  # fmt: skip
READ = JUDGMENT.replace("　　公", "公").replace("　　本", "本").replace("　　一", "一").replace("　　二、", "二、")
READ = READ.replace("员　　李", "员 李")


@pytest.fixture
def file(tmp_path):
    """Writes a file and reads its text."""

    def read(data, name="a.pdf"):
        (tmp_path / name).write_bytes(data)
        return read_pdf(tmp_path / name)

    return read


@pytest.mark.parametrize("columns", [1, 2])
def test_lines_are_joined_and_headers_and_page_numbers_left_out(columns, file):
    pages = typeset(JUDGMENT, columns, header="某市某区人民法院文书 2023年第1册", number="- {} -")
    assert len(pages) > 1
    assert file(pdf(pages)) == READ


@pytest.mark.parametrize(
    ("turned", "matrix"), [(90, b"0 1 -1 0 842 0 cm"), (180, b"-1 0 0 -1 595 842 cm"), (270, b"0 -1 1 0 0 595 cm")]
)
def test_a_turned_page_is_read_as_it_is_shown(turned, matrix, file):
    assert file(pdf(typeset(JUDGMENT), turned=turned, first=matrix)) == READ


def test_a_title_over_two_columns_parts_them(file):
    left = [(57, 700 - 20 * row, f"左栏第{row}行的文字写到这里就结束了吧") for row in range(8)]
    right = [(317, 700 - 20 * row, f"右栏第{row}行的文字写到这里就结束了吧") for row in range(8)]
    both = [one for pair in zip(left, right, strict=True) for one in pair]  # line by line in the file
    title = (150, 760, "二〇二三年国家统一法律职业资格考试模拟试题（一）")
    middle = (150, 520, "第二部分是横跨两栏的标题，它的下面又是两栏")
    below = [(57, 480, "左栏续"), (317, 480, "右栏续")]
    text = file(pdf([[title, *both, middle, *below]])).replace("\n", "|")
    wanted = [title[2], *(one[2] for one in left), *(one[2] for one in right), middle[2], "左栏续", "右栏续"]
    assert text.replace("|", "") == "".join(wanted)


def test_what_is_written_along_a_margin_is_left_out(file):
    binding = b"BT /F1 12 Tf 0 1 -1 0 30 300 Tm <%s> Tj ET" % "密封线内不得答题".encode("utf-16-be").hex().encode()
    assert file(pdf(typeset(JUDGMENT), extra=binding)) == READ


def test_radicals_are_ideographs_and_rare_characters_whole(file):
    assert file(pdf([[(57, 700, "⽤⼈单位𠮷")]])) == "用人单位𠮷"


def page(*texts):
    """The lines of a page, from its top to its bottom."""
    return [Piece(text, 57, 57 + 12 * len(text), 800 - 20 * row, 812 - 20 * row) for row, text in enumerate(texts)]


def test_only_numbers_that_rise_with_the_pages_are_page_numbers():
    bodies = [[character * 30 for character in some] for some in ("甲乙丙", "子丑寅", "东南西")]
    plain = [page(number, *body) for number, body in zip(("12", "7", "900"), bodies, strict=True)]
    assert without_edges(plain) == plain
    numbered = [page(*body, number) for number, body in zip("456", bodies, strict=True)]
    assert [[one.text for one in lines] for lines in without_edges(numbered)] == bodies
    assert text_of([page("题目", "2023")]) == "题目\n2023" and text_of([page("题目", "第1页 共1页")]) == "题目"
    assert text_of([page("题目", "1")]) == "题目"


def image() -> bytes:
    """A page with a picture and no text."""
    return b"q 500 0 0 700 50 50 cm BI /W 1 /H 1 /CS /G /BPC 8 ID \x80 EI Q"


def locked() -> bytes:
    """A file that asks for a password."""
    entries = b"/Filter /Standard /V 1 /R 2 /O <%s> /U <%s> /P -4" % (b"41" * 32, b"42" * 32)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [] /Count 0 >>", b"<< %s >>" % entries,
    ]  # fmt: skip
    return assembled(objects, b"/Encrypt 3 0 R /ID [<%s> <%s>]" % (b"43" * 16, b"43" * 16))


def nested(depth: int) -> bytes:
    """A small file whose page draws a form, which draws the next twice, and so on."""
    names = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"]
    resources = b"/Resources << /XObject << /X 5 0 R >> >>"
    names.append(b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] %s /Contents 4 0 R >>" % resources)
    names.append(b"<< /Length 5 >>\nstream\n/X Do\nendstream")
    for place in range(depth):
        inner = b"/X Do " * 12
        resources = b"/Resources << /XObject << /X %d 0 R >> >>" % (6 + place) if place + 1 < depth else b""
        names.append(
            b"<< /Type /XObject /Subtype /Form /BBox [0 0 595 842] %s /Length %d >>\nstream\n%s\nendstream"
            % (resources, len(inner), inner)
        )
    return assembled(names)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "a.pdf is empty"),
        (b"%PDF-1.4 and no more", "a.pdf is no PDF, or a damaged one; save it again"),
        ("正文".encode(), "a.pdf is no PDF, or a damaged one"),
        (locked(), "a.pdf is encrypted; save it without a password"),
        (pdf([[]], extra=image()), "a.pdf is a scan without a text layer; run OCR on it"),
        (pdf([]), "a.pdf is no PDF, or a damaged one"),
        (pdf([[], []]), "a.pdf holds no text"),
    ],
)
def test_what_can_not_be_read_is_a_sentence(data, sentence, file):
    with pytest.raises(UserError, match=sentence):
        file(data)


def test_one_scanned_page_among_others_is_named(file):
    data = pdf([[(57, 700, "第一页")], []], extra=image())
    with pytest.raises(UserError, match="is a scan without a text layer on page 2; run OCR"):
        file(data)


def test_limits(file, monkeypatch):
    data = pdf(typeset(JUDGMENT))
    for name, value, sentence in (
        ("PAGES", 1, "has 2 pages, more than 1; split it"),
        ("LONGEST", 100, "has more than 100 characters; split it"),
        ("BYTES", 100, "more than 100; split it"),
        ("MEMORY", 2**20 * 32, r"needs more than 32 MB|ends the process that reads it"),
    ):
        with monkeypatch.context() as context:
            context.setattr(reading, name, value)
            with pytest.raises(UserError, match=sentence):
                file(data)
    monkeypatch.setattr(reading, "SECONDS", 1)
    with pytest.raises(UserError, match="is not read within 1 s of a processor; leave it out"):
        file(nested(28))


def test_a_folder_may_mix_them(tmp_path):
    (tmp_path / "a.pdf").write_bytes(pdf(typeset(JUDGMENT)))
    (tmp_path / "b.txt").write_text(READ, encoding="utf-8")
    (tmp_path / "c.docx").write_bytes(b"x")
    (tmp_path / "d.pdf").write_bytes(b"x")
    found = {one.fields["source"]: (one.fate, one.detail) for one in read_documents(tmp_path)}
    assert found["a.pdf"] == ("kept", "") and found["b.txt"][0] == "dropped", "the same text"
    assert found["c.docx"] == ("failed", "c.docx is neither a .txt nor a .pdf file; save its text as one")
    assert found["d.pdf"] == ("failed", "d.pdf is no PDF, or a damaged one; save it again")
