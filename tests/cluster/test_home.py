import os
import stat

import pytest

from cluster.home import home_problem, require_home


@pytest.fixture
def private(monkeypatch, tmp_path):
    """The folder of temporary files; changes to the environment are undone."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name in ("HOME", "HF_HOME", "HF_HUB_CACHE", "LOGNAME"):
        monkeypatch.setenv(name, "/undone")
        monkeypatch.delenv(name)
    return tmp_path


@pytest.mark.parametrize("home", ["/proc/nobody", "/dev/null", "no absolute path", "/proc"])
def test_a_home_of_no_use_is_replaced_by_a_private_folder(home, private, monkeypatch, capsys):
    monkeypatch.setenv("HOME", home)
    assert home_problem()
    require_home()
    found = private / f"themis-home-{os.getuid()}"
    assert os.environ["HOME"] == str(found) and stat.S_IMODE(found.stat().st_mode) == 0o700
    assert home in (said := capsys.readouterr().err) and str(found) in said
    require_home()
    assert capsys.readouterr().err == "" and home_problem() == ""


def test_a_cache_folder_that_is_a_file_counts_too(private, monkeypatch):
    monkeypatch.setenv("HOME", str(private))
    assert home_problem() == ""
    (private / ".cache").write_text("")
    assert ".cache can't be written to" in home_problem()


def test_a_folder_that_somebody_else_can_read_is_not_used(private, monkeypatch):
    monkeypatch.setenv("HOME", "/proc/nobody")
    (private / f"themis-home-{os.getuid()}").mkdir(mode=0o755)
    require_home()
    found = os.environ["HOME"]
    assert found.startswith(str(private)) and stat.S_IMODE(os.stat(found).st_mode) == 0o700


def test_a_home_that_is_not_set_is_the_users(private):
    require_home()
    assert os.environ["HOME"] == os.path.expanduser("~")
