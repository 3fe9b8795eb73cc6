"""The files of a model beside its weights: configuration, tokenizer, chat template, generation settings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from rl.errors import UserError

WEIGHTS = (".safetensors", ".index.json", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".gguf")
"""Endings of files that an export writes itself, or that may hold the old weights."""
CARDS = ("README.md", "USE_POLICY.md")
"""Pages about the model before training."""


LARGEST_MB = 256
"""Largest file beside the weights; the largest tokenizers have 40 MB."""
MOST_LAYERS = 10_000


def require_plain(path: str) -> None:
    """Look at the files of a model folder before a library reads them; hub names pass.

    Raises:
        UserError: if one is a pipe or a device, of which reading might never end, or too large for what it is, or if
            config.json has a number of layers that nothing could hold.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        return
    for file in sorted(folder.iterdir()):
        if file.exists() and not file.is_file() and not file.is_dir():
            raise UserError(f"{file} is a pipe or a device and not a file; take it out of the model's folder")
        if file.suffix in (".json", ".jinja", ".txt", ".model") and file.is_file():
            size = file.stat().st_size / 2**20
            if size > LARGEST_MB:
                raise UserError(
                    f"{file} has {size:,.0f} MB, and {LARGEST_MB} is the most that is read of a file beside the "
                    f"weights; take the model's own"
                )
    config = folder / "config.json"
    for name, number in _numbers(config) if config.is_file() else ():
        if name.endswith("layers") and number > MOST_LAYERS:  # a library makes a list of them, or the layers themselves
            raise UserError(f"{config}: {name} is {number}; correct it ({MOST_LAYERS} is the most)")


def _numbers(config: Path) -> list[tuple[str, int]]:
    """The whole numbers of a configuration and of its parts; none if it can't be read, which its reader says."""
    found: list[tuple[str, int]] = []

    def keep(pairs: list[tuple[str, Any]]) -> None:
        found.extend((name, value) for name, value in pairs if isinstance(value, int))

    try:
        json.loads(config.read_bytes(), object_pairs_hook=keep)
    except (ValueError, RecursionError):
        return []
    return found


def folder_of(path: str) -> Path:
    """The folder that a model was loaded from: the given one, or the hub's snapshot in the cache."""
    if Path(path).expanduser().is_dir():
        return Path(path).expanduser()
    from transformers.utils import cached_file

    found = cached_file(path, "config.json")
    assert found is not None
    return Path(found).parent


def copy_beside_weights(path: str, into: Path, dtype: str, with_code: bool) -> None:
    """Copy a model's files except its weights, byte by byte. In config.json only the type of the weights changes.

    Reading and saving them again would lose what this version of transformers does not know, and fails for settings
    that it reads but does not write (a temperature without sampling). Code beside the weights is copied on request.
    """
    source = folder_of(path)
    for file in sorted(source.iterdir()):
        if file.name.startswith((".", "adapter_")) or file.name in CARDS or file.name.endswith(WEIGHTS):
            continue
        if file.suffix == ".py" and not with_code:
            continue
        if file.is_file():
            shutil.copyfile(file, into / file.name)
        elif file.name == "additional_chat_templates":
            shutil.copytree(file, into / file.name)
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    config["torch_dtype" if "torch_dtype" in config else "dtype"] = dtype
    (into / "config.json").write_text(json.dumps(config, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
