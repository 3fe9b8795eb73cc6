"""``python -m rl.main +curriculum=legal``: compose, validate, run."""

import errno
import os
import signal
import sys

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.markup import escape

from cluster.errors import ClusterError
from cluster.home import require_home
from cluster.output import require_utf8
from curricula.errors import DataError
from rl.config.compose import CONF, accept_overrides, load
from rl.errors import UserError
from rl.files import UNUSABLE, disk_problem
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
        problem = disk_problem(error)
        if not problem:
            raise
        _exit(UserError(problem))


def _exit(error: BaseException) -> None:
    Console(stderr=True).print(f"[bold red]error:[/bold red] {escape(str(error))}", highlight=False, soft_wrap=True)
    sys.exit(2)


def main() -> None:
    """Entry point of the command line."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that Ray is stopped on the way out
    require_utf8()
    require_home()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra lets errors through to here, such as that of a folder it can't make
    try:
        sys.argv[1:] = accept_overrides(sys.argv[1:])
        with open_cluster:
            _job()
    except (*USER_ERRORS, OmegaConfBaseException) as error:
        _exit(error)
    except HydraException as error:
        _exit(UserError(f"{error}: {error.__cause__}") if error.__cause__ else error)
    except OSError as error:
        problem = disk_problem(error, (*UNUSABLE, errno.ENOENT))  # a folder that can't be made there
        if not problem:
            raise
        _exit(UserError(problem))


if __name__ == "__main__":
    main()
