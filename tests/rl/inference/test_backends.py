"""Backends: a real transformers model, real HTTP; thinking and answers apart."""

import json
import shutil

import pytest
from transformers import AutoTokenizer

from rl.errors import UserError
from rl.evaluate import main as evaluate
from rl.inference.backend import Answer, Ask
from rl.inference.backends.hf import TransformersBackend
from rl.inference.backends.served import ServedBackend, estimate, settings_of
from rl.inference.thinking import parted, prediction
from tests.rl.scripted import asks, collect
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


# --- transformers ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nano(models):
    return TransformersBackend(str(models["tied"]), batch_size=4)


def test_transformers_answers_like_a_bare_generate(nano):
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


def test_a_folder_s_sampling_settings_do_not_apply(nano, opinionated):
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


def test_a_server_with_defaults_of_the_model_gets_every_setting():
    with Server(lambda body: "答", owner="vllm") as server:
        arguments = {"enable_thinking": False}
        backend = ServedBackend(settings_of(server.url, "m"), chat_template_kwargs=arguments)
        collect(backend, asks(1))
    body = server.asked[-1]
    assert (body["top_k"], body["min_p"], body["repetition_penalty"]) == (-1, 0.0, 1.0)
    assert body["chat_template_kwargs"] == arguments


def test_what_a_server_can_t_answer_is_reported_after_the_rest(capfd):
    with Server(lambda body: 400 if "问题2" in str(body) else "答") as server:
        backend = ServedBackend(settings_of(server.url, "m", concurrency=2))
        found = {}
        with pytest.raises(UserError, match=r"1 of 5 questions have no answer .* t/2: HTTP 400"):
            backend.generate(asks(5), lambda ask, answers: found.update({ask.key: answers}))
        assert sorted(found) == ["t/0", "t/1", "t/3", "t/4"]
        assert found["t/0"][0].completion_tokens == 5
        for url in (server.url, server.url.replace("://", "://user:canary@")):
            with pytest.raises(UserError, match="serves m and not other") as refused:
                ServedBackend(settings_of(url, "other"))
            assert "canary" not in str(refused.value)
    with pytest.raises(UserError, match="does not answer") as refused:
        ServedBackend(settings_of("http://user:canary@127.0.0.1:9/v1", "m"))
    assert "canary" not in str(refused.value)
