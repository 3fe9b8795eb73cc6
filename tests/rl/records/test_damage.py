"""Whatever happens to a file that a run reads back: a sentence that names it, or recovery, and never a traceback."""

import json
import random
import re
import shutil

import pytest
from rich.console import Console

from rewards.cache import Cache
from rl.config.schema import TrackerConfig
from rl.driver.document_scores import DocumentScore, is_score, read_scores, write_scores
from rl.errors import USER_ERRORS, UserError
from rl.evaluation.report_command import write as write_evaluations
from rl.evaluation.stage import stage_table
from rl.evaluation.web.run_folders import find_runs
from rl.files import read_json
from rl.inference.journal import Journal, OpenFolder
from rl.records import results
from rl.records.checkpoint import Checkpoints
from rl.records.manifest import Manifest
from rl.records.rollouts import read_rows
from rl.records.tracking import Tracker
from rl.report.page import write_report
from tests.rl.records.damage import damaged
from tests.rl.report.folders import config, run_folder
from tests.rl.scripted import Scripted, asks, collect
from tools.replay import compare, run_config

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with all that a run reads back."""
    folder = run_folder(tmp_path_factory.mktemp("damage") / "run")
    tracker = tracker_of(folder)
    (folder / "wandb.json").write_text(json.dumps({"global_step": 3}))
    checkpoints = Checkpoints(folder, 2)
    for step in (1, 2, 3):
        state = {"state": {"a": 1}, "tracker": tracker.state_dict(), "bad_updates": 0, "ending": None}
        checkpoints.save("mid", step, lambda path: path.mkdir(), state, score=0.5)
    write_scores(folder / "perplexity" / "ppl.parquet", ["a", "b"], [DocumentScore(1.5, 2), DocumentScore(2.5, 3)])
    cache = Cache(folder / "perplexity.sqlite")
    for number in range(50):
        cache.put(f"k{number}", {"nll": 1.0, "tokens": 2})
    cache._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    cache.close()
    answer(folder, "weights")
    answer(folder / "own", None)
    OpenFolder(folder / "own", {"model": "m"}).close()
    return folder


def tracker_of(folder):
    return Tracker(folder, TrackerConfig(wandb="disabled", progress=False), QUIET)


def answer(folder, bound):
    backend = Scripted(lambda ask: f"答{ask.key}")
    return collect(Journal(backend, folder / "answers", notice=lambda text: None, bound=bound), asks(5))


def resume(folder):
    manifest = Manifest.open(folder, config(folder))
    assert manifest.date
    for stage in config(folder).curriculum.stages:
        manifest.stage(stage.name).get("ended", {}).get("weights_after")
    tracker = tracker_of(folder)
    tracker.drop("ppl")
    checkpoints = Checkpoints(folder, 2)
    driver = checkpoints.driver(checkpoints.latest("mid"))
    tracker.load_state_dict(driver["tracker"])
    checkpoints.save("mid", 4, lambda path: path.mkdir(), {"state": {}}, score=0.1)


def show(folder):
    QUIET.print(results.table(results.read(folder / "results.json")))
    QUIET.print(stage_table(folder))


def again(folder):
    result = results.EvalResult("again", "grpo", "dev", {}, {})
    results.save(folder / "results.json", result)
    compare(folder, "grpo", 0, {"loss": 1.0})
    run_config(folder)


def cached(folder):
    cache = Cache(folder / "perplexity.sqlite")
    try:
        cache.check()
        for found in cache.get([f"k{number}" for number in range(50)], lambda key, answer: is_score(answer)).values():
            DocumentScore(**found)
        cache.put("new", {"nll": 1.0, "tokens": 2})
    finally:
        cache.close()


EVALUATION = "benchmarks/test/lexeval"
READERS = {
    "manifest.json": (resume, again, write_report),
    "results.json": (show, again, write_report),
    "metrics.jsonl": (resume, write_report),
    "benchmarks.json": (show, write_report),
    "wandb.json": (tracker_of,),
    "corpus/mid.json": (write_report,),
    "checkpoints/mid/step-000003/driver.json": (resume,),
    "checkpoints/mid/step-000003/files.json": (resume,),
    "checkpoints/mid/step-000002/driver.json": (resume,),
    "perplexity/ppl.parquet": (lambda folder: read_scores(folder / "perplexity" / "ppl.parquet"),),
    "perplexity.sqlite": (cached,),
    "answers/t.jsonl": (lambda folder: answer(folder, "weights"),),
    "own/answers/t.jsonl": (lambda folder: answer(folder / "own", None),),
    "own/manifest.json": (lambda folder: OpenFolder(folder / "own", {"model": "m"}).close(),),
    "rollouts/grpo/step-000003.parquet": (lambda folder: read_rows(folder, "grpo", 3), write_report),
    f"{EVALUATION}/scores.json": (
        lambda folder: write_evaluations([folder / EVALUATION], folder / "evaluation.html"),
        lambda folder: [one.tasks for one in find_runs(folder)],
    ),
    f"{EVALUATION}/scored/1_2.jsonl": (
        lambda folder: write_evaluations([folder / EVALUATION], folder / "evaluation.html"),
    ),
    f"{EVALUATION}/answers/1_2.jsonl": (
        lambda folder: write_evaluations([folder / EVALUATION], folder / "evaluation.html"),
    ),
}
FIX = re.compile("restore|[Rr]emove|move it|[Uu]se |ask as before|give |did you mean|correct")
SLOW = (write_report,)
RECOVERED = ("checkpoints/mid/step-000002/driver.json",)
"""Files without which a run goes on."""


@pytest.mark.parametrize("name", READERS)
def test_damage_is_a_sentence_or_harmless(run, tmp_path, name):
    rng = random.Random(name)
    original = (run / name).read_bytes()
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    config_text = (folder / "manifest.json").read_text().replace(str(run), str(folder))
    (folder / "manifest.json").write_text(config_text)
    if name == "manifest.json":
        original = config_text.encode()
    said = 0
    for reader in READERS[name]:
        restore(run, folder, name, original)
        reader(folder)  # what is whole is read
        for number, content in enumerate(damaged(original, rng, count=6)):
            if reader in SLOW and number % 20:
                continue
            restore(run, folder, name, content)
            try:
                reader(folder)
            except USER_ERRORS as error:
                said += 1
                text = str(error)
                assert "Traceback" not in text
                assert str(folder) in text and FIX.search(text), f"no fix: {text}"
            except Exception as error:
                (tmp_path / "content").write_bytes(content)
                raise AssertionError(f"{name} in {tmp_path}/content: {type(error).__name__}: {error}") from error
    assert said or name in RECOVERED, "some damage must be noticed"


def restore(run, folder, name, content):
    """Put the folder back as it was, except the damaged file."""
    for path in folder.glob("checkpoints/mid/*"):
        shutil.rmtree(path)
    shutil.copytree(run / "checkpoints", folder / "checkpoints", dirs_exist_ok=True)
    for other in ("metrics.jsonl", "results.json"):
        shutil.copy(run / other, folder / other)
    for other in folder.glob(f"{name}-*"):
        other.unlink()
    (folder / name).write_bytes(content)


def test_a_flipped_bit_of_scores_is_never_another_number(run, tmp_path):
    path = tmp_path / "ppl.parquet"
    content = (run / "perplexity" / "ppl.parquet").read_bytes()
    good = read_scores(run / "perplexity" / "ppl.parquet")
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        try:
            found = read_scores(path)
        except UserError as error:
            assert f"{path} can't be read as Parquet" in str(error)
            continue
        assert found.items() <= good.items()


def test_a_damaged_answer_is_asked_again_by_a_run_and_refused_in_a_folder_of_the_user(run, tmp_path):
    shutil.copytree(run / "answers", tmp_path / "answers")
    path = tmp_path / "answers" / "t.jsonl"
    lines = path.read_text().splitlines()
    lines[2] = json.dumps(json.loads(lines[2]) | {"answers": [{"text": 3}]})
    path.write_text("\n".join(lines) + "\n")
    journal = Journal(Scripted(lambda ask: "new"), tmp_path / "answers", notice=lambda text: None, bound="weights")
    assert [found[0].text for found in collect(journal, asks(5)).values()].count("new") == 1
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match=r"t\.jsonl, line 3 holds no answers \(answers\.0\.text: Input should be"):
        answer(tmp_path, None)


def test_a_damaged_cached_answer_is_forgotten(tmp_path):
    cache = Cache(tmp_path / "c.sqlite")
    for key, text in (("a", '{"nll": 1'), ("b", "[1]"), ("c", '{"nll": "x", "tokens": 1}')):
        cache._connection.execute("INSERT INTO answers VALUES (?, ?, 0)", (key, text))
    assert cache.get(["a", "b", "c"], lambda key, answer: is_score(answer)) == {}
    cache.put("a", {"nll": 1.0, "tokens": 2})
    assert cache.get(["a"]) == {"a": {"nll": 1.0, "tokens": 2}}


def test_a_file_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"n": 3, "score": 0.1}')
    assert repr(read_json(path, dict[str, float])) == "{'n': 3, 'score': 0.1}", "a shape changes no number"
    path.write_text('{"n": "3"}')
    with pytest.raises(UserError, match=rf"^{path} is not a table \(n: Input should be a valid number\); burn it$"):
        read_json(path, dict[str, float], "burn it", "a table")
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match="can't be read: Is a directory"):
        read_json(path)
