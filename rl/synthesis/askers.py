"""Who is asked in a run: teacher, judge and policy, each a server or engines on Ray."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NotRequired

from rich.console import Console
from typing_extensions import TypedDict

from rewards.cache import Cache
from rl.config.synthesis import SynthesisConfig, TeacherConfig
from rl.errors import UserError
from rl.files import read_json, write_json
from rl.inference.backend import Backend
from rl.inference.model_options import add_model, identity, open_backend
from rl.inference.progress import Metered
from rl.synthesis.engine import Asker
from rl.synthesis.recipe import STEPS
from rl.synthesis.records import Usage
from rl.synthesis.teacher import Cached, connect


def asked(config: SynthesisConfig) -> dict[str, TeacherConfig]:
    """The models that a recipe needs, by name."""
    asks = [asks for options in config.recipe.steps if (asks := getattr(STEPS[options.step], "asks", ""))]
    return {name: getattr(config, name) for name in dict.fromkeys(_behind(config, name) for name in asks)}


def cost(config: SynthesisConfig, step: str, usage: Usage) -> float:
    """What the answers of a step cost."""
    who = getattr(config, _behind(config, getattr(STEPS.get(step), "asks", "teacher")))
    return usage.cost(who.price_in, who.price_out)


def _behind(config: SynthesisConfig, name: str) -> str:
    """The judge is the teacher unless it is named."""
    return "teacher" if name == "judge" and not _named(config.judge) else name


def require_named(config: SynthesisConfig) -> None:
    """Raises UserError if a model that the recipe needs is not named, or its folder holds none."""
    for name, who in asked(config).items():
        if not _named(who):
            raise UserError(unnamed(name))
        if who.path is not None:
            from rl.inference.backends.conversation import require_model

            require_model(who.path, f"{name}.path=")


def unnamed(name: str, yet: str = "") -> str:
    """The sentence that a model is not named."""
    return f"no {name} is named{yet}; add {name}.base_url=http://HOST:PORT/v1 or {name}.path=FOLDER"


def open_askers(config: SynthesisConfig, console: Console, stack: ExitStack, date: datetime.date) -> dict[str, Asker]:
    """The models that a recipe asks, by what its steps call them.

    Args:
        config: of the run.
        console: shows how far they are.
        stack: closes them.
        date: the day that chat templates take for today.

    Raises:
        UserError: if one can't be loaded or does not answer.
        ClusterError: if Ray has no devices for one.
    """
    found = {name: _asker(name, who, config.cache, console, stack, date) for name, who in asked(config).items()}
    if "teacher" in found and "judge" not in found:
        judge = config.judge
        found["judge"] = replace(found["teacher"], temperature=judge.temperature, max_tokens=judge.max_tokens)
    return found


class _Bound(TypedDict):
    models: NotRequired[dict[str, str]]


def require_same_models(folder: Path, askers: Mapping[str, Asker]) -> None:
    """Bind a run folder to the names under which its models answer, which no setting has where a server chooses them.

    Raises:
        UserError: if the folder holds answers of another model.
    """
    path = folder / "manifest.json"
    content = read_json(path, _Bound)
    now = {name: who.model for name, who in askers.items()}
    before = content.get("models")
    if before is None:
        write_json(path, content | {"models": now})
        return
    for name, model in now.items():
        if before.get(name) != model:
            raise UserError(
                f"{folder} holds answers of the {name} {before.get(name)}, and now the {name} is {model}; start "
                f"{before.get(name)} again to go on, or give another run_dir"
            )


def _named(who: TeacherConfig) -> bool:
    return who.base_url is not None or who.path is not None


def _asker(
    name: str, who: TeacherConfig, cache: str | None, console: Console, stack: ExitStack, date: datetime.date
) -> Asker:
    if who.path is None:
        backend, model = connect(who, name)
        in_flight = who.concurrency
    else:
        backend, model, in_flight = _engines(who, stack, date)
    if cache is not None and name != "policy":  # whose weights change behind its name
        backend = Cached(backend, model, Cache(Path(cache)))
    stack.callback(backend.close)
    metered: Backend = Metered(backend, console)
    return Asker(metered, model, who.temperature, who.max_tokens, in_flight, who.price_in, who.price_out)


def _engines(who: TeacherConfig, stack: ExitStack, date: datetime.date) -> tuple[Backend, str, int]:
    """(backend, name of the model with a digest of its weights, requests at once)."""
    parser = argparse.ArgumentParser()
    add_model(parser)
    parts = (f"--model={who.path}", f"--data-parallel={who.replicas}", f"--tensor-parallel={who.tensor_parallel}")
    chosen = parser.parse_args(parts)
    backend = stack.enter_context(open_backend(chosen, date, keep_refusals=True))
    return backend, identity(chosen), chosen.max_num_seqs * who.replicas
