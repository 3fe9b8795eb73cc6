import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curricula.corpora import read_corpus, statute_documents
from curricula.errors import DataError
from curricula.records import fingerprint, read_prompts, read_texts
from rl.config.compose import load
from rl.config.derive import check
from rl.errors import UserError


def write(path, *texts):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps({"text": text}) for text in texts), encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path):
    """Five documents in three kinds of file; their texts sort as the files do."""
    root = tmp_path / "corpus"
    write(root / "a.jsonl", "一", "二")
    (root / "b").mkdir()
    pq.write_table(pa.Table.from_pylist([{"text": "三"}, {"text": "四"}]), root / "b" / "x.parquet")
    (root / "c.txt").write_bytes("\ufeff 五\n\n五\n".encode())
    (root / ".git").mkdir()
    (root / ".git" / "config.ini").write_text("x")
    (root / ".hidden").write_text("x")
    return root


def texts(*args, **kwargs):
    return [document.text for document in read_corpus(*args, **kwargs)]


def test_a_folder_is_read_in_the_order_of_its_paths(folder):
    assert texts(str(folder)) == ["一", "二", "三", "四", "五\n\n五"]
    assert [document.source for document in read_texts(folder)] == ["a", "a", "x", "x", "c"]
    assert [len(texts(str(folder), limit=n)) for n in (1, 2, 3, 9)] == [1, 2, 3, 5]
    assert texts(str(folder / "c.txt")) == ["五\n\n五"]


def test_a_limit_spares_what_comes_later(folder):
    (folder / "b" / "bad.jsonl").write_text("no JSON")
    assert texts(str(folder), limit=2) == ["一", "二"]
    with pytest.raises(DataError, match=r"bad.jsonl:1: not valid JSON"):
        texts(str(folder), limit=3)


def test_bad_folders(folder, tmp_path):
    (folder / "b" / "notes.docx").write_text("x")
    with pytest.raises(DataError, match=r"b/notes.docx: none of .jsonl, .parquet, .txt"):
        texts(str(folder))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no file"):
        texts(str(tmp_path / "empty"))
    with pytest.raises(DataError, match="no such file"):
        texts(str(tmp_path / "absent"))


def test_bad_text_files(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text(" \n")
    with pytest.raises(DataError, match="holds no text"):
        texts(str(path))
    path.write_bytes("刑法".encode("gbk"))
    with pytest.raises(DataError, match="not UTF-8"):
        texts(str(path))
    with pytest.raises(DataError, match=r"neither .jsonl nor .parquet;"):
        read_prompts(path)
    with pytest.raises(DataError, match="statute corpus only"):
        texts(str(path), ["刑法"])


def test_a_parquet_row_is_named(tmp_path):
    rows = [{"text": "法"}] * 1500 + [{"text": ""}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"x.parquet row 1501: field text is empty"):
        texts(str(tmp_path / "x.parquet"))
    assert len(texts(str(tmp_path / "x.parquet"), limit=1500)) == 1500
    (tmp_path / "y.parquet").write_text("text")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        texts(str(tmp_path / "y.parquet"))


def test_statutes_with_a_limit():
    everything = statute_documents(("刑法",))
    assert read_corpus("statutes", ("刑法",), limit=7) == everything[:7]
    assert read_corpus("statutes", ("刑法",)) == everything and len(everything) > 300


def test_the_fingerprint_of_a_folder_knows_names_and_contents(folder):
    first = fingerprint(folder)
    (folder / ".hidden").write_text("y")
    assert fingerprint(folder) == first == fingerprint(str(folder) + "/")
    (folder / "a.jsonl").rename(folder / "d.jsonl")
    renamed = fingerprint(folder)
    (folder / "c.txt").write_text("六")
    assert len({first, renamed, fingerprint(folder)}) == 3
    assert fingerprint(folder / "c.txt") != fingerprint(folder)


def test_a_configuration_takes_folders_for_corpora_alone(folder, tmp_path):
    def config(**stage):
        return load({"run_dir": "x", "curriculum": {"name": "c", "stages": [{"name": "s", **stage}]}})

    check(config(kind="mid_training", steps=1, corpus=[{"path": str(folder)}]))
    check(config(kind="mid_training", steps=1, corpus=[{"path": str(folder / "c.txt")}]))
    with pytest.raises(UserError, match="absent does not exist"):
        check(config(kind="mid_training", steps=1, corpus=[{"path": str(tmp_path / "absent")}]))
    with pytest.raises(UserError, match="corpus does not exist"):
        check(config(kind="sft", steps=1, demonstrations={}, data=str(folder)))


@pytest.fixture
def hub(tmp_path):
    """A folder that the datasets library reads as it reads one of the hub."""
    root = tmp_path / "hub"
    root.mkdir()
    for split, many in (("train", 30), ("test", 3)):
        rows = [{"body": f"{split}{n}" if n != 1 else " ", "n": n} for n in range(many)]
        (root / f"{split}.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return root


def test_a_dataset_is_streamed(hub):
    found = read_corpus(f"hf:{hub}", column="body", limit=4)
    assert [document.text for document in found] == ["train0", "train2", "train3", "train4"]
    assert found[0].source == str(hub)
    assert texts(f"hf:{hub}", column="body", split="test", limit=50) == ["test0", "test2"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("hub", {}, "no column text; it has body, n"),
        ("hub", {"column": "n"}, "column n must be text, found int"),
        ("hub", {"column": "body", "split": "dev"}, "split dev.* can't be read"),
        ("hub", {"column": "body", "subset": "chinese"}, "subset chinese.* can't be read"),
        ("absent", {}, "absent.* can't be read"),
    ],
)
def test_a_dataset_that_is_not_there(hub, name, options, message):
    with pytest.raises(DataError, match=message) as raised:
        read_corpus(f"hf:{hub.parent / name}", limit=3, **options)
    assert "\n" not in str(raised.value)
