"""The page of a run that ended badly: ``post-mortem.html`` in its folder. What ended it, who died first, what each
actor wrote last, and from where the run goes on. It is made from the run folder and Ray's logs alone."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rl.errors import UserError
from rl.language import Lang, say
from rl.records.losses import read_losses
from rl.records.status import read_status
from rl.report.page import environment, write_page
from rl.report.standing import command_of, standing

NAME = "post-mortem.html"
LINES, BYTES = 30, 6000
"""Most of the end of one log: lines, and bytes."""
ACTORS = 60
"""Most actors whose logs are shown."""
SHOWN_S = 10.0
"""Only waits that lasted longer (seconds) are shown."""
HIDDEN = "[hidden]"
_SECRET_NAME = re.compile(r"(?i)key|token|secret|passw|credential|auth|cookie")
_SECRETS = (
    re.compile(r"(?i)\b(?:sk|hf|ghp|gho|xox[a-z]|wandb|local)[-_][A-Za-z0-9_-]{8,}"),
    re.compile(r"(?i)(?<=bearer )\S+|(?<=basic )\S+"),
    re.compile(r"(?<=://)[^/\s@]+(?=@)"),
    re.compile(r"(?i)(?:(?<=key=)|(?<=token=)|(?<=secret=)|(?<=password=)|(?<=key: )|(?<=token: )|(?<=password: ))\S+"),
)


def write_post_mortem(run_dir: Path, ended: str, lang: Lang = "en") -> Path:
    """Write the page in a language; returns its path.

    Args:
        run_dir: the run folder.
        ended: what ended the run, in a sentence.
    """
    found: dict[str, Any] = {}
    problems: list[str] = []
    reading: dict[str, Callable[[Path], Any]] = {"status": read_status, "losses": read_losses, "standing": standing}
    for name, read in reading.items():
        try:
            found[name] = read(run_dir)
        except UserError as error:
            problems.append(str(error))
    status: dict[str, Any] = found.get("status") or {}
    losses: list[dict[str, Any]] = found.get("losses") or []
    since = [loss for loss in losses if loss["at"] >= status.get("began", "")]
    text = environment(lang).get_template("post_mortem.html.j2").render(
        name=run_dir.resolve().name,
        ended=redacted(ended)[:4000],
        status=status,
        waits=[wait for wait in status.get("waiting", []) if wait["seconds"] >= SHOWN_S],
        folder=status.get("logs"),
        problems=problems,
        first=since[0] if since else None,
        losses=losses[-200:],
        goes_on=say(lang, found["standing"].sentence) if "standing" in found else "",
        command=redacted(command_of(run_dir)),
        logs=last_lines(status.get("logs"), status.get("actors", {})),
    )  # fmt: skip
    return write_page(run_dir / NAME, text)


def last_lines(folder: str | None, actors: dict[str, int]) -> list[tuple[str, int, str]]:
    """Name, pid and the end of the log of each actor, as far as the logs are on this machine."""
    if folder is None:
        return []
    found = []
    for name, pid in sorted(actors.items())[:ACTORS]:
        texts = [tail(path) for path in sorted(Path(folder).glob(f"worker-*-{pid}.*"), reverse=True)]
        found.append((name, pid, "\n".join(text for text in texts if text)))
    return found


def tail(path: Path) -> str:
    """The end of a log without secrets."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - BYTES))
            lines = file.read(BYTES).decode(errors="replace").splitlines()
    except OSError:
        return ""
    return redacted("\n".join(line for line in lines[-LINES:] if not line.startswith(":")))


def redacted(text: str) -> str:
    """A text without the secrets of this process's environment, and without what looks like one."""
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name) and len(value) >= 6:
            text = text.replace(value, HIDDEN)
    for pattern in _SECRETS:
        text = pattern.sub(HIDDEN, text)
    return text
