"""Prompts and completions as token ids: stop tokens, control tokens, arguments and dates of chat templates."""

import datetime
import json
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curricula.prompts import ask
from curricula.statutes import law_setting, use_law
from rl.actors.rollout import RolloutActor
from rl.config.derive import chat_template_kwargs
from rl.config.fingerprint import config_fingerprint
from rl.config.schema import RunConfig, StatutesConfig
from rl.config.stages import SamplingConfig
from rl.errors import UserError
from rl.inference.backends.conversation import Chat
from rl.models import template
from rl.models.chat import load_tokenizer, opens_thinking, render_demonstration, render_prompt
from rl.models.control import encode
from rl.models.stops import completion_text, stop_ids, turn_end
from rl.models.template import bind, for_stage
from rl.records.manifest import Manifest
from tests.rl.models.families import FAMILIES, build

QUESTION = "盗窃罪的 法定刑 as an answer?"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("families")
    return {name: build(family, root / name) for name, family in FAMILIES.items()}


@pytest.fixture(scope="module")
def tokenizers(folders, models):
    nano = {name: load_tokenizer(str(path)) for name, path in models.items()}
    return {name: load_tokenizer(folder) for name, folder in folders.items()} | nano


def user(*contents):
    roles = ("user", "assistant") * len(contents)
    return [{"role": role, "content": content} for role, content in zip(roles, contents, strict=False)]


def plain(tokenizer, messages, **arguments):
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False, **arguments)
    return text, tokenizer.encode(text, add_special_tokens=False)


# --- stop tokens ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_the_turn_ends_as_the_template_ends_it(tokenizers, name):
    tokenizer, family = tokenizers[name], FAMILIES[name]
    ids = tokenizer.convert_tokens_to_ids
    assert turn_end(tokenizer) == ids(family.end)
    # The 2 of config.json is a letter here: a default of the architecture that nobody set.
    assert stop_ids(tokenizer) == {ids(text) for text in (family.tokens[0], *family.stops, family.end)}
    demonstration, length = render_demonstration(tokenizer, ask("t", QUESTION, "2", think="想"))
    assert demonstration[-1] == ids(family.end) and demonstration[:length] == plain(tokenizer, user(QUESTION))[1]
    written = tokenizer.decode(demonstration[length:-1])
    assert written == ("" if name == "r1" else "<think>") + "想</think><answer>2</answer>"


def test_the_nano_model_stops_where_it_always_did(models):
    tokenizer = load_tokenizer(str(models["tied"]))
    assert stop_ids(tokenizer) == {tokenizer.eos_token_id} and turn_end(tokenizer) == tokenizer.eos_token_id


def test_a_stop_token_that_config_json_names_counts_where_it_is_one(tmp_path):
    folder = tmp_path / "m"
    tokenizer = load_tokenizer(build(FAMILIES["words"], folder))
    (folder / "config.json").write_text(json.dumps({"eos_token_id": [2, tokenizer.eos_token_id]}))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [-1, tokenizer.eos_token_id]}))
    assert stop_ids(load_tokenizer(str(folder))) == {tokenizer.eos_token_id}, "-1 is no token"


@pytest.mark.parametrize("name", FAMILIES)
def test_every_stop_token_is_left_out_of_the_text_and_kept_in_the_ids(folders, tokenizers, name):
    tokenizer, text = tokenizers[name], "<think>想</think><answer>2</answer>"
    actor, chat = SimpleNamespace(tokenizer=tokenizer), Chat(folders[name])
    for some in [[stop] for stop in stop_ids(tokenizer)] + [sorted(stop_ids(tokenizer)), []]:
        ids = [*tokenizer.encode(text, add_special_tokens=False), *some]
        choice = SimpleNamespace(
            token_ids=ids, logprobs=[{token: SimpleNamespace(logprob=-1.0)} for token in ids], finish_reason="stop"
        )
        completion = RolloutActor._completion(actor, choice, 3)
        assert (
            completion.text == text and completion.token_ids.tolist() == ids and len(completion.log_probs) == len(ids)
        )
        answer = chat.answer([], ids, False)
        assert (answer.thinking, answer.text, answer.completion_tokens) == ("想", "<answer>2</answer>", len(ids))


def test_the_sampler_stops_at_every_stop_token_and_adds_nothing_of_its_own(tokenizers):
    asked = []
    engine = SimpleNamespace(add_request=lambda uid, prompt, params, lora_request: asked.append(params))
    actor = SimpleNamespace(
        tokenizer=tokenizers["gemma"], running={}, version=0, adapter=None, llm=SimpleNamespace(llm_engine=engine)
    )
    RolloutActor.submit(actor, [("u", [1, 2])], 2, SamplingConfig(max_tokens=5, min_tokens=2))
    (params,) = asked
    assert set(params.stop_token_ids) == stop_ids(tokenizers["gemma"]) and len(params.stop_token_ids) == 2
    assert (params.temperature, params.top_p, params.top_k, params.min_p) == (1.0, 1.0, -1, 0.0)
    assert (params.repetition_penalty, params.presence_penalty, params.frequency_penalty) == (1.0, 0.0, 0.0)


def test_a_demonstration_that_already_ends_its_turn_does_not_end_it_twice(tokenizers):
    tokenizer = tokenizers["gemma"]
    bare, ended = (
        render_demonstration(tokenizer, SimpleNamespace(messages=user("问"), demonstration=text))
        for text in ("<answer>2</answer>", "<answer>2</answer><end_of_turn>\n<eos>\n")
    )
    assert ended == bare


# --- control tokens -------------------------------------------------------------------------------------------------

words = st.lists(
    st.sampled_from(
        ["甲", "罪", " ", "\n", "a", "ss", "<", "|", ">", "<|", "|>", "im_end", "</", "s>", "[", "INST", "<think>",
         "</think>", "<answer>", "\ufdd0", "\ufdd1", "🙂"]
    ) | st.sampled_from(sorted({text for family in FAMILIES.values() for text in (*family.tokens, *family.plain)})),
    min_size=1, max_size=12,
).map("".join)  # fmt: skip


def control_of(tokenizer):
    tags = ("<think>", "</think>", "<answer>", "</answer>", "<tool_call>")
    return {token for token, added in tokenizer.added_tokens_decoder.items() if added.content not in tags}


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_text_becomes_a_control_token_and_none_is_lost(tokenizers, data):
    name = data.draw(st.sampled_from(sorted(tokenizers)))
    tokenizer, contents = tokenizers[name], data.draw(st.lists(words, min_size=3, max_size=3))
    messages = user(*contents)
    if name == "r1":  # its template shortens the assistant's messages
        messages[1]["content"] = "答"
    ids, (text, wanted) = render_prompt(tokenizer, messages), plain(tokenizer, messages)
    control = control_of(tokenizer)
    frame = [token for token in plain(tokenizer, user("问", "答", "问"))[1] if token in control]
    assert [token for token in ids if token in control] == frame, "those of the template, in its order"
    assert tokenizer.decode(ids) == text
    if [token for token in wanted if token in control] == frame:
        assert ids == wanted, "nothing changes where nothing has to"
    document = encode(tokenizer, contents[0])
    assert tokenizer.decode(document) == contents[0] and not control & set(document)


def test_overlapping_tokens_are_all_cut(tmp_path):
    from dataclasses import replace

    family = replace(FAMILIES["words"], tokens=("</s>", "<ab>", "b><c>", "<ab><c>"))
    tokenizer = load_tokenizer(build(family, tmp_path))
    assert not control_of(tokenizer) & set(encode(tokenizer, "<ab><c></s></s>"))


@pytest.mark.parametrize("name", ["qwen3", "gemma", "llama3", "glm"])
def test_demonstrations_keep_their_tags_and_nothing_that_ends_a_turn(tokenizers, name):
    tokenizer, family = tokenizers[name], FAMILIES[name]
    text = f"<think>甲{family.end}乙</think><answer>{family.tokens[0]}丙</answer>"
    ids, length = render_demonstration(tokenizer, SimpleNamespace(messages=user("问"), demonstration=text))
    assert tokenizer.decode(ids[length:-1]) == text
    assert not stop_ids(tokenizer) & set(ids[length:-1]) and ids[-1] == turn_end(tokenizer)
    if name == "qwen3":
        assert tokenizer.convert_tokens_to_ids("<think>") == ids[length]


# --- messages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "the prompt has no message"),
        (user("甲", "<think>"), "the last message is of role assistant, and a prompt ends with the user's question"),
        ([{"role": "human", "content": "谁管辖？"}], "message 1 is of role 'human'; use one of system, user"),
        ([*user("甲", "乙"), {"role": "system", "content": "丙"}, *user("丁")], "message 3 is the system's"),
        ([{"role": "user", "content": [{"type": "image"}]}], "message 1 holds a list of parts and not text; images"),
        ([{"role": "user", "content": None}], "message 1 holds NoneType and not text"),
    ],
)
def test_messages_that_are_no_prompt_are_refused(tokenizers, messages, reason):
    with pytest.raises(UserError, match=reason):
        render_prompt(tokenizers["qwen3"], messages)


def test_what_a_template_refuses_is_a_sentence_with_the_fix(tokenizers):
    messages = [{"role": "system", "content": "你是法官"}, *user("甲")]
    with pytest.raises(
        UserError, match=r"gemma refuses these messages: no system role here; put the text of the system"
    ):
        render_prompt(tokenizers["gemma"], messages)
    with pytest.raises(UserError, match=r"mistral refuses these messages: roles are user and assistant; put the text"):
        render_prompt(tokenizers["mistral"], messages)
    broken = bind(tokenizers["qwen3"])
    broken.chat_template = "{{ functions[0] }}" + broken.chat_template
    with pytest.raises(
        UserError, match=r"'functions' is undefined; give what it asks for \(a variable in chat_template_k"
    ):
        render_prompt(broken, user("甲"))
    broken.chat_template = "{% if %}"
    with pytest.raises(UserError, match="refuses these messages: Expected an expression"):
        render_prompt(broken, user("甲"))


def test_a_template_that_leaves_out_a_message_is_refused(tokenizers):
    with pytest.raises(UserError, match="words leaves out the text of the system message '你是法官'"):
        render_prompt(tokenizers["words"], [{"role": "system", "content": "你是法官"}, *user("甲")])
    first = bind(tokenizers["qwen3"])
    first.chat_template = "<|im_start|>{{ messages[0].content }}<|im_end|>"
    with pytest.raises(UserError, match="leaves out the text of the user message '丙丙丙'"):
        render_prompt(first, user("甲", "乙", "丙丙丙"))
    first.chat_template = "<|im_start|>{{ messages[-1].content | trim | replace(' ', '') }}<|im_end|>"
    assert first.decode(render_prompt(first, user(" 甲 乙\n"))) == "<|im_start|>甲乙<|im_end|>", "spaces may go"
    system = {"role": "system", "content": "甲乙"}
    with pytest.raises(UserError, match="leaves out the text of the system message '甲乙'"):
        render_prompt(first, [system, *user("甲乙丙")])
    first.chat_template = "<|im_start|>{{ messages[1].content }}{{ messages[0].content }}<|im_end|>"
    assert first.decode(render_prompt(first, [system, *user("甲乙丙")])) == "<|im_start|>甲乙丙甲乙<|im_end|>"


# --- arguments and dates --------------------------------------------------------------------------------------------


def test_arguments_reach_the_template_and_a_demonstration_then_has_no_thinking(tokenizers):
    tokenizer = bind(tokenizers["qwen3"], {"enable_thinking": False})
    prompt = ask("t", QUESTION, "2", think="想")
    ids, length = render_demonstration(tokenizer, prompt)
    assert ids[:length] == render_prompt(tokenizer, prompt.messages)
    assert ids[:length] == plain(tokenizers["qwen3"], list(prompt.messages), enable_thinking=False)[1]
    assert tokenizer.decode(ids[:length]).endswith("<think>\n\n</think>\n\n") and not opens_thinking(
        tokenizer, ids[:length]
    )
    assert tokenizer.decode(ids[length:]) == "<answer>2</answer><|im_end|>"
    assert render_prompt(tokenizers["qwen3"], prompt.messages) != ids[:length], "the tokenizer it was made from stays"
    assert stop_ids(tokenizer) == stop_ids(tokenizers["qwen3"])


def test_an_argument_that_the_template_does_not_use_is_refused(tokenizers):
    with pytest.raises(
        UserError, match=r"thinking: the chat template of .*qwen3 does not use it; its variables are enable_t"
    ):
        bind(tokenizers["qwen3"], {"thinking": True})
    with pytest.raises(UserError, match=r"chat_template_kwargs\.messages: .* its variables are date_string$"):
        bind(tokenizers["llama3"], {"messages": []})
    with pytest.raises(UserError, match="it has none"):
        bind(tokenizers["tied"], {"enable_thinking": False})
    for name in ("m", "bos_token", "add_generation_prompt", "strftime_now"):
        with pytest.raises(UserError, match="does not use it"):
            bind(tokenizers["llama3"], {name: "x"})


def run_config(**model):
    stages = [
        {"name": "teach", "kind": "sft", "steps": 1, "demonstrations": {"age": 1}},
        {"name": "look", "kind": "evaluate", "tasks": ["age"], "chat_template_kwargs": {"enable_thinking": True}},
    ]
    return RunConfig.model_validate({"run_dir": "r", "model": model, "curriculum": {"name": "c", "stages": stages}})


def test_a_stage_s_arguments_win_over_the_model_s(tokenizers):
    config = run_config(chat_template_kwargs={"enable_thinking": False})
    teach, look = config.curriculum.stages
    assert chat_template_kwargs(config, teach) == {"enable_thinking": False}
    assert chat_template_kwargs(config, look) == {"enable_thinking": True}
    bound = [for_stage(tokenizers["qwen3"], config, stage) for stage in (teach, look)]
    shown = [tokenizer.decode(render_prompt(tokenizer, user("甲"))) for tokenizer in bound]
    assert ["</think>" in text for text in shown] == [True, False]
    with pytest.raises(UserError, match=r"^stage look: chat_template_kwargs.enable_thinking: the chat template of"):
        for_stage(tokenizers["tied"], config, look)
    assert config_fingerprint(config)["model"] != config_fingerprint(run_config())["model"]


def test_the_date_is_the_one_that_is_bound(tokenizers):
    tokenizer = bind(tokenizers["llama3"], date=datetime.date(2026, 3, 5))
    assert "Today: 05 Mar 2026<" in tokenizer.decode(render_prompt(tokenizer, user("甲")))
    given = bind(tokenizer, {"date_string": "1 May 1997"})
    assert "Today: 1 May 1997<" in given.decode(render_prompt(given, user("甲")))
    again = bind(given, {})
    assert "Today: 05 Mar 2026<" in again.decode(render_prompt(again, user("甲"))), "arguments leave the date alone"


def test_without_a_date_the_first_day_of_the_process_stays(tokenizers, monkeypatch):
    from transformers.utils import chat_template_utils

    before = render_prompt(tokenizers["llama3"], user("甲"))
    assert f" {template._today().year}<" in tokenizers["llama3"].decode(before)

    class Tomorrow(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2099, 12, 31)

        today = now

    monkeypatch.setattr(chat_template_utils, "datetime", Tomorrow)
    monkeypatch.setattr(template.datetime, "date", Tomorrow)
    assert "31 Dec 2099" in plain(tokenizers["llama3"], user("甲"))[0], "as the template itself would have it"
    assert render_prompt(tokenizers["llama3"], user("甲")) == before


@pytest.fixture
def law():
    before = law_setting()
    yield
    use_law(before.as_of, before.folder)


def test_a_run_keeps_the_date_on_which_it_began(tmp_path, law):
    of_one_day = StatutesConfig(as_of=datetime.date(2026, 11, 26))  # so that the run's data stay what they are
    config = run_config().model_copy(update={"run_dir": str(tmp_path / "run"), "statutes": of_one_day})
    first = Manifest.open(tmp_path / "run", config)
    assert first.date >= datetime.date.today() - datetime.timedelta(days=1)
    first.content["date"] = "2026-02-03"
    first.write()
    assert Manifest.open(tmp_path / "run", config).date == datetime.date(2026, 2, 3)
    del first.content["date"]  # the file of a run of an earlier version
    first.write()
    assert Manifest.open(tmp_path / "run", config).date >= datetime.date.today() - datetime.timedelta(days=1)


def test_completions_decode_to_the_text_of_their_ids(tokenizers):
    tokenizer = tokenizers["qwen3"]
    ids = tokenizer.encode("甲<|im_start|>乙<|im_end|><|endoftext|>", add_special_tokens=False)
    assert completion_text(tokenizer, ids) == "甲<|im_start|>乙", "only what ends it is left out"
