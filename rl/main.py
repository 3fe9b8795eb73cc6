"""``python -m rl.main +curriculum=legal``: compose, validate, run."""

import signal
import sys

import hydra
from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape

from cluster.errors import ClusterError
from curricula.errors import DataError
from rl.config.compose import CONF, accept_overrides, load
from rl.errors import UserError
from rl.files import is_disk_full
from rl.job import open_cluster, run

USER_ERRORS = (UserError, DataError, ClusterError)
"""What a user can mend: shown as a sentence, exit code 2."""


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def _job(composed: DictConfig) -> None:
    try:
        run(load(composed))
    except USER_ERRORS as error:
        _exit(error)
    except Exception as error:
        if not is_disk_full(error):
            raise
        _exit(UserError("the disk is full; free some space and run the same command again, which resumes"))


def _exit(error: BaseException) -> None:
    Console(stderr=True).print(f"[bold red]error:[/bold red] {escape(str(error))}", highlight=False, soft_wrap=True)
    sys.exit(2)


def main() -> None:
    """Entry point of the command line."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that Ray is stopped on the way out
    try:
        sys.argv[1:] = accept_overrides(sys.argv[1:])
    except USER_ERRORS as error:
        _exit(error)
    with open_cluster:
        _job()


if __name__ == "__main__":
    main()
