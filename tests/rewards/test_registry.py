import json
import subprocess
import sys

from rewards import registry
from rewards.pool import WorkerPool
from rewards.registry import Part
from rewards.verdict import Sample

MODULE = """
from rewards.registry import reward
from rewards.verdict import Sample, Verdict


@reward("names_the_law")
def names_the_law(sample: Sample, least: int = 1) -> Verdict:
    '''1 if the Civil Code is named often enough.'''
    return Verdict(float(sample.completion.count("民法典") >= least), reason="counted")


def length(sample):
    return len(sample.completion)
"""


def test_the_registry_imports_no_other_module_of_ours():
    code = "import json, sys, rewards.registry; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert [name for name in loaded if name.startswith(("rewards", "curricula"))] == ["rewards", "rewards.registry"]


def test_a_users_module_works_in_a_worker_with_and_without_the_decorator(tmp_path, monkeypatch):
    (tmp_path / "house_rewards.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "REWARDS", dict(registry.REWARDS))  # others list what there is
    pool = WorkerPool(1, timeout_s=30.0)
    try:
        weights = {"house_rewards:names_the_law": Part(0.5, options={"least": 2}), "house_rewards:length": 0.25}
        pool.check(weights)
        (found,) = pool.score([Sample("问", "民法典、民法典", "答")], weights)
    finally:
        pool.close()
    assert found.error is None and found.score == 0.5 + 0.25 * 7
    assert found.parts == {"house_rewards:names_the_law": 1.0, "house_rewards:length": 7.0}
    assert found.reason == "house_rewards:names_the_law: counted"
