"""The commands of the page of recipes do what it says."""

import pytest
from rich.console import Console

from rl.synthesis.run import synthesize
from tests.docs.pages import ROOT, commands
from tests.rl.synthesis.runs import config, require_sums
from tools.scripted_server import Server
from tools.scripted_teacher import reply

FOUND = [one.words for one in commands(ROOT / "docs" / "guides" / "recipes.md") if "rl.synthesize" in one.words]


def test_the_page_has_commands():
    assert {word for words in FOUND for word in words if word.startswith("+recipe=")} == {
        "+recipe=rephrase",
        "+recipe=unilaw",
        "+recipe=lexpro",
        "+recipe=knowledge",
    }


@pytest.mark.parametrize("words", FOUND, ids=lambda words: words[3])
def test_a_command_of_the_page_runs(words, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    recipe, *given = (word for word in words[3:] if not word.startswith(("run_dir=", "teacher.base_url=")))
    more = [f"run_dir={tmp_path}", "cache=null", "as_of=2026-01-01"]
    with Server(reply) as server:
        if any(word.startswith("teacher.base_url=") for word in words):
            more.append(f"teacher.base_url={server.url}")
        results = synthesize(config(*given, *more, recipe=recipe.partition("=")[2]), Console(quiet=True))
    require_sums(results)
    assert results[-1].kept and (tmp_path / "card.html").exists()
