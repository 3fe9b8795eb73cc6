"""Losses are told to the user and kept: every line whole, also after a crash in the middle of one."""

import datetime
import io

import pytest
from rich.console import Console

from rl.errors import UserError
from rl.records.losses import Losses, read_losses


@pytest.fixture
def losses(tmp_path):
    found = Losses(tmp_path, Console(file=io.StringIO(), width=300), lambda: ("reasoning", 2))
    assert read_losses(tmp_path) == []
    return found


def test_a_loss_is_one_line_for_the_user_and_one_in_the_file(losses, tmp_path):
    losses.tell("rollout/1", "died: [killed]", "replaced", pid=7, host="127.0.0.1")
    moment = datetime.datetime(2026, 11, 27, 6, 5, 4, 321, datetime.UTC)
    losses.tell("driver", "ended without a word", "this start goes on", "nothing; again", at=moment)
    assert losses.console.file.getvalue() == (
        "rollout/1 died: [killed]; replaced; lost: nothing\ndriver ended without a word; this start goes on; lost: "
        "nothing; again\n"
    )
    first, second = read_losses(tmp_path)
    assert datetime.datetime.fromisoformat(first.pop("at")).tzinfo is not None
    assert first == {
        "who": "rollout/1", "why": "died: [killed]", "done": "replaced", "lost": "nothing", "stage": "reasoning",
        "step": 2, "pid": 7, "host": "127.0.0.1",
    }  # fmt: skip
    assert second["at"] == "2026-11-27 06:05:04+00:00" and second["pid"] is None


def test_a_line_that_a_crash_cut_short_makes_room_for_the_next(losses, tmp_path):
    for who in ("a", "b"):
        losses.tell(who, "died", "replaced")
    whole = losses.path.read_bytes()
    for cut in range(whole.find(b"\n") + 1, len(whole)):
        losses.path.write_bytes(whole[:cut])
        assert [loss["who"] for loss in read_losses(tmp_path)] == ["a"]
        losses.tell("c", "died", "replaced")
        assert [loss["who"] for loss in read_losses(tmp_path)] == ["a", "c"]


@pytest.mark.parametrize("line", ['{"who": "a"}', "[]", "{", '"\\ud800"'])
def test_a_damaged_line_is_named(losses, tmp_path, line):
    losses.tell("a", "died", "replaced")
    with losses.path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(UserError, match=r"losses.jsonl:2 is .*remove the line"):
        read_losses(tmp_path)
