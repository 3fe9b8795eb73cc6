"""The actors of a run: where they are placed, how they start, and how they are replaced."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray

from cluster.errors import Lost
from cluster.health import Supervised
from cluster.names import Names
from cluster.nodes import of_bundles
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
from rl.config.derive import reward_sum, wants_judge, wants_reference
from rl.config.places import places, serves_judge
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
            self._on: list[str] = []
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
            self._supervised(f"reward/{i}", RewardActor, (config.reward, law_setting()), self._beside(i), restarts)
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
        where = self._rollout_place(number)
        share = (1.0, 1.0) if self.split else (0.0, 0.5)
        return self._supervised(
            f"rollout/{number}",
            RolloutActor,
            (spec,),
            {
                **self._placed(where, *share),
                "runtime_env": {"env_vars": rollout_actor.environment(spec)},
            },
            config.rollout.max_restarts,
            on_restart=lambda handle: self.weights.restore(handle, number),
        )

    def _rollout_place(self, number: int) -> int:
        if self.split:
            return self.config.trainer.world_size + number
        return number if self.takes_turns else 0

    def nodes(self) -> tuple[str, list[str]]:
        """The node of the first trainer rank, and that of each rollout engine."""
        nodes = of_bundles(self.placement)
        place = [nodes[self.bundles[self._rollout_place(number)]] for number in range(len(self.rollouts))]
        return nodes[self.bundles[0]], place

    def _judge(self, number: int) -> Supervised:
        config = self.config
        cache = None if config.judge.cache is None else Path(config.run_dir).resolve() / config.judge.cache
        share = (
            self.device.request(0, 1.0) if serves_judge(config) else self._beside(number)
        )  # a GPU outside the placement group
        own = folders_read(config, self.model_path).get("judge.model")
        judge = config.judge if own is None else config.judge.model_copy(update={"model": str(own)})
        arguments = (judge, config.reward, cache, self.device.name, law_setting())
        return self._supervised(f"judge/{number}", JudgeActor, arguments, share, config.reward.max_restarts)

    def _supervised(
        self, name: str, actor: type, arguments: tuple[Any, ...], options: dict[str, Any], restarts: int, **others: Any
    ) -> Supervised:
        named = {**options, **self.names.options(name)}
        return Supervised(name, actor, arguments, named, restarts, watch=self.watch, tell=self._lost, **others)

    def _lost(self, name: str, why: str, handle: Any) -> None:
        found = self.watch.of(handle)
        self.tell(name, why, REPLACED, pid=found.pid, host=found.host)

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
            trainer=config.trainer,
            path=self.model_path,
            device=self.device.name,
            seed=config.seed,
            rank=0,
            backend=self.backend,
            shared_file=str(self.shared_file),
        )
        share = 0.5 if role == "trainer" else 0.25

        def options(rank: int) -> dict[str, Any]:
            return {**self._placed(rank, share, share / 2), **self.names.options(f"{role}/{rank}")}

        return TrainerGroup(spec, role, options, config.trainer.timeout_s, self.watch)

    def _placed(self, bundle: int, cpus: float, gpus: float) -> dict[str, Any]:
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        strategy = PlacementGroupSchedulingStrategy(self.placement, placement_group_bundle_index=self.bundles[bundle])
        return {**self.device.request(cpus, gpus), "scheduling_strategy": strategy}

    def _beside(self, number: int) -> dict[str, Any]:
        """Options of an actor that needs no device: on the nodes of the run, which are known to have what it needs."""
        return self._placed(number % len(self.bundles), 0.0, 0.0)

    def _require_nodes(self) -> None:
        """Wait until the run has all its places, and look at their nodes if they are new: when a node is lost, its
        places come back on another one."""
        require(self.placement, self._asked, self.config.cluster.placement_timeout_s)
        nodes = of_bundles(self.placement)
        if nodes != self._on:
            folders = folders_read(self.config, self.model_path)
            require_shared(nodes, Path(self.config.run_dir), folders, self.shared_file)
            self._on = nodes

    def restart_trainer(self) -> None:
        """Replace the trainer group, which then holds the base model."""
        self.trainer.stop()
        self._require_nodes()
        self._trainer = self._trainer_group("trainer")
        self.trainer.setup()
        self.weights.new_trainer()

    def restart_reference(self) -> None:
        """Replace the reference group, which then holds the base model."""
        if self.reference is not None:
            self.reference.stop()
            self._require_nodes()
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
