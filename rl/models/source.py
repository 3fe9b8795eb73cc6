"""The files of a model beside its weights: configuration, tokenizer, chat template, generation settings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

WEIGHTS = (".safetensors", ".index.json", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".gguf")
"""Endings of files that an export writes itself, or that may hold the old weights."""
CARDS = ("README.md", "USE_POLICY.md")
"""Pages about the model before training."""


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
