"""Output that never fails for a character that the terminal's encoding does not have."""

import os
import sys


def tolerate_encoding() -> None:
    """Print what an encoding such as ASCII lacks as ``\\uXXXX``, here and in the processes that this one starts."""
    for stream in (sys.stdout, sys.stderr):
        encoding = (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "")
        if encoding != "utf8" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
            os.environ["PYTHONIOENCODING"] = f"{stream.encoding}:backslashreplace"
