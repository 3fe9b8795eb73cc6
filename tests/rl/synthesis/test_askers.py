"""Who is asked: a server or engines on Ray give the same records, and only what a recipe asks is wanted."""

from contextlib import contextmanager, nullcontext

import pytest
from rich.console import Console

import rl.synthesis.askers
from rl.config.schema import NanoConfig
from rl.config.synthesis import RecipeConfig
from rl.errors import UserError
from rl.inference.backend import Answer
from rl.models.nano import ensure_nano
from rl.synthesis.askers import asked
from rl.synthesis.run import synthesize
from tests.rl.scripted import Scripted
from tests.rl.synthesis.runs import JUDGMENTS, config, files, require_sums
from tools.scripted_server import Server
from tools.scripted_teacher import reply


class Teacher(Scripted):
    """Answers as the scripted server does."""

    def generate(self, asks, done):
        for ask in asks:
            self.asked.append(ask)
            done(ask, [Answer(reply({"messages": [{"content": ask.messages[-1][1]}]}), "", 5, 7)])


def ran(folder, *named):
    options = (f"input={JUDGMENTS}", f"run_dir={folder}", "cache=null", "as_of=2026-01-01", *named)
    results = synthesize(config(*options, recipe="rephrase"), Console(quiet=True))
    require_sums(results)
    return results


def engines(monkeypatch, backend):
    """In place of engines on Ray a backend; what is asked for them."""
    chosen = []

    @contextmanager
    def open_backend(options, date, keep_refusals):
        chosen.append((options.model, options.data_parallel, options.tensor_parallel, keep_refusals))
        yield backend

    monkeypatch.setattr(rl.synthesis.askers, "open_backend", open_backend)
    monkeypatch.setattr("cluster.ray_cluster.connect", lambda *_, **__: nullcontext())
    return chosen


def test_another_model_on_the_same_folder_is_refused_before_it_is_asked(tmp_path):
    named = ("limit=1", "runner=local")
    with Server(reply) as server:
        ran(tmp_path / "run", f"teacher.base_url={server.url}", *named)
    before = files(tmp_path / "run")
    with Server(reply, model="other") as server:
        with pytest.raises(UserError, match=r"holds answers of the teacher m, and now the teacher is other; start m "):
            ran(tmp_path / "run", f"teacher.base_url={server.url}", *named)
        assert not server.asked
    assert files(tmp_path / "run") == before


def test_engines_give_the_records_of_a_server_and_a_resume_asks_nothing(tmp_path, monkeypatch):
    model = tmp_path / "m"
    model.mkdir()
    (model / "config.json").write_text("{}")
    monkeypatch.setattr(rl.synthesis.askers, "identity", lambda chosen: "m")  # as the server calls it
    named = (f"teacher.path={model}", "teacher.replicas=3")
    backend = Teacher(None)
    chosen = engines(monkeypatch, backend)
    ran(tmp_path / "engines", *named)
    assert chosen == [(str(model), 3, 1, True)]
    with Server(reply) as server:
        results = ran(tmp_path / "server", f"teacher.base_url={server.url}")
    assert files(tmp_path / "engines") == files(tmp_path / "server")
    count = len(backend.asked)
    assert count == sum(result.usage.requests for result in results) > 0
    ran(tmp_path / "engines", *named[:1], "teacher.replicas=2")
    assert len(backend.asked) == count


def test_what_a_recipe_asks_is_wanted_and_nothing_else(tmp_path):
    assert not asked(config("input=x", "run_dir=r", recipe="lexpro"))
    lead = config("input=x", "run_dir=r", "judge.path=j")
    assert asked(lead) == {"judge": lead.judge, "teacher": lead.teacher}
    assert list(asked(config("input=x", "run_dir=r"))) == ["teacher"]
    only = RecipeConfig.model_validate({"name": "p", "steps": [{"step": "pass_rate"}]})
    assert list(asked(lead.model_copy(update={"recipe": only}))) == ["policy"]


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        ((), r"no teacher is named; add teacher.base_url=http://HOST:PORT/v1 or teacher.path=FOLDER"),
        (("teacher.base_url=http://h/v1", "teacher.path=m"), "teacher: base_url and path name two models; leave one"),
        (("teacher.path=/none",), "teacher.path=/none is not a folder; give the folder of a Hugging Face model"),
    ],
)
def test_no_two_or_a_missing_teacher_is_a_sentence(named, problem, tmp_path):
    with pytest.raises(UserError, match=problem):
        ran(tmp_path / "run", *named)
    assert not (tmp_path / "run").exists(), "before anything is written"


@pytest.mark.slow  # starts Ray and an engine: 40 CPU-seconds
def test_a_model_folder_is_a_teacher(tmp_path, monkeypatch):
    """Its answers are nonsense, and one prompt is too long for it: each record has its reason, and a resume asks
    nothing."""
    shape = {"vocab_size": 1500, "hidden_size": 64, "layers": 2, "heads": 2, "kv_heads": 1, "intermediate_size": 128}
    model = ensure_nano(NanoConfig(**shape), 0, 4096, tmp_path / "nano")
    source = tmp_path / "in"
    source.mkdir()
    text = (JUDGMENTS / "theft.txt").read_text(encoding="utf-8")
    (source / "short.txt").write_text(text, encoding="utf-8")
    (source / "long.txt").write_text(
        text.replace("经审理查明", "经审理查明，" + "被告人多次盗窃。" * 1200), encoding="utf-8"
    )
    named = (f"input={source}", f"run_dir={tmp_path / 'run'}", "cache=null", f"teacher.path={model}")

    def once():
        return synthesize(config(*named, "teacher.max_tokens=16", "judge.max_tokens=16"), Console(quiet=True))

    results = once()
    require_sums(results)
    score = next(result for result in results if result.name == "score")
    reasons = {one.fields["source"]: one.reason for one in score.outcomes}
    assert reasons["long.txt"] == "refused by the server" and reasons["short.txt"] in (
        "truncated", "no answer of the asked form",
    )  # fmt: skip
    assert any("tokens, and the model takes 4096 with the answer" in one.detail for one in score.outcomes)
    before = files(tmp_path / "run")
    engines(monkeypatch, Scripted(None, fail_after=0))
    once()
    assert files(tmp_path / "run") == before
