"""Chat templates: messages as text, by a template whose arguments and date are bound to the tokenizer.

A template may ask for the time (``strftime_now``). It always gets the bound date at midnight, so that a run that is
resumed tomorrow, or on another machine, sees the same prompts.
"""

from __future__ import annotations

import copy
import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from rl.config.derive import chat_template_kwargs
from rl.config.schema import RunConfig
from rl.config.stages import ChatOverrides, Stage
from rl.errors import UserError
from rl.models.trial import require_ends

ROLES = ("system", "user", "assistant", "tool")
OWN = ("messages", "add_generation_prompt", "strftime_now", "raise_exception")
"""Variables of a template that its caller sets, besides the special tokens."""


@dataclass(frozen=True)
class Binding:
    """The values that a tokenizer's chat template is rendered with, besides the messages."""

    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Variables of the template, such as ``enable_thinking``."""
    date: datetime.date | None = None
    """The template's date of today; None: the day on which this process first asked for it."""


def bind(tokenizer: Any, arguments: Mapping[str, Any] | None = None, date: datetime.date | None = None) -> Any:
    """The same tokenizer with other arguments or another date of its chat template; None keeps the bound ones.

    Raises:
        UserError: if the template does not use an argument, or does not end with it.
    """
    before = _binding(tokenizer)
    if arguments:
        try_template(tokenizer, arguments)
        _require_used(tokenizer, arguments)
    bound = copy.copy(tokenizer)  # shares the vocabulary
    bound.chat_binding = Binding(before.arguments if arguments is None else dict(arguments), date or before.date)
    return bound


def for_stage(tokenizer: Any, config: RunConfig, stage: Stage) -> Any:
    """The tokenizer with the arguments that a stage of a run gives its chat template, where it renders chats.

    Raises:
        UserError: if the template does not use one of them.
    """
    if not isinstance(stage, ChatOverrides):
        return tokenizer
    try:
        return bind(tokenizer, chat_template_kwargs(config, stage))
    except UserError as error:
        raise UserError(f"stage {stage.name}: {error}") from None


def try_template(tokenizer: Any, arguments: Mapping[str, Any] | None = None) -> None:
    """Try the chat template of a tokenizer, if it has one, before it is used. Raises UserError if it does not end."""
    if source := template_of(tokenizer):
        require_ends(_name(tokenizer), source, {**tokenizer.special_tokens_map, **(arguments or {})})


def template_of(tokenizer: Any) -> str:
    """The source of the chat template that messages are rendered with; empty without one."""
    return str(tokenizer.get_chat_template()) if tokenizer.chat_template else ""


def state_of(tokenizer: Any) -> tuple[str, Any]:
    """The parts of a tokenizer that may change while it is used, as a key for caches.

    Its tokens don't. To count them would take a tenth of a second for each text where the vocabulary is large.
    """
    return template_of(tokenizer), tokenizer.eos_token_id


def chat_text(tokenizer: Any, messages: Sequence[Mapping[str, str]], generation: bool) -> str:
    """Messages as the template writes them; with ``generation`` up to where the assistant begins to write.

    Raises:
        UserError: with the template's own reason, if it refuses the messages.
    """
    try:
        return _apply(tokenizer, messages, generation)
    except Exception as error:  # a template is a program and raises what it likes
        reason = str(error).strip() or type(error).__name__
        advice = "give what it asks for (a variable in chat_template_kwargs), or change chat_template.jinja"
        if messages[0]["role"] == "system":
            try:
                _apply(tokenizer, messages[1:], generation)
                advice = "put the text of the system message into the first message of the user"
            except Exception:  # the system message is not the reason
                pass
        raise UserError(f"the chat template of {_name(tokenizer)} refuses these messages: {reason}; {advice}") from None


def prompt_text(tokenizer: Any, messages: Sequence[Mapping[str, str]]) -> str:
    """A prompt as the template writes it, up to where the assistant begins to write.

    Raises:
        UserError: if messages are not text of known roles that end with the user's; if the template refuses them, or
            leaves out what the user, the system or a tool says.
    """
    _require_order(messages)
    text = chat_text(tokenizer, messages, generation=True)
    # Earlier messages of the assistant may be shortened: templates leave out their reasoning.
    said = [message for message in messages if message["role"] != "assistant"]
    for message in said:
        if not _holds(text, message["content"], [other["content"] for other in said]):
            raise UserError(
                f"the chat template of {_name(tokenizer)} leaves out the text of the {message['role']} message "
                f"{_short(message['content'])}; put it into a message of a role that the template writes"
            )
    return text


def _apply(tokenizer: Any, messages: Sequence[Mapping[str, str]], generation: bool) -> str:
    binding = _binding(tokenizer)
    arguments = dict(binding.arguments)
    if "strftime_now" in template_of(tokenizer):
        now = datetime.datetime.combine(binding.date or _today(), datetime.time())
        arguments["strftime_now"] = now.strftime
    given = [dict(message) for message in messages]
    return str(tokenizer.apply_chat_template(given, tokenize=False, add_generation_prompt=generation, **arguments))


def _binding(tokenizer: Any) -> Binding:
    found = vars(tokenizer).get("chat_binding")
    return found if isinstance(found, Binding) else Binding()


@cache
def _today() -> datetime.date:
    return datetime.date.today()


def _require_used(tokenizer: Any, arguments: Mapping[str, Any]) -> None:
    try:
        used = _variables(template_of(tokenizer)) - {*OWN, *tokenizer.special_tokens_map}
    except Exception as error:
        raise UserError(f"the chat template of {_name(tokenizer)} can't be read: {error}") from None
    for name in arguments:
        if name not in used:
            listed = f"its variables are {', '.join(sorted(used))}" if used else "it has none"
            raise UserError(
                f"chat_template_kwargs.{name}: the chat template of {_name(tokenizer)} does not use it; {listed}"
            )


def _variables(template: str) -> set[str]:
    """Variables that a template reads from its caller: those that it never sets, or tests with ``is defined``."""
    from jinja2 import meta, nodes
    from transformers.utils.chat_template_utils import _compile_jinja_template

    tree = _compile_jinja_template(template).environment.parse(template)
    set_here = {name.name for name in tree.find_all(nodes.Name) if name.ctx == "store"}
    asked = {
        test.node.name
        for test in tree.find_all(nodes.Test)
        if test.name in ("defined", "undefined") and isinstance(test.node, nodes.Name)
    }
    return set(meta.find_undeclared_variables(tree)) - (set_here - asked)


def _require_order(messages: Sequence[Mapping[str, Any]]) -> None:
    if not messages:
        raise UserError("the prompt has no message; give at least the user's question")
    for number, message in enumerate(messages, 1):
        role, content = message.get("role"), message.get("content")
        if role not in ROLES:
            raise UserError(f"message {number} is of role {role!r}; use one of {', '.join(ROLES)}")
        if role == "system" and number > 1:
            raise UserError(f"message {number} is the system's, which can only be the first; move it to the front")
        if not isinstance(content, str):
            what = "a list of parts" if isinstance(content, list) else type(content).__name__
            raise UserError(f"message {number} holds {what} and not text; images and other media can't be used here")
    if messages[-1]["role"] != "user":
        raise UserError(
            f"the last message is of role {messages[-1]['role']}, and a prompt ends with the user's question; take out "
            f"what follows that (the beginning of an answer can't be given)"
        )


def _holds(text: str, content: str, contents: Sequence[str]) -> bool:
    """Whether a prompt holds a content as often as its messages do; white space may differ."""

    def often(plain: Callable[[str], str]) -> bool:
        wanted = plain(content)
        return not wanted or plain(text).count(wanted) >= sum(plain(one).count(wanted) for one in contents)

    return often(str.strip) or often(lambda given: "".join(given.split()))


def _short(content: str) -> str:
    line = " ".join(content.split())
    return repr(line if len(line) <= 40 else f"{line[:40]}…")


def _name(tokenizer: Any) -> str:
    return str(tokenizer.name_or_path or "this tokenizer")
