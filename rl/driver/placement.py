"""The places of a run on its cluster: one placement group, which of its places are left, and who is at them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cluster.errors import ClusterError
from cluster.nodes import names, of_bundles, own, settle
from cluster.placement import apart, in_order, require, reserve
from rl.config.derive import derive
from rl.config.gpu_plan import require_room
from rl.config.places import close_ranks, layout_left, places, serves_judge, whole_groups, with_ranks
from rl.config.schema import RunConfig
from rl.device import Device
from rl.driver.nodes import folders_read, remove_elsewhere, require_shared


def bundles_of(config: RunConfig, device: Device, sampling: bool) -> list[dict[str, float]]:
    """What the actors of a run reserve of a cluster: a bundle for each place, and on GPUs one for a judge that the run
    serves; without ``sampling`` only trainer and reference."""
    gpu = device.gpus > 0
    return [device.bundle()] * (places(config, gpu, sampling) + (gpu and sampling and serves_judge(config)))


class Placement:
    """A reserved placement group. A place is a number; its bundle may change when a node is lost."""

    def __init__(
        self, config: RunConfig, device: Device, model_path: str, shared_file: Path, sampling: bool, name: str
    ) -> None:
        """Reserve the places and look at their nodes.

        Args:
            config: of the run.
            device: of its trainer and engines.
            model_path: the base model.
            shared_file: see :func:`rl.weights.shared.shared_file`.
            sampling: whether there are rollout, reward and judge actors.
            name: of the group in Ray's dashboard.

        Raises:
            ClusterError: if the cluster can't give them in time.
            UserError: if a node lacks something.
        """
        self.config, self.device, self.model_path, self.shared_file = config, device, model_path, shared_file
        self.sampling = sampling
        self.split, self.takes_turns = (split := config.cluster.placement == "split"), device.takes_turns(split)
        self._asked = bundles_of(config, device, sampling)
        self._size = places(config, device.gpus > 0, sampling)
        self._on: dict[str, str] = {}
        """Names of the nodes that were looked at, by their ids."""
        self._engines_at: dict[int, int] = {}
        """The place of each engine, by its number; of one that is lost the last."""
        self.ranks = tuple(range(config.trainer.world_size))
        """The place of each trainer rank."""
        self.group = reserve(self._asked, config.cluster.placement_timeout_s, name)
        self.bundles = in_order(self.group, config.trainer.world_size, close_ranks(config.trainer))
        """The bundle of each place."""
        self.require()
        self._say_apart()

    @property
    def shrunk(self) -> bool:
        """Whether the trainer has fewer ranks than the run asks for."""
        return len(self.ranks) < self.config.trainer.world_size

    # --- what is left -----------------------------------------------------------------------------------------------

    def left(self, settled: bool = False) -> list[bool]:
        """Whether each place is left; with ``settled`` Ray knows by now which nodes are gone."""
        if settled:
            settle(set(of_bundles(self.group)) - {"", own()})
        return [bool(node) for node in self._nodes()]

    def _nodes(self) -> list[str]:
        """The node of each place, empty if it is lost."""
        nodes = of_bundles(self.group)
        return [nodes[bundle] for bundle in self.bundles]

    def require(self) -> None:
        """Wait until the run has all its places, and look at their nodes: when a node is lost, its places come back on
        another one.

        Raises:
            ClusterError: if they don't in time.
            UserError: if a node lacks something.
        """
        require(self.group, self._asked, self.config.cluster.placement_timeout_s)
        self.look()

    def look(self) -> None:
        """Look at nodes that are new to the run."""
        new = set(of_bundles(self.group)) - {"", *self._on}
        if new:
            require_shared(new, Path(self.config.run_dir), folders_read(self.config, self.model_path), self.shared_file)
            self._on |= names(new)

    def gone(self) -> list[str]:
        """Names of nodes that were looked at and hold nothing of the run any more."""
        return sorted(name for node, name in self._on.items() if node not in of_bundles(self.group))

    def renew(self) -> None:
        """Decide where the ranks of a new trainer group are: at all places of the run, or with ``on_loss=shrink`` at
        what is left of them.

        Raises:
            ClusterError: if its places don't come back in time.
            UserError: if no trainer fits on what is left.
        """
        self.left(settled=True)
        try:
            self.require()
            size, widths = self.config.trainer.world_size, close_ranks(self.config.trainer)
            self.ranks = whole_groups(range(size), self._nodes(), size, widths)
        except ClusterError:
            if self.config.cluster.on_loss == "wait":
                raise
            layout = layout_left(self.config, self._nodes()[: self._size], self.device.gpus > 0, self.sampling)
            require_room(derive(with_ranks(self.config, len(layout.ranks))).gpus, certain=True)
            for one, other in layout.swaps:
                self.bundles[one], self.bundles[other] = self.bundles[other], self.bundles[one]
            self.ranks = layout.ranks
        self._say_apart()

    def _say_apart(self) -> None:
        """Say which tensor-parallel groups are on several nodes: their numbers are right, but every layer is slow."""
        tensor, nodes = self.config.trainer.tensor_parallel, self._nodes()
        if found := apart([nodes[place] for place in self.ranks], tensor):
            groups = ", ".join(f"{first} to {first + tensor - 1}" for first in found)
            print(
                f"warning: trainer ranks {groups} share the matrices of every layer (trainer.tensor_parallel={tensor}) "
                "and are on several nodes, so that every layer waits for the network; free whole nodes for this run, "
                "or lower trainer.tensor_parallel",
                flush=True,
            )

    # --- who is where -----------------------------------------------------------------------------------------------

    def options(self, place: int, cpus: float, gpus: float) -> dict[str, Any]:
        """Ray's options of an actor at a place, with its share of the bundle."""
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        strategy = PlacementGroupSchedulingStrategy(self.group, placement_group_bundle_index=self.bundles[place])
        return {**self.device.request(cpus, gpus), "scheduling_strategy": strategy}

    def beside(self, number: int, lost: bool) -> dict[str, Any]:
        """Options of an actor that needs no device: on the nodes of the run, which have what it needs."""
        there = self._places_left(lost)
        return self.options(there[number % len(there)], 0.0, 0.0)

    def judge(self, lost: bool) -> dict[str, Any]:
        """Options of a judge that the run serves: on GPUs at its own place, and if that is lost where one is free."""
        if self.device.gpus and self.left(settled=lost)[self._size]:
            return self.options(self._size, 0.0, 1.0)
        return self.device.request(0.0, 1.0)

    def engine(self, number: int) -> dict[str, Any] | None:
        """Options of a rollout engine; None if its place is lost."""
        place = self._engine_place(number)
        if place is None:
            place = self._places_left(False)[0]
        elif not self.has_engine_place(number):
            return None
        self.look()
        self._engines_at[number] = place
        return self.options(place, *((1.0, 1.0) if self.split else (0.0, 0.5)))

    def has_engine_place(self, number: int, lost: bool = False) -> bool:
        """Whether there is a place for an engine: it is left, and on a shared GPU a rank hands it the weights."""
        place, left = self._engine_place(number), self.left(settled=lost)
        if place is None:
            return any(left)
        return left[place] and not (self.takes_turns and self.shrunk and place not in self.ranks)

    def of_weights(self, engines: int) -> tuple[str, list[str]]:
        """The node of the first trainer rank, and that of each of so many engines; empty for one that is lost."""
        nodes = self._nodes()
        places = [self.ranks[0], *(self._engines_at[number] for number in range(engines))]
        sender, *receivers = (nodes[place] for place in places)
        return sender, receivers

    def _engine_place(self, number: int) -> int | None:
        """None where any will do."""
        if self.split:
            return self.config.trainer.world_size + number
        return number if self.takes_turns else None

    def _places_left(self, settled: bool) -> list[int]:
        """The places that are left; waits for all if none is."""
        if not any(left := self.left(settled)):
            self.require()
            left = self.left()
        return [place for place, there in enumerate(left) if there]

    def remove(self) -> None:
        """Give the places back; what is at them ends."""
        from ray.util import remove_placement_group

        remove_elsewhere(of_bundles(self.group), self.shared_file)
        remove_placement_group(self.group)
