"""Reinforcement-learning post-training on Ray.

``python -m`` and Ray put the folder in which a command was started before everything else, so that a ``rewards.py`` or
``tools.py`` of the user there would be imported in place of our packages. Whatever process imports us first moves that
folder to the end, where the user's modules are still found.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path


def _import_ours_first() -> None:
    with suppress(FileNotFoundError):  # the folder was deleted
        here = os.getcwd()
        if Path(here) != Path(__file__).resolve().parents[1] and {"", here} & {*sys.path}:
            sys.path[:] = [*(place for place in sys.path if place not in ("", here)), here]


_import_ours_first()
