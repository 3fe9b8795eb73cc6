"""What is sent to nodes without our code."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.errors import ClusterError
from cluster.shipping import shipment


def test_a_shipment_runs_where_there_is_no_checkout(tmp_path):
    own = tmp_path / "own_rewards.py"
    own.write_text("KIND = 'own'\n")
    with shipment([own]) as folder:
        sent = [path.relative_to(folder) for path in Path(folder).rglob("*")]
        assert not [path for path in sent if path.name.startswith(".") or "__pycache__" in path.parts]
        assert not {"tests", "docs", "runs"} & {path.parts[0] for path in sent}
        code = "import rl.actors.rollout, rl.actors.reward, rl.main, own_rewards; print(rl.__file__, own_rewards.KIND)"
        found = subprocess.run(
            [sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd="/", env={"PYTHONPATH": folder}
        )
        assert found.stdout.split() == [f"{folder}/rl/__init__.py", "own"], found.stderr
        assert Path(folder, "rl/conf/config.yaml").is_file() and Path(folder, "curricula/statutes/laws.yaml").is_file()
    assert not Path(folder).exists()


def test_what_is_too_large_is_named_before_it_is_copied(tmp_path, monkeypatch):
    monkeypatch.setattr("ray._private.runtime_env.packaging.GCS_STORAGE_MAX_SIZE", 2**20)
    monkeypatch.setattr("cluster.shipping.OURS", ())
    package = tmp_path / "own"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / ".git").mkdir()
    (package / ".git" / "pack").write_bytes(bytes(2**21))
    with shipment([package]):
        pass
    (package / "model.bin").write_bytes(bytes(3 * 2**20))
    monkeypatch.setattr(shutil, "copytree", None)
    with (
        pytest.raises(ClusterError, match=r"has 3 MiB, and cluster.ship_code sends at most 1; .* is model.bin"),
        shipment([package]),
    ):
        pass
