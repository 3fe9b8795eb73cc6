"""Prompts that are too long are found with few texts tokenized, and a large file is measured once."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import rl.data.lengths
from curricula.prompts import Prompt
from curricula.tasks import make_prompts
from rl.config.compose import load
from rl.data import kept_arrays
from rl.data.chosen import Chosen
from rl.data.kept_arrays import FILES, read, write
from rl.data.lengths import longer, while_read
from rl.data.prompt_files import demonstrations_of, prompts_of
from rl.errors import UserError
from rl.models.chat import load_tokenizer, render_demonstration, render_prompt
from rl.preflight import require_prompts_fit

ROWS = 30


@pytest.fixture
def tokenizer(models):
    return load_tokenizer(str(models["tied"]))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of what is kept, of small files too."""
    monkeypatch.setattr(kept_arrays, "FOLDER", tmp_path / "kept")
    monkeypatch.setattr(kept_arrays, "KEPT_FROM", 8)
    return tmp_path / "kept"


@pytest.fixture
def measured(monkeypatch):
    """How many rows are measured, and how many of these are tokenized, call by call."""
    found = []
    real, encode = rl.data.lengths._counts, rl.data.lengths.encode_demonstrations
    monkeypatch.setattr(rl.data.lengths, "spread", map)
    monkeypatch.setattr(rl.data.lengths, "_counts", lambda *given: found.append([len(given[-1]), 0]) or real(*given))

    def counted(tokenizer, prompts):
        found[-1][1] += len(prompts)
        return encode(tokenizer, prompts)

    monkeypatch.setattr(rl.data.lengths, "encode_demonstrations", counted)
    return found


def file_of(path, prompts):
    path.write_text("".join(json.dumps(prompt.to_json(), ensure_ascii=False) + "\n" for prompt in prompts))
    return path


def uneven():
    return [replace(p, demonstration=p.demonstration * (1 + n % 7)) for n, p in enumerate(made())]


def made():
    return make_prompts("charge", "train", ROWS, seed=0)


def slow(tokenizer, prompts, limit, whole):
    """The same by tokenizing all, one by one."""
    lengths = [
        len(render_demonstration(tokenizer, one)[0] if whole else render_prompt(tokenizer, one.messages))
        for one in prompts
    ]
    return [(place, length) for place, length in enumerate(lengths) if length > limit]


@pytest.mark.parametrize("whole", [True, False])
def test_what_is_too_long_is_what_tokenizing_all_finds(tokenizer, tmp_path, folder, whole):
    prompts = uneven()
    found = demonstrations_of(file_of(tmp_path / "d.jsonl", prompts))
    for limit in (0, 40, 60, 100, 150, 200, 1000):  # down and up: what is kept of one limit serves the others
        wanted = slow(tokenizer, prompts, limit, whole)
        assert longer(tokenizer, prompts, limit, whole=whole) == wanted
        assert longer(tokenizer, found, limit, whole=whole) == wanted
    places = [*range(ROWS - 1, 0, -2), 0, 0]
    chosen = Chosen([prompts[:11], found], places)
    wanted = slow(tokenizer, [[*prompts[:11], *prompts][place] for place in places], 100, whole)
    assert longer(tokenizer, chosen, 100, whole=whole) == wanted


def test_what_is_short_in_bytes_is_not_tokenized_and_a_second_start_measures_nothing(
    tokenizer, tmp_path, folder, measured
):
    path = file_of(tmp_path / "d.jsonl", uneven())
    assert longer(tokenizer, demonstrations_of(path), 10_000, whole=True) == [] and measured == [[ROWS, 0]]
    longer(tokenizer, demonstrations_of(path), 5_000, whole=True)
    assert measured == [[ROWS, 0]]
    longer(tokenizer, demonstrations_of(path), 400, whole=True)
    rows, tokenized = measured[-1]
    assert 0 < rows == tokenized < ROWS, "only what may be longer now"
    longer(tokenizer, demonstrations_of(path), 400, whole=True)
    longer(tokenizer, demonstrations_of(path), 10_000, whole=True)
    assert len(measured) == 2


def test_what_is_kept_belongs_to_the_file_and_to_the_template_and_is_made_again_when_damaged(
    tokenizer, tmp_path, folder, measured
):
    path = file_of(tmp_path / "d.jsonl", uneven())

    def again():
        measured.clear()
        longer(tokenizer, demonstrations_of(path), 400, whole=True)
        return bool(measured)

    assert again() and not again()
    kept = {file: file.read_bytes() for file in folder.iterdir()}
    for file, content in kept.items():
        flipped = bytearray(content)
        flipped[len(content) // 2] ^= 1
        for damaged in (content[:-50], b"", b"x" * 100, bytes(flipped)):
            file.write_bytes(damaged)
            again()
            if file.stat().st_size != len(content):
                assert file.name != next(reversed(kept)).name or again() is False
        file.write_bytes(content)
    file_of(path, uneven()[1:])
    assert again() and not again()
    tokenizer.chat_template = "{% if day is not defined %}{% endif %}" + tokenizer.chat_template
    assert again() and not again()


def test_the_folder_stays_small_and_a_disk_that_refuses_is_no_failure(tmp_path):
    for number in range(FILES + 3):
        write(tmp_path / "set" / f"{number}.npz", {"a": np.arange(3)})
    assert len(list((tmp_path / "set").iterdir())) == FILES
    assert read(tmp_path / "set" / f"{FILES + 2}.npz")["a"].tolist() == [0, 1, 2]
    assert read(tmp_path / "set" / "0.npz") is None
    (tmp_path / "file").write_text("")
    write(tmp_path / "file" / "x.npz", {"a": np.arange(3)})
    assert (tmp_path / "file").read_text() == ""


TEXTS = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("法<|im_end|>é\u0958\ufdfa㍿ 1")))


@given(texts=st.lists(TEXTS.filter(str.strip), min_size=1, max_size=4))
def test_no_text_that_counts_as_short_has_more_tokens_than_bytes(models, texts):
    tokenizer = load_tokenizer(str(models["tied"]))
    bounded = rl.data.lengths._one_byte_or_more(tokenizer)
    for text in texts:
        prompt = Prompt("t", ({"role": "user", "content": text},), "", demonstration=text)
        (count,) = rl.data.lengths._counts(tokenizer, 10**6, True, bounded, [prompt])
        assert count < 0 and len(render_demonstration(tokenizer, prompt)[0]) <= -count


def bytewise(space):
    return {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": True, "use_regex": True}}


SPLIT = {"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True}}


@pytest.mark.parametrize(
    ("change", "text", "wanted"),
    [
        ({}, "法", True),
        ({"normalizer": {"type": "NFC"}}, "法", True),
        ({"normalizer": {"type": "NFC"}}, "\u0958", False),
        ({"normalizer": {"type": "NFKC"}}, "法", False),
        ({"normalizer": {"type": "Prepend", "prepend": "▁"}}, "法", False),
        (SPLIT, "法", False),
        (bytewise(space=True), "法", False),
        (bytewise(space=False), "法", True),
    ],
)
def test_only_tokenizers_whose_tokens_are_bytes_are_trusted(tokenizer, change, text, wanted):
    from tokenizers import Tokenizer

    parts = json.loads(tokenizer.backend_tokenizer.to_str()) | change
    tokenizer._tokenizer = Tokenizer.from_str(json.dumps(parts))
    assert rl.data.lengths._one_byte_or_more(tokenizer)(text) is wanted


def test_demonstrations_that_are_too_long_are_named_and_counted(tokenizer, tmp_path):
    path = tmp_path / "d.jsonl"
    lines = [{"prompt": "长" * (300 if n % 3 else 1) + str(n), "demonstration": "x"} for n in range(9)]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    stage = {"name": "s", "kind": "sft", "steps": 1, "demonstrations": {}, "data": str(path), "held_out": 0}
    config = load({"run_dir": "x", "curriculum": {"name": "c", "stages": [stage]}, "model": {"max_length": 256}})
    with pytest.raises(
        UserError, match=r"6 of 9 are too long, the first 3:\n  stage s: the demonstration of .*d.jsonl:\d"
    ):
        require_prompts_fit(config, tokenizer, Console(quiet=True))


def test_prompts_of_a_file_that_can_not_be_rendered_are_named_by_line(tokenizer, tmp_path, folder):
    refusal = "{% if '丙' in messages[0]['content'] %}{{ raise_exception('not of 丙') }}{% endif %}"
    tokenizer.chat_template = refusal + tokenizer.chat_template
    path = tmp_path / "q.jsonl"
    lines = [{"prompt": "甲乙丙丁"[n % 4] + str(n), "reference": "x"} for n in range(20)]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    for _ in range(2):
        with pytest.raises(UserError, match=r"^5 of 20 prompts can't be rendered, the first 3:\n  .*q.jsonl:3: the ch"):
            longer(tokenizer, prompts_of(path), 1000, whole=False)


@pytest.mark.parametrize("limit", [20, 10_000])
@pytest.mark.parametrize("whole", [True, False])
def test_a_file_is_measured_while_it_is_read_for_the_first_time(tokenizer, tmp_path, folder, measured, limit, whole):
    path = file_of(tmp_path / "d.jsonl", uneven())
    found = (demonstrations_of if whole else prompts_of)(path, while_read(tokenizer, limit, whole=whole))
    measured.clear()
    assert longer(tokenizer, found, limit, whole=whole) == slow(tokenizer, uneven(), limit, whole) and measured == []
    assert bool(slow(tokenizer, uneven(), limit, whole)) == (limit == 20)
