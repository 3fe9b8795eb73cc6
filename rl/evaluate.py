"""``python -m rl.evaluate COMMAND``: evaluation on benchmarks; each command is the ``main`` of a module."""

import importlib
import sys
from collections.abc import Sequence

from cluster.home import require_home
from cluster.output import require_utf8

COMMANDS = {
    "list": "rl.evaluation.list_command",
    "report": "rl.evaluation.report_command",
    "run": "rl.evaluation.run_command",
    "score": "rl.evaluation.score_command",
    "serve": "rl.evaluation.web.serve",
}
"""Module of each command. A module is imported when its command is given, so that scoring loads no model."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command's exit code; 2 for none or an unknown one."""
    command, *rest = [*(sys.argv[1:] if argv is None else argv), ""]
    command = "report" if command == "--report" else command  # said either way
    if command not in COMMANDS:
        asked = command in ("-h", "--help")
        print(f"usage: python -m rl.evaluate {{{','.join(COMMANDS)}}} …", file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    if argv is None:
        require_utf8()
    require_home()
    return int(importlib.import_module(COMMANDS[command]).main(rest[:-1]))


if __name__ == "__main__":
    sys.exit(main())
