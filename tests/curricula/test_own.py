"""Tasks of a user's own modules, and the modules that can't be one."""

import pytest

from curricula.errors import DataError
from curricula.own import imported
from curricula.sampler import Sampler
from curricula.tasks import find_task, make_prompts

MODULE = """
import random
from curricula.prompts import ask

def plus(rng, split):
    \"\"\"Adds one.

    More about it.\"\"\"
    a = rng.randint(0, 10**6)
    return ask('anything', f'{a}+1?', str(a + 1), 'number')

def unrepeatable(rng, split):
    return ask('x', str(random.random()), '1')

def text(rng, split):
    return 'a question'

def failing(rng, split):
    return [][1]

number = 3
"""


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    (tmp_path / "own_tasks.py").write_text(MODULE)
    (tmp_path / "own_broken.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_a_function_is_a_task_under_the_name_that_it_is_given():
    task = find_task("own_tasks:plus")
    assert (task.name, task.description) == ("own_tasks:plus", "Adds one.")
    found = make_prompts("own_tasks:plus", "test", 20, seed=1)
    assert len(found) == 20 and {prompt.task for prompt in found} == {"own_tasks:plus"}
    assert found == make_prompts("own_tasks:plus", "test", 20, seed=1)
    sampler = Sampler({"own_tasks:plus": 1.0, "age": 1.0}, {}, seed=0)
    drawn = [sampler.at(index).task for index in range(40)]
    assert {*drawn} == {"own_tasks:plus", "age"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("own_tasks:pluss", "has no attribute 'pluss'; did you mean own_tasks:plus?"),
        ("own_taks:plus", "No module named 'own_taks'; it is written module:function"),
        ("own_broken:plus", "its module raised ZeroDivisionError"),
        ("own_tasks:number", "is a int, not a function"),
        ("own_tasks:text", "returned a str; return curricula.prompts.ask"),
        ("own_tasks:failing", "raised IndexError"),
        ("own_tasks:unrepeatable", "draws another question from an equal random state"),
        ("rewards:plus", "rewards is a package of Themis (.*); give your own module another name"),
        ("tools.own:plus", "tools is a package of Themis"),
        ("plus", "or module:function"),
    ],
)
def test_what_is_no_task_is_a_sentence(name, said):
    with pytest.raises(DataError) as caught:
        find_task(name)
    assert all(part in str(caught.value) for part in said.split(".*")) and "\n" not in str(caught.value)


def test_an_object_that_can_be_called_is_taken():
    assert imported("own_tasks:plus", "reward").__name__ == "plus"
