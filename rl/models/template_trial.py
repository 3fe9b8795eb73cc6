"""Renders a chat template as a program of its own, within limits: ``python -I template_trial.py LIMITS < TRIAL``.

It imports nothing but Jinja and the standard library, so that it starts fast, and makes the environment of
transformers. Input and output are JSON. A template that refuses a conversation has ended, and that is all that counts.
"""

import datetime
import json
import resource
import sys
from typing import Any

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import CallBlock
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(Extension):
    """``{% generation %}``, which marks what the assistant writes."""

    tags = frozenset({"generation"})  # type: ignore[assignment]

    def parse(self, parser: Any) -> Any:
        """The block, as it is written."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return CallBlock(self.call_method("_written"), [], [], body).set_lineno(line)

    def _written(self, caller: Any) -> Any:
        return caller()


def refuse(message: str) -> None:
    """What a template calls to refuse messages."""
    raise jinja2.TemplateError(message)


def as_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    """The filter ``tojson`` of transformers."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


def main() -> None:
    """Render the conversations and print the length of the longest text."""
    seconds, size = map(int, sys.argv[1:])
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    trial = json.load(sys.stdin)
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = as_json
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = datetime.datetime(2026, 1, 1).strftime
    longest = 0
    try:
        template = environment.from_string(trial["template"])
    except MemoryError:
        raise
    except Exception:  # it can't be read, which whoever uses it will say
        template = environment.from_string("")
    variables = {"tools": None, "documents": None} | trial["variables"]
    for messages in trial["conversations"]:
        for generation in (True, False):
            try:
                text = template.render(messages=messages, add_generation_prompt=generation, **variables)
                longest = max(longest, len(text))
            except MemoryError:
                raise
            except Exception:  # refused
                continue
    print(json.dumps(longest))


if __name__ == "__main__":
    main()
