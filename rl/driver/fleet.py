"""The actors of a run: where they are placed, how they start, and how they are replaced."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray

from cluster.errors import Away, ClusterError, Lost
from cluster.health import Place, Supervised
from cluster.names import Names
from cluster.nodes import names, of_bundles, own, settle
from cluster.placement import in_order, require, reserve
from cluster.watch import Watch
from curricula.statutes import law_setting
from rewards.total import split
from rl.actors import rollout as rollout_actor
from rl.actors.group import TrainerGroup, TrainerLost
from rl.actors.judge import JudgeActor
from rl.actors.reward import RewardActor
from rl.actors.rollout import RolloutActor, RolloutSpec
from rl.actors.trainer import TrainerSpec
from rl.config.derive import derive, reward_sum, wants_judge, wants_reference
from rl.config.gpu_plan import require_room
from rl.config.places import layout_left, places, serves_judge, with_ranks
from rl.config.schema import RunConfig
from rl.config.stages import GRPOStage
from rl.device import Device, chosen
from rl.driver.calls import counted
from rl.driver.nodes import folders_read, remove_elsewhere, require_shared
from rl.errors import UserError
from rl.weights.shared import remove_shared, shared_file
from rl.weights.sync import WeightSync

REPLACED = "replaced, and asked again"
"""What is done about a loss that costs nothing."""
AWAY = "the other engines do its work until there is a place for it again"
"""What is done about an engine that was lost with its node."""
ENGINE_START_S = 600.0
"""An engine gets at least so long (seconds) to read its model, even if a running one must answer sooner."""


def bundles_of(config: RunConfig, device: Device, sampling: bool) -> list[dict[str, float]]:
    """What the actors of a run reserve of a cluster; without ``sampling`` only trainer and reference."""
    return [device.bundle()] * places(config, device.gpus > 0, sampling)


class Fleet:
    """Trainer, reference, rollout, reward and judge actors of one run, in one placement group."""

    def __init__(
        self,
        config: RunConfig,
        model_path: str,
        tell: Callable[..., None] = lambda *loss, **facts: None,
        each_look: Callable[[Watch, float], None] = lambda watch, seconds: None,
        sampling: bool = True,
    ) -> None:
        """Start everything and wait until it is up; without ``sampling`` only trainer and reference.

        Args:
            config: of the run.
            model_path: the base model.
            tell: told of each actor that is lost (:meth:`rl.records.losses.Losses.tell`).
            each_look: called every few seconds.
            sampling: whether there are rollout, reward and judge actors.
        """
        self.config, self.model_path, self.tell = config, model_path, tell
        self.device = chosen(config.trainer.device, ray.cluster_resources().get("GPU", 0))
        self.split = config.cluster.placement == "split"
        self.takes_turns = self.device.takes_turns(self.split)
        """Whether trainer and rollout share a GPU, so that vLLM sleeps while the trainer works."""
        self.backend = self.device.transfer(config.rollout.weight_transfer, self.split)
        self.shared_file = shared_file(Path(config.run_dir))
        self.names = Names(Path(config.run_dir))
        self._asked = bundles_of(config, self.device, sampling)
        self.watch = Watch(config.cluster.frozen_s, each_look)
        try:
            self.placement = reserve(self._asked, config.cluster.placement_timeout_s, self.names.namespace)
            self.bundles = in_order(self.placement)
            self.ranks = tuple(range(config.trainer.world_size))
            """The place of each trainer rank."""
            self._engines_at: dict[int, int] = {}
            """The place of each engine, by its number; of one that is lost the last."""
            self._on: dict[str, str] = {}
            """Names of the nodes that were looked at, by their ids."""
            self._require_nodes()
        except BaseException:
            self.watch.close()
            raise
        sync_s = config.rollout.timeout_s
        self.weights = WeightSync(self, self.backend, self.shared_file, sync_s, self.engine_start_s)
        self.rollouts: list[Supervised] = []
        self.rewards: list[Supervised] = []
        self.judges: list[Supervised] = []
        self._trainer: TrainerGroup | None = None
        self.reference: TrainerGroup | None = None
        try:
            self._start(config.rollout.replicas * sampling, sampling)
        except TrainerLost as error:
            self.close()
            raise Lost(error.who, f"{error.why}, while it was started") from error
        except BaseException:
            self.close()
            raise

    def _start(self, replicas: int, sampling: bool) -> None:
        config, restarts = self.config, self.config.reward.max_restarts
        self.rollouts = [self._rollout(i) for i in range(replicas)]
        self.rewards = [
            self._supervised(
                f"reward/{i}", RewardActor, (config.reward, law_setting()), {}, restarts, place=self._beside(i)
            )
            for i in range(config.reward.workers * sampling)
        ]
        self.judges = [self._judge(i) for i in range(wants_judge(config) * sampling)]
        self._check_rewards(self.rewards, judged=False)  # while the engines start
        bring_up(self._rollouts_ready, self._start_trainers, self.takes_turns)
        self._check_rewards(self.judges, judged=True)
        self.weights.connect()

    def _rollouts_ready(self) -> None:
        for actor in self.rollouts:
            actor.call("ready", timeout_s=self.engine_start_s)
        self.sleep()

    def _start_trainers(self) -> None:
        self._trainer = self._trainer_group("trainer")
        self.reference = self._trainer_group("reference") if wants_reference(self.config) else None
        self.trainer.setup()
        if self.reference:
            self.reference.setup()

    @property
    def engine_start_s(self) -> float:
        """Longest start of a rollout engine (seconds); it answers only when it is up."""
        return max(ENGINE_START_S, self.config.rollout.timeout_s)

    @property
    def trainer(self) -> TrainerGroup:
        """The ranks that train the policy."""
        assert self._trainer is not None
        return self._trainer

    def _rollout(self, number: int) -> Supervised:
        config = self.config
        spec = RolloutSpec(
            config.model,
            config.rollout,
            self.model_path,
            self.device.name,
            config.seed,
            self.backend,
            load_weights=self.backend == "adapter",
        )
        return self._supervised(
            f"rollout/{number}",
            RolloutActor,
            (spec,),
            {"runtime_env": {"env_vars": rollout_actor.environment(spec)}},
            config.rollout.max_restarts,
            on_restart=lambda handle: self._restore(handle, number),
            place=lambda lost: self._engine_options(number, lost),
        )

    def _rollout_place(self, number: int) -> int | None:
        """The place of an engine; None where any will do."""
        if self.split:
            return self.config.trainer.world_size + number
        return number if self.takes_turns else None

    def _engine_options(self, number: int, lost: bool) -> dict[str, Any] | None:
        """Where an engine starts: at its place, if that is left; None where the others can do its work until then."""
        place = self._rollout_place(number)
        if place is None:
            place = self._places_left(lost)[0]
        elif lost and not self._left(settled=True)[place]:
            if any(one.name != f"rollout/{number}" and not one.away for one in self.rollouts):
                return None
            if self.config.cluster.on_loss == "shrink":  # a trainer that starts again on less leaves it a place
                raise TrainerLost(f"rollout/{number}", "was lost with its node, and no other engine is left")
            self._require_nodes()
        if not self._may_be_at(place):
            return None
        self._look_at_nodes()
        self._engines_at[number] = place
        return self._placed(place, *((1.0, 1.0) if self.split else (0.0, 0.5)))

    def _may_be_at(self, place: int) -> bool:
        """Whether an engine may be at a place: it is left, and on a shared GPU a rank hands it the weights."""
        shrunk = len(self.ranks) < self.config.trainer.world_size
        return self._left()[place] and not (self.takes_turns and shrunk and place not in self.ranks)

    def _restore(self, handle: Any, number: int) -> None:
        ray.get(handle.ready.remote(), timeout=self.engine_start_s)
        if not self._left()[self.ranks[0]]:
            raise TrainerLost("trainer/0", "was lost with its node")
        self.weights.restore(handle, number)

    def nodes(self) -> tuple[str, list[str]]:
        """The node of the first trainer rank, and that of each rollout engine; empty for one that is lost."""
        nodes = of_bundles(self.placement)
        return nodes[self.bundles[self.ranks[0]]], [
            nodes[self.bundles[self._engines_at[number]]] for number in range(len(self.rollouts))
        ]

    def _judge(self, number: int) -> Supervised:
        config = self.config
        cache = None if config.judge.cache is None else Path(config.run_dir).resolve() / config.judge.cache
        served = serves_judge(config)  # on a GPU outside the placement group
        share = self.device.request(0, 1.0) if served else {}
        where: dict[str, Any] = {} if served else {"place": self._beside(number)}
        own = folders_read(config, self.model_path).get("judge.model")
        judge = config.judge if own is None else config.judge.model_copy(update={"model": str(own)})
        arguments = (judge, config.reward, cache, self.device.name, law_setting())
        return self._supervised(f"judge/{number}", JudgeActor, arguments, share, config.reward.max_restarts, **where)

    def _supervised(
        self, name: str, actor: type, arguments: tuple[Any, ...], options: dict[str, Any], restarts: int, **others: Any
    ) -> Supervised:
        named = {**options, **self.names.options(name)}
        return Supervised(name, actor, arguments, named, restarts, watch=self.watch, tell=self._lost, **others)

    def _lost(self, name: str, why: str, handle: Any) -> None:
        found, away = self.watch.of(handle), any(one.away for one in self.rollouts if one.name == name)
        self.tell(name, why, AWAY if away else REPLACED, pid=found.pid, host=found.host)

    def _check_rewards(self, actors: list[Supervised], judged: bool) -> None:
        """Try every stage's rewards in every worker before the first step."""
        stages = [stage for stage in self.config.curriculum.stages if isinstance(stage, GRPOStage)]
        sums = [split(reward_sum(self.config, stage))[judged] for stage in stages]
        for actor in actors:
            try:
                for parts in filter(None, sums):
                    actor.call("check", [parts], timeout_s=self.config.judge.start_timeout_s)
            except ValueError as error:
                raise UserError(f"a reward can't be used: {getattr(error, 'cause', error)}") from None

    def _trainer_group(self, role: str) -> TrainerGroup:
        config = self.config
        model = config.model if role == "trainer" else config.model.model_copy(update={"lora_rank": 0})
        spec = TrainerSpec(
            model=model,
            trainer=with_ranks(config, len(self.ranks)).trainer,
            path=self.model_path,
            device=self.device.name,
            seed=config.seed,
            rank=0,
            backend=self.backend,
            shared_file=str(self.shared_file),
        )
        share = 0.5 if role == "trainer" else 0.25

        def options(rank: int) -> dict[str, Any]:
            return {**self._placed(self.ranks[rank], share, share / 2), **self.names.options(f"{role}/{rank}")}

        return TrainerGroup(spec, role, options, config.trainer.timeout_s, self.watch)

    def _placed(self, place: int, cpus: float, gpus: float) -> dict[str, Any]:
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        strategy = PlacementGroupSchedulingStrategy(self.placement, placement_group_bundle_index=self.bundles[place])
        return {**self.device.request(cpus, gpus), "scheduling_strategy": strategy}

    def _beside(self, number: int) -> Place:
        """The place of an actor that needs no device: on the nodes of the run, which have what it needs."""

        def place(lost: bool) -> dict[str, Any]:
            there = self._places_left(lost)
            return self._placed(there[number % len(there)], 0.0, 0.0)

        return place

    def _left(self, settled: bool = False) -> list[bool]:
        """Whether each place is left; with ``settled`` Ray knows by now which nodes are gone."""
        if settled:
            settle(set(of_bundles(self.placement)) - {"", own()})
        nodes = of_bundles(self.placement)
        return [bool(nodes[bundle]) for bundle in self.bundles]

    def _places_left(self, settled: bool) -> list[int]:
        """The places that are left; waits for all if none is."""
        if not any(left := self._left(settled)):
            self._require_nodes()
            left = self._left()
        return [place for place, there in enumerate(left) if there]

    def _require_nodes(self) -> None:
        """Wait until the run has all its places, and look at their nodes: when a node is lost, its places come back on
        another one."""
        require(self.placement, self._asked, self.config.cluster.placement_timeout_s)
        self._look_at_nodes()

    def _look_at_nodes(self) -> None:
        """Look at nodes that are new to the run."""
        new = set(of_bundles(self.placement)) - {"", *self._on}
        if new:
            folders = folders_read(self.config, self.model_path)
            require_shared(new, Path(self.config.run_dir), folders, self.shared_file)
            self._on |= names(new)

    def _place_trainer(self) -> None:
        """Decide where the ranks of a new trainer group are: at all places of the run, or with ``on_loss=shrink`` at
        what is left of them."""
        before, size = len(self.ranks), self.config.trainer.world_size
        self._left(settled=True)
        try:
            self._require_nodes()
            self.ranks = tuple(range(size))
        except ClusterError:
            if self.config.cluster.on_loss == "wait":
                raise
            self._shrink()
        if before < len(self.ranks):
            print(f"the trainer goes on with {len(self.ranks)} of its {size} ranks again", flush=True)

    def _shrink(self) -> None:
        """Lay ranks and engines out on the places that are left."""
        config, left, size = self.config, self._left(), self.config.trainer.world_size
        layout = layout_left(config, left, self.device.gpus > 0, bool(self.rollouts))
        require_room(derive(with_ranks(config, len(layout.ranks))).gpus, certain=True)
        for one, other in layout.swaps:
            self.bundles[one], self.bundles[other] = self.bundles[other], self.bundles[one]
        self.ranks = layout.ranks
        for number, engine in enumerate(self.rollouts):
            place = self._rollout_place(number)
            if place is not None and not self._may_be_at(place):
                engine.leave()
        there = sum(not engine.away for engine in self.rollouts)
        gone = [name for node, name in self._on.items() if node not in of_bundles(self.placement)]
        self.tell(
            "trainer",
            f"has {sum(left)} of its {len(left)} places left, without node {', '.join(gone) or 'of the others'}",
            f"it goes on with {len(self.ranks)} of {size} ranks, and {there} of {len(self.rollouts)} engines",
            f"{size - len(self.ranks)} ranks until a trainer is started when their places are back",
        )

    def restart_trainer(self) -> None:
        """Replace the trainer group, which then holds the base model."""
        self.trainer.stop()
        self._place_trainer()
        self._trainer = self._trainer_group("trainer")
        self.trainer.setup()
        self.weights.new_trainer()

    def restart_reference(self) -> None:
        """Replace the reference group, which then holds the base model."""
        if self.reference is not None:
            self.reference.stop()
            self.reference = self._trainer_group("reference")
            self.reference.setup()

    def wake(self) -> None:
        """Give a shared GPU to the rollout engines."""
        self._turn("wake")

    def sleep(self) -> None:
        """Give a shared GPU to the trainer; the rollout engines lose their weights."""
        self._turn("sleep")

    def _turn(self, method: str) -> None:
        if self.takes_turns:
            for actor in self.rollouts:
                with suppress(Away):
                    actor.call(method, timeout_s=self.config.rollout.timeout_s)

    def close(self) -> None:
        """End every actor and free what they held."""
        self.watch.close()
        if not self.watch.lost:
            for actor in self.rewards + self.judges:
                for why in counted(actor.finish("close", timeout_s=10) or ()):
                    self.tell(actor.name, f"lost its {why}", REPLACED)
        for group in (self._trainer, self.reference):
            if group is not None:
                group.stop()
        for actor in (*self.rollouts, *self.rewards, *self.judges):
            actor.stop()
        if not self.watch.lost:
            with suppress(Exception):  # it goes with Ray
                remove_elsewhere(of_bundles(self.placement), self.shared_file)
                ray.util.remove_placement_group(self.placement)
        remove_shared(self.shared_file)


def bring_up(rollouts_ready: Callable[[], None], start_trainers: Callable[[], None], takes_turns: bool) -> None:
    """Start the trainers, and wait for the rollout engines that are starting.

    On a shared GPU they start one after the other: vLLM sizes its key-value cache by the memory that is in use on the
    GPU when its profiling ends, so memory that a trainer takes meanwhile would make that cache smaller. The engines
    therefore start alone and sleep before a trainer starts. Elsewhere all start at once.
    """
    for step in (rollouts_ready, start_trainers) if takes_turns else (start_trainers, rollouts_ready):
        step()
