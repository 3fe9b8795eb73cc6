"""``python -m rl.main +curriculum=legal``: compose, validate, run."""

import signal
import sys
from collections.abc import Callable
from types import FrameType

import hydra
from omegaconf import DictConfig

from cluster.errors import Lost
from rl.config.command import give_up, run_composed
from rl.config.compose import CONF, load
from rl.config.composition import compose_run, is_one_run
from rl.config.schema import RunConfig
from rl.driver.stopping import stop
from rl.errors import USER_ERRORS
from rl.files import disk_problem
from rl.job import open_cluster, run

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that end a run."""


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def _job(composed: DictConfig) -> None:
    _run(lambda: load(composed))


def _start() -> None:
    """Start the job. Hydra makes the run folder first, so what needs none comes before: a configuration that is
    refused, and a plan."""
    words = sys.argv[1:]
    if is_one_run(words):
        config = compose_run(words)
        if config.plan:
            _run(lambda: config)
            return
    _job()


def _run(config: Callable[[], RunConfig]) -> None:
    try:
        run(config())
    except USER_ERRORS as error:
        give_up(error)
    except Lost as error:
        give_up(error.sentence, 1)
    except Exception as error:
        problem = disk_problem(error)
        if not problem:
            raise
        give_up(problem)


def _heard(number: int, frame: FrameType | None) -> None:
    """Do nothing: the run is ending already."""


def _end(number: int, frame: FrameType | None) -> None:
    """End by a signal, which stops Ray on the way out. That takes seconds, in which a second Ctrl-C, or a terminal that
    is closed after it, must not leave half of it behind."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    for other in ENDING:
        signal.signal(other, _heard)
    what = "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"
    print(f"{what}; the same command goes on from what was saved", file=sys.stderr, flush=True)
    if number == signal.SIGINT:  # Ray passes it on, and makes another code of other exits
        raise KeyboardInterrupt
    sys.exit(128 + number)


def _end_after_step(number: int, frame: FrameType | None) -> None:
    """SIGTERM, which gives notice: end when the step is done and saved, or now if no step is being made."""
    seconds = stop.ask()
    if not seconds:
        _end(number, frame)
    print(
        f"SIGTERM: the run ends when its step is done and saved, in at most {seconds:g} s; a second one ends it now",
        file=sys.stderr,
        flush=True,
    )
    signal.signal(signal.SIGALRM, lambda *_: _end(number, frame))
    signal.setitimer(signal.ITIMER_REAL, seconds)


def main() -> None:
    """Entry point of the command line."""
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, _end_after_step if number == signal.SIGTERM else _end)
    try:
        with open_cluster:
            run_composed(_start, RunConfig, "curriculum")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
