"""The nano model and its tokenizer, and model folders that are broken."""

import json

import pytest

from curricula.tasks import make_prompts
from rewards.total import score
from rl.config.schema import ModelConfig, NanoConfig
from rl.driver.scoring import samples_of
from rl.errors import UserError
from rl.models.chat import load_tokenizer, opens_thinking, render_demonstration, render_prompt
from rl.models.control import TAGS
from rl.models.nano import SPECIAL_TOKENS, build_tokenizer, ensure_nano, resolve_model
from rl.samples import Completion, Group


def test_the_nano_model_is_an_ordinary_folder_and_reproducible(models, tmp_path):
    shape = NanoConfig(
        vocab_size=1500, hidden_size=64, layers=2, heads=2, kv_heads=1, head_dim=32, intermediate_size=128
    )
    again = ensure_nano(shape, 0, 256, tmp_path)
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (again / name).read_bytes() == (models["tied"] / name).read_bytes()
    assert ensure_nano(shape, 1, 256, tmp_path) != again
    assert [p.name for p in tmp_path.iterdir() if "partial" in p.name] == []


def test_the_tokenizer_round_trips_and_keeps_special_tokens_whole(models):
    tokenizer = load_tokenizer(str(models["tied"]))
    for text in ("被告人张某犯盗窃罪，判处有期徒刑三年。", "𠮷 emoji 🙂\t\n", "<think>甲</think><answer>乙</answer>"):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text
    for token in (*SPECIAL_TOKENS, *TAGS):
        assert len(tokenizer.encode(token, add_special_tokens=False)) == 1


def test_who_skips_special_tokens_keeps_the_tags(models, tmp_path, capsys):
    """And a model of an earlier version, which loses them, is told of."""
    text = "<think>甲</think><answer>乙</answer>"
    tokenizer = load_tokenizer(str(models["tied"]))
    ids = tokenizer.encode(text + tokenizer.eos_token, add_special_tokens=False)
    assert tokenizer.decode(ids, skip_special_tokens=True) == text and "special" not in capsys.readouterr().err
    tokenizer.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    for token in saved["added_tokens"]:
        token["special"] = True
    (tmp_path / "tokenizer.json").write_text(json.dumps(saved), encoding="utf-8")
    for _ in range(2):
        earlier = load_tokenizer(str(tmp_path))
    assert earlier.decode(ids, skip_special_tokens=True) == "甲乙"
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and f"<think>, </think>, <answer>, </answer> are special tokens in {tmp_path}" in said[0]


def test_numbers_below_a_hundred_are_one_token():
    tokenizer = build_tokenizer(NanoConfig().vocab_size)
    assert all(len(tokenizer.encode(f"{n}年", add_special_tokens=False)) == 2 for n in range(100))
    assert tokenizer.eos_token == "<|im_end|>" and tokenizer.unk_token is None


def test_what_sft_trains_on_begins_with_what_rollout_sees(models):
    tokenizer = load_tokenizer(str(models["tied"]))
    for prompt in make_prompts("charge", "train", 10, seed=0):
        ids, length = render_demonstration(tokenizer, prompt)
        assert ids[:length] == render_prompt(tokenizer, prompt.messages)
        assert tokenizer.decode(ids[length:-1]) == prompt.demonstration and ids[-1] == tokenizer.eos_token_id


def test_a_template_that_opens_the_reasoning_is_read_as_if_the_policy_had(models):
    tokenizer = load_tokenizer(str(models["tied"]))
    prompt = make_prompts("charge", "train", 1, seed=0)[0]
    written = prompt.demonstration.removeprefix("<think>")
    plain = render_prompt(tokenizer, prompt.messages)
    tokenizer.chat_template += "{{ '<think>\\n' }}"
    opened = render_prompt(tokenizer, prompt.messages)
    assert opens_thinking(tokenizer, opened) and not opens_thinking(tokenizer, plain)
    ids, length = render_demonstration(tokenizer, prompt)
    assert tokenizer.decode(ids[length:-1]) == written, "a demonstration does not open it twice"
    for ids, wanted in ((opened, 1.0), (plain, 0.0)):
        completion = Completion([1], [0.0], written, "stop", 0)
        (sample,) = samples_of(Group("uid", prompt, ids, [completion]), tokenizer)
        assert score("format", sample).score == wanted


def test_broken_model_folders_are_named(tmp_path):
    with pytest.raises(UserError, match=r"no config\.json"):
        resolve_model(ModelConfig(path=str(tmp_path)), 0, tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="safetensors"):
        resolve_model(ModelConfig(path=str(tmp_path)), 0, tmp_path)
    with pytest.raises(UserError, match="no tokenizer can be loaded"):
        load_tokenizer(str(tmp_path))
