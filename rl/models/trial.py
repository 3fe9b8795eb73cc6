"""A chat template is a program by whoever made the model. It is tried in a process of its own before it is used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from rl.errors import UserError

PROGRAM = Path(__file__).with_name("template_trial.py")
SECONDS = 3
"""Time of a processor that a template may take for all trials together; ordinary ones take a hundredth of one."""
MEMORY_MB = 512
"""Address space of the process."""
LONGEST = 1_000_000
"""Characters that a template may make of a conversation of ``SIZE``."""
SIZE = 20_000
"""Characters of a long message."""
PATIENCE_S = 600.0
"""Longest wait for the process, however busy the machine is (seconds)."""

SHORT, LONG = "问 <think>a</think> 1?", ("根据《刑法》第264条，[a] <b> {c}: 1, 2.\n" * SIZE)[:SIZE]
ROLES = (("user",), ("system", "user"), ("user", "assistant", "user"), ("system", "user", "assistant"))
CONVERSATIONS = [[{"role": role, "content": text} for role in roles] for text in (SHORT, LONG) for roles in ROLES]


def require_ends(name: str, template: str, variables: Mapping[str, Any]) -> None:
    """Render a chat template with short and long messages of every role.

    Args:
        name: of the model: its folder or hub name.
        template: the source.
        variables: the special tokens and the arguments that it is rendered with.

    Raises:
        UserError: if it does not end, needs too much memory, or makes too long a text.
    """
    problem = _problem(template, json.dumps(variables, ensure_ascii=False, sort_keys=True, default=str))
    if problem:
        raise UserError(
            f"the chat template of {name} ({_file(name)}) {problem}; it can't be used: correct it, or take the "
            f"template of the model's publisher"
        )


@lru_cache(maxsize=64)
def _problem(template: str, variables: str) -> str:
    """What is wrong with a template; empty if nothing is."""
    trial = {"template": template, "variables": json.loads(variables), "conversations": CONVERSATIONS}
    command = [sys.executable, "-I", str(PROGRAM), str(SECONDS), str(MEMORY_MB * 2**20)]
    environment = {key: value for key, value in os.environ.items() if key in ("PATH", "LD_LIBRARY_PATH")}
    try:
        done = subprocess.run(
            command, input=json.dumps(trial).encode(), capture_output=True, env=environment, timeout=PATIENCE_S
        )
    except subprocess.TimeoutExpired:
        return f"does not end within {PATIENCE_S:g} s"
    if done.returncode == 0:
        length = int(done.stdout)
        return f"makes a text of {length:,} characters out of {3 * SIZE:,}" if length > LONGEST else ""
    said = done.stderr.decode(errors="replace").strip().splitlines()
    if said and "MemoryError" in said[-1]:
        return f"needs more than {MEMORY_MB} MB of memory"
    if done.returncode in (-9, -24):  # SIGXCPU, or SIGKILL at the hard limit
        return f"does not end within {SECONDS} s on messages of {SIZE:,} characters"
    return f"ends the process that tries it (status {done.returncode}: {said[-1][:200] if said else 'no message'})"


def _file(name: str) -> str:
    folder = Path(name).expanduser()
    files = ("chat_template.jinja", "chat_template.json", "tokenizer_config.json")
    return next((file for file in files if (folder / file).is_file()), "chat_template")
