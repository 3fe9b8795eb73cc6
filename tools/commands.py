"""The commands of the project and their options, read from the parsers themselves (docs/reference/commands.md)."""

from __future__ import annotations

import argparse
import importlib
import re
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rl.evaluate import COMMANDS as EVALUATE
from rl.inference.__main__ import COMMANDS as INFERENCE
from tools.launch import LAUNCHERS
from tools.themis import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
GROUPS: dict[str, tuple[str, ...]] = {
    "A run": ("tools.themis", "tools.new", "rl.main", "tools.doctor", "tools.report", "tools.rollouts", "tools.replay"),
    "A run on a cluster": tuple(f"tools.launch {name}" for name in LAUNCHERS),
    "Rewards and law": (
        "rewards", "tools.judge_agreement", "tools.judge_cases", "tools.statutes", "tools.fuzz_parsers",
    ),
    "Evaluation": (*(f"rl.evaluate {name}" for name in EVALUATE), "tools.contamination", "tools.export_lm_eval"),
    "Training data": ("rl.synthesize", "tools.mask", "tools.scripted_teacher"),
    "Inference": (
        *(f"rl.inference {name}" for name in INFERENCE),
        "tools.retrieval", "tools.structuring_check", "tools.static_model", "tools.unpack_e5", "tools.unpack_gguf",
    ),
    "Measurements": (
        "tools.studies", "tools.gpu_check", "tools.bench", "tools.bench.context", "tools.bench.engine",
        "tools.bench.evaluation", "tools.bench.growth", "tools.bench.inference", "tools.bench.overlap",
        "tools.bench.pipeline",
        "tools.bench.rewards", "tools.bench.scale", "tools.bench.synthesis", "tools.bench.system",
    ),
    "The repository": (
        "tools.chaos", "tools.floors", "tools.locks", "tools.lock_hashes", "tools.reference", "tools.picture",
    ),
}  # fmt: skip
"""Every command, as what follows ``python -m``."""
WITHOUT_OPTIONS = {
    "tools.themis": "The command `themis` of the installed package. Its commands, each with its module: "
    + ", ".join(f"`{name}` (`{one.module.removesuffix('.__main__')}`)" for name, one in COMMANDS.items())
    + ". See [own project](../guides/own-project.md).",
    "rl.main": "Runs a curriculum: `curriculum=NAME` or `curriculum=FILE`, then any `key=value` ([keys](keys.md)). "
    "`plan=true` prints the plan and starts nothing; `-m` runs once for each choice (a sweep). See "
    "[running](../guides/running.md).",
    "rl.synthesize": "Makes training data from documents: `recipe=NAME input=FOLDER teacher.base_url=URL`, then any "
    "`key=value` ([keys](keys.md#keys-of-a-synthesis)). `plan=true` prints the steps and the requests to expect and "
    "starts nothing. See [synthesis](../guides/synthesis.md).",
    "tools.locks": "Checks that the lock files have hashes and can be installed on Linux with Python 3.11 and 3.12.",
    "tools.lock_hashes": "Writes the SHA-256 of every file that may be installed into the lock files.",
    "tools.reference": "Writes the generated pages of `docs/reference`, and the board of `cluster/grafana`.",
}
"""Commands that have no parser of their own, with what they do."""


class _Parser(Exception):
    """Carries a parser out of a ``main`` that is about to use it."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser


@contextmanager
def _stopped() -> Iterator[None]:
    """Within it, every parser raises instead of parsing."""

    def stop(self: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        raise _Parser(self)

    names = ("parse_args", "parse_intermixed_args")
    before = {name: getattr(argparse.ArgumentParser, name) for name in names}
    for name in names:
        setattr(argparse.ArgumentParser, name, stop)
    try:
        yield
    finally:
        for name, method in before.items():
            setattr(argparse.ArgumentParser, name, method)


def parser_of(command: str) -> argparse.ArgumentParser:
    """The parser that a command uses: its ``main`` is called and stopped before it parses.

    Raises:
        LookupError: if there is no such module, or it parses nothing.
    """
    module, *words = command.split()
    try:
        package = importlib.import_module(module)
        runs = importlib.import_module(f"{module}.__main__") if hasattr(package, "__path__") else package
        with _stopped():
            runs.main(words)
    except _Parser as found:
        return found.parser
    except ImportError as error:
        raise LookupError(f"python -m {module}: {error}") from None
    raise LookupError(f"python -m {command} has no options")


def page() -> str:
    """The page of all commands as Markdown."""
    lines = ["# Commands", "", "Made from the commands' own parsers by `python -m tools.reference`.", ""]
    for group, commands in GROUPS.items():
        lines += [f"## {group}", ""]
        for command in commands:
            lines += [f"### python -m {command}", ""]
            if command in WITHOUT_OPTIONS:
                lines += [*textwrap.wrap(WITHOUT_OPTIONS[command], 120), ""]
            else:
                lines += [*_described(parser_of(command)), ""]
    return "\n".join(lines).rstrip() + "\n"


def _described(parser: argparse.ArgumentParser) -> list[str]:
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    said = re.sub(r"^``python -m [^`]*``: ", "", " ".join((parser.description or "").split()))
    lines = textwrap.wrap(said[:1].upper() + said[1:], 120)
    if rows := _rows(parser):
        lines += ["", "| option | default | meaning |", "|---|---|---|", *rows]
    for action in inner:
        helps = {choice.dest: choice.help for choice in action._choices_actions}
        for name, sub in action.choices.items():
            rows = _rows(sub)
            lines += ["", f"`{name}`: {helps.get(name, '')}"]
            lines += ["", "| option | default | meaning |", "|---|---|---|", *rows] if rows else []
    return lines


def _rows(parser: argparse.ArgumentParser) -> list[str]:
    rows = []
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction | argparse._SubParsersAction) or action.help == argparse.SUPPRESS:
            continue
        value = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
        if action.choices:
            value = " or ".join(map(str, action.choices))
        value = "" if action.nargs == 0 else value + (" …" if action.nargs in ("+", "*") else "")
        names = ", ".join(action.option_strings)
        named = f"`{' '.join(filter(None, (names, value)))}`"
        meaning = (action.help or "") % {**vars(action), "prog": parser.prog}
        rows.append(f"| {named} | {_default(action)} | {_cell(meaning)} |")
    return rows


def _default(action: argparse.Action) -> str:
    given = action.default
    if given is None and action.required and action.nargs != "*":
        return "required"
    if given is None or given is argparse.SUPPRESS or action.nargs == 0:
        return ""
    values: Sequence[Any] = given if isinstance(given, list | tuple) else [given]
    return _cell(" ".join(str(value).removeprefix(f"{ROOT}/") for value in values))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
