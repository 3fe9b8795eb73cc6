"""What a killed run leaves in shared memory is removed; what a living one needs, and what others own, is not."""

import os
import re
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from rl.errors import UserError
from rl.records.process import Process, this_process
from rl.weights import shared, transfer
from tests.conftest import ROOT
from tools.doctor import left_weights

WRITE = """
import os, signal, sys
from pathlib import Path
import torch
from rl.weights import shared, transfer
shared.SHARED_MEMORY = Path(sys.argv[2])
path = shared.shared_file(Path(sys.argv[1]))
weights = {"a": torch.ones(1000)}
transfer.write_shared(weights.items(), weights, path)
path.with_suffix(".partial").write_bytes(b"half")
transfer.write_adapter({"m.q.lora_A.weight": torch.ones(2)}, path.with_suffix(".adapter-3"), 1, 1)
print(path, flush=True)
if len(sys.argv) > 3:
    os.kill(os.getpid(), signal.SIGKILL)
sys.stdin.read()
"""
WEIGHTS = {"a": torch.ones(3)}


@pytest.fixture
def memory(tmp_path, monkeypatch):
    folder = tmp_path / "shm"
    folder.mkdir()
    monkeypatch.setattr(shared, "SHARED_MEMORY", folder)
    monkeypatch.setattr(shared.tempfile, "gettempdir", lambda: str(folder))
    return folder


def writer(run_dir, memory, *arguments):
    child = subprocess.Popen(
        [sys.executable, "-c", WRITE, str(run_dir), str(memory), *arguments], cwd=ROOT, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    child.stdout.readline()
    return child


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_next_start_of_a_folder_clears_what_kill_9_has_left(tmp_path, memory):
    run, other = tmp_path / "run", tmp_path / "other"
    run.mkdir(), other.mkdir()
    writer(run, memory, "die").wait()
    left = names(memory)
    assert len(left) == 3 and all(re.fullmatch(r"themis-\w{12}-\w{8}-\w{8}-\d+-\d+-\d+\..*", name) for name in left)
    shared.remove_earlier(shared.shared_file(other))
    assert names(memory) == left, "another folder's is not this start's business"
    shared.remove_earlier(shared.shared_file(run))
    assert names(memory) == []


def test_the_doctor_clears_what_no_process_holds(tmp_path, memory):
    run = tmp_path / "run"
    run.mkdir()
    writer(run, memory, "die").wait()
    (memory / "themis-notes").write_text("mine")
    living = writer(run, memory)
    kept = [name for name in names(memory) if f"-{living.pid}-" in name]
    try:
        found = left_weights()
        assert found.status == "ok" and found.detail == "3 files of killed runs removed, 0.0 MiB"
        assert names(memory) == sorted([*kept, "themis-notes"]) and len(kept) == 3
        shared.remove_earlier(shared.shared_file(run))
        assert len(names(memory)) == 4, "and a living process keeps its own"
    finally:
        living.communicate("")
    mine = this_process()
    far = Process("0" * 8, "0" * 8, 1, 2, 3)
    again = Process(mine.host, mine.boot, mine.space, mine.pid, mine.started + 1)
    for process in (far, again):
        (memory / f"themis-{'a' * 12}-{process.text}.safetensors").write_bytes(b"x")
    found = left_weights()
    assert (
        found.status == "warning"
        and f"of processes on another machine or in another container: {memory}" in found.detail
    )
    assert names(memory) == sorted([f"themis-{'a' * 12}-{far.text}.safetensors", "themis-notes"])


def test_a_run_of_another_machine_is_cleared_only_for_its_own_folder(tmp_path, memory):
    run = tmp_path / "run"
    run.mkdir()
    far = Process("0" * 8, "0" * 8, 1, 2, 3)
    for number in (shared.run_id(run), "a" * 12):
        (memory / f"themis-{number}-{far.text}.partial").write_bytes(b"x")
    shared.remove_earlier(shared.shared_file(run))
    assert names(memory) == [f"themis-{'a' * 12}-{far.text}.partial"]


def test_planted_links_are_neither_followed_nor_written_through(tmp_path, memory):
    run, victim = tmp_path / "run", tmp_path / "victim"
    run.mkdir(), victim.mkdir()
    (victim / "thesis.txt").write_text("three years")
    path = shared.shared_file(run)
    path.symlink_to(victim / "thesis.txt")
    path.with_suffix(".partial").symlink_to(victim / "thesis.txt")
    path.with_suffix(".adapter-1").symlink_to(victim)
    (memory / f"{path.stem}.adapter-x").mkdir()
    transfer.write_shared(WEIGHTS.items(), WEIGHTS, path)
    weights = {"m.q.lora_A.weight": torch.ones(2)}
    for version in (1, 2, 3, 4):
        transfer.write_adapter(weights, path.with_suffix(f".adapter-{version}"), 1, 1)
    assert load_file(path)["a"].tolist() == [1.0] * 3 and not path.is_symlink()
    assert path.stat().st_mode & 0o077 == 0, "the weights are nobody else's"
    assert [name for name in names(memory) if "adapter" in name] == [
        f"{path.stem}.adapter-3", f"{path.stem}.adapter-4", f"{path.stem}.adapter-x"
    ]  # fmt: skip
    gone = Process(this_process().host, "0" * 8, 1, 2, 3)
    for ending in ("safetensors", "adapter-7"):
        (memory / f"themis-{'b' * 12}-{gone.text}.{ending}").symlink_to(victim)
    (path.with_suffix(".adapter-4") / "inside").symlink_to(victim)
    left_weights()
    shared.remove_shared(path)
    assert (victim / "thesis.txt").read_text() == "three years" and names(victim) == ["thesis.txt"]
    assert [name for name in names(memory) if "b" * 12 not in name] == [f"{path.stem}.adapter-x"]


def test_what_is_in_the_way_and_can_t_be_removed_is_said(memory, monkeypatch):
    path = memory / "w.safetensors"

    def refuse(_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(shared, "remove", refuse)
    with pytest.raises(UserError, match=rf"{path.with_suffix('.partial')} is where weights go .* ask its owner"):
        transfer.write_shared(WEIGHTS.items(), WEIGHTS, path)


def test_folders_at_the_same_path_in_two_containers_differ(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    first = shared.run_id(run)
    assert first == shared.run_id(tmp_path / "." / "run")
    run.rename(tmp_path / "before")
    run.mkdir()
    assert shared.run_id(run) != first and os.path.isdir(run)
