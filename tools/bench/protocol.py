"""The protocol between a benchmark and the measured process: one JSON object a line. Answers are marked, so that other
output of libraries is ignored. This file imports only the standard library, because peers run it too."""

import json
import sys
from typing import Any

MARK = "@@bench "


def answer(values: dict[str, Any]) -> None:
    """Send an answer."""
    print(MARK + json.dumps(values), flush=True)


def wait_for_turn() -> dict[str, Any]:
    """The next command; exits when there is none."""
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    command: dict[str, Any] = json.loads(line)
    return command
