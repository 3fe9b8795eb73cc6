"""The page of a run that ended badly: it is made of whatever is left, and holds no secret."""

import io
from datetime import datetime

import pytest
from rich.console import Console

from rl.records.losses import Losses
from rl.records.manifest import Manifest
from rl.records.status import Status, write_status
from rl.report import post_mortem
from rl.report.page import write_report
from rl.report.post_mortem import redacted, tail, write_post_mortem
from tests.rl.report.folders import config
from tests.rl.report.test_report import Page


def status(**facts):
    found = Status(
        written="2026-11-27 07:00:09+00:00", began="2026-11-27 06:00:00+00:00", stage="sft", step=4, waiting=[],
        frozen=[], actors={}, logs=None, ended=None,
    )  # fmt: skip
    return {**found, **facts}


def quiet_losses(run_dir):
    return Losses(run_dir, Console(file=io.StringIO()))


@pytest.fixture
def run_dir(tmp_path):
    run_dir = tmp_path / "runs" / "one"
    Manifest.open(run_dir, config(run_dir, 0)).record("ppl", done=True)
    (run_dir / "hydra").mkdir()
    (run_dir / "hydra" / "overrides.yaml").write_text("- +curriculum=small\n- run_dir=elsewhere\n- seed=3\n")
    return run_dir


def test_it_says_what_ended_the_run_who_died_first_and_how_it_goes_on(run_dir, tmp_path):
    losses = quiet_losses(run_dir)
    for at, who in (("05:59:59", "early"), ("06:30:00", "rollout/0"), ("06:31:00", "Ray")):
        losses.tell(who, "died: <b>killed</b>", "replaced", at=datetime.fromisoformat(f"2026-11-27 {at}+00:00"))
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "worker-12ab-01000000-77.err").write_text("\n".join(f"line {n}" for n in range(1000)) + "\nthe last <i>\n")
    (logs / "worker-12ab-01000000-77.out").write_text(":actor_name:RolloutActor\nhello\n")
    (logs / "worker-12ab-01000000-770.err").write_text("somebody else's\n")
    waits = [{"who": "rollout/0", "what": "sample", "seconds": 90.0}]
    write_status(run_dir, status(actors={"rollout/0": 77, "trainer/0": 78}, logs=str(logs), waiting=waits))
    text = write_post_mortem(run_dir, "Ray was lost: its raylet (pid 5) died").read_text()
    page = Page(text)
    assert not {"i", "b", "script", "link"} & page.tags - {"b", "link"} and len(text) < 200_000
    assert "<b>killed" not in text and "http:" not in text and "https:" not in text
    assert "Ray was lost: its raylet (pid 5) died" in page.text and "in step 5 of stage sft" in page.text
    assert "First lost since this start: rollout/0 at 2026-11-27 06:30:00+00:00: died: <b>killed</b>" in page.text
    assert "waited for 90 s for rollout/0 to sample" in page.text
    assert "The same command goes on from the start of stage mid" in page.text
    assert f"python -m rl.main +curriculum=small seed=3 run_dir={run_dir}" in page.text
    assert "line 999 the last <i>" in page.text and "line 900" not in page.text and "somebody else's" not in page.text
    assert "hello" in page.text and "trainer/0" in page.text and "early" in page.text


def test_it_is_written_of_whatever_is_left(run_dir):
    for name in ("status.json", "losses.jsonl", "manifest.json"):
        (run_dir / name).write_text("{\n")
    page = Page(write_post_mortem(run_dir, "It ended.").read_text())
    for name in ("status.json", "losses.jsonl", "manifest.json"):
        assert f"{name}{':1' * (name == 'losses.jsonl')} is damaged" in page.text


def test_no_secret_is_in_it(run_dir, tmp_path, monkeypatch):
    canaries = {name: f"canary-{number}-of-many" for number, name in enumerate(
        ("JUDGE_API_KEY", "WANDB_API_KEY", "HF_TOKEN", "DB_PASSWORD", "MY_SECRET", "RAY_AUTH_TOKEN")
    )}  # fmt: skip
    for name, value in canaries.items():
        monkeypatch.setenv(name, value)
    shaped = ("sk-abcdefgh12345678", "hf_abcdefgh12345678", "ey.token.value", "user:word", "p4ss")
    log = tmp_path / "worker-1-01000000-5.err"
    log.write_text(
        "\n".join(f"{name} is {value}" for name, value in canaries.items())
        + "\nkey sk-abcdefgh12345678 and hf_abcdefgh12345678\nAuthorization: Bearer ey.token.value\n"
        + "https://user:word@host/path?a=1\npassword=p4ss\nplain text stays\n"
    )
    write_status(run_dir, status(actors={"judge/0": 5}, logs=str(tmp_path)))
    text = write_post_mortem(run_dir, f"error of {canaries['HF_TOKEN']}").read_text()
    assert not [one for one in (*canaries.values(), *shaped) if one in text]
    assert "plain text stays" in text and post_mortem.HIDDEN in text and "host/path?a=1" in text


def test_a_long_log_is_cut_and_a_missing_one_is_nothing(tmp_path):
    (tmp_path / "log").write_bytes(b"x" * 10_000_000 + b"\n\xff\xfe end")
    assert tail(tmp_path / "log").endswith(" end") and len(tail(tmp_path / "log")) <= post_mortem.BYTES
    assert tail(tmp_path / "none") == "" and redacted("") == ""


def test_the_report_has_a_table_of_losses(run_dir):
    assert "losses" not in Page(write_report(run_dir).read_text()).ids
    quiet_losses(run_dir).tell("rollout/1", "died: <b>killed</b>", "replaced, and asked again", pid=7)
    page = Page(write_report(run_dir).read_text())
    assert "losses" in page.ids and "rollout/1 died: <b>killed</b> replaced, and asked again nothing" in page.text
