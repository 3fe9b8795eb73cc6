"""The journal: what is kept, what is asked again, what is refused."""

import pytest

from rl.errors import UserError
from rl.inference.journal import Journal, OpenFolder, read_lines
from tests.rl.scripted import Scripted, asks, collect


def test_a_journal_goes_on_record_by_record(tmp_path):
    told = []
    with pytest.raises(UserError, match="the engine failed"):
        collect(Journal(Scripted(lambda ask: ask.key, fail_after=5), tmp_path, batch=2), asks(9))
    path = tmp_path / "t.jsonl"
    assert len(path.read_text().splitlines()) == 5, "a failure writes what is complete"
    path.write_text(path.read_text()[:-10])  # as a crash within a write leaves it
    second = Scripted(lambda ask: ask.key)
    found = collect(Journal(second, tmp_path, notice=told.append), asks(9)[::-1])
    assert [ask.key for ask in second.asked] == ["t/8", "t/7", "t/6", "t/5", "t/4"]
    assert len(told) == 1 and "half written" in told[0]
    assert {key: answers[0].text for key, answers in found.items()} == {f"t/{n}": f"t/{n}" for n in range(9)}
    collect(Journal(Scripted(lambda ask: "again"), tmp_path), asks(9))
    whole = tmp_path / "whole"
    collect(Journal(Scripted(lambda ask: ask.key), whole), asks(9))
    assert path.read_bytes() == (whole / "t.jsonl").read_bytes(), "in the order of the asks, however it came about"


def test_a_batch_is_on_the_disk_before_the_next_begins(tmp_path):
    sizes = []

    def reply(ask):
        path = tmp_path / "t.jsonl"
        sizes.append(len(path.read_text().splitlines()) if path.exists() else 0)
        return "答"

    collect(Journal(Scripted(reply), tmp_path, batch=3), asks(8))
    assert sizes == [0, 0, 0, 3, 3, 3, 6, 6]


def test_a_journal_of_other_questions_or_sampling_is_refused(tmp_path):
    collect(Journal(Scripted(lambda ask: "答"), tmp_path), asks(2))
    with pytest.raises(UserError, match=r"t/0 that was asked with another prompt or other sampling"):
        collect(Journal(Scripted(lambda ask: "答"), tmp_path), asks(2, temperature=0.5))
    path = tmp_path / "t.jsonl"
    path.write_text("{\n" + path.read_text())
    with pytest.raises(UserError, match=r"t.jsonl, line 1 is no JSON object"):
        read_lines(path, print)


def test_a_folder_is_one_process_s_and_of_one_kind(tmp_path):
    first = OpenFolder(tmp_path, {"model": "a", "temperature": 0})
    with pytest.raises(UserError, match="being written by another process"):
        OpenFolder(tmp_path, {"model": "a", "temperature": 0})
    first.close()
    with pytest.raises(UserError, match=r"holds answers with temperature=0, and now temperature=1 is asked for"):
        OpenFolder(tmp_path, {"model": "a", "temperature": 1})
