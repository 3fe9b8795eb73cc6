"""Runs that share a Ray, on real actors."""

import os
import signal
from pathlib import Path

from ray.util import list_named_actors, remove_placement_group

from cluster.health import Supervised
from cluster.names import Names, name_in_run
from cluster.placement import reserve
from tests.cluster.test_health import Worker


def test_starts_of_runs_on_one_ray_do_not_meet(ray_cluster, tmp_path):
    """Two folders of one name, and one folder whose first start is still there, as after the loss of its driver."""
    starts = [Names(tmp_path / folder) for folder in ("a/法律 (1)", "b/法律 (1)", "b/法律 (1)")]
    actors = [
        Supervised("worker/0", Worker, (number,), {"num_cpus": 0, **names.options("worker/0")}, 2)
        for number, names in enumerate(starts)
    ]
    groups = [reserve([{"CPU": 0.01}], 60, names.namespace) for names in starts]
    try:
        assert [actor.call("add", 0, timeout_s=60) for actor in actors] == [0, 1, 2]
        os.kill(actors[1].call("pid", timeout_s=60), signal.SIGKILL)
        assert [actor.call("add", 0, timeout_s=60) for actor in actors] == [0, 1, 2], "each still has its own"
        assert [actor.restarts for actor in actors] == [0, 1, 0]
        found = [one for one in list_named_actors(all_namespaces=True) if one["name"] == "法律 (1)/worker/0"]
        assert sorted(one["namespace"] for one in found) == sorted(names.namespace for names in starts)
        assert len({one["namespace"] for one in found}) == 3
        assert all(one["namespace"].startswith("法律 (1)-") for one in found)
    finally:
        for actor, group in zip(actors, groups, strict=True):
            actor.stop()
            remove_placement_group(group)


def test_a_run_in_the_folder_of_its_driver_has_that_folders_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = Names(Path(".")).options("trainer/0")["name"]
    assert name == f"{tmp_path.name}/trainer/0" and name_in_run(name) == "trainer/0"
