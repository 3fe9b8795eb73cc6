"""``-m hydra/launcher=parallel``: the runs of a sweep at the same time on one Ray.

Hydra's own launcher runs them one after another in its process. With this one each is a process of its own, as many at
a time as the cluster has room for. Hydra looks for plugins in every folder of this folder's name, whatever it runs: so
this file imports only what each of its users has imported already.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn


class Parallel(BasicLauncher):
    """Hydra's launcher of parallel runs."""

    def __init__(self, at_once: int | None) -> None:
        super().__init__()
        self.at_once = at_once

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs (:func:`rl.sweeps.launcher.launch`); plans are printed one after another."""
        from rl.sweeps.launcher import launch, read

        assert self.hydra_context is not None
        compose = self.hydra_context.config_loader.load_sweep_config
        configs = [
            read(compose(self.config, list(words)), initial_job_idx + i) for i, words in enumerate(job_overrides)
        ]
        goal = self.goal(configs)
        if any(config.plan for config in configs):
            return list(super().launch(job_overrides, initial_job_idx))
        return launch(list(zip(job_overrides, configs, strict=True)), self.at_once, goal)

    def goal(self, configs: list[Any]) -> Any:
        """By what runs are stopped early; None stops none."""
        return None


class Asha(Parallel):
    """Hydra's launcher of parallel runs of which the worse ones are stopped early (:mod:`rl.sweeps.halving`)."""

    def __init__(
        self, at_once: int | None, stage: str | None, metric: str | None, mode: str | None, grace: int, reduction: int
    ) -> None:
        super().__init__(at_once)
        self.given = (stage, metric, mode, grace, reduction)

    def goal(self, configs: list[Any]) -> Any:
        """By what runs are stopped early."""
        from rl.sweeps.halving import goal

        return goal(configs, *self.given)


@dataclass
class Settings:
    """Keys of ``hydra.launcher``."""

    _target_: str = "hydra_plugins.themis.Parallel"
    at_once: int | None = None
    """Most runs at the same time; None is as many as the cluster has room for."""


@dataclass
class AshaSettings(Settings):
    """Keys of ``hydra.launcher`` with early stopping."""

    _target_: str = "hydra_plugins.themis.Asha"
    stage: str | None = None
    """The GRPO stage in which runs are compared; None is the last one."""
    metric: str | None = None
    """The metric of its steps; None is that of its first gate for leaving, or the reward."""
    mode: str | None = None
    """Whether the largest value is the best (``max``) or the smallest (``min``); None is as that gate opens, or max."""
    grace: int = 5
    """Steps of the stage that every run makes; the metric is averaged over so many."""
    reduction: int = 2
    """At each comparison about one run of so many goes on, and the next one comes after so many times the steps."""


ConfigStore.instance().store(group="hydra/launcher", name="asha", node=AshaSettings, provider="themis")
ConfigStore.instance().store(group="hydra/launcher", name="parallel", node=Settings, provider="themis")
