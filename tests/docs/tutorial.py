"""The files that the page tutorial.md tells to write."""

import json
from pathlib import Path

from rl.config.parallel import ARCHITECTURES
from tests.docs.pages import ROOT, code_blocks, code_lines

PAGE = ROOT / "docs" / "guides" / "tutorial.md"


def write(folder: Path) -> None:
    """Write them, and the sizes of the model that the page takes as its example."""
    for name, text in zip(("my-model.yaml", "first.yaml"), code_blocks(PAGE, "yaml"), strict=True):
        (folder / name).write_text(text, encoding="utf-8")
    lines = [line.strip() for _, line in code_lines(PAGE) if line.strip().startswith('{"prompt"')]
    (folder / "data").mkdir(exist_ok=True)
    for name, line in zip(("demonstrations", "questions", "test"), (*lines, lines[-1]), strict=True):
        (folder / "data" / f"{name}.jsonl").write_text(f"{line}\n", encoding="utf-8")
    model = folder / "models" / "Qwen3-0.6B"
    model.mkdir(parents=True)
    (model / "config.json").write_text(json.dumps(ARCHITECTURES["Qwen/Qwen3-0.6B"]), encoding="utf-8")
