"""``python -m rl.evaluate COMMAND``: evaluation on benchmarks; each command is the ``main`` of a module."""

import sys
from collections.abc import Sequence

from cluster.home import require_home
from curricula.command import dispatch, program

COMMANDS = {
    "list": "rl.evaluation.list_command",
    "report": "rl.evaluation.report_command",
    "run": "rl.evaluation.run_command",
    "score": "rl.evaluation.score_command",
    "serve": "rl.evaluation.web.serve",
}


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command; 2 if none or an unknown one is given."""
    return dispatch(program("rl.evaluate"), COMMANDS, argv, require_home)


if __name__ == "__main__":
    sys.exit(main())
