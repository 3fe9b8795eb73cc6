"""Checks of a command as it stands on a page: by the parser or the configuration that would read it."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import re
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from rich.console import Console

from rl.config.compose import accept_overrides, load_synthesis
from rl.config.composition import compose_run
from rl.config.derive import check, derive
from rl.config.gpu_plan import require_room
from rl.config.quoting import is_multirun
from rl.config.sources import CONF, apart
from rl.config.synthesis import SynthesisConfig
from rl.plan import print_plan
from rl.synthesis.recipe import require_order
from tests.docs.pages import ROOT, Command
from tools.commands import GROUPS, WITHOUT_OPTIONS, parser_of

KNOWN = {command for group in GROUPS.values() for command in group}


def problem(command: Command) -> str:
    """What is wrong with a command; empty if it is well-formed. Nothing is run."""
    program, *rest = command.words
    program = program.removeprefix(".venv/bin/")
    try:
        if program == "make":
            _make(rest)
        elif program == "pip":
            _pip(rest)
        elif program == "docker":
            _docker(rest)
        elif program == "pytest" or rest[:2] == ["-m", "pytest"]:
            _pytest(rest[2:] if program != "pytest" else rest)
        elif rest[:2] == ["-m", "rl.main"]:
            plan(rest[2:])
        elif rest[:2] == ["-m", "rl.synthesize"]:
            _synthesis(rest[2:])
        elif program == "python" and rest[:1] == ["-m"]:
            _module(rest[1:])
        elif program == "python" and rest and rest[0].endswith(".py"):
            if not (ROOT / rest[0]).is_file():
                raise LookupError(f"no file {rest[0]}")
        elif program not in ELSEWHERE:
            return "no check knows this program"
    except Exception as error:  # whatever the parser says is the finding
        return f"{type(error).__name__}: {error}"
    return ""


ELSEWHERE = {"lm_eval"}
"""Programs of others that take no part here."""


def plan(overrides: list[str]) -> None:
    """What ``plan=true`` does: compose, validate, derive, and print. Of a sweep the first and the last choices."""
    several = is_multirun(overrides)
    folders, others = apart(accept_overrides(overrides))
    for choose in (0, -1) if several else (0,):
        chosen = [_choice(one, choose) for one in others if not one.startswith("-")]
        config = compose_run([*folders, *chosen])
        check(config)
        found = derive(config)
        print_plan(config, found, Console(quiet=True))
        require_room(found.gpus)


def _synthesis(overrides: list[str]) -> None:
    """Compose and validate, as far as the command gives values."""
    if not overrides:
        return
    accepted = [one for one in accept_overrides(overrides, SynthesisConfig) if not one.startswith("hydra.")]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose("synthesize", overrides=[*accepted, "run_dir=runs/unset"])
    require_order(load_synthesis(composed).recipe)


def _choice(override: str, which: int) -> str:
    parsed = OverridesParser.create().parse_override(override)
    if not parsed.is_sweep_override():
        return override
    values = list(parsed.sweep_string_iterator())
    return f"{parsed.input_line.split('=', 1)[0]}={values[which]}"  # type: ignore[union-attr]


def _module(words: list[str]) -> None:
    module, *rest = words
    name = next((f"{module} {word}" for word in rest[:1] if f"{module} {word}" in KNOWN), module)
    if name not in KNOWN:
        if not module.startswith("tests."):
            raise LookupError(f"python -m {name} is not on the page of commands; known: {', '.join(sorted(KNOWN))}")
        if importlib.util.find_spec(module) is None:
            raise LookupError(f"no module {module}")
        return
    if name in WITHOUT_OPTIONS:
        if rest:
            raise ValueError(f"{name} takes no arguments")
        return
    _parse(name, rest[1:] if name != module else rest)


class _Complaint(Exception):
    pass


def _parse(name: str, arguments: list[str]) -> None:
    if not arguments and _needs_something(name):
        return  # named, not given as a line to type
    parser = _parser(name)
    every = [parser, *(sub for action in parser._actions for sub in _subparsers(action))]

    def complain(message: str) -> None:
        raise _Complaint(message)

    for one in every:
        one.error = complain  # type: ignore[method-assign, assignment]
    parser.parse_intermixed_args(arguments) if len(every) == 1 else parser.parse_args(arguments)


def _subparsers(action: argparse.Action) -> list[argparse.ArgumentParser]:
    return list(action.choices.values()) if isinstance(action, argparse._SubParsersAction) else []


def _needs_something(name: str) -> bool:
    return any(action.required for action in _parser(name)._actions)


@lru_cache
def _parser(name: str) -> argparse.ArgumentParser:
    return parser_of(name)


def _make(words: list[str]) -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    for word in words:
        known = rf"^{word.split('=')[0]} \?=" if "=" in word else rf"^{re.escape(word)}:"
        if not re.search(known, text, re.MULTILINE):
            raise LookupError(f"the Makefile has no {word}")


def _pip(words: list[str]) -> None:
    for before, word in pairwise(words):
        if before == "-r" and not (ROOT / word).is_file():
            raise LookupError(f"no file {word}")


def _docker(words: list[str]) -> None:
    """``docker build``: the file and its stage exist."""
    if words[:3] == ["compose", "--file", "FILE"]:  # which a launcher has written
        return
    option = dict(pairwise(words))
    text = (ROOT / option["--file"]).read_text(encoding="utf-8")
    if not re.search(rf"^FROM .* AS {re.escape(option['--target'])}$", text, re.MULTILINE):
        raise LookupError(f"{option['--file']} has no stage {option['--target']}")


def _pytest(words: list[str]) -> None:
    paths = [word for word in words if word.startswith("tests/")]
    wanted = words[words.index("-k") + 1] if "-k" in words else ""
    if not paths:
        raise LookupError("no path below tests/ is given")
    names = [name for path in paths for name in _tests_of(ROOT / path)]
    if not names:
        raise LookupError(f"{' '.join(paths)} holds no test")
    if wanted and not any(wanted in name for name in names) and wanted not in _parameters(paths):
        raise LookupError(f"no test of {' '.join(paths)} matches -k {wanted}")


def _tests_of(path: Path) -> list[str]:
    files = sorted(path.rglob("test_*.py")) if path.is_dir() else [path]
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    return [
        n.name for tree in trees for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name[:5] == "test_"
    ]


def _parameters(paths: list[str]) -> list[object]:
    """Constants of the files and of their neighbours, such as those that parametrise tests."""
    folders = {(ROOT / path).parent for path in paths}
    files = [file for folder in folders for file in folder.glob("*.py")]
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    return [
        n.value for tree in trees for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)
    ]
