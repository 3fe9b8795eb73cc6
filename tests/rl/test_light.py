"""What needs no engine: batches, layout, checkpoints, manifest, results, tracking, the nano model."""

import errno
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from curricula.prompts import ask
from curricula.tasks import make_prompts
from rl.checkpoint import Checkpoints
from rl.config.schema import NanoConfig, TrackerConfig
from rl.engines import layout
from rl.errors import UserError
from rl.files import is_disk_full
from rl.models.chat import load_tokenizer, opens_thinking, render_demonstration, render_prompt
from rl.models.nano import SPECIAL_TOKENS, build_tokenizer, ensure_nano, resolve_model
from rl.results import wilson
from rl.samples import Completion, Group, policy_batch
from rl.stages.sft import Best, rows_at
from rl.tracking import Tracker


def grouped(lengths, prompt, per_group):
    """A policy batch of random tokens: completions of the given lengths, so many to a prompt."""
    rng = np.random.default_rng(0)
    groups = []
    for start in range(0, len(lengths), per_group):
        found = [
            Completion(rng.integers(10, 1400, n), -rng.random(n).astype(np.float32), "", "stop", 1)
            for n in lengths[start : start + per_group]
        ]
        ids = rng.integers(10, 1400, prompt).tolist()
        groups.append(Group(str(start), ask("t", "q", "a"), ids, found, rewards=rng.random(len(found)).tolist()))
    return policy_batch(groups, 1.0)


SHAPES = st.tuples(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(1, 20), st.integers(1, 5))


@given(SHAPES, st.integers(60, 400))
def test_every_row_is_in_one_microbatch_within_the_budget(shape, budget):
    batch = grouped(*shape)
    plan = layout.plan(batch, budget)
    assert [row for rows in plan for row in rows] == list(range(len(batch)))
    for rows in plan:
        micro = layout.gather(batch, rows, torch.device("cpu"))
        assert micro.input_ids.numel() == sum(layout.tokens_of(batch, unit) for unit in layout.units(batch, rows))
        assert micro.input_ids.numel() <= budget


@given(SHAPES, st.integers(1, 5))
def test_shards_are_whole_groups_of_like_size(shape, ranks):
    batch = grouped(*shape)
    shards = layout.shard(batch, ranks)
    assert sorted(row for rows in shards for row in rows) == list(range(len(batch)))
    assert all(len({rank for rank, rows in enumerate(shards) if unit[0] in rows}) == 1 for unit in layout.units(batch))
    units = layout.units(batch)
    assert all(set(unit) <= set(rows) or not set(unit) & set(rows) for unit in units for rows in shards)
    loads = [sum(layout.tokens_of(batch, unit) for unit in units if unit[0] in rows) for rows in shards]
    assert max(loads) - min(loads) <= max(layout.tokens_of(batch, unit) for unit in units)


def test_a_row_over_the_budget_is_named():
    with pytest.raises(ValueError, match="60 tokens exceeds max_tokens_per_microbatch=50"):
        layout.plan(grouped([10, 40], 20, 1), 50)


@given(SHAPES)
def test_targets_follow_the_tokens_that_predict_them(shape):
    batch = grouped(*shape)
    micro = layout.gather(batch, range(len(batch)), torch.device("cpu"))
    assert (batch.input_ids[micro.places] == micro.targets.numpy()).all()
    before = batch.input_ids[micro.places - 1]
    sources = micro.sources[micro.source_of]
    assert (micro.input_ids[0, sources].numpy() == before).all(), "the token before a target predicts it"
    assert (micro.position_ids[0, sources].numpy() == batch.position_ids[micro.places - 1]).all()
    assert len(micro.sources.unique()) == len(micro.sources)
    fields = {name: values[batch.loss_mask] for name, values in batch.fields.items()}
    assert (micro.fields["rollout_log_probs"][micro.mask.bool()].numpy() == fields["rollout_log_probs"]).all()
    assert (micro.dense(micro.targets.float())[micro.mask.bool()] == micro.targets).all()


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


def test_what_else_lies_among_checkpoints_is_neither_read_nor_removed(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep_last=1)
    first = save(checkpoints, 1)
    stage = first.path.parent
    shutil.copytree(first.path, stage / "step-000009 (copy)")
    for name in ("notes", "step-abc", "step-000007", "step-000001.bak", "step-٠٠٠٠٠٨"):
        (stage / name).mkdir()
    for name in (".DS_Store", "step-000008", "step-notes.txt"):
        (stage / name).write_text("own")
    strays = {path.name for path in stage.iterdir()} - {"step-000001"}
    assert checkpoints.latest("sft") == first and checkpoints.driver(first)["step"] == 1
    save(checkpoints, 10)
    checkpoints.save("sft", 1_000_000, Path.mkdir, {}, None)
    assert {path.name for path in stage.iterdir()} == strays | {"step-1000000"}
    with pytest.raises(UserError, match="step-000008 is no checkpoint, but stands where"):
        save(checkpoints, 8)
    assert (stage / "step-000008").read_text() == "own" and checkpoints.latest("sft").step == 1_000_000


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
    from rewards.registry import score
    from rl.runtime import _samples

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
        (sample,) = _samples(Group("uid", prompt, ids, [completion]), tokenizer)
        assert score("format", sample).score == wanted


def test_broken_model_folders_are_named(tmp_path):
    from rl.config.schema import ModelConfig

    with pytest.raises(UserError, match=r"no config\.json"):
        resolve_model(ModelConfig(path=str(tmp_path)), 0, tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="safetensors"):
        resolve_model(ModelConfig(path=str(tmp_path)), 0, tmp_path)
    with pytest.raises(UserError, match="no tokenizer can be loaded"):
        load_tokenizer(str(tmp_path))


def test_phases_and_metrics_are_ray_gauges(ray_cluster, tmp_path):
    """What Prometheus scrapes from the node: the metrics endpoint of Ray's own agent."""
    import time
    import urllib.request

    import ray

    tracker = Tracker(tmp_path, TrackerConfig(wandb="disabled", progress=False), Console())
    with tracker.stage("sft-gauge", total=1, start=0):
        with tracker.phase("train"):
            time.sleep(0.01)
        tracker.log("sft-gauge", 0, {"loss": 2.5})
    address = f"http://127.0.0.1:{ray.nodes()[0]['MetricsExportPort']}/metrics"

    def exported() -> bool:
        """Whether both figures stand there; other runs of this cluster may have left theirs."""
        found = urllib.request.urlopen(address, timeout=10).read().decode()
        lines = [line for line in found.splitlines() if line.startswith("ray_themis_") and "sft-gauge" in line]
        return any("themis_loss{" in line and line.endswith(" 2.5") for line in lines) and any(
            'phase="train"' in line and 0.01 <= float(line.split()[-1]) < 5 for line in lines
        )

    deadline = time.monotonic() + 60
    while not exported():
        assert time.monotonic() < deadline, "the gauges are not exported"
        time.sleep(1)


def test_the_best_loss_is_a_number_and_survives_a_resume():
    best = Best()
    assert not best.offer(float("nan"), 5) and best.state_dict() == {"loss": None, "step": 0}
    assert best.offer(0.5, 10) and not best.offer(0.5, 20) and not best.offer(float("nan"), 25)
    again = Best()
    again.load_state_dict(best.state_dict())
    assert (again.loss, again.step) == (0.5, 10) and again.offer(0.4, 30)


def test_an_error_is_shown_as_it_is_written(capsys):
    from rl.main import _exit

    with pytest.raises(SystemExit, match="2"):
        _exit(UserError("data[0].jsonl:1: [/b] and [red]"))
    assert "error: data[0].jsonl:1: [/b] and [red]" in capsys.readouterr().err
