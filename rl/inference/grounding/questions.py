"""Questions and answers from JSONL files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rl.errors import UserError


def read_records(path: Path, needed: tuple[str, ...]) -> list[dict[str, Any]]:
    """Objects of a JSONL file, each with the ``needed`` texts; blank lines are skipped.

    Raises:
        UserError: naming file and line that can't be read, or if the file holds no object.
    """
    found = []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} can't be read ({error}); give a JSONL file in UTF-8") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}:{number} is not JSON ({error})") from None
        lacking = [n for n in needed if not isinstance(record, dict) or not isinstance(record.get(n), str)]
        if lacking:
            raise UserError(f"{path}:{number} lacks {lacking[0]} (text); a line is {{{', '.join(needed)}}}")
        found.append(record)
    if not found:
        raise UserError(f"{path} holds no line; give a JSONL file with {', '.join(needed)}")
    return found
