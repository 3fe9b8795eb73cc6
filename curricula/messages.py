"""The messages of a chat, checked when they are read, so that a chat template gets only what it can render."""

import difflib
import re
from typing import Any

from curricula.errors import DataError
from curricula.rows import checked, type_name

ROLES = ("system", "user", "assistant")
_ELSEWHERE = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant", "developer": "system"}
_IN_TEXT = re.compile(r"""\s*\[\s*\{\s*(["'])(role|content)\1\s*:""")
_FORM = "a prompt must be text or a list of messages with role and content"


def read_messages(prompt: Any, where: str) -> tuple[dict[str, str], ...]:
    """The messages of a prompt: text is one of the user; a list is taken as it is.

    A list has at most one system message, which is the first; then user and assistant take turns, and the last message
    is the user's. A content may be a list of text parts, which are joined as they are.

    Raises:
        DataError: naming the place and the message.
    """
    if isinstance(prompt, str):
        if _IN_TEXT.match(prompt):
            raise DataError(f"{where}: prompt is a list of messages written out as text; give the list itself")
        prompt = [{"role": "user", "content": prompt}]
    if not isinstance(prompt, list):
        raise DataError(f"{where}: {_FORM}, found {type_name(prompt)}")
    found = tuple(_message(message, f"{where}: message {n}") for n, message in enumerate(prompt, start=1))
    if not found:
        raise DataError(f"{where}: prompt holds no message; give at least one of the user")
    _require_turns([message["role"] for message in found], where)
    return found


def _message(given: Any, where: str) -> dict[str, str]:
    if not isinstance(given, dict):
        raise DataError(f"{where} is {type_name(given)}; {_FORM}")
    fields = {key: value for key, value in given.items() if value is not None}
    for key in ("role", "content"):
        if key not in fields:
            raise DataError(f"{where} has no {key}; {_FORM}")
    unknown = sorted(set(fields) - {"role", "content"})
    if unknown:
        raise DataError(f"{where} has the field {unknown[0]!r}, which would be lost; {_FORM} alone")
    role = fields["role"]
    if role not in ROLES:
        raise DataError(f"{where} has the role {role!r}; {_nearest(role)}")
    return {"role": role, "content": checked(_joined(fields["content"], where), f"{where} (of the {role})")}


def _joined(content: Any, where: str) -> Any:
    if not isinstance(content, list):
        return content
    texts = []
    for part in content:
        if not isinstance(part, dict):
            raise DataError(f'{where} has a part that is {type_name(part)}; write {{"type": "text", "text": …}}')
        kind = part.get("type") or "text"
        if kind != "text" or not isinstance(part.get("text"), str):
            raise DataError(f"{where} has a part that is no text ({kind}); the model reads only text")
        texts.append(part["text"])
    return "".join(texts)


def _nearest(role: Any) -> str:
    small = role.strip().lower() if isinstance(role, str) else ""
    near = _ELSEWHERE.get(small) or next(iter(difflib.get_close_matches(small, ROLES, 1, 0.7)), None)
    return f"write {near!r}" if near else f"use one of {', '.join(ROLES)}"


def _require_turns(roles: list[str], where: str) -> None:
    turns = roles[1:] if roles[0] == "system" else roles
    skipped = len(roles) - len(turns)
    for number, role in enumerate(turns):
        if role == "system":
            raise DataError(f"{where}: message {number + skipped + 1} is a system message; only the first may be one")
        expected = "assistant" if number % 2 else "user"
        if role != expected:
            raise DataError(
                f"{where}: message {number + skipped + 1} is of the {role} where one of the {expected} is due; "
                f"user and assistant take turns, the user first"
            )
    if not turns or turns[-1] != "user":
        raise DataError(
            f"{where}: the last message is of the {roles[-1]} and must be of the user; what the assistant answers "
            f"belongs in demonstration"
        )
