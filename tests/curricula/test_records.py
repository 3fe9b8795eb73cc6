"""Records that are odd in one way: each is read as documented, or refused in a sentence that names its place."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curricula.corpora import read_corpus
from curricula.errors import DataError
from curricula.prompts import Prompt
from curricula.records import fingerprint, is_file, read_demonstrations, read_prompts, read_texts
from curricula.strict_json import parse

GOOD = {"prompt": "几岁？", "reference": "十六"}
USER = {"role": "user", "content": "几岁？"}
SYSTEM = {"role": "system", "content": "答"}
SAID = {"role": "assistant", "content": "几？"}


def jsonl(path, *lines, ending="\n"):
    texts = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines]
    path.write_bytes(ending.join(texts).encode("utf-8"))
    return path


def parquet(path, columns, **options):
    pq.write_table(pa.table(columns), path, **options)
    return path


def refused(read, path):
    with pytest.raises(DataError) as raised:
        read(path)
    message = str(raised.value)
    message.encode()  # a terminal can show it
    return message


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (r'{"prompt": "几\ud83d岁", "reference": "一"}', r"\ud83d is half of a surrogate pair"),
        (r'{"prompt": "几岁", "reference": "\udc00"}', r"\udc00 is half of a surrogate pair"),
        (r'{"prompt": "几岁", "reference": "一", "\ud800": 1}', r"\ud800 is half of a surrogate pair"),
        (r'{"prompt": "几\u0000岁", "reference": "一"}', "message 1 (of the user) has a NUL character"),
        (r'{"prompt": "几岁", "reference": "一\u0000"}', "field reference has a NUL character"),
        ('{"prompt": "几岁", "reference": NaN}', "NaN is not a JSON value"),
        ('{"prompt": "几岁", "reference": -Infinity}', "-Infinity is not a JSON value"),
        ('{"prompt": "几岁", "reference": "一", "prompt": "何罪"}', "the key 'prompt' occurs twice"),
        ('{"prompt": "几岁", "reference": ' + "9" * 5000 + "}", "integer string"),
        ("[" * 100_000, "nested too deeply"),
        ({**GOOD, "reference": 2}, 'field reference must be text, found a number; write it as text, such as "2"'),
        ({**GOOD, "reference": 2.0}, 'such as "2"'),
        ({**GOOD, "reference": True}, "found true or false"),
        ({**GOOD, "reference": {"a": "b"}}, "must be text, found an object"),
        ({**GOOD, "reference": []}, "field reference is empty"),
        ({**GOOD, "reference": ["一", 2]}, "entry 2 of reference must be text, found a number"),
        ({**GOOD, "reference": " "}, "field reference is blank"),
        ({**GOOD, "reference": None}, "field reference is missing; found prompt"),
        ({**GOOD, "prompt": " \n　"}, "message 1 (of the user) is blank"),
        ({**GOOD, "prompt": []}, "prompt holds no message"),
        ({**GOOD, "prompt": 3}, "a prompt must be text or a list of messages with role and content, found a number"),
        (
            {**GOOD, "prompt": json.dumps([SYSTEM, USER])},
            "prompt is a list of messages written out as text; give the list",
        ),
        ({**GOOD, "prompt": str([SYSTEM, USER])}, "prompt is a list of messages written out as text"),
        ({**GOOD, "prompt": "\u200b\ufeff"}, "message 1 (of the user) is blank"),
        ({**GOOD, "reference": " \u200b"}, "field reference is blank"),
        ([GOOD, GOOD], "expected an object with named fields, found a list; write each object in a line of its own"),
        ({**GOOD, "prompt": ["几岁"]}, "message 1 is text; a prompt must be text or a list"),
        ({**GOOD, "prompt": [{**USER, "role": "User"}]}, "message 1 has the role 'User'; write 'user'"),
        ({**GOOD, "prompt": [{**USER, "role": "human"}]}, "write 'user'"),
        ({**GOOD, "prompt": [{**USER, "role": "assitant"}]}, "write 'assistant'"),
        ({**GOOD, "prompt": [{**USER, "role": "tool"}]}, "use one of system, user, assistant"),
        ({**GOOD, "prompt": [{**USER, "role": 1}]}, "has the role 1; use one of"),
        ({**GOOD, "prompt": [{**USER, "content": ""}]}, "message 1 (of the user) is empty"),
        ({**GOOD, "prompt": [{**USER, "content": None}]}, "message 1 has no content"),
        ({**GOOD, "prompt": [{**USER, "tool_calls": [1]}]}, "has the field 'tool_calls', which would be lost"),
        ({**GOOD, "prompt": [{**USER, "content": [{"type": "image_url"}]}]}, "a part that is no text (image_url)"),
        ({**GOOD, "prompt": [{**USER, "content": ["几岁"]}]}, 'a part that is text; write {"type": "text", "text": …}'),
        ({**GOOD, "prompt": [{**USER, "content": [None]}]}, "a part that is NoneType; write"),
        ({**GOOD, "prompt": [USER, SAID]}, "the last message is of the assistant and must be of the user"),
        ({**GOOD, "prompt": [SYSTEM]}, "the last message is of the system"),
        ({**GOOD, "prompt": [SYSTEM, SYSTEM, USER]}, "message 2 is a system message; only the first may be one"),
        ({**GOOD, "prompt": [USER, SAID, SYSTEM, USER]}, "message 3 is a system message"),
        ({**GOOD, "prompt": [USER, USER]}, "message 2 is of the user where one of the assistant is due"),
        ({**GOOD, "prompt": [SYSTEM, SAID, USER]}, "message 2 is of the assistant where one of the user is due"),
        ({"prompt": "几岁", "reward_model": {"ground_truth": 3}}, "field reference must be text, found a number"),
        ({**GOOD, "task": "a\x1b[31m\nb"}, r"the task 'a\x1b[31m\nb' has characters that no table can show"),
        ({**GOOD, "a\x1b": 1}, r"unknown field 'a\x1b'"),
        ({**GOOD, "data_source": "a", "task": "b"}, "has both task and verl's data_source"),
        ({"prompt": "几岁", "reward_model": {"style": "rule"}}, "field reference is missing"),
    ],
)
def test_an_odd_record_is_refused_by_file_and_line(tmp_path, line, message):
    path = jsonl(tmp_path / "odd.jsonl", GOOD, "", line)
    found = refused(read_prompts, path)
    assert found.startswith(f"{path}:3: ") and message in found


def test_what_is_read_as_documented(tmp_path):
    def only(*lines, name="x.jsonl", **options):
        (found,) = read_prompts(jsonl(tmp_path / name, *lines, **options))
        return found

    assert only("\ufeff" + json.dumps(GOOD)) == only(GOOD)
    assert len(read_prompts(jsonl(tmp_path / "x.jsonl", GOOD, "\ufeff" + json.dumps(GOOD), ending="\r\n"))) == 2
    assert only({**GOOD, "prompt": "一\u2028二\x85三"}).messages[0]["content"] == "一\u2028二\x85三"
    assert only(r'{"prompt": "\ud83d\ude00", "reference": "\\ud83d"}').messages[0]["content"] == "😀"
    assert only(r'{"prompt": "几岁", "reference": "\\ud83d"}').reference == r"\ud83d", "a backslash, and no escape"
    assert only({**GOOD, "reference": ["十六", "16"]}).reference == '["十六", "16"]'
    assert only({**GOOD, "task": None, "demonstration": None}) == only(GOOD)
    assert only(GOOD, name="X.JSONL").task == "X" and is_file("X.JSONL") and not is_file("jsonl")
    turns = only({**GOOD, "prompt": [SYSTEM, USER, SAID, USER]})
    assert turns.messages == (SYSTEM, USER, SAID, USER)
    parts = [{"type": "text", "text": "几", "image_url": None}, {"type": None, "text": "岁？"}]
    assert only({**GOOD, "prompt": [{"role": "user", "content": parts, "name": None}]}).messages == (USER,)


def test_a_prompt_knows_where_it_was_read_and_is_the_same_prompt_elsewhere(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", GOOD, GOOD)
    first, second = read_prompts(path)
    assert (first.name, second.where) == (f"{path}:1", f"{path}:2")
    assert first == second == Prompt("a", (USER,), "十六") and first.uid == second.uid
    assert "where" not in first.to_json() and read_prompts(jsonl(tmp_path / "b.jsonl", first.to_json()))[0] == first
    assert Prompt("a", (USER,), "十六").name == f"prompt {first.uid} (task a)"


def test_bad_records_are_counted_and_the_first_three_quoted(tmp_path):
    path = jsonl(tmp_path / "many.jsonl", *([GOOD, "{", {"prompt": "x"}] * 50))
    found = refused(read_prompts, path)
    assert found.startswith("100 of 150 records are bad, the first 3:\n")
    assert all(f"{path}:{n}: " in found for n in (2, 3, 5)) and f"{path}:6" not in found
    texts = jsonl(tmp_path / "t.jsonl", {"text": "一"}, {"text": ""}, {"text": "二"}, {"text": ""})
    assert len(read_texts(texts, limit=1)) == 1, "what comes after the limit is not looked at"
    assert "2 of 4 records are bad" in refused(read_texts, texts)


def test_other_encodings_and_packed_files(tmp_path):
    path = tmp_path / "x.jsonl"
    for encoding in ("utf-16", "utf-16-le"):
        path.write_bytes((json.dumps(GOOD, ensure_ascii=False) + "\n").encode(encoding))
        assert "UTF-16" in refused(read_prompts, path)
    path.write_bytes((json.dumps(GOOD, ensure_ascii=False) + "\n").encode("gb18030"))
    assert f"{path}:1: not UTF-8" in (found := refused(read_prompts, path)) and "iconv -f GB18030" in found
    for name in ("x.jsonl", "x.jsonl.gz", "x.parquet"):
        (tmp_path / name).write_bytes(gzip.compress(b"{}"))
        assert "is compressed; unpack it first (gunzip)" in refused(read_prompts, tmp_path / name)
    assert "is a folder; give one file" in refused(read_prompts, tmp_path)
    named = tmp_path / "\udcff.jsonl"
    jsonl(named, GOOD)
    assert "the name of the file is not UTF-8" in refused(read_prompts, named)
    for name in ("x.jsonl", "x.jsonl.gz", "x.parquet"):
        (tmp_path / name).unlink()
    for read in (read_texts, fingerprint):
        assert "the name of the file is not UTF-8" in refused(read, tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [("法律".encode("utf-16"), "UTF-16"), ("法\x00律".encode(), "NUL"), ("法律".encode("gb18030"), "iconv -f GB18030")],
)
def test_text_files(tmp_path, content, message):
    path = tmp_path / "x.TXT"
    path.write_bytes(content)
    assert message in refused(read_texts, path)
    path.write_bytes("\ufeff法律\r\n".encode())
    assert read_corpus(str(tmp_path))[0].text == "法律", "in capital letters, in a folder, too"


def test_parquet_types(tmp_path):
    rows = {
        "prompt": pa.array(["几岁？"] * 3, pa.large_string()),
        "reference": pa.array(["十六"] * 3).dictionary_encode(),
    }
    path = parquet(tmp_path / "a.parquet", {**rows, "__index_level_0__": [5, 6, 7]}, row_group_size=2)
    assert [prompt.where for prompt in read_prompts(path)] == [f"{path} row {n}" for n in (1, 2, 3)]
    messages = pa.array([[{**USER, "name": None}], None], pa.list_(pa.struct(
        [("role", pa.string()), ("content", pa.string()), ("name", pa.string())]
    )))  # fmt: skip
    path = parquet(tmp_path / "b.parquet", {"prompt": messages, "reference": ["a", "b"]})
    assert refused(read_prompts, path) == f"{path} row 2: field prompt is missing; found reference"
    path = parquet(tmp_path / "c.parquet", {"prompt": ["a"], "reference": [2.0]})
    assert 'row 1: field reference must be text, found a number; write it as text, such as "2"' in refused(
        read_prompts, path
    )
    path = parquet(tmp_path / "d.parquet", {"prompt": ["a"], "reference": [["x", "y"]], "index": [1]})
    assert "unknown field index" in refused(read_prompts, path)
    assert read_prompts(parquet(tmp_path / "d.parquet", {"prompt": ["a"], "reference": [["x", "y"]]}))[0].reference == (
        '["x", "y"]'
    )
    twice = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    pq.write_table(twice, tmp_path / "e.parquet")
    assert "column 'text' occurs twice" in refused(read_texts, tmp_path / "e.parquet")


def test_a_parquet_row_of_damaged_text_is_named(tmp_path):
    damaged = pa.StringArray.from_buffers(3, pa.array([0, 1, 2, 3], pa.int32()).buffers()[1], pa.py_buffer(b"a\xffb"))
    path = parquet(tmp_path / "x.parquet", {"text": damaged})
    assert f"{path} row 2: 'utf-8' codec can't decode" in refused(read_texts, path)


def test_verls_format_is_read(tmp_path):
    columns = {
        "data_source": ["owner/law"], "prompt": [[SYSTEM, USER]], "ability": ["law"],
        "reward_model": [{"style": "rule", "ground_truth": "十六"}], "extra_info": [{"index": 0, "split": "train"}],
    }  # fmt: skip
    (found,) = read_prompts(parquet(tmp_path / "v.parquet", columns))
    assert found == Prompt("owner/law", (SYSTEM, USER), "十六")
    del columns["data_source"]
    (found,) = read_prompts(parquet(tmp_path / "v.parquet", {**columns, "answer_kind": ["number"]}))
    assert (found.task, found.answer_kind) == ("v", "number")


def test_demonstrations_need_no_reference_and_none_is_blank(tmp_path):
    (found,) = read_demonstrations(jsonl(tmp_path / "x.jsonl", {"prompt": "问", "demonstration": "答"}))
    assert (found.reference, found.demonstration) == ("", "答")
    assert "field demonstration is blank" in refused(
        read_demonstrations, jsonl(tmp_path / "x.jsonl", {"prompt": "问", "demonstration": " "})
    )


def test_strict_json_says_where():
    for text, message in (
        ('{\n"a": 1,\n}', "line 3, column 1"),
        ('[\n"\\ud83d\\ude00",\n"\\ud83d"\n]', r"\\ud83d in line 3 is half"),
        ('{"a": {"b": 1, "b": 1}}', "the key 'b' occurs twice"),
    ):
        with pytest.raises(ValueError, match=message):
            parse(text)
    assert parse('\ufeff{"a": [1.5, null]}') == {"a": [1.5, None]}
    assert parse('"\\ud83d"', halves=True) == "\ud83d"
