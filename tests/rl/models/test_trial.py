"""Model folders of others: chat templates that do not end, pipes, sizes that nothing could hold."""

import json
import os
import shutil

import pytest

from rl.config.compose import load
from rl.engines.support import load_architecture
from rl.errors import UserError
from rl.job import run
from rl.models import trial
from rl.models.chat import load_tokenizer
from rl.models.template import bind, chat_text
from tests.rl.models.families import FAMILIES, build

LOOPS = "{% for a in range(10**5 - 1) %}{% for b in range(10**5 - 1) %}{% endfor %}{% endfor %}"
EXPONENTIAL = "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}"
EACH_PAIR = (
    "{% for m in messages %}{% for a in m.content %}{% for b in m.content %}{% endfor %}{% endfor %}{% endfor %}"
)
DOUBLED = "{% set n = namespace(x='ab') %}{% for a in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}"

ENDLESS = r"does not end within \d s on messages of 20,000 characters"


@pytest.fixture
def folder(models, tmp_path):
    """A model folder to spoil."""
    return shutil.copytree(models["tied"], tmp_path / "model")


def spoil(folder, template):
    (folder / "chat_template.jinja").write_text(template + (folder / "chat_template.jinja").read_text())


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        (LOOPS, ENDLESS),
        ("{% if messages | length > 2 %}" + LOOPS + "{% endif %}", ENDLESS),
        (EXPONENTIAL, ENDLESS),
        (EACH_PAIR, ENDLESS),
        (DOUBLED, r"(?:needs more than 512 MB of memory|does not end)"),
        ("{{ 'a' * 10**9 }}", r"(?:needs more than 512 MB of memory|does not end)"),
        (
            "{% for a in range(99999) %}{{ 'x' * 50 }}{% endfor %}",
            r"makes a text of 5,\d+,\d+ characters out of 60,000",
        ),
    ],
)
def test_a_template_that_does_not_end_is_one_sentence_with_the_file(folder, monkeypatch, template, problem):
    monkeypatch.setattr(trial, "SECONDS", 1)
    spoil(folder, template)
    with pytest.raises(
        UserError, match=rf"template of {folder} \(chat_template\.jinja\) {problem}.*; it can't be used"
    ):
        load_tokenizer(str(folder))


def test_a_run_stops_before_anything_starts(folder, tmp_path):
    spoil(folder, LOOPS)
    stage = {"name": "a", "kind": "sft", "steps": 1, "demonstrations": {"age": 4}}
    values = {"run_dir": str(tmp_path / "run"), "curriculum": {"name": "x", "stages": [stage]}}
    with pytest.raises(UserError, match=ENDLESS):
        run(load({**values, "model": {"path": str(folder), "max_length": 256}}))


def test_arguments_that_make_a_template_endless_are_found_when_they_are_bound(folder):
    spoil(folder, "{% if think is defined and think %}" + LOOPS + "{% endif %}")
    tokenizer = load_tokenizer(str(folder))
    assert bind(tokenizer, {"think": False})
    with pytest.raises(UserError, match=ENDLESS):
        bind(tokenizer, {"think": True})


def test_ordinary_templates_pass_and_are_tried_once(models, tmp_path):
    trial._problem.cache_clear()
    for name, family in FAMILIES.items():
        load_tokenizer(build(family, tmp_path / name))
    generation = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% break %}{% endfor %}"
    trial.require_ends("m", generation + "{{ messages | tojson(indent=2) }}{{ strftime_now('%Y') }}", {})
    load_tokenizer(str(models["tied"]))
    load_tokenizer(str(models["tied"]))
    found = trial._problem.cache_info()
    assert (found.hits, found.misses) == (1, len(FAMILIES) + 2)


@pytest.mark.parametrize("template", ["{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}", "{{ 1 / 0 }}", "{{ f() }}"])
def test_whatever_a_template_raises_is_a_sentence(folder, template):
    spoil(folder, template)
    with pytest.raises(UserError, match="refuses these messages"):
        chat_text(load_tokenizer(str(folder)), [{"role": "user", "content": "问"}], generation=True)


def test_a_pipe_among_the_files_is_not_read(folder):
    os.mkfifo(folder / "added_tokens.json")
    for read in (load_tokenizer, lambda path: load_architecture(path, False)):
        with pytest.raises(UserError, match=r"added_tokens\.json is a pipe or a device"):
            read(str(folder))


def test_files_and_numbers_without_measure_are_refused(folder):
    with (folder / "vocab.json").open("wb") as file:
        file.truncate(300 * 2**20)
    with pytest.raises(UserError, match=r"vocab\.json has 300 MB"):
        load_tokenizer(str(folder))
    (folder / "vocab.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"text_config": {"num_hidden_layers": 10**9}}))
    with pytest.raises(UserError, match=r"config\.json: num_hidden_layers is 1000000000"):
        load_architecture(str(folder), False)


@pytest.mark.parametrize("name", ["tokenizer_config.json", "tokenizer.json", "config.json"])
def test_deep_json_is_a_sentence(folder, name):
    content = (folder / name).read_text().rstrip()
    (folder / name).write_text(content[:-1] + ', "deep": ' + "[" * 100_000 + "]" * 100_000 + "}")
    with pytest.raises(UserError, match=r"can be loaded from|can't be read"):
        load_tokenizer(str(folder))
        load_architecture(str(folder), False)
