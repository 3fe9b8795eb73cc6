"""``python -m rl.synthesize +recipe=lead input=judgments/ teacher.base_url=URL``: training data from documents."""

import signal
import sys

import hydra
from omegaconf import DictConfig

from rl.config.command import give_up, run_composed
from rl.config.compose import CONF, load_synthesis
from rl.config.synthesis import SynthesisConfig
from rl.errors import USER_ERRORS
from rl.files import disk_problem
from rl.synthesis.run import synthesize


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="synthesize")
def _job(composed: DictConfig) -> None:
    try:
        synthesize(load_synthesis(composed))
    except USER_ERRORS as error:
        give_up(error)
    except OSError as error:
        problem = disk_problem(error)
        if not problem:
            raise
        give_up(problem)


def main() -> None:
    """Entry point of the command line."""
    try:
        run_composed(_job, SynthesisConfig, "recipe")
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from what was answered", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
