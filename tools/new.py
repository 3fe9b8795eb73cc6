"""``python -m tools.new FOLDER``: a project folder of one's own with a curriculum, a task, a reward and data."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from curricula.command import command, program, require_utf8
from rl.errors import USER_ERRORS, UserError

TEMPLATE = Path(__file__).with_name("project")
"""What is copied; in its text :data:`NAME` becomes the folder's name."""
NAME = "my-lab"
SUFFIXES = (".jsonl", ".md", ".py", ".yaml")
_ALLOWED = re.compile(r"\w[\w.-]*")


def write(folder: Path) -> list[Path]:
    """Write the project, and return its files, relative to the folder.

    Raises:
        UserError: if the folder has something in it or can't be made, or its name can't be that of a curriculum.
    """
    name = folder.absolute().name
    if not _ALLOWED.fullmatch(name):
        raise UserError(
            f"{name!r} would be the curriculum's name, which has only letters, digits, - _ and .; rename it"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists and is not empty; give a new folder")
    files = sorted(path for path in TEMPLATE.rglob("*") if path.suffix in SUFFIXES and path.name != "__init__.py")
    try:
        for path in files:
            goal = folder / path.relative_to(TEMPLATE)
            goal.parent.mkdir(parents=True, exist_ok=True)
            goal.write_text(path.read_text(encoding="utf-8").replace(NAME, name), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder} can't be written to ({error.strerror}); give another folder") from None
    return [path.relative_to(TEMPLATE) for path in files]


@command(*USER_ERRORS)
def main(argv: Sequence[str] | None = None) -> int:
    """Write the project and say what to type next."""
    if argv is None:
        require_utf8()
    parser = argparse.ArgumentParser(
        prog=program("tools.new"), description="Writes a project folder: curriculum, task, reward, data, README."
    )
    parser.add_argument("folder", type=Path, help="new folder; its name becomes that of the curriculum and the runs")
    folder = parser.parse_args(argv).folder
    for path in write(folder):
        print(folder / path)
    print(f"then: cd {folder} && themis plan curriculum=./curriculum.yaml   (README.md says the rest)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
