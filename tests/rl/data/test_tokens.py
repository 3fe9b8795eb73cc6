"""Token ids in batches equal those made one by one, and a kept set is found again, or made again."""

import json
import random
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

import rl.data.tokens
import rl.driver.document_scores
from curricula.errors import DataError
from curricula.prompts import Prompt
from curricula.records import read_demonstrations
from curricula.tasks import make_prompts
from rl.data.token_cache import FILES, read, write
from rl.data.tokens import encode_demonstrations, encode_prompts, encode_texts
from rl.driver.document_scores import DocumentScore, score, windows
from rl.errors import UserError
from rl.models.chat import load_tokenizer, render_demonstration, render_prompt
from rl.stages.sft import _order, rows_at


@pytest.fixture
def tokenizer(models):
    return load_tokenizer(str(models["tied"]))


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The folder of kept sets, and one large enough to be kept."""
    monkeypatch.setattr(rl.data.tokens, "FOLDER", tmp_path / "tokens")
    monkeypatch.setattr(rl.data.tokens, "KEPT_FROM", 8)
    monkeypatch.setattr(rl.data.tokens, "CHUNK", 7)
    monkeypatch.setattr(rl.data.tokens, "CHARACTERS", 250)
    return tmp_path / "tokens", [*make_prompts("charge", "train", 20, seed=0), *odd()]


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
def test_a_batch_has_the_ids_of_one_by_one(tokenizer, kept, opening):
    tokenizer.chat_template += opening
    folder, prompts = kept
    wanted = [render_demonstration(tokenizer, prompt) for prompt in prompts]
    same(encode_demonstrations(tokenizer, prompts), wanted)
    same(encode_demonstrations(tokenizer, prompts[:5]), wanted[:5])
    assert len(list(folder.iterdir())) == 1, "a small set is not kept"
    found = encode_prompts(tokenizer, prompts)
    assert [ids.tolist() for ids in found] == [render_prompt(tokenizer, prompt.messages) for prompt in prompts]
    texts = [prompt.demonstration for prompt in prompts if "<|im_end|>" not in prompt.demonstration] + [""]
    assert [ids.tolist() for ids in encode_texts(tokenizer, texts)] == [
        tokenizer.encode(text, add_special_tokens=False) for text in texts
    ]


def test_a_kept_set_is_found_in_any_order_and_made_again_when_damaged(tokenizer, kept, monkeypatch):
    folder, prompts = kept
    wanted = [render_demonstration(tokenizer, prompt) for prompt in prompts]
    same(encode_demonstrations(tokenizer, prompts), wanted)
    (file,) = folder.iterdir()
    made = []
    real = rl.data.tokens._tokenized
    monkeypatch.setattr(rl.data.tokens, "_tokenized", lambda *given: made.append(len(given[1])) or real(*given))
    order = [*random.Random(0).sample(range(len(prompts)), len(prompts)), 0, 0]
    same(encode_demonstrations(tokenizer, [prompts[i] for i in order]), [wanted[i] for i in order])
    assert set(made) == {1}, "the probes alone"
    content = file.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 3] ^= 1
    for damaged in (content[:-50], b"", b"x" * 100, bytes(flipped)):
        made.clear()
        file.write_bytes(damaged)
        same(encode_demonstrations(tokenizer, prompts), wanted)
        assert sum(n > 1 for n in made) == 1 and file.read_bytes() == content


def test_a_kept_set_belongs_to_a_template_and_to_what_it_depends_on(tokenizer, kept, models):
    folder, prompts = kept
    encode_demonstrations(tokenizer, prompts)
    encode_prompts(tokenizer, prompts)
    tokenizer.chat_template = "{% if day is not defined %}{% endif %}" + tokenizer.chat_template
    encode_demonstrations(tokenizer, prompts)
    assert len(list(folder.iterdir())) == 3
    other = load_tokenizer(str(models["tied"]))
    other.add_special_tokens({"additional_special_tokens": ["<判决>"]})
    encode_demonstrations(other, prompts)
    encode_demonstrations(other, prompts[1:])
    assert len(list(folder.iterdir())) == 5


def test_the_folder_stays_small_and_a_disk_that_refuses_is_no_failure(tmp_path):
    examples = [(np.arange(3, dtype=np.int32), 1), (np.arange(2, dtype=np.int32), 2)]
    for number in range(FILES + 3):
        write(tmp_path / "set" / f"{number}.npz", examples)
    assert len(list((tmp_path / "set").iterdir())) == FILES
    same(read(tmp_path / "set" / f"{FILES + 2}.npz", 2), [([0, 1, 2], 1), ([0, 1], 2)])
    assert read(tmp_path / "set" / f"{FILES + 2}.npz", 3) is None
    (tmp_path / "file").write_text("")
    write(tmp_path / "file" / "x.npz", examples)
    assert (tmp_path / "file").read_text() == ""


def test_demonstrations_that_are_too_long_are_named_and_counted(tokenizer, tmp_path):
    from rl.config.compose import load
    from rl.preflight import require_prompts_fit

    path = tmp_path / "d.jsonl"
    lines = [{"prompt": "长" * (300 if n % 3 else 1) + str(n), "demonstration": "x"} for n in range(9)]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    stage = {"name": "s", "kind": "sft", "steps": 1, "demonstrations": {}, "data": str(path), "held_out": 0}
    config = load({"run_dir": "x", "curriculum": {"name": "c", "stages": [stage]}, "model": {"max_length": 256}})
    with pytest.raises(
        UserError, match=r"6 of 9 are too long, the first 3:\n  stage s: the demonstration of .*d.jsonl:\d"
    ):
        require_prompts_fit(config, tokenizer, Console(quiet=True))


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


def test_prompts_that_can_not_be_rendered_are_named_and_counted(tokenizer, kept, monkeypatch):
    _, prompts = kept
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


def test_meta_is_no_part_of_what_is_encoded_or_of_its_name(tokenizer, kept):
    folder, prompts = kept
    noted = [replace(prompt, meta={"source": f"{n}"}) for n, prompt in enumerate(prompts)]
    same(encode_demonstrations(tokenizer, noted), [render_demonstration(tokenizer, prompt) for prompt in prompts])
    files = list(folder.iterdir())
    encode_demonstrations(tokenizer, prompts)
    assert list(folder.iterdir()) == files and len(files) == 1


def test_a_demonstration_of_a_file_is_encoded_as_it_stands(tokenizer, tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"prompt": "问", "demonstration": "<think>理</think><answer>答</answer>"}))
    ((ids, head),) = encode_demonstrations(tokenizer, read_demonstrations(path))
    assert tokenizer.decode(ids[head:-1].tolist()) == "<think>理</think><answer>答</answer>"
