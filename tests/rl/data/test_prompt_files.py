"""A file of prompts is read once, then by row; the second start reads no row at all."""

import json
import os
import random
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import curricula.prompt_file
from curricula.errors import DataError
from curricula.records import each_prompt, read_demonstrations, read_prompts
from curricula.sampler import Sampler
from curricula.tasks import make_prompts
from rl.config.stages import SFTStage
from rl.data import kept_arrays, prompt_files
from rl.data.demonstrations import HELD_OUT_SEED, demonstrations
from rl.data.prompt_files import demonstrations_of, prompts_of

ROWS = 3000
GOOD = {"prompt": "何罪？", "reference": "盗窃罪", "demonstration": "<answer>盗窃罪</answer>"}
BAD = ["{", "[1]", '{"prompt": "x"}', '{"prompt": "x", "reference": 2}', '{"a": NaN}', '"\\ud83d"', '{"a": 1, "a": 1}']


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """What is kept, away from other tests; and spans of a few lines."""
    monkeypatch.setattr(kept_arrays, "FOLDER", tmp_path / "kept")
    monkeypatch.setattr(curricula.prompt_file, "SPAN", 4096)
    forget()
    return tmp_path / "kept"


def forget():
    """As in a new process."""
    prompt_files._files.clear()


@pytest.fixture
def made(monkeypatch):
    """The place of each row that is made into a prompt in this process."""
    found = []
    real = curricula.prompt_file.prompt_of
    monkeypatch.setattr(prompt_files, "spread", map)

    def counted(record, where, *rest):
        found.append(where)
        return real(record, where, *rest)

    monkeypatch.setattr(curricula.prompt_file, "prompt_of", counted)
    return found


def lines_of(count):
    """Records of all forms that are allowed, with their line ends."""
    rng = random.Random(0)
    for number in range(count):
        record = {**GOOD, "prompt": f"第{number}案：" + "甲" * rng.randrange(40), "meta": {"pass_rate": number % 5 / 4}}
        if number % 7 == 0:
            record["prompt"] = [
                {"role": "system", "content": "\ufeff法官"},
                {"role": "user", "content": record["prompt"]},
            ]
        if number % 11 == 0:
            record |= {"reference": ["a", "b"], "task": None}
        yield json.dumps(record, ensure_ascii=number % 2 == 0) + ("\r\n" if number % 3 else "\n")
        if number % 13 == 0:
            yield " \n"


def file_of(path, count=ROWS):
    path.write_bytes(("\ufeff" + "".join(lines_of(count))).encode().rstrip())
    return path


READERS = [(prompts_of, read_prompts), (demonstrations_of, read_demonstrations)]


@pytest.mark.parametrize(("by_row", "whole"), READERS)
def test_its_rows_are_those_of_a_file_that_is_read_as_a_whole(tmp_path, by_row, whole):
    path = file_of(tmp_path / "cases.jsonl")
    wanted = whole(path)
    for found in (by_row(path), (forget(), by_row(str(path)))[1]):
        assert len(found) == ROWS and found[-1] == wanted[-1] and found[5:9] == wanted[5:9]
        assert [*found] == wanted
        assert [(one.where, one.meta, one.uid) for one in found] == [(one.where, one.meta, one.uid) for one in wanted]
        with pytest.raises(IndexError):
            found[ROWS]


@pytest.mark.parametrize("bad", [[], [0], [1, 2], [*range(300)]])
@pytest.mark.parametrize(("by_row", "whole"), READERS)
def test_bad_rows_are_named_as_in_a_file_that_is_read_as_a_whole(tmp_path, bad, by_row, whole):
    path = tmp_path / "cases.jsonl"
    lines = [*lines_of(300)]
    for number in bad:
        lines[-1 - number] = BAD[number % len(BAD)] + "\n"
    content = "".join(lines).encode() if bad else b"\n \n"
    for data in (content, b"", b"\xff\xfex", b"PK\x03\x04", b'{"prompt": "\xb5\xc1"}\n' + content):
        path.write_bytes(data)
        messages = []
        for read in (by_row, whole):
            with pytest.raises(DataError) as error:
                read(path)
            messages.append(str(error.value))
        assert messages[0] == messages[1]


def test_a_second_start_makes_no_row_and_a_draw_makes_only_its_own(tmp_path, made, folder):
    path = file_of(tmp_path / "cases.jsonl")
    prompts_of(path)
    assert len(made) == ROWS
    made.clear()
    forget()
    again = prompts_of(path)
    assert len(again) == ROWS and made == []
    sampler, wanted = (Sampler({"f": 1.0}, {"f": pool}, 5, "s") for pool in (again, read_prompts(path)))
    for step in range(3):
        for index in range(step * 8, step * 8 + 8):
            made.clear()
            assert sampler.at(index) == wanted.at(index)
            assert len(made) == 1
    stage = SFTStage(name="s", kind="sft", steps=1, data=str(path), held_out=5)
    demonstrations(stage, 0)
    made.clear()
    forget()
    given, aside = demonstrations(stage, 3)
    assert made == [] and (len(given), len(aside)) == (ROWS - 5, 5)
    assert [given[7], aside[0]] and len(made) == 2
    assert prompts_of(path) is prompts_of(path), "one index in memory"


def test_a_damaged_index_is_made_again(tmp_path, made, folder):
    path = file_of(tmp_path / "cases.jsonl")
    prompts_of(path)
    (kept,) = folder.iterdir()
    content = kept.read_bytes()
    for damaged in (content[:-50], b"", content[: len(content) // 2] + b"\x00\xff" + content[len(content) // 2 + 2 :]):
        kept.write_bytes(damaged)
        made.clear()
        forget()
        assert len(prompts_of(path)) == ROWS == len(made) and kept.read_bytes() == content


def test_a_file_that_changes_while_it_is_in_use_is_refused_where_it_has_changed(tmp_path):
    path = file_of(tmp_path / "cases.jsonl")
    found = prompts_of(path)
    wanted = found[8], found[9]
    content = path.read_bytes()
    path.write_bytes(content.replace("第9案".encode(), "第6案".encode()))
    assert found[8] == wanted[0]
    with pytest.raises(DataError, match=r"cases.jsonl:\d+: the line has been changed since the file was read"):
        found[9]
    path.write_bytes(content)
    assert (found[8], found[9]) == wanted
    other = tmp_path / "other"
    other.write_bytes(b"{}")
    os.replace(other, path)
    assert (found[8], found[9]) == wanted, "the file that was opened is still there"


def test_demonstrations_are_chosen_as_from_a_list(tmp_path):
    """The same places as when all were in one list."""
    path = file_of(tmp_path / "d.jsonl", 200)
    stage = SFTStage(name="s", kind="sft", steps=1, demonstrations={"charge": 20}, data=str(path), held_out=9)
    for seed in (0, 3):
        train, held_out = demonstrations(stage, seed)
        given = read_demonstrations(path)
        aside = set(random.Random(HELD_OUT_SEED).sample(range(200), 9))
        found = make_prompts("charge", "train", 20, seed) + [one for n, one in enumerate(given) if n not in aside]
        random.Random(seed).shuffle(found)
        assert [*train] == found
        generated = make_prompts("charge", "dev", 9, HELD_OUT_SEED, fewer_ok=True)
        assert [*held_out] == generated + [one for n, one in enumerate(given) if n in aside]


def test_the_memory_of_a_row_is_a_few_numbers(tmp_path):
    path = file_of(tmp_path / "cases.jsonl", 6000)
    prompts_of(path)
    forget()
    tracemalloc.start()
    found = prompts_of(path)
    sampler = Sampler({"f": 1.0}, {"f": found}, 5, "s")
    sampler.at(0)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held / len(found) < 60 and peak / len(found) < 300
    assert sum(array.nbytes for array in found.lines) < 40 * len(found)
    assert isinstance(found.lines.starts, np.ndarray)


def test_a_file_that_is_still_written_while_it_is_read_is_refused(tmp_path, folder, monkeypatch):
    path = file_of(tmp_path / "cases.jsonl")

    def late(*given):
        path.write_bytes(path.read_bytes() + b"\n")
        return map(*given)

    monkeypatch.setattr(prompt_files, "spread", late)
    with pytest.raises(DataError, match=r"cases.jsonl was changed while it was read; start again when it is complete"):
        prompts_of(path)
    assert not folder.exists(), "nothing is kept of it"


def parquet_of(path, records, group):
    """Without compression, and with pages of a megabyte in a group, however long the rows are."""
    table, plain = pa.Table.from_pylist(records), {"compression": "none", "use_dictionary": False}
    pq.write_table(table, path, row_group_size=group, write_batch_size=10, **plain)
    return path


@pytest.mark.parametrize(("by_row", "whole"), READERS)
def test_rows_of_parquet_are_those_of_a_file_that_is_read_as_a_whole(tmp_path, by_row, whole):
    records = [json.loads(line) for line in "".join(lines_of(300)).splitlines() if line.strip()]
    for record in records:
        turns = record["prompt"]
        record["prompt"] = [{"role": "user", "content": turns}] if isinstance(turns, str) else turns
        record["reference"] = record["reference"] if isinstance(record["reference"], list) else [record["reference"]]
        record["meta"] = {"pass_rate": 0.25, "notes": ["甲", None], "none": None}
    path = parquet_of(tmp_path / "cases.parquet", records, 70)
    wanted, found = whole(path), by_row(path)
    assert len(found) == 300 and found[-1] == wanted[-1] and found[5:9] == wanted[5:9]
    assert [*found] == wanted and by_row(path) is found, "one copy on the disk"
    assert [(one.where, one.meta, one.uid) for one in found] == [(one.where, one.meta, one.uid) for one in wanted]
    assert found[7].where.endswith("cases.parquet row 8") and found[7].meta["notes"] == ["甲", None]
    with pytest.raises(IndexError):
        found[300]
    records[123]["prompt"] = []
    parquet_of(path, records, 70)
    for read in (by_row, whole):
        with pytest.raises(DataError, match="row 124"):
            read(path)


def test_memory_does_not_grow_with_a_parquet_file(tmp_path):
    """30 MB in one group of rows, of which never more than a few MB are in memory: pyarrow's, and ours."""
    text = "".join(random.Random(0).choices("盗窃他人财物数额较大", k=20_000))
    records = [{"prompt": f"{n}{text[n : n + 5_000]}", "demonstration": text[n : n + 5_000]} for n in range(1_000)]
    path = parquet_of(tmp_path / "d.parquet", records, 1_000)
    del records
    assert path.stat().st_size > 29_000_000
    pool, arrow = pa.default_memory_pool(), []
    before = pool.bytes_allocated()
    for _ in each_prompt(path, "demonstration"):
        arrow.append(pool.bytes_allocated() - before)
    assert len(arrow) == 1_000 and max(arrow) < 15_000_000
    tracemalloc.start()
    try:
        found = demonstrations_of(path)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found[999].demonstration == text[999:5_999] and held < 300_000 and peak < 12_000_000
