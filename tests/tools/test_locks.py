import shutil
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tools import locks

FOLDER = locks.ROOT / "requirements"


@pytest.mark.parametrize("name", [name for name, lock in locks.LOCKS.items() if lock.extras is not None])
def test_a_lock_holds_what_the_project_asks_for(name):
    lock = locks.LOCKS[name]
    held = locks.pins([FOLDER / file for file in lock.files])
    assert locks.missing(locks.dependencies(locks.ROOT / "pyproject.toml", lock.extras), held) == []


def test_every_exception_is_of_a_package_that_is_left_out_or_pinned():
    for lock in locks.LOCKS.values():
        held = locks.pins([FOLDER / file for file in lock.files])
        for name, (instead, reason) in lock.exceptions.items():
            assert (name in held) == (instead == "{pin}") and reason


def test_what_is_missing_or_too_old_is_named(tmp_path):
    (tmp_path / "a.txt").write_text("# a head\nRich==13.0\n")
    held = locks.pins([tmp_path / "a.txt"])
    asked = [Requirement("rich>=14"), Requirement("ray[default]>=2")]
    assert locks.missing(iter(asked), held) == [
        "pyproject.toml asks for rich>=14; the lock has 13.0",
        "pyproject.toml asks for ray[default]>=2, which is not in the lock",
    ]


@pytest.mark.parametrize(
    "text, said", [("rich>=13", "is not a pin"), ("rich==1\nrich==2", "is required, too"), ("=1", ":1:")]
)
def test_a_line_that_is_no_pin_is_named(tmp_path, text, said):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(ValueError, match=said):
        locks.pins([tmp_path / "a.txt"])


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of packages in place of an index: ``one`` needs ``two`` below 2, ``three`` needs ``two`` from 2."""
    if not (Path(sys.executable).with_name("uv").exists() or shutil.which("uv")):
        pytest.skip("uv is not installed; make setup installs it")
    import zipfile

    def wheel(name, version, *requires):
        head = [
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}",
            *(f"Requires-Dist: {one}" for one in requires),
        ]
        info = f"{name}-{version}.dist-info"
        with zipfile.ZipFile(tmp_path / f"{name}-{version}-py3-none-any.whl", "w") as file:
            file.writestr(f"{info}/METADATA", "\n".join(head) + "\n")
            file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            file.writestr(f"{info}/RECORD", "")

    wheel("one", "1", "two<2")
    wheel("two", "1")
    wheel("two", "2")
    wheel("three", "1", "two>=2")
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    (tmp_path / "torch.txt").write_text("two==1\n")
    return tmp_path


def test_the_resolver_finds_conflicts_and_what_is_left_out(index):
    (index / "own.txt").write_text("one==1\n")
    assert locks.problems(locks.Lock(("torch.txt", "own.txt")), "3.11", index) == []
    (index / "own.txt").write_text("one==1\nthree==1\n")
    (said,) = locks.problems(locks.Lock(("torch.txt", "own.txt")), "3.12", index)
    assert "two" in said and "No solution found" in said
    kept = locks.Lock(("torch.txt", "own.txt"), exceptions={"two": ("{pin}", "any will do")})
    assert locks.problems(kept, "3.12", index) == []
    (index / "torch.txt").write_text("one==1\n")
    (index / "own.txt").write_text("three==1\n")
    out = locks.Lock(("own.txt",))
    (index / "torch.txt").write_text("")
    assert locks.problems(out, "3.11", index) == ["two is required and not in the lock"]
    assert locks.problems(locks.Lock(("own.txt",), whole=False), "3.11", index) == []


def test_an_index_that_does_not_answer_is_no_conflict(monkeypatch):
    if not (Path(sys.executable).with_name("uv").exists() or shutil.which("uv")):
        pytest.skip("uv is not installed; make setup installs it")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_NO_CACHE", "1")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(locks.Unresolved):
        locks.resolved([Requirement("rich==14.0")], [], "3.11")
