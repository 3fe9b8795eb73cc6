"""``themis COMMAND``: every command that a user needs, by one name. Each is the same code as its ``python -m …``."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from typing import NamedTuple

from curricula.command import called, print_error, require_utf8


class Command(NamedTuple):
    """A command: the module whose ``main`` it is, and what it does."""

    module: str
    what: str


COMMANDS = {
    "new": Command("tools.new", "a project folder of your own: curriculum, task, reward, data"),
    "run": Command("rl.main", "run a curriculum, or go on with one that stopped"),
    "plan": Command("rl.main", "what a run would do: stages, actors, memory, time; nothing is started"),
    "doctor": Command("tools.doctor", "what is usable on this machine; with a run folder, how that run is"),
    "report": Command("tools.report", "the HTML page of a run, or of several"),
    "rollouts": Command("tools.rollouts", "read what the policy wrote, with its verdicts"),
    "replay": Command("tools.replay", "train a step again from its dump, bit for bit"),
    "evaluate": Command("rl.evaluate", "benchmarks, scoring, comparison, the web page"),
    "infer": Command("rl.inference.__main__", "find statutes, answer from them, structure judgments"),
    "rewards": Command("rewards.__main__", "list rewards, and score answers without a run"),
    "judge-agreement": Command("tools.judge_agreement", "how well a judge agrees with labelled cases"),
    "statutes": Command("tools.statutes", "show, compare and check the law that is read"),
    "synthesize": Command("rl.synthesize", "training data from judgments, with a teacher"),
    "mask": Command("tools.mask", "mask personal data in judgments"),
    "contamination": Command("tools.contamination", "whether training data hold questions of a benchmark"),
    "export-lm-eval": Command("tools.export_lm_eval", "our tasks for lm-evaluation-harness"),
    "launch": Command("tools.launch", "start a run by Slurm, KubeRay, ray up, Docker or a running Ray"),
}
"""The commands in the order in which they are listed."""
WORDS = {"plan": ["plan=true"]}
"""Further words of a command."""
HYDRA = ("rl.main", "rl.synthesize")
"""Modules whose ``main`` reads the command line of the process."""


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command; 2 if none or an unknown one is given."""
    if argv is None:
        require_utf8()
    name, *rest = [*(sys.argv[1:] if argv is None else argv), ""]
    if name in ("", "-h", "--help"):
        print(usage(), file=sys.stdout if name else sys.stderr)
        return 0 if name else 2
    if name not in COMMANDS:
        print_error(_unknown(name))
        return 2
    with suppress(FileNotFoundError):  # the folder was deleted
        if os.getcwd() not in sys.path:  # where the user's own rewards and tasks are; at the end they hide nothing
            sys.path.append(os.getcwd())
    called(COMMANDS[name].module.removesuffix(".__main__"), f"themis {name}")
    return _start(COMMANDS[name].module, [*rest[:-1], *WORDS.get(name, [])])


def usage() -> str:
    """The list of commands."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {command.what}" for name, command in COMMANDS.items()]
    return "\n".join(["usage: themis COMMAND …   (themis COMMAND --help has the options)", "", *lines])


def _start(module: str, words: list[str]) -> int:
    if module in HYDRA:
        sys.argv[1:] = words
        importlib.import_module(module).main()
        return 0
    return int(importlib.import_module(module).main(words))


def _unknown(name: str) -> str:
    near = get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
    hint = f"did you mean themis {near[0]}?" if near else "themis --help lists them"
    return f"there is no command {name}; {hint}"


if __name__ == "__main__":
    sys.exit(main())
