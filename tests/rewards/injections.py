"""The forms of ``injections.yaml``, as texts for the slots of a judge's prompt."""

from pathlib import Path

import yaml

FILE = Path(__file__).with_name("injections.yaml")


def forms() -> list[tuple[str, list[str]]]:
    """(kind, texts) of each form. One text is for every slot; several are for the slots in turn."""
    read = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return [(kind, _texts(form)) for kind, found in read.items() for form in found]


def _texts(form: str | list[str] | dict) -> list[str]:
    if isinstance(form, dict):
        return [form["text"] * form["times"]]
    return form if isinstance(form, list) else [form]
