"""Values that a preset gives twice: for a real model or a language-model judge, and for a machine without either.

``${scaled:2000,12}`` is 2000 for a model given by ``model.path``, and 12 for the nano model, where that is empty.
``${judged:{rubric:1.0},{legal_validity:1.0}}`` is the first with ``judge.kind=llm`` and the second with ``statute``.
Either side may be any value: a number, text in quotes, a list, a mapping, ``null``, another interpolation.

``${one_copy:}`` is the number of ranks that hold one copy of the model, as ``trainer`` cuts it.
``${folder_of:…}`` names the folder of a job in a multirun.
"""

import math
from typing import Any

from omegaconf import DictConfig, OmegaConf

from rl.config.quoting import folder_name


def scaled(*values: Any, _root_: DictConfig) -> Any:
    """The first of two values for a real model, the second for the nano model.

    Raises:
        ValueError: unless two values are given, and the run has a model.
    """
    real, nano = _pair("scaled", values, "${scaled:2000,12}", "real model, nano model")
    model = _section(_root_, "model", "scaled")
    return real if OmegaConf.is_missing(model, "path") or model.get("path") is not None else nano


def judged(*values: Any, _root_: DictConfig) -> Any:
    """The first of two values when a language model judges, the second when the statute judge does.

    Raises:
        ValueError: unless two values are given, and the run has a judge.
    """
    model, statute = _pair("judged", values, "${judged:{rubric:1.0},{legal_validity:1.0}}", "llm, statute")
    kind = _section(_root_, "judge", "judged").get("kind", "statute")
    if kind not in ("llm", "statute"):
        raise ValueError(f"judged knows judge.kind=llm and statute, not {kind}")
    return model if kind == "llm" else statute


def one_copy(*, _root_: DictConfig) -> int:
    """Ranks that hold one copy of the model: 1 where the trainer does not cut it.

    What is no number of ranks doesn't count here: the schema refuses it, by its own key.
    """
    trainer = _section(_root_, "trainer", "one_copy")
    cuts = (trainer.get(f"{way}_parallel", 1) for way in ("tensor", "pipeline", "context"))
    return math.prod(cut for cut in cuts if isinstance(cut, int) and cut > 0)


def folder_of(*overrides: str) -> str:
    """The folder of a job in a multirun, from Hydra's list of its overrides: without the signs before the keys."""
    return folder_name(",".join(filter(None, overrides)))


def _pair(name: str, values: tuple[Any, ...], example: str, order: str) -> tuple[Any, Any]:
    if len(values) != 2:
        raise ValueError(f"{name} takes two values ({order}), such as {example}; {len(values)} given")
    return values[0], values[1]


def _section(root: DictConfig, name: str, resolver: str) -> DictConfig:
    section = root.get(name)
    if not isinstance(section, DictConfig):
        raise ValueError(f"{resolver} looks at {name}, which this configuration does not have")
    return section


def register() -> None:
    """Make the resolvers known to OmegaConf; to be called before a configuration is resolved."""
    for resolver in (scaled, judged, one_copy, folder_of):
        OmegaConf.register_new_resolver(resolver.__name__, resolver, replace=True)
