"""The configuration that a command's words give, outside of the command: Hydra's compose API."""

from __future__ import annotations

import os
from collections.abc import Sequence

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rl.config.compose import accept_overrides, load, none_selected
from rl.config.quoting import is_multirun
from rl.config.schema import RunConfig
from rl.config.sources import ADDITIONAL, CONF, apart, folders_added, search_path
from rl.errors import UserError


def is_one_run(words: Sequence[str]) -> bool:
    """Whether words ask for one run, and not for a sweep or for something that Hydra itself does."""
    return not is_multirun(words) and not any(word.startswith("-") for word in apart(words)[1])


def compose_run(words: Sequence[str], *, absolute: bool = True) -> RunConfig:
    """The valid configuration of the run that ``python -m rl.main`` with these words would make.

    Args:
        words: what follows the command.
        absolute: whether ``run_dir`` is made absolute, as the command does, or kept as the words give it.

    Raises:
        UserError: as the command, and for a sweep or another option of Hydra's, which is not one configuration.
    """
    if is_multirun(words):
        raise UserError("a sweep (-m) is several runs; give the words of one of them")
    accepted, folders = accept_overrides(words), folders_added(words)
    _, others = apart(accepted)
    if flag := next((word for word in others if word.startswith("-")), None):
        raise UserError(f"{flag} is an option of the command; here only key=value, group=NAME and --config-dir count")
    others = [word for word in others if not word.startswith(f"{ADDITIONAL}=")]
    added = [f"{ADDITIONAL}={search_path(map(str, folders))}"] if folders else []
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            composed = compose("config", overrides=[*others, *added], return_hydra_config=True)
        return load(_without_hydra(composed, absolute))
    except (HydraException, OmegaConfBaseException) as error:
        raise in_words(error, "curriculum", words) from None


def _without_hydra(composed: DictConfig, absolute: bool) -> DictConfig:
    """The job's part, with Hydra's output folder as ``run_dir``."""
    run_dir = str(composed.hydra.run.dir) if "curriculum" in composed else "unset"
    OmegaConf.set_struct(composed, False)
    del composed["hydra"]
    composed["run_dir"] = os.path.abspath(run_dir) if absolute else run_dir
    return composed


def in_words(error: HydraException | OmegaConfBaseException, group: str, words: Sequence[str]) -> UserError:
    """An error of Hydra's as a sentence. ``group`` is the one without which there is no job."""
    if isinstance(error, HydraException):
        return UserError(f"{error}: {error.__cause__}" if error.__cause__ else str(error))
    return none_selected(group, words) if f"{group}.name" in str(error) else UserError(str(error))
