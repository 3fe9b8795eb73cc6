"""What needs no engine: batches, layout, checkpoints, manifest, results, tracking, the nano model."""

import errno
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from curricula.tasks import make_prompts
from rl.checkpoint import Checkpoints
from rl.config.schema import NanoConfig, TrackerConfig
from rl.engines import layout
from rl.errors import UserError
from rl.files import is_disk_full
from rl.models.chat import load_tokenizer, render_demonstration, render_prompt
from rl.models.nano import SPECIAL_TOKENS, ensure_nano, resolve_model
from rl.results import wilson
from rl.stages.sft import rows_at
from rl.tracking import Tracker
from tests.rl.ranks import ragged


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(50, 400))
def test_every_row_is_in_one_microbatch_within_the_budget(lengths, budget):
    plan = layout.plan(lengths, budget)
    assert sorted(row for rows in plan for row in rows) == list(range(len(lengths)))
    assert all(len(rows) * max(lengths[row] for row in rows) <= budget for rows in plan)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(1, 5))
def test_shards_are_a_partition_of_like_size(lengths, ranks):
    shards = layout.shard(lengths, ranks)
    assert sorted(row for rows in shards for row in rows) == list(range(len(lengths)))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


def test_a_row_over_the_budget_is_named():
    with pytest.raises(ValueError, match="60 tokens exceeds max_tokens_per_microbatch=50"):
        layout.plan([10, 60], 50)


def test_gather_and_scatter_are_inverse():
    import torch

    batch = ragged()
    dense = layout.gather(batch, [3, 0, 7], torch.device("cpu"))
    assert dense["input_ids"].shape == dense["loss_mask"].shape == (3, batch.lengths[[3, 0, 7]].max())
    back = np.zeros(len(batch.input_ids))
    layout.scatter(batch, [3, 0, 7], dense["input_ids"].numpy(), back)
    for row in (3, 0, 7):
        span = slice(batch.offsets[row], batch.offsets[row + 1])
        assert (back[span] == batch.input_ids[span]).all()
    assert (dense["position_ids"].diff(dim=1) == 1).all(), "padding goes on counting"


def save(checkpoints, step, score=None):
    def write(folder):
        folder.mkdir()
        (folder / "weights").write_bytes(bytes([step]) * 100)

    return checkpoints.save("sft", step, write, {"state": {}}, score)


def test_checkpoints_keep_the_last_and_the_best(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep_last=2)
    for step, score in ((1, 0.5), (2, 0.9), (3, 0.7), (4, None), (5, 0.8)):
        save(checkpoints, step, score)
    assert sorted(p.name for p in (tmp_path / "checkpoints" / "sft").iterdir()) == [
        "step-000002",
        "step-000004",
        "step-000005",
    ]
    assert checkpoints.driver(checkpoints.latest("sft"))["step"] == 5
    assert checkpoints.latest("grpo") is None


def test_a_full_disk_costs_the_checkpoint_in_progress_only(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep_last=2)
    save(checkpoints, 1)

    def full(folder):
        folder.mkdir()
        (folder / "half").write_bytes(b"x")
        raise RuntimeError("rank 0 failed") from OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UserError, match="the disk is full"):
        checkpoints.save("sft", 2, full, {}, None)
    assert [p.name for p in (tmp_path / "checkpoints" / "sft").iterdir()] == ["step-000001"]
    assert is_disk_full(OSError(errno.ENOSPC, "x")) and not is_disk_full(OSError(errno.EACCES, "x"))


@pytest.mark.parametrize("damage", ["missing", "short", "altered"])
def test_damage_is_named(tmp_path, damage):
    checkpoints = Checkpoints(tmp_path, keep_last=2)
    path = save(checkpoints, 1).path / "engine" / "weights"
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + (b"" if damage == "short" else b"\xff"))
    with pytest.raises(UserError, match=r"corrupt: engine/weights"):
        checkpoints.driver(checkpoints.latest("sft"))


def test_the_tracker_goes_back_to_a_state(tmp_path):
    tracker = Tracker(tmp_path, TrackerConfig(progress=False), Console())
    tracker.log("a", 0, {"loss": 1.0})
    state = json.loads(json.dumps(tracker.state_dict()))
    with tracker.phase("train"):
        tracker.log("a", 1, {"loss": 0.5})
    Tracker(tmp_path, TrackerConfig(progress=False), Console()).load_state_dict(state)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [{**line, "time": sorted(line["time"])} for line in lines] == [
        {"stage": "a", "step": 0, "loss": 1.0, "time": ["step"]}
    ]


def test_wilson_interval_by_hand():
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)


def test_demonstrations_are_gone_through_once_an_epoch():
    assert sorted(rows_at(0, 10, 10, 0)) == sorted(rows_at(10, 10, 10, 0)) == list(range(10))
    assert rows_at(3, 4, 10, 0) == rows_at(0, 10, 10, 0)[3:7]


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
    for token in SPECIAL_TOKENS:
        assert len(tokenizer.encode(token, add_special_tokens=False)) == 1
    assert tokenizer.eos_token == "<|im_end|>" and tokenizer.unk_token is None


def test_what_sft_trains_on_begins_with_what_rollout_sees(models):
    tokenizer = load_tokenizer(str(models["tied"]))
    for prompt in make_prompts("charge", "train", 10, seed=0):
        ids, length = render_demonstration(tokenizer, prompt)
        assert ids[:length] == render_prompt(tokenizer, prompt.messages)
        assert tokenizer.decode(ids[length:-1]) == prompt.demonstration and ids[-1] == tokenizer.eos_token_id


def test_broken_model_folders_are_named(tmp_path):
    from rl.config.schema import ModelConfig

    with pytest.raises(UserError, match=r"no config\.json"):
        resolve_model(ModelConfig(path=str(tmp_path)), 0, tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="safetensors"):
        resolve_model(ModelConfig(path=str(tmp_path)), 0, tmp_path)
    with pytest.raises(UserError, match="no tokenizer can be loaded"):
        load_tokenizer(str(tmp_path))
