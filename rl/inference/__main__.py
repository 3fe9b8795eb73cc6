"""``python -m rl.inference NAME …``: commands that need no training run: answer, retrieve, read judgments."""

import importlib
import sys
from collections.abc import Sequence

from cluster.home import require_home
from cluster.output import require_utf8

COMMANDS = {
    "answer": "rl.inference.grounding.answer_command",
    "retrieve": "rl.inference.grounding.retrieve_command",
    "verify": "rl.inference.grounding.verify_command",
    "structure": "rl.inference.structuring.structure_command",
    "strategies": "rl.evaluation.strategies.strategies_command",
}
"""Module of each command, whose ``main`` runs it."""


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command; 2 without a known command."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] not in COMMANDS:
        print(f"usage: python -m rl.inference {{{','.join(COMMANDS)}}} …", file=sys.stderr)
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    if argv is None:
        require_utf8()
    require_home()
    run: int = importlib.import_module(COMMANDS[arguments[0]]).main(arguments[1:])
    return run


if __name__ == "__main__":
    sys.exit(main())
