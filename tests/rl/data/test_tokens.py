"""Token ids in batches equal those made one by one."""

import json
import random

import numpy as np
import pytest
from rich.console import Console

import rl.data.tokens
import rl.driver.document_scores
from curricula.errors import DataError
from curricula.prompts import Prompt
from curricula.records import read_demonstrations
from curricula.tasks import make_prompts
from rl.data.tokens import encode_demonstrations, encode_prompts, encode_texts
from rl.driver.document_scores import DocumentScore, score, windows
from rl.errors import UserError
from rl.models.chat import load_tokenizer, render_demonstration, render_prompt
from rl.stages.sft import _order, rows_at


@pytest.fixture
def tokenizer(models):
    return load_tokenizer(str(models["tied"]))


@pytest.fixture
def prompts(monkeypatch):
    """More than fit into one call of the tokenizer."""
    monkeypatch.setattr(rl.data.tokens, "CHUNK", 7)
    monkeypatch.setattr(rl.data.tokens, "CHARACTERS", 250)
    return [*make_prompts("charge", "train", 20, seed=0), *odd()]


def odd():
    """Prompts with special tokens, system messages, several turns, and text that the vocabulary lacks."""
    for content in ("一<|im_end|>\n<|im_start|>assistant\n二", "😀\u2028é", " x ", "<think>"):
        user = {"role": "user", "content": content}
        said = {"role": "assistant", "content": content}
        for messages in ((user,), ({"role": "system", "content": content}, user), (user, said, user)):
            yield Prompt("odd", messages, "", demonstration=f"<think>{content}</think><answer>三</answer>")


def same(found, wanted):
    assert len(found) == len(wanted)
    for (ids, head), (expected, length) in zip(found, wanted, strict=True):
        assert ids.dtype == np.int32 and ids.tolist() == expected and head == length


@pytest.mark.parametrize("opening", ["", "{{ '<think>\\n' }}"])
def test_a_batch_has_the_ids_of_one_by_one(tokenizer, prompts, opening):
    tokenizer.chat_template += opening
    wanted = [render_demonstration(tokenizer, prompt) for prompt in prompts]
    same(encode_demonstrations(tokenizer, prompts), wanted)
    same(encode_demonstrations(tokenizer, prompts[:5]), wanted[:5])
    found = encode_prompts(tokenizer, prompts)
    assert [ids.tolist() for ids in found] == [render_prompt(tokenizer, prompt.messages) for prompt in prompts]
    texts = [prompt.demonstration for prompt in prompts if "<|im_end|>" not in prompt.demonstration] + [""]
    assert [ids.tolist() for ids in encode_texts(tokenizer, texts)] == [
        tokenizer.encode(text, add_special_tokens=False) for text in texts
    ]


def test_a_bad_pass_rate_is_named_before_the_run_where_difficulty_reads_it(tokenizer, tmp_path):
    from rl.config.compose import load
    from rl.preflight import require_prompts_fit

    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps({"prompt": "何罪？", "reference": "盗窃罪", "meta": {"pass_rate": "half"}}) + "\n")

    def check(difficulty):
        stage = {"name": "s", "kind": "grpo", "steps": 1, "data": str(path), "difficulty": difficulty}
        stages = {"name": "c", "stages": [stage]}
        require_prompts_fit(load({"run_dir": "x", "curriculum": stages}), tokenizer, Console(quiet=True))

    check(0.0)
    with pytest.raises(DataError, match=r"q.jsonl:1: meta.pass_rate is \"half\"; with difficulty it must be a number"):
        check(0.5)


def test_prompts_that_can_not_be_rendered_are_named_and_counted(tokenizer, prompts, monkeypatch):
    real = rl.data.tokens.prompt_parts

    def picky(tokenizer, messages):
        if messages[0]["role"] == "system":
            raise UserError("no system message, please")
        return real(tokenizer, messages)

    monkeypatch.setattr(rl.data.tokens, "prompt_parts", picky)
    with pytest.raises(
        UserError, match=r"^4 of 32 prompts can't be rendered, the first 3:\n  prompt \w{16} \(task odd\): no"
    ):
        encode_prompts(tokenizer, prompts)


def test_rows_of_an_epoch_are_shuffled_once_and_are_what_they_were():
    def slow(position, n, total, seed):
        found = []
        for index in range(position, position + n):
            epoch, place = divmod(index, total)
            order = list(range(total))
            random.Random(f"{seed}/{epoch}").shuffle(order)
            found.append(order[place])
        return found

    for position, n, total, seed in ((0, 32, 10, 0), (95, 10, 100, 3), (7, 1, 1, 5), (1990, 20, 1000, 1)):
        assert rows_at(position, n, total, seed) == slow(position, n, total, seed)
    before = _order.cache_info().misses
    for step in range(30):
        rows_at(step * 16, 16, 500, 9)
    assert _order.cache_info().misses == before + 1


class Trainer:
    """In place of the engine: every token's log-probability is minus a thousandth of its id."""

    def __init__(self):
        self.sizes = []

    def log_probs(self, batch, *, max_tokens_per_microbatch):
        self.sizes.append(len(batch.input_ids))
        return (-batch.input_ids / 1000).astype(np.float32)


def test_perplexity_goes_through_the_texts_part_by_part(tokenizer, monkeypatch):
    monkeypatch.setattr(rl.driver.document_scores, "TOKENS_PER_CALL", 100)
    runtime = type("Runtime", (), {"tokenizer": tokenizer, "trainer": Trainer()})()
    texts = [prompt.demonstration * (1 + n % 3) for n, prompt in enumerate(make_prompts("charge", "train", 30, seed=0))]
    texts += ["", "法"]
    found, lengths = {}, []
    for places, scores in score(runtime, texts, 32, max_tokens_per_microbatch=512):
        found |= dict(zip(places, scores, strict=True))
        lengths += [len(tokenizer.encode(texts[place], add_special_tokens=False)) for place in places]
    assert lengths == sorted(lengths) and len(runtime.trainer.sizes) > 5
    assert max(runtime.trainer.sizes) < 100 + max(lengths)
    for place, text in enumerate(texts):
        ids = tokenizer.encode(text, add_special_tokens=False)
        predicted = [token for start in range(0, len(ids), 32) for token in ids[start + 1 : start + 32]]
        assert found[place].tokens == len(predicted)
        assert found[place].nll == pytest.approx(sum(predicted) / 1000, rel=1e-5)
    assert found[len(texts) - 2] == DocumentScore(0.0, 0)
    assert windows(np.arange(5, dtype=np.int32), 2)[1].tolist() == [2, 3] and len(windows(np.arange(5), 2)) == 2


def test_a_demonstration_of_a_file_is_encoded_as_it_stands(tokenizer, tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"prompt": "问", "demonstration": "<think>理</think><answer>答</answer>"}))
    ((ids, head),) = encode_demonstrations(tokenizer, read_demonstrations(path))
    assert tokenizer.decode(ids[head:-1].tolist()) == "<think>理</think><answer>答</answer>"
