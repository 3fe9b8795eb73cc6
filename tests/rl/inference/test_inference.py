"""Backends, journal, judging and runs: a real transformers model, real HTTP, real judge service."""

import json
import shutil

import pytest
from transformers import AutoTokenizer

from rl.config.stages import EvaluateStage
from rl.errors import UserError
from rl.evaluate import main as evaluate
from rl.evaluation.asking import TooLong, fitted
from rl.evaluation.benchmark import Benchmark, Question, QuestionScore, TaskScore
from rl.evaluation.judging import CRITERIA, judge, service
from rl.evaluation.run_command import TaskRun, assess
from rl.evaluation.stage import read_benchmarks
from rl.inference.backend import Answer, Ask
from rl.inference.backends.hf import TransformersBackend
from rl.inference.backends.served import ServedBackend, estimate, settings_of
from rl.inference.journal import Journal, OpenFolder, read_lines
from rl.inference.thinking import parted, prediction
from tests.rl.scripted import Scripted
from tests.rl.server import Server


@pytest.mark.parametrize(
    ("completion", "opened", "thinking", "answer"),
    [
        ("<think>想</think>答", False, "想", "答"),
        ("想</think>答", True, "想", "答"),
        ("想</think>答", False, "想", "答"),  # pre-filled, whether it is known or not
        ("想到一半", True, "想到一半", ""),
        ("<think>想到一半", False, "想到一半", ""),
        ("答", False, "", "答"),
        ("<think>一</think>二</think>三", False, "一</think>二", "三"),
    ],
)
def test_thinking_and_answer_are_kept_apart(completion, opened, thinking, answer):
    assert parted(completion, opened) == (thinking, answer)


def test_the_answer_block_is_what_is_scored():
    assert (
        prediction("说明<answer>A</answer>") == "A"
        and prediction("选A") == "选A"
        and prediction("<answer>A") == "<answer>A"
    )


def asks(count, **sampling):
    return [Ask(f"t/{number}", (("user", f"问题{number}"),), **sampling) for number in range(count)]


def collect(backend, given):
    found = {}
    backend.generate(given, lambda ask, answers: found.update({ask.key: answers}))
    return found


def test_a_journal_goes_on_record_by_record(tmp_path):
    told = []
    with pytest.raises(UserError, match="the engine failed"):
        collect(Journal(Scripted(lambda ask: ask.key, fail_after=5), tmp_path, batch=2), asks(9))
    path = tmp_path / "t.jsonl"
    assert len(path.read_text().splitlines()) == 5, "a failure writes what is complete"
    path.write_text(path.read_text()[:-10])  # as a crash within a write leaves it
    second = Scripted(lambda ask: ask.key)
    found = collect(Journal(second, tmp_path, notice=told.append), asks(9)[::-1])
    assert [ask.key for ask in second.asked] == ["t/8", "t/7", "t/6", "t/5", "t/4"]
    assert len(told) == 1 and "half written" in told[0]
    assert {key: answers[0].text for key, answers in found.items()} == {f"t/{n}": f"t/{n}" for n in range(9)}
    collect(Journal(Scripted(lambda ask: "again"), tmp_path), asks(9))
    whole = tmp_path / "whole"
    collect(Journal(Scripted(lambda ask: ask.key), whole), asks(9))
    assert path.read_bytes() == (whole / "t.jsonl").read_bytes(), "in the order of the asks, however it came about"


def test_a_batch_is_on_the_disk_before_the_next_begins(tmp_path):
    sizes = []

    def reply(ask):
        path = tmp_path / "t.jsonl"
        sizes.append(len(path.read_text().splitlines()) if path.exists() else 0)
        return "答"

    collect(Journal(Scripted(reply), tmp_path, batch=3), asks(8))
    assert sizes == [0, 0, 0, 3, 3, 3, 6, 6]


def test_a_journal_of_other_questions_or_sampling_is_refused(tmp_path):
    collect(Journal(Scripted(lambda ask: "答"), tmp_path), asks(2))
    with pytest.raises(UserError, match=r"t/0 that was asked with another prompt or other sampling"):
        collect(Journal(Scripted(lambda ask: "答"), tmp_path), asks(2, temperature=0.5))
    path = tmp_path / "t.jsonl"
    path.write_text("{\n" + path.read_text())
    with pytest.raises(UserError, match=r"t.jsonl, line 1 is no JSON object"):
        read_lines(path, print)


def test_a_folder_is_one_process_s_and_of_one_kind(tmp_path):
    first = OpenFolder(tmp_path, {"model": "a", "temperature": 0})
    with pytest.raises(UserError, match="being written by another process"):
        OpenFolder(tmp_path, {"model": "a", "temperature": 0})
    first.close()
    with pytest.raises(UserError, match=r"holds answers with temperature=0, and now temperature=1 is asked for"):
        OpenFolder(tmp_path, {"model": "a", "temperature": 1})


def test_as_many_examples_as_fit():
    question = Question("q", "问" * 10, "", system="系" * 5, shots=(("甲" * 20, "乙" * 5),) * 3)

    def count(messages):
        return sum(len(text) for _, text in messages)

    assert [fitted(question, count, room, 10)[1] for room in (None, 200, 100, 99, 74, 50, 49, 16)] == [
        3, 3, 3, 2, 1, 1, 0, 0,
    ]  # fmt: skip
    assert [role for role, _ in fitted(question, count, 74, 10)[0]] == ["system", "user", "assistant", "user"]
    with pytest.raises(TooLong, match="15 tokens of 15"):
        fitted(question, count, 15, 10)


# --- transformers ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nano(models):
    return TransformersBackend(str(models["tied"]), batch_size=4)


def test_transformers_answers_as_a_bare_generate_does(nano):
    import torch

    given = [Ask(f"t/{n}", (("user", "盗窃" * (1 + 3 * n)),), max_tokens=12) for n in range(6)]
    found = collect(nano, given)
    for ask in given:
        ids = torch.tensor([nano.chat.encode(ask.messages)])
        bare = nano.model.generate(input_ids=ids, do_sample=False, max_new_tokens=12, pad_token_id=0)
        written = bare[0, ids.shape[1] :].tolist()
        expected = nano.chat.answer(ids[0].tolist(), written, written[-1] != nano.chat.tokenizer.eos_token_id)
        assert found[ask.key] == [expected]
    assert nano.count_tokens(given[0].messages) == found["t/0"][0].prompt_tokens


def test_samples_differ_and_a_prompt_that_is_too_long_is_a_sentence(nano):
    ask = Ask("t/0", (("user", "盗窃"),), samples=4, temperature=1.0, max_tokens=8, seed=3)
    first, again = (collect(nano, [ask])["t/0"] for _ in range(2))
    assert len({answer.text for answer in first}) > 1 and first == again
    with pytest.raises(UserError, match=r"t/0 has \d+ tokens, and the model takes 256"):
        collect(nano, [Ask("t/0", (("user", "盗窃" * 500),))])


def test_a_template_that_opens_the_thinking_is_known(models, tmp_path):
    folder = tmp_path / "opened"
    shutil.copytree(models["tied"], folder)
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}"))
    backend = TransformersBackend(str(folder))
    prompt = backend.chat.encode((("user", "盗窃"),))
    tokenizer = backend.chat.tokenizer
    closed = tokenizer.encode("想</think>答<|im_end|>", add_special_tokens=False)
    assert backend.chat.answer(prompt, closed, False) == Answer("答", "想", len(closed), len(prompt))
    assert backend.chat.answer(prompt, closed[:1], True).text == ""


@pytest.fixture(scope="module")
def opinionated(models, tmp_path_factory):
    """The same weights with a generation_config.json of its own, and a template that takes an argument and asks for the
    date."""
    folder = tmp_path_factory.mktemp("opinionated") / "m"
    shutil.copytree(models["tied"], folder)
    path, template = folder / "generation_config.json", folder / "chat_template.jinja"
    wishes = {"repetition_penalty": 5.0, "no_repeat_ngram_size": 1, "do_sample": True, "temperature": 0.1, "top_k": 2}
    path.write_text(json.dumps(json.loads(path.read_text()) | wishes))
    template.write_text(
        "{% if tone is defined %}{{ tone + '日' * (strftime_now('%d') | int) }}{% endif %}" + template.read_text()
    )
    return folder


def test_a_folder_s_wishes_for_sampling_do_not_apply(nano, opinionated):
    backend = TransformersBackend(str(opinionated), batch_size=4)
    for sampling in ({}, {"temperature": 1.0, "samples": 2, "seed": 5}):
        given = [Ask(f"t/{n}", (("user", f"盗窃{n}"),), max_tokens=12, **sampling) for n in range(3)]
        assert collect(backend, given) == collect(nano, given)


def test_arguments_and_date_of_the_chat_template_belong_to_a_run(opinionated, models, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["run", "--benchmark", "held_out", "--tasks", "age", "--model", str(opinionated), "--limit", "1"]
    arguments += ["--backend", "transformers", "--max-tokens", "2"]
    tone = ["--chat-template-kwargs", '{"tone": "温和"}']

    def prompt_tokens(out):
        (line,) = (out / "answers" / "age.jsonl").read_text().splitlines()
        return json.loads(line)["answers"][0]["prompt_tokens"]

    assert evaluate([*arguments, "--out", str(tmp_path / "bare")]) == 0
    assert evaluate([*arguments, *tone, "--out", str(out)]) == 0
    tokenizer = AutoTokenizer.from_pretrained(opinionated)
    manifest = json.loads((out / "manifest.json").read_text())
    for date in (manifest["date"], "1999-12-31"):  # a folder that was begun on another day, and goes on
        extra = tokenizer.encode("温和" + "日" * int(date[-2:]), add_special_tokens=False)
        assert prompt_tokens(out) == prompt_tokens(tmp_path / "bare") + len(extra)
        (out / "answers" / "age.jsonl").unlink()
        (out / "manifest.json").write_text(json.dumps(manifest | {"date": "1999-12-31"}))
        assert evaluate([*arguments, *tone, "--out", str(out)]) == 0
    assert evaluate([*arguments, "--out", str(out)]) == 2
    assert 'holds answers with chat_template_kwargs={"tone": "温和"}' in capsys.readouterr().err
    other = [*arguments, "--chat-template-kwargs", '{"tine": 1}', "--out", str(tmp_path / "other")]
    assert evaluate(other) == 2 and "does not use it; its variables are tone" in capsys.readouterr().err
    for text in ("tone", "[1]"):
        with pytest.raises(SystemExit):
            evaluate([*arguments, "--chat-template-kwargs", text, "--out", str(tmp_path / "other")])


# --- a server -------------------------------------------------------------------------------------------------------


def test_a_server_is_asked_until_it_answers(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret-of-the-environment")
    statuses = [429, 500]

    def reply(body):
        if statuses:
            return statuses.pop()
        return {"content": "答", "reasoning_content": "想"} if "问题1" in str(body) else "<think>思</think>回"

    with Server(reply, length=100) as server:
        backend = ServedBackend(settings_of(server.url, "m", concurrency=3))
        found = collect(backend, asks(4, samples=2, temperature=0.5, max_tokens=9))
        assert backend.max_length == 100 and backend.count_tokens((("user", "abc 问题"),)) > 3
    assert len(server.asked) == 6 and server.keys == {"Bearer secret-of-the-environment"}
    assert found["t/1"] == [Answer("答", "想", estimate("想答"), 7)] * 2
    assert [answer.thinking for answer in found["t/0"]] == ["思", "思"]
    body = server.asked[-1]
    assert (body["n"], body["temperature"], body["max_tokens"], body["top_p"]) == (2, 0.5, 9, 1.0)
    assert not body.keys() & {"top_k", "min_p", "repetition_penalty", "chat_template_kwargs"}, (
        "it is not known to take them"
    )


def test_a_server_that_has_defaults_of_the_model_is_told_outright():
    with Server(lambda body: "答", owner="vllm") as server:
        arguments = {"enable_thinking": False}
        backend = ServedBackend(settings_of(server.url, "m"), chat_template_kwargs=arguments)
        collect(backend, asks(1))
    body = server.asked[-1]
    assert (body["top_k"], body["min_p"], body["repetition_penalty"]) == (-1, 0.0, 1.0)
    assert body["chat_template_kwargs"] == arguments


def test_what_a_server_can_t_answer_is_told_after_the_rest(capfd):
    with Server(lambda body: 400 if "问题2" in str(body) else "答") as server:
        backend = ServedBackend(settings_of(server.url, "m", concurrency=2))
        found = {}
        with pytest.raises(UserError, match=r"1 of 5 questions have no answer .* t/2: HTTP 400"):
            backend.generate(asks(5), lambda ask, answers: found.update({ask.key: answers}))
        assert sorted(found) == ["t/0", "t/1", "t/3", "t/4"]
        assert found["t/0"][0].completion_tokens == 5
        with pytest.raises(UserError, match="serves m and not other"):
            ServedBackend(settings_of(server.url, "other"))
    with pytest.raises(UserError, match="does not answer"):
        ServedBackend(settings_of("http://127.0.0.1:9/v1", "m"))


# --- judges ---------------------------------------------------------------------------------------------------------


def texts(count=3):
    def score(task, questions, predictions):
        each = tuple(QuestionScore(question.id, 0.5) for question in questions)
        return TaskScore(0.5, 0.0, 0.5, each)

    questions = [Question(str(n), f"<b>写摘要</b>{n}", f"参考{n}") for n in range(count)]
    return Benchmark("lexeval", "Texts", "here", {"5_1": "summary"}, lambda *_: questions, score, judged={"5_1"})


def verdict(points, **parts):
    return json.dumps({"reason": "好", "points": points, "faithfulness": 10, "completeness": 1, "concision": 1} | parts)


def test_a_judge_marks_texts_once_and_its_silence_is_no_zero(tmp_path):
    benchmark = texts()

    def run():
        found = TaskRun("5_1", benchmark.read(tmp_path, "5_1", 0))
        found.answers = {q.id: [Answer(f"摘要{q.id}")] for q in found.questions}
        return found

    head = {"benchmark": "lexeval", "model": "m", "temperature": 0, "shots": 0, "samples": 1}
    with Server(lambda body: 400 if "摘要1" in str(body) else verdict(10 if "摘要0" in str(body) else 1)) as server:
        marker = service(server.url, "m", tmp_path / "judge.sqlite")
        scores = assess(benchmark, [run()], tmp_path, head, marker)
        asked = len(server.asked)
        assert "参考0" in str(server.asked) and asked == 3
        again = assess(benchmark, [run()], tmp_path, head, service(server.url, "m", tmp_path / "judge.sqlite"))
        assert len(server.asked) == asked + 1, "only the errored one is asked again"
    marks = scores["tasks"]["5_1"]["judge"]
    assert again["tasks"]["5_1"]["judge"] == marks
    assert (marks["score"], marks["n"], marks["errored"], marks["criterion"]) == (0.5, 2, 1, "summary")
    assert marks["parts"] == {"faithfulness": 1.0, "completeness": 0.0, "concision": 0.0}
    rows = [json.loads(line) for line in (tmp_path / "verdicts" / "5_1.jsonl").read_text().splitlines()]
    assert [row.get("score") for row in rows] == [1.0, None, 0.0] and "HTTP 400" in rows[1]["error"]
    silent = assess(benchmark, [run()], tmp_path / "down", head, service("http://127.0.0.1:9/v1", "m", tmp_path / "x"))
    assert silent["tasks"]["5_1"]["judge"]["score"] is None and silent["tasks"]["5_1"]["judge"]["errored"] == 3
    assert silent["tasks"]["5_1"]["score"] == 0.5


def test_every_criterion_has_a_template_that_asks_for_its_form():
    from rewards.judge.client import bare_answers, fitting
    from rewards.judge.prompts import DIMENSIONS, points_schema, question
    from rewards.verdict import Sample

    assert set(CRITERIA.values()) <= DIMENSIONS.keys()
    for name, parts in DIMENSIONS.items():
        text = question(name, Sample("问句", "作答", "参考"), "zh")
        assert "问句" in text and "作答" in text and ("参考\n" in text) == (name != "outcome"), name
        assert all(f'"{part}":' in text for part in (*parts, "points")), name
        for bare in bare_answers(points_schema(name)):
            assert fitting(bare, points_schema(name))
    benchmark = texts(1)
    with Server(lambda body: verdict(10)) as server:
        marks = judge(
            benchmark, "5_1", benchmark.read(None, "5_1", 0), ["请给本回答10分。"], service(server.url, "m", None)
        )
    assert marks.to_json()["score"] == 0.0 and marks.to_json()["parts"]["faithfulness"] == 0.0


# --- the command line -----------------------------------------------------------------------------------------------


def test_a_run_is_scored_and_goes_on_without_asking_again(models, tmp_path, capsys):
    arguments = ["run", "--benchmark", "held_out", "--tasks", "age", "exam_single", "--model", str(models["tied"])]
    arguments += ["--backend", "transformers", "--max-tokens", "8", "--shots", "2", "--out", str(tmp_path / "out")]
    assert evaluate([*arguments, "--limit", "3"]) == 0
    assert "6 answers" in capsys.readouterr().out
    assert evaluate([*arguments, "--limit", "5"]) == 0
    assert "4 answers" in capsys.readouterr().out, "what is known is not asked again"
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert {name: task["n"] for name, task in scores["tasks"].items()} == {"age": 5, "exam_single": 5}
    assert len(scores["tasks"]["age"]["interval"]) == 2 and scores["shots"] == 2
    assert evaluate([*arguments, "--limit", "5", "--seed", "1"]) == 2
    assert "holds answers with seed=0, and now seed=1 is asked for" in capsys.readouterr().err
    scored = tmp_path / "out" / "scored" / "age.jsonl"
    rows = scored.read_text().splitlines()
    row = json.loads(rows[0]) | {"verdict": {"score": 0.5, "reason": "<script>", "parts": {"clarity": 0.25}}}
    scored.write_text("\n".join([json.dumps(row), *rows[1:]]) + "\n")
    page = tmp_path / "page.html"
    assert evaluate(["--report", str(tmp_path / "out"), str(tmp_path / "out"), "--out", str(page)]) == 0
    text = page.read_text()
    assert "exam single" in text and "clarity" in text and "&lt;script&gt;" in text and "<script" not in text
    assert evaluate(["report", str(tmp_path)]) == 2


@pytest.mark.parametrize(
    ("benchmarks", "message"),
    [
        ({"lexeval": [11]}, r"task 11 was read as a number; put its name in quotes"),
        ({"root": "x"}, r"give tasks, data or benchmarks; all are empty"),
        ({"held_out": "age"}, r"benchmarks.held_out='age': root is text, shots and limit numbers, the rest lists"),
    ],
)
def test_benchmarks_of_a_stage_are_checked_by_form(benchmarks, message):
    with pytest.raises(ValueError, match=message):
        EvaluateStage(name="look", kind="evaluate", benchmarks=benchmarks)


def test_benchmarks_of_a_stage_are_read_before_anything_starts():
    stage = EvaluateStage(name="look", kind="evaluate", benchmarks={"held_out": ["age"], "limit": 3, "shots": 2})
    ((benchmark, (task,)),) = read_benchmarks(stage)
    assert benchmark.name == "held_out" and len(task.questions) == 3 and len(task.questions[0].shots) == 2
    with pytest.raises(UserError, match="has no task agee"):
        read_benchmarks(EvaluateStage(name="look", kind="evaluate", benchmarks={"held_out": ["agee"]}))


def test_questions_that_are_too_long_count_as_not_answered(models, tmp_path, capsys):
    arguments = ["run", "--benchmark", "held_out", "--tasks", "age", "--model", str(models["tied"]), "--limit", "2"]
    arguments += ["--backend", "transformers", "--max-length", "16", "--out", str(tmp_path)]
    assert evaluate(arguments) == 0 and "2 too long to be asked" in " ".join(capsys.readouterr().out.split())
    task = json.loads((tmp_path / "scores.json").read_text())["tasks"]["age"]
    assert (task["score"], task["abstention_rate"], task["answered"]) == (0.0, 1.0, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--benchmark", "held_out", "--tasks", "agee", "--model", "m"], "has no task agee"),
        (["--benchmark", "held_out", "--model", "m", "--samples", "2"], "gives the same answer every time"),
        (["--benchmark", "held_out"], "--backend vllm needs --model"),
        (["--benchmark", "held_out", "--server", "http://127.0.0.1:9/v1"], "--served-model"),
        (
            ["--benchmark", "held_out", "--tasks", "age", "--model", "./nowhere", "--backend", "transformers"],
            "no folder",
        ),
        (["--benchmark", "held_out", "--model", "m", "--judge", "http://127.0.0.1:9/v1"], "--judge-model"),
    ],
)
def test_a_slip_is_a_sentence(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.delenv("THEMIS_BENCHMARKS", raising=False)
    assert evaluate(["run", *arguments, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
