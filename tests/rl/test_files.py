"""What errors of a machine that ran short of something are said to be."""

import errno
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from rl.files import disk_problem, shortage, write_bytes
from rl.inference.json_lines import write_lines
from rl.records.parquet import write as write_table
from rl.report.page import write_page


class CauseError(Exception):
    """As Ray wraps what an actor raised."""

    def __init__(self, cause):
        super().__init__("Traceback of the actor")
        self.cause = cause


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (OSError(errno.EMFILE, "Too many open files", "/run/metrics.jsonl"), "too many files are open"),
        (RuntimeError("Error while serializing: I/O error: Too many open files (os error 24)"), "too many files"),
        (MemoryError(), "memory is used up"),
        (
            RuntimeError("could not start: pyarrow/lib.so: failed to map segment from shared object"),
            "memory is used up",
        ),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
            "memory is used up",
        ),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory is used up"),
    ],
)
def test_a_shortage_is_a_sentence_wherever_it_was(error, said):
    for one in (error, CauseError(error)):
        assert said in shortage(one) and shortage(one).endswith("and run the same command again, which resumes")
        assert disk_problem(one) == shortage(one)


def test_a_full_place_beside_the_run_folder_is_named(monkeypatch):
    full = shutil.disk_usage("/")._replace(free=4096)
    monkeypatch.setattr(
        shutil, "disk_usage", lambda place: full if place == "/dev/shm" else full._replace(free=1 << 30)
    )
    assert shortage(OSError(errno.ENOSPC, "x")).startswith("no space is left in /dev/shm; free some and run the same")


def test_other_errors_are_none():
    assert not shortage(ValueError("a wrong value")) and not disk_problem(ValueError("a wrong value"))
    assert not shortage(OSError(errno.EROFS, "Read-only file system", "/run/x"))
    assert disk_problem(OSError(errno.EROFS, "Read-only file system", "/run/x")).startswith(
        "/run/x can't be used: Read"
    )
    assert "is read-only; make it writable" in disk_problem(
        CauseError(RuntimeError("Read-only file system (os error 30)"))
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full")
@pytest.mark.parametrize(
    ("write", "mark"),
    [
        (lambda path: write_bytes(path, b"new"), ""),
        (lambda path: write_page(path, "new"), ".{pid}"),
        (lambda path: write_lines(path, [{"new": 1}]), ""),
        (lambda path: write_table(path, pa.table({"new": [1]})), ""),
    ],
)
def test_what_could_not_be_written_leaves_nothing(tmp_path, write, mark):
    (tmp_path / "page.html").write_bytes(b"old")
    (tmp_path / f"page.html{mark.format(pid=os.getpid())}.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert (tmp_path / "page.html").read_bytes() == b"old"
