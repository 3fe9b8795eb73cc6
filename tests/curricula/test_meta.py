import datetime
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curricula.cleaning import Cleaning, clean
from curricula.errors import DataError
from curricula.meta import DEEPEST, MOST_VALUES, meta_counts
from curricula.mixture import Mixture, cells_of
from curricula.records import read_demonstrations, read_prompts, read_texts
from curricula.sampler import Sampler

META = {"source": "判例", "licence": "CC-BY-4.0", "verdicts": [{"judge": "a", "score": 0.5}, True], "": ""}
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
NUMBERS = st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.booleans() | NUMBERS | TEXT, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
)
METAS = st.lists(st.dictionaries(TEXT, JSON, max_size=4), min_size=12, max_size=12)


def jsonl(path, records):
    path.write_text("\n".join(json.dumps(record, ensure_ascii=False) for record in records), encoding="utf-8")
    return path


def refused(read, path):
    with pytest.raises(DataError) as raised:
        read(path)
    return str(raised.value)


QUESTIONS = [{"prompt": f"第{n}问？", "reference": f"{n % 5}", "demonstration": f"答{n}"} for n in range(12)]
TEXTS = [{"text": f"第{n % 9}条　公民的权利受法律保护，任何人不得侵犯{n % 9}次。" * 2} for n in range(12)]


@settings(deadline=None, max_examples=15)
@given(metas=METAS)
def test_meta_is_carried_along_and_changes_nothing_else(tmp_path_factory, metas):
    folder = tmp_path_factory.mktemp("meta")
    for folder_name, records in (("questions", QUESTIONS), ("texts", TEXTS)):
        for name, extra in (("without", [{}] * 12), ("with", [{"meta": meta} for meta in metas])):
            (folder / name).mkdir(exist_ok=True)
            jsonl(folder / name / f"{folder_name}.jsonl", [r | e for r, e in zip(records, extra, strict=True)])

    def drawn(prompts):
        sampler = Sampler({"pool": 1.0}, {"pool": prompts}, seed=3, difficulty=0.5)
        found = []
        for index in range(40):
            found.append(sampler.at(index))
            sampler.observe(index, [1.0, 0.0], [index % 2, index % 3 == 0])
        return found, sampler.state_dict()

    def packed(documents):
        kept, dropped = clean([documents], Cleaning())
        mixture = Mixture(cells_of(0, kept[0]), [1.0], 5, lambda text: [ord(c) for c in text], 0)
        return mixture.next_rows(6, 64), mixture.state_dict(), kept, dropped

    plain, annotated = (folder / name for name in ("without", "with"))
    for read in (read_prompts, read_demonstrations):
        bare, full = read(plain / "questions.jsonl"), read(annotated / "questions.jsonl")
        assert [prompt.meta for prompt in full] == metas and not any(prompt.meta for prompt in bare)
        assert bare == full and [prompt.uid for prompt in bare] == [prompt.uid for prompt in full]
        assert drawn(bare) == drawn(full)
        again = read(jsonl(folder / "again.jsonl", [prompt.to_json() for prompt in full]))
        assert [(prompt, prompt.meta) for prompt in again] == [(prompt, prompt.meta) for prompt in full]
    bare, full = read_texts(plain / "texts.jsonl"), read_texts(annotated / "texts.jsonl")
    assert [document.meta for document in full] == metas
    assert packed(bare) == packed(full) and packed(bare)[-1] == [{"exact_copy": 3}]


def nested(levels):
    return {"a": nested(levels - 1)} if levels > 1 else {}


def test_what_a_meta_may_hold(tmp_path):
    def read(meta):
        (found,) = read_texts(jsonl(tmp_path / "a.jsonl", [{"text": "法律", "meta": meta}]))
        return found.meta

    assert read(META) == META and read({}) == read(None) == {}
    assert read({"a": None, "b": {"c": None, "d": [None, 1]}}) == {"b": {"d": [None, 1]}}, "null is left out"
    assert read(nested(DEEPEST)) == nested(DEEPEST)


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ('"a judge"', 'field meta must be an object, found text; write {"source": …}'),
        ('"{}"', "field meta must be an object, found text"),
        ("[1]", "field meta must be an object, found a list"),
        ("3", "field meta must be an object, found a number"),
        ("true", "field meta must be an object, found true or false"),
        ('{"score": NaN}', "NaN is not a JSON value; write null or text"),
        ('{"scores": [1, 1e999]}', "field meta.scores[1] is inf, which JSON does not have; write null or text"),
        ('{"a": 1, "a": 2}', "the key 'a' occurs twice"),
        (r'{"a": {"b": "x\u0000"}}', "field meta.a.b has a NUL character"),
        (r'{"a\u0000": 1}', "field meta: the name of a field has a NUL character"),
        (r'{"a": "\ud83d"}', "half of a surrogate pair"),
        (json.dumps(nested(DEEPEST + 1)), f"is nested more than {DEEPEST} levels deep; make it flatter"),
        ('{"a": ' * 5000 + "1" + "}" * 5000, "nested too deeply"),
    ],
)
def test_anything_else_is_refused_by_file_and_line(tmp_path, meta, message):
    path = tmp_path / "a.jsonl"
    for read, record in (
        (read_prompts, '"prompt": "何罪？", "reference": "甲"'),
        (read_demonstrations, '"prompt": "何罪？", "demonstration": "甲"'),
        (read_texts, '"text": "法律"'),
    ):
        path.write_text(f'{{{record}}}\n{{{record}, "meta": {meta}}}\n', encoding="utf-8")
        found = refused(read, path)
        assert found.startswith(f"{path}:2: ") and message in found


def test_meta_in_parquet(tmp_path):
    path = tmp_path / "a.parquet"

    def write(metas, kind=None):
        table = {"text": [f"第{n}条" for n in range(len(metas))], "meta": pa.array(metas, kind)}
        pq.write_table(pa.table(table), path)
        return path

    structs = [{"source": "甲", "score": 1}, {"source": "乙", "teachers": ["a"]}, None]
    assert [document.meta for document in read_texts(write(structs))] == [*structs[:2], {}], "without what Parquet adds"
    words = pa.map_(pa.string(), pa.string())
    assert [document.meta for document in read_texts(write([[("licence", "公有领域")], []], words))] == [
        {"licence": "公有领域"},
        {},
    ]
    assert "row 1: field meta must be an object, found text" in refused(read_texts, write(['{"a": 1}']))
    assert "row 2: field meta.score is nan" in refused(read_texts, write([{"score": 1.0}, {"score": float("nan")}]))
    dated = refused(read_texts, write([{"day": datetime.date(2026, 1, 1)}]))
    assert "row 1: field meta.day must be a JSON value, found date; write it as text" in dated
    assert "row 1: field meta: the name of a field must be text" in refused(
        read_texts, write([[(1, "a")]], pa.map_(pa.int64(), pa.string()))
    )
    assert f"{path} row 2: " in refused(read_texts, write([[("a", "1")], [("a", "1"), ("a", "2")]], words))


def test_documents_are_counted_by_the_fields_with_few_values():
    metas = [{"licence": "甲", "checked": True, "address": f"{n}", "tags": ["x"]} for n in range(MOST_VALUES + 1)]
    metas += [{"licence": "乙", "tags": "y"}, {}]
    assert meta_counts(metas) == {
        "checked": {"true": MOST_VALUES + 1, "": 2},
        "licence": {"甲": MOST_VALUES + 1, "乙": 1, "": 1},
    }
    assert meta_counts([{}, {}]) == meta_counts([]) == {}
