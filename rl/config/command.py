"""What a command does around a job that Hydra composes: overrides by the schema, errors as sentences, exit codes."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel

from cluster.home import require_home
from curricula.command import print_error, require_utf8
from rl.config.compose import accept_overrides
from rl.config.composition import in_words
from rl.errors import USER_ERRORS
from rl.files import UNUSABLE, disk_problem


def run_composed(job: Callable[[], None], model: type[BaseModel], group: str) -> None:
    """Run a job with this process's command line. What a user can fix is printed as a sentence, with exit code 2.

    Args:
        job: what starts a function that ``hydra.main`` decorates.
        model: schema of the command.
        group: the group without which there is no job; its name is in the run folder.
    """
    require_utf8()
    require_home()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # then Hydra raises its errors here, such as that of a folder it can't make
    try:
        sys.argv[1:] = accept_overrides(sys.argv[1:], model)
        job()
    except USER_ERRORS as error:
        give_up(error)
    except (HydraException, OmegaConfBaseException) as error:
        give_up(in_words(error, group, sys.argv))
    except OSError as error:
        problem = disk_problem(error, (*UNUSABLE, errno.ENOENT))  # ENOENT: a folder that can't be made
        if not problem:
            raise
        give_up(problem)


def give_up(error: BaseException | str, code: int = 2) -> NoReturn:
    """Print what is wrong and end the process."""
    print_error(getattr(error, "cause", error))  # Ray's error about an actor's holds a traceback in its text
    sys.exit(code)
