"""When weights move: once for each change, to every engine, and to an engine that was started again."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from rl.errors import UserError
from rl.weights.sync import WeightSync
from rl.weights.transfer import WeightUpdate


class Ends:
    """A trainer that counts what it publishes and engines that note what they get; nothing of the driver is needed."""

    def __init__(self, engines=2, places=("one", "one")):
        self.log, self.places = [], list(places)[:engines]
        self.rollouts = [SimpleNamespace(call=self.sync, number=i) for i in range(engines)]
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


def test_what_a_user_can_fix_comes_without_the_traceback_of_the_actor():
    ends, cause = Ends(), UserError("no room")

    def publish(version):
        error = UserError("ray::TrainerActor … no room")
        error.cause = cause
        raise error

    ends.trainer.publish = publish
    with pytest.raises(UserError, match=r"^no room$"):
        sync_of(ends).push()
