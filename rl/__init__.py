"""Reinforcement-learning post-training on Ray.

``python -m`` and Ray put the folder in which a command was started before everything else, so that a ``rewards.py`` or
``tools.py`` of the user there would be imported in place of our packages. Whatever process imports us first moves such
a folder to the end of the search path, where the user's own modules are still found.
"""

import sys
from itertools import takewhile
from pathlib import Path


def _import_ours_first() -> None:
    root = Path(__file__).resolve().parents[1]
    names = ("cluster", "curricula", "rewards", "tools")
    files = [file for name in names for file in (f"{name}.py", f"{name}/__init__.py")]
    before = takewhile(lambda place: Path(place).resolve() != root, sys.path)
    hiding = [place for place in before if any(Path(place, file).is_file() for file in files)]
    sys.path[:] = [place for place in sys.path if place not in hiding] + hiding


_import_ours_first()
