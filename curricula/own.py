"""Functions of a user's own modules, named ``module:function``."""

import importlib
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Any

OURS = ("cluster", "curricula", "hydra_plugins", "rewards", "rl", "tools")
"""Our packages. A module of the user with such a name can't be imported."""


def imported(name: str, what: str) -> Any:
    """The function (or other object) of ``module:function``.

    Args:
        name: what is written in the configuration.
        what: what it is there, such as ``reward``, for messages.

    Raises:
        ValueError: if there is none; the message says why, and names the nearest.
    """
    module, _, attribute = name.partition(":")
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        raise ValueError(
            f"the {what} {name} can't be imported: {error}; it is written module:function, and the module's folder "
            f"must be on PYTHONPATH or be where python was started{_hidden(module)}"
        ) from None
    except Exception as error:
        raise ValueError(
            f"the {what} {name} can't be imported: its module raised {type(error).__name__}: {error}"
        ) from None
    if not hasattr(found, attribute):
        near = get_close_matches(attribute, [one for one in vars(found) if not one.startswith("_")], n=1, cutoff=0.6)
        hint = f"; did you mean {module}:{near[0]}?" if near else ""
        raise ValueError(
            f"the {what} {name} can't be imported: module {module!r} ({getattr(found, '__file__', 'no file')}) has no "
            f"attribute {attribute!r}{hint}{_hidden(module)}"
        )
    function = getattr(found, attribute)
    if not callable(function):
        raise ValueError(f"the {what} {name} is a {type(function).__name__}, not a function")
    return function


def _hidden(module: str) -> str:
    """That a module of the user has the name of a package of ours, if it has."""
    first = module.partition(".")[0]
    if first not in OURS:
        return ""
    ours = str(Path(getattr(sys.modules.get(first), "__file__", None) or first).parent)
    return f". {first} is a package of Themis ({ours}); give your own module another name"
