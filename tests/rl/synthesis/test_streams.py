"""Records stay on the disk: the same files whatever the window, and memory that does not grow with the texts."""

import json
import tracemalloc

import pytest
from rich.console import Console

import rl.synthesis.engine
from rl.config.synthesis import RecipeConfig, SynthesisConfig
from rl.synthesis.documents import read_documents
from rl.synthesis.engine import Engine
from rl.synthesis.outputs import write_outputs
from rl.synthesis.recipe import steps_of
from rl.synthesis.records import Outcome, Record, found, merged
from rl.synthesis.results import StepResult, read_result
from rl.synthesis.run import synthesize
from rl.synthesis.step import Context
from tests.rl.synthesis.runs import JUDGMENTS, config, files, options, require_sums
from tools.scripted_server import Server
from tools.scripted_teacher import reply


def asked(folder, url):
    values = config(*options(folder, url, JUDGMENTS)).model_dump()
    names = [step["step"] for step in values["recipe"]["steps"]]
    values["recipe"]["steps"] = [*values["recipe"]["steps"][: names.index("question") + 1], {"step": "copies"}]
    return synthesize(SynthesisConfig.model_validate(values), Console(quiet=True))


def test_windows_change_nothing_and_a_resume_asks_only_what_is_missing(tmp_path, monkeypatch):
    with Server(reply) as server:
        asked(tmp_path / "one", server.url)
        whole = len(server.asked)
        monkeypatch.setattr(rl.synthesis.engine, "WINDOW", 2)
        monkeypatch.setattr(rl.synthesis.engine, "ROUNDS", 0)
        require_sums(asked(tmp_path / "many", server.url))
        assert len(server.asked) == 2 * whole
        assert files(tmp_path / "one") == files(tmp_path / "many")
        path = tmp_path / "many" / "answers" / "06-question.jsonl"
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join([*lines[9:12], *lines[:4]]))  # as a kill between two windows leaves it, and more
        asked(tmp_path / "many", server.url)
        assert len(server.asked) == 2 * whole + len(lines) - 7
    assert files(tmp_path / "one") == files(tmp_path / "many")


def test_memory_does_not_grow_with_the_texts(tmp_path):
    """Sixty documents of 400 kB in memory each; none is held after its step is done with it."""
    path, texts = tmp_path / "in.jsonl", (chr(0x4E00 + n) + "判" * 200_000 for n in range(60))
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)
    recipe = RecipeConfig.model_validate({"name": "x", "steps": [{"step": "copies", "similarity": 0}]})
    engine = Engine(tmp_path / "run", {}, 0)
    steps = steps_of(recipe, Context(0))
    tracemalloc.start()
    results = [read_result(engine.folder, read_documents(path))]
    results.append(engine.run(1, steps[0], results[0]))
    written = write_outputs(engine.folder, "x", results)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert written["corpus.jsonl"] == len(results[1].kept) == 60
    assert peak < 10 * 400e3, f"{peak / 1e6:.1f} MB"


def test_what_goes_on_is_in_the_order_of_ids_and_read_again_as_it_was(tmp_path):
    """Of more than 99 records made from one, q100 comes before q11."""
    first = read_result(tmp_path, [Outcome(name, "kept", {"source": name, "text": "文"}) for name in ("b", "a")])
    assert [one.id for one in first.kept] == ["a", "b"] and first.of_documents

    def several(one):
        fields = ({"number": n, "none": None, "trace": {"n": [n]}} for n in range(120))
        return tuple(one.followed(new, {"step": "x"}, f"-q{new['number']:02d}") for new in fields)

    made = [Outcome(one.id, "kept", one.fields, made=several(one)) for one in first.kept]
    second = StepResult(1, "x", tmp_path).after(first, made)
    names = [one.id for one in second.kept]
    assert names == sorted(names) and len(names) == len(second.kept) == 240 and not second.of_documents
    assert {one.id: one for one in second.kept} == {one.id: one for outcome in made for one in outcome.made}
    assert list(second.outcomes) == made and (second.count("kept"), second.reasons()) == (2, {})


def test_a_line_says_all_that_a_step_found_or_there_is_an_error():
    before = {"a": 1, "trace": {"x": 1, "deep": {"y": [1]}}}
    after = {"a": 1, "b": None, "trace": {"x": 2, "deep": {"y": [1], "z": {}}}}
    assert found(before, after) == {"b": None, "trace": {"x": 2, "deep": {"z": {}}}}
    assert merged(before, found(before, after)) == after
    less = Record("r", {"a": 1, "trace": {"x": 1}}, ({"step": "takes"},))
    with pytest.raises(TypeError, match="takes took something out of r; a step only adds"):
        Outcome("r", "kept", before, made=(less,)).to_json()
