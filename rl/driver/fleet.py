"""The actors of a run: how they start, and how they are replaced."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray

from cluster.errors import Away, Lost
from cluster.health import Supervised
from cluster.names import Names
from cluster.waits import waiting
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
from rl.config.places import serves_judge, with_ranks
from rl.config.schema import RunConfig
from rl.config.stages import PromptedStage
from rl.device import chosen
from rl.driver.calls import counted
from rl.driver.nodes import folders_read
from rl.driver.placement import Placement
from rl.errors import UserError
from rl.weights.shared import remove_shared, shared_file
from rl.weights.sync import WeightSync

REPLACED = "replaced, and asked again"
"""What is done about a loss that costs nothing."""
AWAY = "the other engines do its work until there is a place for it again"
"""What is done about an engine that was lost with its node."""
ENGINE_START_S = 600.0
"""An engine gets at least so long (seconds) to read its model, even if a running one must answer sooner."""


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
        self.watch = Watch(config.cluster.frozen_s, each_look)
        try:
            self.places = Placement(config, self.device, model_path, self.shared_file, sampling, self.names.namespace)
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
                f"reward/{i}",
                RewardActor,
                (config.reward, law_setting()),
                {},
                restarts,
                place=lambda lost, number=i: self.places.beside(number, lost),
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

    def _engine_options(self, number: int, lost: bool) -> dict[str, Any] | None:
        """Where an engine starts; None where its place is lost and others can do its work until it is back."""
        if lost and not self.places.has_engine_place(number, lost=True):
            if any(one.name != f"rollout/{number}" and not one.away for one in self.rollouts):
                return None
            if self.config.cluster.on_loss == "shrink":  # a trainer that starts again on less leaves it a place
                raise TrainerLost(f"rollout/{number}", "was lost with its node, and no other engine is left")
            self.places.require()
        return self.places.engine(number)

    def _restore(self, handle: Any, number: int) -> None:
        with waiting.call(f"rollout/{number}", "ready"):
            ray.get(handle.ready.remote(), timeout=self.engine_start_s)
        if not self.places.left()[self.places.ranks[0]]:
            raise TrainerLost("trainer/0", "was lost with its node")
        self.weights.restore(handle, number)

    def nodes(self) -> tuple[str, list[str]]:
        """The node of the first trainer rank, and that of each rollout engine; empty for one that is lost."""
        return self.places.of_weights(len(self.rollouts))

    def _judge(self, number: int) -> Supervised:
        config = self.config
        cache = None if config.judge.cache is None else Path(config.run_dir).resolve() / config.judge.cache

        def place(lost: bool) -> dict[str, Any]:
            return self.places.judge(lost) if serves_judge(config) else self.places.beside(number, lost)

        own = folders_read(config, self.model_path).get("judge.model")
        judge = config.judge if own is None else config.judge.model_copy(update={"model": str(own)})
        arguments = (judge, config.reward, cache, self.device.name, law_setting())
        restarts = config.reward.max_restarts
        return self._supervised(f"judge/{number}", JudgeActor, arguments, {}, restarts, place=place)

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
        stages = [stage for stage in self.config.curriculum.stages if isinstance(stage, PromptedStage)]
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
            trainer=with_ranks(config, len(self.places.ranks)).trainer,
            path=self.model_path,
            device=self.device.name,
            seed=config.seed,
            rank=0,
            backend=self.backend,
            shared_file=str(self.shared_file),
        )
        share = 0.5 if role == "trainer" else 0.25

        def options(rank: int) -> dict[str, Any]:
            place = self.places.options(self.places.ranks[rank], share, share / 2)
            return {**place, **self.names.options(f"{role}/{rank}")}

        return TrainerGroup(spec, role, options, config.trainer.timeout_s, self.watch)

    def _place_trainer(self) -> None:
        """Decide where a new trainer is. Engines whose places it takes leave."""
        before, size = len(self.places.ranks), self.config.trainer.world_size
        self.places.renew()
        ranks = len(self.places.ranks)
        if not self.places.shrunk:
            if before < ranks:
                print(f"the trainer goes on with all of its {size} ranks again", flush=True)
            return
        for number, engine in enumerate(self.rollouts):
            if not self.places.has_engine_place(number):
                engine.leave()
        there, left = sum(not engine.away for engine in self.rollouts), self.places.left()
        self.tell(
            "trainer",
            f"has {sum(left)} of its {len(left)} places left, without node {', '.join(self.places.gone())}",
            f"it goes on with {ranks} of {size} ranks, and {there} of {len(self.rollouts)} engines",
            f"{size - ranks} ranks until a trainer is started when their places are back",
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
                self.places.remove()
        remove_shared(self.shared_file)


def bring_up(rollouts_ready: Callable[[], None], start_trainers: Callable[[], None], takes_turns: bool) -> None:
    """Start the trainers, and wait for the rollout engines that are starting.

    On a shared GPU they start one after the other: vLLM sizes its key-value cache by the memory that is in use on the
    GPU when its profiling ends, so memory that a trainer takes meanwhile would make that cache smaller. The engines
    therefore start alone and sleep before a trainer starts. Elsewhere all start at once.
    """
    for step in (rollouts_ready, start_trainers) if takes_turns else (start_trainers, rollouts_ready):
        step()
