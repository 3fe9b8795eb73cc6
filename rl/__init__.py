"""Reinforcement-learning post-training on Ray.

``python -m`` and Ray put the folder in which a command was started before everything else, so that a ``rewards.py`` or
``tools.py`` of the user there would be imported in place of our packages. Whatever process imports us first moves such
a folder to the end of the search path, where the user's own modules are still found.

From Python a run is :func:`load_config` and :func:`run`, the same code as the command (docs/guides/from-python.md).
Importing this package loads nothing else.
"""

from __future__ import annotations

import sys
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rl.config.schema import RunConfig
    from rl.job import RunResult


def _import_ours_first() -> None:
    root = Path(__file__).resolve().parents[1]
    names = ("cluster", "curricula", "rewards", "tools")
    files = [file for name in names for file in (f"{name}.py", f"{name}/__init__.py")]
    before = takewhile(lambda place: Path(place).resolve() != root, sys.path)
    hiding = [place for place in before if any(Path(place, file).is_file() for file in files)]
    sys.path[:] = [place for place in sys.path if place not in hiding] + hiding


_import_ours_first()


def load_config(*words: str) -> RunConfig:
    """The valid configuration of a run, as ``python -m rl.main`` makes it of the same words.

    Args:
        words: ``curriculum=NAME`` or ``curriculum=FILE``, then any ``key=value``, each as on the command line but
            without a shell's quotes. Relative paths are meant from the current folder.

    Returns:
        The typed configuration, which can't be changed; load another one with other words. ``run_dir`` is absolute.

    Raises:
        rl.errors.UserError: for an unknown key, name or file (with the nearest), a value that does not fit, no
            curriculum, or a sweep.
    """
    from rl.config.composition import compose_run

    return compose_run(words)


def run(config: RunConfig) -> RunResult:
    """Run a curriculum as ``python -m rl.main`` does, with the same output, or go on with one that stopped.

    Ray is started and ended with the run, unless this process is connected already. With ``plan=true`` the plan is
    printed, and nothing is started or written.

    Args:
        config: from :func:`load_config`.

    Returns:
        The plan, the run folder, the evaluations, and the folder of each exported model.

    Raises:
        rl.errors.UserError, curricula.errors.DataError, cluster.errors.ClusterError: for what a user can fix.
        cluster.errors.Lost: if the run has lost what it can't replace; the same call goes on.
    """
    from cluster.home import require_home
    from rl.job import open_cluster
    from rl.job import run as run_job

    require_home()
    with open_cluster:
        return run_job(config)
