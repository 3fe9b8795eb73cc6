"""What the answers of an evaluation stage are bound to."""

from types import SimpleNamespace

import pytest
from rich.console import Console

from rl.config.stages import EvaluateStage
from rl.evaluation.stage import answer_benchmarks
from rl.models.chat import load_tokenizer
from rl.stages.evaluate import journals, remove
from tests.rl.scripted import Scripted


@pytest.fixture(scope="module")
def tokenizer(models):
    found = load_tokenizer(str(models["tied"]))
    found.chat_template = "{% if tone is defined %}{{ tone }}{% endif %}" + found.chat_template
    return found


@pytest.mark.parametrize(
    ("fields", "changed", "reused"),
    [
        ({}, {}, 2),
        ({"sampling": {"temperature": 1.0}}, {}, 0),  # not all of them are there
        ({}, {"weights": "2"}, 0),
        ({}, {"path": "other"}, 0),
        ({}, {"length": 99}, 0),
        ({}, {"seed": 1}, 0),
        ({}, {"fields": {"sampling": {"temperature": 0, "max_tokens": 65}}}, 0),
        ({}, {"fields": {"sampling": {"temperature": 0, "top_k": 3}}}, 0),
        ({}, {"fields": {"chat_template_kwargs": {"tone": "严肃"}}}, 0),
        ({}, {"fields": {"benchmarks": {"held_out": ["age"], "limit": 3, "shots": 1}}}, 0),
        ({}, {"fields": {"benchmarks": {"held_out": ["age"], "limit": 2}}}, 2),
    ],
)
def test_answers_are_used_again_only_if_nothing_has_changed(tokenizer, tmp_path, fields, changed, reused):
    """Two answers are on the disk. What the weights are and what answers are scripted; the stage's journal is real."""

    def evaluate(backend, weights="1", path="m", length=256, seed=0, fields=fields):
        given = {"name": "look", "kind": "evaluate", "benchmarks": {"held_out": ["age"], "limit": 3}}
        stage = EvaluateStage(**given | fields)
        runtime = SimpleNamespace(
            tokenizer=tokenizer,
            config=SimpleNamespace(model=SimpleNamespace(max_length=length, chat_template_kwargs={}), seed=seed),
            fleet=SimpleNamespace(model_path=path),
            tracker=SimpleNamespace(console=Console()),
            lineage=SimpleNamespace(weights_id=lambda: weights),
            policy=lambda stage, tokens: backend,
        )
        journal = journals(stage, runtime, tmp_path / "answers" / "look")[1]
        return answer_benchmarks(stage, journal, length, seed), journal

    with pytest.raises(Exception, match="the engine failed"):
        evaluate(Scripted(lambda ask: "old", fail_after=2))
    backend = Scripted(lambda ask: "new")
    ((_, (task,)),), journal = evaluate(backend, **changed)
    texts = [answers[0].text for answers in task.answers.values()]
    assert sorted(texts) == sorted(["old"] * reused + ["new"] * (len(task.questions) - reused))
    assert journal.reused == reused and len(backend.asked) == len(task.questions) - reused


def test_the_answers_of_a_stage_that_is_done_are_removed(tmp_path):
    done, other = tmp_path / "answers" / "done", tmp_path / "answers" / "other"
    for folder in (done, other):
        folder.mkdir(parents=True)
        (folder / "questions.jsonl").write_text("{}\n")
    remove(done)
    assert not done.exists() and other.is_dir()
    remove(other)
    assert not (tmp_path / "answers").exists()
    remove(other)
