"""Checkpoints: the last and the best are kept, damage is named, and a full disk costs only the one in progress."""

import errno
import shutil
from pathlib import Path

import pytest

from rl.errors import UserError
from rl.files import is_disk_full
from rl.records import checkpoint
from rl.records.checkpoint import Checkpoints


def save(checkpoints, step, score=None):
    def write(folder):
        folder.mkdir()
        (folder / "weights").write_bytes(bytes([step]) * 100)

    return checkpoints.save("sft", step, write, {"state": {}}, score)


def test_checkpoints_keep_the_last_and_the_best(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep_last=2)
    for step, score in ((1, 0.5), (2, 0.9), (3, 0.7), (4, None), (5, 0.8)):
        save(checkpoints, step, score)
    assert sorted(p.name for p in (tmp_path / "checkpoints" / "sft").iterdir()) == [
        "step-000002",
        "step-000004",
        "step-000005",
    ]
    assert checkpoints.driver(checkpoints.latest("sft"))["step"] == 5
    assert checkpoints.latest("grpo") is None


def test_a_full_disk_costs_the_checkpoint_in_progress_only(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep_last=2)
    save(checkpoints, 1)

    def full(folder):
        folder.mkdir()
        (folder / "half").write_bytes(b"x")
        raise RuntimeError("rank 0 failed") from OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UserError, match="the disk is full"):
        checkpoints.save("sft", 2, full, {}, None)
    assert [p.name for p in (tmp_path / "checkpoints" / "sft").iterdir()] == ["step-000001"]
    assert is_disk_full(OSError(errno.ENOSPC, "x")) and not is_disk_full(OSError(errno.EACCES, "x"))


def test_a_part_that_a_rank_wrote_to_another_disk_is_missed(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SHOWS_S", 0.1)
    checkpoints = Checkpoints(tmp_path, keep_last=2)
    save(checkpoints, 1)

    def write(folder, *seen):
        folder.mkdir()
        (folder / "shard-0").write_bytes(b"0")
        return seen

    with pytest.raises(UserError, match=r"engine/shard-1, as trainer/1 sees it, is not there for the driver"):
        checkpoints.save("sft", 2, lambda folder: write(folder, {"shard-0": 1}, {"shard-1": 1}), {}, None)
    with pytest.raises(UserError, match=r"engine/shard-0, as trainer/1 sees it"):
        checkpoints.save("sft", 2, lambda folder: write(folder, {"shard-0": 1}, {"shard-0": 2}), {}, None)
    assert [p.name for p in (tmp_path / "checkpoints" / "sft").iterdir()] == ["step-000001"]
    checkpoints.save("sft", 2, lambda folder: write(folder, {"shard-0": 1}, {"shard-0": 1}), {}, None)


def test_other_folders_among_checkpoints_are_neither_read_nor_removed(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep_last=1)
    first = save(checkpoints, 1)
    stage = first.path.parent
    shutil.copytree(first.path, stage / "step-000009 (copy)")
    for name in ("notes", "step-abc", "step-000007", "step-000001.bak", "step-٠٠٠٠٠٨"):
        (stage / name).mkdir()
    for name in (".DS_Store", "step-000008", "step-notes.txt"):
        (stage / name).write_text("own")
    strays = {path.name for path in stage.iterdir()} - {"step-000001"}
    assert checkpoints.latest("sft") == first and checkpoints.driver(first)["step"] == 1
    save(checkpoints, 10)
    checkpoints.save("sft", 1_000_000, Path.mkdir, {}, None)
    assert {path.name for path in stage.iterdir()} == strays | {"step-1000000"}
    with pytest.raises(UserError, match="step-000008 is not a checkpoint, but it is where"):
        save(checkpoints, 8)
    assert (stage / "step-000008").read_text() == "own" and checkpoints.latest("sft").step == 1_000_000


@pytest.mark.parametrize("damage", ["missing", "short", "altered"])
def test_damage_is_named(tmp_path, damage):
    checkpoints = Checkpoints(tmp_path, keep_last=2)
    path = save(checkpoints, 1).path / "engine" / "weights"
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + (b"" if damage == "short" else b"\xff"))
    with pytest.raises(UserError, match=r"corrupt: engine/weights"):
        checkpoints.driver(checkpoints.latest("sft"))
