"""The hashes of lock files: which files they are of, and that pip refuses any other."""

import hashlib
import subprocess
import sys
import zipfile

import pytest

from tools import lock_hashes, locks

FOLDER = locks.ROOT / "requirements"


def files(*names, source=None):
    """A package of ``pylock.toml`` whose files' hashes are their names."""
    found = {"name": "one", "version": "1", "wheels": [{"name": name, "hashes": {"sha256": name}} for name in names]}
    return found | ({"sdist": {"name": source, "hashes": {"sha256": source}}} if source else {})


def test_the_files_are_those_that_linux_and_a_supported_python_take():
    kept = [
        "one-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", "one-1-cp312-cp312-manylinux1_x86_64.whl",
        "one-1-cp38-abi3-manylinux_2_28_aarch64.whl",
    ]  # fmt: skip
    left = [
        "one-1-cp310-cp310-manylinux2014_x86_64.whl", "one-1-cp313-cp313-manylinux2014_x86_64.whl",
        "one-1-cp311-cp311-win_amd64.whl", "one-1-cp312-cp312-macosx_11_0_arm64.whl",
        "one-1-cp311-cp311-musllinux_1_2_x86_64.whl", "one-1-cp311-cp311-manylinux2014_ppc64le.whl",
    ]  # fmt: skip
    assert lock_hashes.hashes(files(*kept, *left, source="one-1.tar.gz")) == sorted(kept), "wheels fit everywhere"
    assert lock_hashes.hashes(files(*kept[:2], source="one-1.tar.gz")) == sorted([*kept[:2], "one-1.tar.gz"])
    assert lock_hashes.hashes(files(*kept[:2])) == sorted(kept[:2]), "nothing for aarch64"
    with pytest.raises(ValueError, match=r"one 1 has nothing for Python 3\.12 on x86_64"):
        lock_hashes.hashes(files(kept[0]))
    addressed = {"name": "one", "version": "1", "wheels": [
        {"url": "https://files.example/a%2Fb/one-1-py3-none-any.whl", "hashes": {"sha256": "a"}}
    ]}  # fmt: skip
    assert lock_hashes.hashes(addressed) == ["a"]


def test_hashes_are_written_and_comments_stay():
    one, two = "a" * 64, "b" * 64
    text = f"# a head\none==1\n\nTwo[extra]==2 \\\n    --hash=sha256:{one}  # why\n"
    written = lock_hashes.hashed(text, {"one": [one, two], "two": [two]})
    expected = (
        f"# a head\none==1 \\\n    --hash=sha256:{one} \\\n    --hash=sha256:{two}\n\n"
        f"Two[extra]==2 \\\n    --hash=sha256:{two}\n"
    )
    assert written == expected and lock_hashes.hashed(written, {"one": [one, two], "two": [two]}) == written
    assert [len(entry.hashes) for entry in locks.entries(written)] == [0, 2, 0, 1]


def test_a_lock_without_a_hash_or_with_a_wrong_one_is_named(tmp_path):
    path = tmp_path / "cpu.txt"
    for text, said in (
        ("one==1\n", "cpu.txt:1: one==1 has no hash"),
        ("\none==1 --hash=sha256:ab", ":2: --hash=sha256:ab is no"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=said):
            locks.pins([path])


def test_the_makefile_installs_every_hashed_lock_by_its_hashes():
    lines = (locks.ROOT / "Makefile").read_text().splitlines()
    assert "--require-hashes" in next(line for line in lines if line.startswith("LOCKED :="))
    for name in locks.HASHED:
        installing = [line for line in lines if f"-r requirements/{name}" in line and "pip-audit" not in line]
        assert len(installing) == 1 and "$(LOCKED)" in installing[0]


def test_pip_refuses_a_file_of_another_hash(tmp_path):
    wheel = tmp_path / "one-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("one-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: one\nVersion: 1\n")
        file.writestr("one-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("one-1.dist-info/RECORD", "")
    right = hashlib.sha256(wheel.read_bytes()).hexdigest()
    for digest in (right, right[:-1] + format(int(right[-1], 16) ^ 1, "x")):
        (tmp_path / "cpu.txt").write_text(lock_hashes.hashed("one==1\n", {"one": [digest]}))
        command = [
            sys.executable, "-m", "pip", "--isolated", "install", "--quiet", "--no-index", "--no-deps",
            f"--find-links={tmp_path}", "--require-hashes", f"--target={tmp_path / digest}",
            "-r", str(tmp_path / "cpu.txt"),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert (done.returncode == 0) == (digest == right), done.stderr
    assert "DO NOT MATCH" in done.stderr
