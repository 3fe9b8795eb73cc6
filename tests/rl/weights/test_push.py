"""When weights move: once for each change, to every engine, and to an engine that was started again."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from cluster.errors import Away
from rl.errors import UserError
from rl.weights.sync import WeightSync
from rl.weights.transfer import WeightUpdate


class Ends:
    """A trainer that counts what it publishes and engines that note what they get; nothing of the driver is needed."""

    def __init__(self, engines=2, places=("one", "one")):
        self.log, self.places = [], list(places)[:engines]
        self.rollouts = [SimpleNamespace(call=self.sync, number=i, away=False) for i in range(engines)]
        self.trainer = SimpleNamespace(
            actors=["rank 0"], publish=self.publish, call=lambda method: self.log.append(method)
        )

    def publish(self, version):
        self.log.append(f"publish {version}")
        return WeightUpdate(version, {"path": "/dev/shm/w"})

    def nodes(self):
        return "one", self.places

    def sync(self, method, *arguments, timeout_s):
        assert timeout_s == 5.0
        if method == "fetch":
            sender, update, _ = arguments
            self.log.append(f"fetch {update.version} from {sender}")
            return WeightUpdate(update.version, {"path": "/dev/shm/copy"})
        (update,) = arguments
        assert method == "sync"
        self.log.append(f"sync {update.version}" + " of the copy" * (update.info["path"] == "/dev/shm/copy"))
        return None

    def wake(self):
        self.log.append("wake")


def sync_of(ends, backend="shm", shared=Path("/dev/shm/w")):
    return WeightSync(ends, backend, shared, sync_s=5.0, restart_s=60.0)


def test_weights_move_once_for_each_change_to_every_engine(capsys):
    ends = Ends()
    sync = sync_of(ends)
    sync.push()
    sync.push()
    assert ends.log == ["publish 1", "wake", "sync 1", "sync 1"] and sync.version == 1
    sync.changed()
    sync.push()
    assert ends.log[4:] == ["publish 2", "wake", "sync 2", "sync 2"] and capsys.readouterr().out == ""


def test_a_file_is_copied_once_to_each_other_node():
    ends = Ends(4, ["one", "two", "two", "three"])
    sync_of(ends).push()
    assert sorted(ends.log[2:4]) == ["fetch 1 from rank 0"] * 2
    assert sorted(ends.log[4:]) == ["sync 1", *["sync 1 of the copy"] * 3]


def test_another_place_than_shared_memory_is_reported_once(capsys):
    sync = sync_of(Ends(), shared=Path("/elsewhere/w"))
    sync.push()
    sync.changed()
    sync.push()
    assert capsys.readouterr().out == "/elsewhere is too small for the weights; they go through /dev/shm\n"


def test_over_nccl_the_trainer_sends_while_the_engines_receive():
    ends = Ends(engines=1)
    sync_of(ends, "nccl").push()
    assert sorted(ends.log[2:]) == ["send", "sync 1"]


def test_an_engine_that_is_away_is_left_out_and_one_that_goes_away_ends_no_push():
    ends = Ends(3, ["one", "two", "two"])
    sync = sync_of(ends)
    ends.rollouts[1].away = True

    def lost(method, *arguments, timeout_s):
        raise Away("rollout/2 is away")

    ends.rollouts[2].call = lost
    sync.push()
    assert ends.log == ["publish 1", "wake", "sync 1"]
    sync.push()
    assert sync.version == 1


def test_where_nothing_is_kept_an_engine_comes_back_with_the_next_push():
    ends = Ends(2)
    sync = sync_of(ends, "nccl")
    ends.rollouts[1].away = True
    sync.push()
    assert ends.log.count("sync 1") == 1
    sync.restore(None, 1)
    assert ends.rollouts[1].away, "it has no weights yet"
    sync.push()
    assert ends.log.count("sync 2") == 2 and not ends.rollouts[1].away


def test_what_a_user_can_fix_comes_without_the_traceback_of_the_actor():
    ends, cause = Ends(), UserError("no room")

    def publish(version):
        error = UserError("ray::TrainerActor … no room")
        error.cause = cause
        raise error

    ends.trainer.publish = publish
    with pytest.raises(UserError, match=r"^no room$"):
        sync_of(ends).push()


class InParts(Ends):
    """A trainer that has weights in three parts, and engines of which the second is lost at the second part, once."""

    def __init__(self):
        super().__init__()
        self.trainer.next_part, self.left, self.begun, self.losses = self.next_part, 0, {}, 1
        self.rollouts = [SimpleNamespace(call=partial(self.engine, number), away=False) for number in (0, 1)]

    def publish(self, version):
        self.left = 3
        self.log.append(f"publish {version}")
        return WeightUpdate(version, {})

    def next_part(self):
        self.left -= 1
        return ({"part": 2 - self.left}, None) if self.left >= 0 else ({}, f"sent {self.log[0]}")

    def engine(self, number, method, *arguments, timeout_s):
        if method == "begin":
            self.begun[number] = []
        elif method == "take":
            part = arguments[1]["part"]
            if number == 1 and part == 1 and self.losses:
                self.losses -= 1
                del self.begun[1]
                self.weights.restore(None, 1)  # as the caller that replaces it does
            if number in self.begun:
                self.begun[number].append(part)
        elif method == "end":
            assert arguments[0].sent == "sent publish 1"
            return self.begun.get(number) == [0, 1, 2]
        return None


def test_over_ipc_weights_go_in_parts_and_again_when_an_engine_was_lost():
    ends = InParts()
    sync = ends.weights = sync_of(ends, "ipc")
    sync.restore(None, 0)
    assert ends.log == [], "nothing has been published that an engine could lack"
    sync.push()
    assert ends.log == ["publish 1", "wake", "publish 2", "wake"] and ends.begun == {0: [0, 1, 2], 1: [0, 1, 2]}
    sync.push()
    assert sync.version == 2
    sync.restore(None, 0)
    assert sync.version == 3, "the trainer keeps nothing, so that it publishes again for an engine that starts again"
