"""The temporary folder of Ray's workers: it goes with the process that made it, also when that is killed."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cluster import scratch


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)  # torch sets it when it is imported
    return tmp_path


def test_it_is_there_for_as_long_as_it_is_used_and_short_enough_for_sockets(temporary):
    with scratch.scratch_folder() as variables:
        folder = Path(variables["TMPDIR"])
        assert folder.parent == temporary and len(folder.name) <= 20 and folder.stat().st_mode & 0o77 == 0
        (folder / "some" / "library").mkdir(parents=True)
        with scratch.scratch_folder() as other:
            assert folder.is_dir() and other["TMPDIR"] != str(folder)
        assert Path(variables["TORCHINDUCTOR_CACHE_DIR"]).parent == temporary
    assert not list(temporary.iterdir())


def test_what_a_killed_process_has_left_is_removed_at_the_next_start(temporary):
    code = (
        "import tempfile, time, sys\nfrom cluster.scratch import scratch_folder\n"
        "with scratch_folder() as variables:\n"
        "    open(variables['TMPDIR'] + '/left', 'w').close()\n    print(flush=True)\n    time.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env=os.environ | {"TMPDIR": str(temporary)}
    )
    process.stdout.readline()
    (left,) = temporary.glob(f"{scratch.PREFIX}*")
    scratch.remove_unheld()
    assert (left / "left").exists(), "its process lives"
    process.send_signal(signal.SIGKILL)
    process.wait()
    mine = temporary / f"{scratch.PREFIX}12345678"  # somebody is just making it
    mine.mkdir()
    planted = temporary / f"{scratch.PREFIX}planted0"
    planted.symlink_to(temporary / "elsewhere")
    (temporary / "elsewhere").mkdir()
    scratch.remove_unheld()
    assert sorted(path.name for path in temporary.iterdir()) == sorted(["elsewhere", mine.name, planted.name])
    os.utime(mine, (0, 0))
    scratch.remove_unheld()
    assert not mine.exists()


def test_rays_workers_use_it(ray_cluster):
    import ray

    @ray.remote(num_cpus=0)
    def where():
        return tempfile.mkdtemp()

    folder = Path(ray.get(where.remote()))
    assert folder.is_dir() and folder.parent.name.startswith(scratch.PREFIX)
    assert folder.parent.parent == Path(tempfile.gettempdir()), "Ray's own files stay where they were"
