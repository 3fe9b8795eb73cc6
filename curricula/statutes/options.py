"""The two options of a command that say which law to read."""

import argparse
from pathlib import Path

from curricula.statutes.setting import Setting, law_setting, use_law


def add_law(parser: argparse.ArgumentParser) -> None:
    """Add ``--as-of`` and ``--laws``."""
    parser.add_argument("--as-of", metavar="DAY", help="the law of this day, such as 2024-03-01 (default: today)")
    parser.add_argument(
        "--laws", type=Path, metavar="FOLDER", help="laws that win over the package's (docs/guides/statutes.md)"
    )


def use_options(chosen: argparse.Namespace) -> Setting:
    """Read the law that the options name; without them that of the parent process, or today's.

    Raises:
        DataError: if the day is not a date.
    """
    before = law_setting()
    return use_law(chosen.as_of or before.as_of, chosen.laws or before.folder)
