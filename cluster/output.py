"""Text input and output where the locale can't encode Chinese."""

import codecs
import os
import sys


def require_utf8() -> None:
    """Start this command again in Python's UTF-8 mode where arguments and files would be read as ASCII; then fix its
    output. A command calls this first."""
    tolerate_encoding()
    if codecs.lookup(sys.getfilesystemencoding()).name == "ascii" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def tolerate_encoding() -> None:
    """Print what an encoding such as ASCII lacks as ``\\uXXXX``, here and in the processes that this one starts."""
    for stream in (sys.stdout, sys.stderr):
        encoding = (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "")
        if encoding != "utf8" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
            os.environ["PYTHONIOENCODING"] = f"{stream.encoding}:backslashreplace"
