"""The text of a PDF file, or one sentence that says why there is none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from rewards.confinement import clean_environment
from rl.errors import UserError
from rl.inference.structuring.judgment_text import LONGEST
from rl.synthesis.pdf.layout import Piece, text_of

BYTES = 200_000_000
"""Largest file."""
PAGES = 2_000
"""Most pages."""
SECONDS = 60
"""Time of a processor that one file may take; a page takes about 20 ms."""
MEMORY = 2 * 2**30
"""Address space of the process that reads a file (bytes)."""
PATIENCE_S = 900.0
"""Longest wait for the process, however busy the machine is (seconds)."""


def read_pdf(path: Path) -> str:
    """The text of a PDF file: without headers, footers and page numbers, lines that go on joined.

    Raises:
        UserError: if it can't be read, is empty, encrypted, damaged or a scan without text, or passes a limit.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror})") from None
    if not size:
        raise UserError(f"{path} is empty")
    if size > BYTES:
        raise UserError(f"{path} has {size:,} bytes, more than {BYTES:,}; split it")
    limits = map(str, (SECONDS, MEMORY, PAGES, LONGEST))
    try:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", f"{__package__}.program", str(path.absolute()), folder, *limits]
            done = subprocess.run(command, capture_output=True, env=clean_environment(os.environ), timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        raise UserError(f"{path} is not read within {PATIENCE_S:g} s; leave it out") from None
    if done.returncode:
        raise UserError(f"{path} {_end(done.returncode, done.stderr)}")
    found = json.loads(done.stdout)
    if "problem" in found:
        raise UserError(f"{path} {found['problem']}")
    return text_of([[Piece(*line) for line in page] for page in found["pages"]])


def _end(status: int, said: bytes) -> str:
    if status in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"is not read within {SECONDS} s of a processor; leave it out"
    lines = said.decode(errors="replace").strip().splitlines()
    return (
        f"ends the process that reads it (status {status}: {lines[-1][:200] if lines else 'no message'}); leave it out"
    )
