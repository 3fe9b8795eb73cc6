"""Processes that are forked from one that has imported what they need, which takes 10 CPU-seconds.

There is one such process in a test process, so it has what all of them need.
"""

import multiprocessing
import os
import traceback
from collections.abc import Callable
from functools import cache
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from typing import Any
from unittest import mock

from rl.device import CPU
from tests.conftest import ROOT

WARM = ["tests.rl.synthesis.warm", "tests.rl.synthesis.runs", "tests.rl.warm_ranks"]
"""Modules that are imported before the fork. None of them starts a thread."""


@cache
def forks() -> ForkServerContext:
    """The context of these processes. They have the environment of a trainer's rank."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(WARM)
    environment = CPU.trainer_environment(1, cpu_platform="rl.engines.cpu_platform")
    with mock.patch.dict(os.environ, environment | {"PYTHONPATH": str(ROOT)}):
        forkserver.ensure_running()
    return context


def in_fork(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function of a module returns in such a process."""
    here, there = forks().Pipe(duplex=False)
    process = forks().Process(target=_answer, args=(there, function, arguments))
    process.start()
    there.close()
    try:
        found, error = here.recv()
    finally:
        process.join()
    assert error is None, error
    return found


def _answer(pipe: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        pipe.send((function(*arguments), None))
    except BaseException:
        pipe.send((None, traceback.format_exc()))
