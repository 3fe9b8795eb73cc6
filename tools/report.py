"""``python -m tools.report RUN``: the page of a run, or for a folder of runs, such as a sweep, one that compares."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from curricula.command import command
from rl.errors import UserError
from rl.language import add_lang


@command(UserError)
def main(argv: Sequence[str] | None = None) -> int:
    """Write a page and print its path; 2 if the folder holds no run."""
    parser = argparse.ArgumentParser(prog="python -m tools.report", description="Write the HTML page of a run.")
    parser.add_argument("run", type=Path, help="run folder, or a folder of run folders")
    parser.add_argument("--out", type=Path, help="file (default: report.html or compare.html in the folder)")
    add_lang(parser)
    chosen = parser.parse_args(argv)
    from rl.report.comparison import write_comparison
    from rl.report.page import write_report
    from rl.report.read import runs_in

    several = not (chosen.run / "manifest.json").is_file() and runs_in(chosen.run)
    path = (write_comparison if several else write_report)(chosen.run, chosen.out, chosen.lang)
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
