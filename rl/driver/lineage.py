"""Which weights come from where: what a stage starts from, and what it leaves."""

from __future__ import annotations

from pathlib import Path

from rewards.cache import key_of
from rl.config.schema import RunConfig
from rl.config.stages import EvaluateStage, PerplexityStage
from rl.driver.fleet import Fleet
from rl.errors import UserError
from rl.files import digest
from rl.records.checkpoint import Checkpoint, Checkpoints
from rl.records.manifest import Manifest

IN_TRAINING = ""
"""Where the trainer's weights come from while a stage trains them."""


class Lineage:
    """Brings trainer and reference to the weights of a stage, and knows whose weights the trainer holds."""

    def __init__(self, config: RunConfig, manifest: Manifest, checkpoints: Checkpoints, fleet: Fleet) -> None:
        self.config, self.manifest, self.checkpoints, self.fleet = config, manifest, checkpoints, fleet
        self.weights_from: str | None = None
        """Stage whose final weights the trainer holds; None for those of the base model."""
        self._reference_from: str | None = None
        self._ids: dict[str, str] = {}
        """Hashes of base models by path: tens of gigabytes are read once, not at each evaluation."""

    def load_before(self, name: str) -> None:
        """Bring the trainer to the weights that a stage starts from: those of the training stage before it."""
        self._load(self._trained_before(name), name)

    def load_after(self, name: str) -> None:
        """Bring the trainer to the weights that a finished stage leaves; they may be earlier than its last step."""
        self._load(self.trained_up_to(name), name)

    def load_reference_before(self, name: str) -> None:
        """Bring the reference to the policy at the start of a stage. With LoRA the reference is the base model."""
        source = self._trained_before(name)
        if self.fleet.reference is not None and source is not None and source != self._reference_from:
            self.fleet.reference.call("load", str(self._final_engine(source, name)), weights_only=True)
            self._reference_from = source

    def begin_training(self) -> None:
        """Note that a stage trains the weights from now on."""
        self.weights_from = IN_TRAINING

    def end_training(self, name: str) -> None:
        """Note that a training stage is over and the trainer holds what it leaves."""
        self.weights_from = self.trained_up_to(name)

    def drop_unneeded(self, name: str) -> None:
        """Remove the checkpoints that no stage starts from after the training stage ``name``, which is recorded as
        done."""
        source, stages = self.trained_up_to(name), [stage.name for stage in self.config.curriculum.stages]
        needed = None if source is None else self._final_checkpoint(source, name)
        for stage in stages[: stages.index(name) + 1]:
            self.checkpoints.keep_only(stage, needed)

    def restart_trainer(self) -> None:
        """Replace the trainer group. The new one holds the base model."""
        self.fleet.restart_trainer()
        self.weights_from = None

    def restart_lost(self) -> None:
        """Replace trainer and reference after a rank of one was lost."""
        self.restart_trainer()
        self.fleet.restart_reference()
        self._reference_from = None

    def trained_up_to(self, name: str) -> str | None:
        """The last stage up to ``name`` that left weights of its own: it trained, and did not fall back to its start.
        None if there is none."""
        stages = self.config.curriculum.stages
        index = [stage.name for stage in stages].index(name)
        for stage in reversed(stages[: index + 1]):
            record = self.manifest.stage(stage.name)
            fell_back = record.get("ended", {}).get("weights_after") == 0
            if not isinstance(stage, EvaluateStage | PerplexityStage) and "skipped" not in record and not fell_back:
                return stage.name
        return None

    def weights_id(self) -> str:
        """A hash of the trainer's weights; equal weights of equal runs have equal ones."""
        if self.weights_from is not None:
            files = self.checkpoints.inventory(self._final_checkpoint(self.weights_from, self.weights_from))
            return key_of(sorted(item for item in files.items() if item[0].startswith("engine/")))
        path = self.fleet.model_path
        if path not in self._ids:
            self._ids[path] = self._base_weights_id(path)
        return self._ids[path]

    def _base_weights_id(self, path: str) -> str:
        folder = Path(path)
        if folder.is_dir():
            return key_of([(path.name, digest(path)) for path in sorted(folder.glob("*.safetensors"))])
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(path, trust_remote_code=self.config.model.trust_remote_code)
        return key_of(path, config._commit_hash)

    def _load(self, source: str | None, name: str) -> None:
        if source == self.weights_from:
            return
        if source is None:
            self.restart_trainer()  # which reads the base model
        else:
            self.fleet.trainer.call("load", str(self._final_engine(source, name)), weights_only=True)
        self.fleet.weights.changed()
        self.weights_from = source

    def _trained_before(self, name: str) -> str | None:
        """The last stage before a stage that left weights of its own; None if there is none."""
        names = [stage.name for stage in self.config.curriculum.stages]
        return self.trained_up_to(names[names.index(name) - 1]) if names.index(name) else None

    def _final_engine(self, source: str, name: str) -> Path:
        """The engine's part of that checkpoint, after its files have been verified."""
        checkpoint = self._final_checkpoint(source, name)
        self.checkpoints.driver(checkpoint)
        return checkpoint.engine.resolve()

    def _final_checkpoint(self, source: str, name: str) -> Checkpoint:
        """The checkpoint with the weights that stage ``source`` left to stage ``name``."""
        after = self.manifest.stage(source).get("ended", {}).get("weights_after")
        checkpoint = self.checkpoints.latest(source) if after is None else self.checkpoints.at(source, after)
        if checkpoint is None:
            raise UserError(
                f"stage {name} starts from the weights of {source}, but {self.checkpoints.root} holds no checkpoint of "
                f"that stage; use resume=restart to start from scratch"
            )
        return checkpoint
