"""Processes that end when the process that started them ends, even if it is killed."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask Linux to kill this process when the thread that started it ends. It holds across ``exec``."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    """``python -m rewards.lifetime COMMAND…``: become that command, bound to the parent."""
    die_with_parent()
    os.execv(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
