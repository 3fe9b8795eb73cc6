"""What the nodes of a run must have, by its configuration."""

import sys
from pathlib import Path

from curricula.statutes import law_setting, use_law
from rl.config.compose import load
from rl.driver.nodes import files, folders_read, own_modules, problem_of


def config(run_dir, reward, **others):
    stage = {"name": "rl", "kind": "grpo", "steps": 1, "tasks": {"age": 1.0}, "reward": reward}
    return load({"run_dir": str(run_dir), "curriculum": {"name": "c", "stages": [stage]}, **others})


def test_modules_of_own_rewards_are_found_and_installed_ones_are_not(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("alone.py", "package/__init__.py", "package/inner.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("def score(sample):\n    return 1.0\n")
    reward = {"alone:score": 1.0, "package.inner:score": 1.0, "numpy:sum": 1.0, "accuracy": 1.0}
    assert own_modules(config(tmp_path / "run", reward)) == [tmp_path / "alone.py", tmp_path / "package"]
    for name in ("alone", "package", "package.inner"):
        sys.modules.pop(name, None)


def test_folders_that_actors_read_are_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("judge", "laws", "model"):
        (tmp_path / name).mkdir()
    before = law_setting()
    use_law(before.as_of, "laws")
    try:
        judged = config("run", {"legal_validity": 1.0}, judge={"kind": "llm", "model": "judge"})
        found = folders_read(judged, "model")
        asked = folders_read(config("run", {"accuracy": 1.0}), "some/hub-name")
    finally:
        use_law(before.as_of, before.folder)
    assert found == {key: tmp_path / name for key, name in
                     (("model.path", "model"), ("judge.model", "judge"), ("statutes.folder", "laws"))}  # fmt: skip
    assert asked == {"statutes.folder": tmp_path / "laws"}


def test_a_node_that_lacks_something_is_told_what_to_do(tmp_path):
    written = tmp_path / "run" / ".probe-1" / "node"
    written.parent.mkdir(parents=True)
    written.touch()
    folder = tmp_path / "laws"
    folder.mkdir()
    (folder / "civil.yaml").write_text("x")
    good = {"reads": True, "folders": {"statutes.folder": files(folder)}}

    def said(**seen):
        return problem_of(good | seen, written, {"statutes.folder": folder})

    assert said() == ""
    assert said(code="No module named 'rl'", missing="rl").endswith("or put the checkout at the same path")
    assert "cluster.ship_code=true" in said(code="No module named 'rl'", missing="rl")
    assert "install the packages" in said(code="No module named 'vllm'", missing="vllm")
    assert f"has not the laws in {folder} as here (it lacks civil.yaml)" in said(folders={"statutes.folder": {}})
    assert "it has other files" in said(folders={"statutes.folder": {"civil.yaml": 7}})
    assert "does not see run_dir" in said(reads=False) and "can't write" in said(writes="read-only")
    assert "writes to another folder" in problem_of(good, Path(written.parent, "other"), {})
