"""What every command does around its own part: text in any locale, errors as sentences, exit codes."""

from __future__ import annotations

import codecs
import functools
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import ParamSpec

P = ParamSpec("P")


_called: dict[str, str] = {}
"""Modules that the command ``themis`` has started, with their names there."""


class Interrupted(Exception):
    """The user stopped a command. The message says how to go on."""


def command(*errors: type[Exception]) -> Callable[[Callable[P, int]], Callable[P, int]]:
    """Decorate the ``main`` of a command, which returns its exit code: an error of one of these types is printed as a
    sentence and gives exit code 2, an interrupt within :func:`resumable` gives 130."""

    def decorate(main: Callable[P, int]) -> Callable[P, int]:
        @functools.wraps(main)
        def run(*args: P.args, **kwargs: P.kwargs) -> int:
            try:
                return main(*args, **kwargs)
            except errors as error:
                print_error(error)
                return 2
            except Interrupted as note:
                print(note, file=sys.stderr)
                return 130

        return run

    return decorate


def called(module: str, name: str) -> None:
    """Note that a module is started by another name than ``python -m``, for its help."""
    _called[module] = name


def program(words: str) -> str:
    """How a module, with a word after it or not, is started: as the user has just done."""
    module, _, word = words.partition(" ")
    return f"{_called.get(module, f'python -m {module}')} {word}".rstrip()


def print_error(error: BaseException | str) -> None:
    """Print ``error: …`` to standard error."""
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True).print(Text.assemble(("error:", "bold red"), f" {error}"), soft_wrap=True)


@contextmanager
def resumable(out: Path | None) -> Iterator[None]:
    """Around work that keeps what it has done in ``out``, so that the same command goes on from there.

    Raises:
        Interrupted: in place of a KeyboardInterrupt.
    """
    try:
        yield
    except KeyboardInterrupt:
        how = f"; the same command goes on from what {out} holds" if out else ""
        raise Interrupted(f"interrupted{how}") from None


def dispatch(
    program: str, modules: Mapping[str, str], argv: Sequence[str] | None, prepare: Callable[[], None] = lambda: None
) -> int:
    """Run the ``main`` of the module that the first argument names, and return its exit code; 2 if it names none.

    Args:
        program: how the command is started, such as ``python -m rl.evaluate``.
        modules: module of each name, which may be given as ``--name`` too; it is imported only then.
        argv: the arguments; None for those of this process.
        prepare: called before the module is imported.
    """
    if argv is None:
        require_utf8()
    first, *rest = [*(sys.argv[1:] if argv is None else argv), ""]
    name = first.removeprefix("--")
    if name not in modules:
        helps = first in ("-h", "--help")
        near = get_close_matches(name, modules, n=1, cutoff=0.5)
        if near and not helps:
            print_error(f"there is no command {name}; did you mean {near[0]}?")
        print(f"usage: {program} {{{','.join(modules)}}} …", file=sys.stdout if helps else sys.stderr)
        return 0 if helps else 2
    prepare()
    return int(importlib.import_module(modules[name]).main(rest[:-1]))


def require_utf8() -> None:
    """Start this command again in Python's UTF-8 mode if arguments and files would be read as ASCII, and prepare its
    output. A command calls this first."""
    tolerate_encoding()
    if codecs.lookup(sys.getfilesystemencoding()).name == "ascii" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def tolerate_encoding() -> None:
    """Print what an encoding such as ASCII lacks as ``\\uXXXX``, here and in the processes that this one starts."""
    for stream in (sys.stdout, sys.stderr):
        encoding = (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "")
        if encoding != "utf8" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
            os.environ["PYTHONIOENCODING"] = f"{stream.encoding}:backslashreplace"
