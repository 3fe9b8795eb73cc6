"""``python -m rl.synthesize +recipe=lead input=judgments/ teacher.base_url=URL``: training data from documents."""

import errno
import os
import signal
import sys

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from cluster.home import require_home
from curricula.command import print_error, require_utf8
from rl.config.compose import CONF, accept_overrides, load_synthesis, none_selected
from rl.config.synthesis import SynthesisConfig
from rl.errors import USER_ERRORS
from rl.files import UNUSABLE, disk_problem
from rl.synthesis.run import synthesize


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="synthesize")
def _job(composed: DictConfig) -> None:
    try:
        synthesize(load_synthesis(composed))
    except USER_ERRORS as error:
        _exit(error)


def main() -> None:
    """Entry point of the command line."""
    require_utf8()
    require_home()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # then Hydra raises the errors here
    try:
        sys.argv[1:] = accept_overrides(sys.argv[1:], SynthesisConfig)
        _job()
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from what was answered", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except USER_ERRORS as error:
        _exit(error)
    except OmegaConfBaseException as error:  # the run folder is named after the recipe
        _exit(none_selected("recipe", sys.argv) if "recipe.name" in str(error) else error)
    except HydraException as error:
        _exit(f"{error}: {error.__cause__}" if error.__cause__ else error)
    except OSError as error:
        problem = disk_problem(error, (*UNUSABLE, errno.ENOENT))
        if not problem:
            raise
        _exit(problem)


def _exit(error: BaseException | str) -> None:
    print_error(error)
    sys.exit(2)


if __name__ == "__main__":
    main()
