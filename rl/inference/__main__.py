"""``python -m rl.inference COMMAND``: commands that answer, look up and read without a training run."""

import sys
from collections.abc import Sequence

from cluster.home import require_home
from curricula.command import dispatch, program

COMMANDS = {
    "answer": "rl.inference.grounding.answer_command",
    "retrieve": "rl.inference.grounding.retrieve_command",
    "verify": "rl.inference.grounding.verify_command",
    "structure": "rl.inference.structuring.structure_command",
    "strategies": "rl.evaluation.strategies.strategies_command",
}


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command; 2 if none or an unknown one is given."""
    return dispatch(program("rl.inference"), COMMANDS, argv, require_home)


if __name__ == "__main__":
    sys.exit(main())
