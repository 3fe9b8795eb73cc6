"""Replies that are no completions, and answers whose brackets only cost time."""

import json
import time
from types import SimpleNamespace

import pytest

from rewards.judge.client import LONGEST, fitting
from rewards.judge.replies import texts_of, usage_of

VERDICT = {"type": "object", "properties": {"points": {"enum": [1, 2, 3]}}, "required": ["points"]}


def message(content):
    return SimpleNamespace(message=SimpleNamespace(content=content))


def reply(*choices, **usage):
    return SimpleNamespace(choices=list(choices), usage=SimpleNamespace(**usage) if usage else None)


@pytest.mark.parametrize(
    "found",
    [
        "<html>a page of a proxy</html>", None, [], 7, SimpleNamespace(choices=None), reply(),
        reply(message("a"), message("b")), reply(SimpleNamespace(message=None)), reply(message(["a"])),
        reply(message({"text": "a"})),
    ],
)  # fmt: skip
def test_what_is_no_completion_is_a_sentence(found):
    with pytest.raises(ValueError, match="the server sent"):
        texts_of(found)


def test_completions_and_their_tokens():
    assert texts_of(reply(message(None)))[0].message.content is None
    assert [one.message.content for one in texts_of(reply(message("a"), message("b")), 2)] == ["a", "b"]
    assert usage_of(reply(prompt_tokens=3, completion_tokens=4)) == (3, 4)
    for odd in ({}, {"prompt_tokens": 3}, {"prompt_tokens": "3", "completion_tokens": None}):
        assert usage_of(reply(**odd)) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a":1}' * 16_000, "no answer"),
        ('{"a":[' * 30_000, "brackets within brackets"),
        ("长" * (LONGEST + 1), "characters, more than"),
    ],
)
def test_brackets_take_no_time(text, problem):
    began = time.process_time()
    with pytest.raises(ValueError, match=problem):
        fitting(text, VERDICT)
    assert time.process_time() - began < 10, "one check of the schema for each object took half a minute"


def test_an_answer_after_a_number_of_thousands_of_digits_is_found():
    assert fitting(f'{{"n": {"9" * 5000}}} {json.dumps({"points": 2})}', VERDICT) == {"points": 2}
