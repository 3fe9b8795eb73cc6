import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curricula.corpora import read_corpus, statute_documents
from curricula.errors import DataError
from curricula.records import read_demonstrations, read_prompts, read_texts
from curricula.tasks import make_prompts


def write(path, *lines):
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return path


GOOD = {"prompt": "何罪？", "reference": "盗窃罪，264条", "answer_kind": "charge"}


def test_prompts_from_jsonl_and_parquet(tmp_path):
    from_jsonl = read_prompts(write(tmp_path / "cases.jsonl", GOOD, "", {**GOOD, "prompt": "何条？"}))
    pq.write_table(pa.Table.from_pylist([GOOD, {**GOOD, "prompt": "何条？"}]), tmp_path / "cases.parquet")
    assert from_jsonl == read_prompts(tmp_path / "cases.parquet")
    assert from_jsonl[0].task == "cases" and from_jsonl[0].messages[-1]["content"] == "何罪？"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"prompt": "x", ', "not valid JSON"),
        ({"prompt": "x"}, "field reference is missing"),
        ({**GOOD, "refrence": "y"}, "unknown field refrence"),
        ({**GOOD, "answer_kind": "colour"}, "answer_kind is 'colour'"),
        ({**GOOD, "reference": 5}, "must be text"),
        ({**GOOD, "prompt": ""}, "is empty"),
        ({**GOOD, "prompt": [{"role": "user"}]}, "prompt must be text or a list"),
        ("[1, 2]", "expected an object"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    path = write(tmp_path / "data.jsonl", GOOD, GOOD, line)
    with pytest.raises(DataError, match=message) as raised:
        read_prompts(path)
    assert f"{path}:3" in str(raised.value)


def test_empty_missing_and_foreign_files(tmp_path):
    with pytest.raises(DataError, match="holds no record"):
        read_texts(write(tmp_path / "empty.jsonl"))
    with pytest.raises(DataError, match="no such file"):
        read_prompts(tmp_path / "absent.jsonl")
    with pytest.raises(DataError, match="neither"):
        read_prompts(write(tmp_path / "data.csv", "a,b"))
    (tmp_path / "latin.jsonl").write_bytes('{"text": "é"}'.encode("latin-1"))
    with pytest.raises(DataError, match=r"latin.jsonl:1: not UTF-8"):
        read_texts(tmp_path / "latin.jsonl")


def test_demonstrations_survive_the_round_trip(tmp_path):
    prompts = make_prompts("age", "train", 5, seed=0)
    path = write(tmp_path / "age.jsonl", *(prompt.to_json() for prompt in prompts))
    assert read_demonstrations(path) == prompts


def test_held_out_articles_are_not_in_the_corpus():
    everything = {d.text for d in statute_documents(("刑法",), split=None)}
    train, test = ({d.text for d in statute_documents(("刑法",), split=s)} for s in ("train", "test"))
    assert train | test < everything and not train & test and len(everything) == 504
    with pytest.raises(DataError, match="did you mean"):
        read_corpus("statutes", ("刑罚",))
