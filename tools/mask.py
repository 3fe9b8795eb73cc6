"""``python -m tools.mask FILES|FOLDER --out FOLDER``: judgments with the personal data masked, and a report.

python -m tools.mask judgments/ --out masked/     # a folder's .txt files, UTF-8 or GB18030, or files by name

The masked texts are written in UTF-8 under the same names, and ``report.jsonl`` has a line a file: counts by kind, and
the places that were masked, without what stood there. What is masked and how well is in docs/guides/privacy.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from curricula.command import command, print_error, program
from rl.errors import UserError
from rl.files import write_bytes
from rl.inference.structuring.judgment_text import read_text
from rl.synthesis.privacy.masking import Choice, mask

REPORT = "report.jsonl"


@command(UserError, OSError)
def main(argv: Sequence[str] | None = None) -> int:
    """0 when every file is masked, 1 when some can't be read, 2 when there is none."""
    parser = argparse.ArgumentParser(program("tools.mask"), description="Personal data of judgments, masked.")
    parser.add_argument("paths", type=Path, nargs="+", help="text files (UTF-8 or GB18030), or folders with .txt files")
    parser.add_argument("--out", type=Path, required=True, help="folder for the masked texts and report.jsonl")
    parser.add_argument("--officials", action="store_true", help="mask judges, clerks and prosecutors too")
    parser.add_argument("--credit-codes", action="store_true", help="mask the credit codes of companies too")
    chosen = parser.parse_args(argv)
    choice = Choice(chosen.officials, chosen.credit_codes)
    places: Counter[str] = Counter()
    lines, failed = [], 0
    for path, name in _files(chosen.paths, chosen.out):
        try:
            text = read_text(path)
        except UserError as error:
            print_error(error)
            lines.append({"file": str(name), "error": str(error)})
            failed += 1
            continue
        masked = mask(text, choice)
        places.update(masked.counts)
        write_bytes(chosen.out / name, masked.text.encode())
        lines.append({"file": str(name), **masked.report()})
    write_bytes(chosen.out / REPORT, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode())
    table = Table("kind", "places masked")
    for kind, count in sorted(places.items()):
        table.add_row(kind, str(count))
    Console(soft_wrap=True).print(table)
    print(f"{len(lines) - failed} of {len(lines)} files masked, in {chosen.out}")
    return 1 if failed else 0


def _files(paths: Sequence[Path], out: Path) -> Iterator[tuple[Path, Path]]:
    """(file, its name below ``out``) of each.

    Raises:
        UserError: if a path is neither a file nor a folder, there is no file, two have one name, or ``out`` holds one.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        inner = sorted(one for one in path.rglob("*.txt") if one.is_file()) if path.is_dir() else [path]
        for file in inner:
            if not file.is_file():
                raise UserError(f"{file} is neither a file nor a folder")
            name = file.relative_to(path) if path.is_dir() else Path(file.name)
            if found.setdefault(name, file) != file:
                raise UserError(f"{found[name]} and {file} have one name; mask them into two folders")
            if (out / name).resolve() == file.resolve():
                raise UserError(f"--out {out} holds {file} itself; give another folder")
    if not found:
        raise UserError(f"{paths[0]} holds no .txt file; name the files, or a folder that has some")
    yield from ((file, name) for name, file in found.items())


if __name__ == "__main__":
    sys.exit(main())
