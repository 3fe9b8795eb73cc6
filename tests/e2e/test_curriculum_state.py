"""What a curriculum keeps across the borders between stages: gates, best weights, replay, difficulty."""

import json
import math
import shutil

import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from curricula.corpora import statute_documents
from curricula.gates import GateDecision
from curricula.pas import shares
from rl.driver.document_scores import content_key, read_scores, scores_file
from rl.errors import UserError
from rl.job import run
from rl.records.checkpoint import Checkpoints
from rl.stages.grpo import weights_after
from tests.e2e.catalogue import hold_to_catalogue
from tests.e2e.test_variants import config, lines

SAMPLING = {"max_tokens": 24}


def grpo(name, steps=3, **fields):
    return {
        "name": name, "kind": "grpo", "steps": steps, "prompts_per_step": 4, "samples_per_prompt": 4,
        "max_prompt_tokens": 96, "sampling": SAMPLING, "optim": {"lr": 1e-3},
        "reward": {"rouge_l_chars": 1.0, "accuracy": 1.0, "format": 0.1},
        "tasks": {"age": 1.0}, **fields,
    }  # fmt: skip


def evaluate(name):
    return {"name": name, "kind": "evaluate", "tasks": ["age"], "questions": 8, "split": "dev", "sampling": SAMPLING}


ALWAYS = {"metric": "completion_length", "above": 0}
SOUND = {"metric": "bad_updates", "below": 0}
SFT = {
    "name": "sft", "kind": "sft", "steps": 24, "prompts_per_step": 8, "demonstrations": {"age": 30, "limitation": 30},
    "held_out": 8, "held_out_every": 6, "optim": {"lr": 5e-3},
}  # fmt: skip
CORPUS = [{"laws": ["反电信网络诈骗法"]}, {"laws": ["禁毒法"], "kind": "general", "weight": 0.5, "decay_weight": 0.1}]
MID = [
    {"name": "scores", "kind": "perplexity", "corpus": CORPUS, "window": 64},
    {
        "name": "mid", "kind": "mid_training", "steps": 10, "prompts_per_step": 8, "sequence_length": 128,
        "corpus": CORPUS, "held_out": 5, "held_out_every": 6,
        "pas": {"scores": "scores", "scale": "quantile", "borders": [0.4, 0.8, 0.95], "decay": [0.5, 0.5, 0.0]},
        "optim": {"lr": 2e-3, "schedule": "wsd", "warmup_steps": 3, "decay_fraction": 0.3},
    },
]  # fmt: skip
STAGES = [
    *MID,
    SFT,
    evaluate("look"),
    grpo(
        "left", steps=9, gates={"enter": [{"metric": "format", "above": 0}], "leave": [{**ALWAYS, "steps": 2}, SOUND]}
    ),
    grpo("fallen", steps=9, tasks={"limitation": 1.0}, replay=0.5, gates={"fall_back": [ALWAYS]}),
    grpo("skipped", gates={"enter": [{"metric": "accuracy/age", "above": 1.1}], "otherwise": "skip"}),
    grpo("last", tasks={"limitation": 1.0}, replay=0.5, difficulty=0.8),
    evaluate("end"),
]
RANKS = {"world_size": 2}
CLOSED = grpo("closed", gates={"enter": [{"metric": "format", "above": 1.1}]})


def weights(run_dir, stage):
    return load_file(run_dir / "exports" / stage / "model.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all((one[name] == other[name]).all() for name in one)


def stage_records(run_dir):
    return json.loads((run_dir / "manifest.json").read_text())["stages"]


@pytest.fixture(scope="module")
def unbroken(ray_cluster, models, tmp_path_factory):
    """A run of all stages on two ranks, which then ends before one that may not begin."""
    run_dir = tmp_path_factory.mktemp("gates")
    with pytest.raises(UserError, match="stage closed may not begin: format ≥ 1"):
        run(config(run_dir, models, [*STAGES, CLOSED], trainer=RANKS))
    return run_dir


def test_the_scores_are_those_of_transformers(unbroken, models):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    found = read_scores(scores_file(unbroken, "scores"))
    assert len(found) == len({d.text for d in statute_documents(("反电信网络诈骗法", "禁毒法"))})
    model = AutoModelForCausalLM.from_pretrained(models["untied"]).eval()
    tokenizer = AutoTokenizer.from_pretrained(models["untied"])
    for document in statute_documents(("禁毒法",))[:4]:
        nll, count = 0.0, 0
        ids = tokenizer.encode(document.text, add_special_tokens=False)
        for start in range(0, len(ids), 64):
            piece = torch.tensor([ids[start : start + 64]])
            if piece.shape[1] > 1:
                with torch.no_grad():
                    log_probs = model(piece).logits[0, :-1].double().log_softmax(-1)
                nll -= float(log_probs.gather(1, piece[0, 1:, None]).sum())
                count += piece.shape[1] - 1
        assert found[content_key(document.text)] == pytest.approx(math.exp(nll / count), rel=1e-5)


def test_mid_training_follows_pas_and_leaves_a_card(unbroken):
    found = lines(unbroken, "mid")
    weights, strength = (0.2, 0.5, 0.3), 5.0
    for line in found[:7]:
        assert line["alpha"] == pytest.approx(min(1.0, (line["step"] + 1) / 4))
        expected = shares(weights, strength, line["alpha"])
        assert [line[f"share/{b}"] for b in ("low", "mid", "high")] == pytest.approx(expected)
    assert [found[-1][f"share/{b}"] for b in ("low", "mid", "high")] == [0.5, 0.5, 0.0]
    assert found[0]["drawn/low"] > found[-1]["drawn/low"] > 0.4, "easy first"
    measured = [line["step"] for line in found if "perplexity/legal" in line]
    assert measured == [0, 6, 9] and found[-1]["perplexity/legal"] < found[0]["perplexity/legal"]
    card = json.loads((unbroken / "corpus" / "mid.json").read_text())
    assert [source["kind"] for source in card["sources"]] == ["legal", "general"]
    assert sum(source["share_drawn"] for source in card["sources"]) == pytest.approx(1)
    assert sum(card["perplexity"]["counts"]) == sum(sum(s["buckets"].values()) for s in card["sources"])
    assert [phase["steps"] for phase in card["phases"]] == [3, 4, 3]


def test_every_number_is_in_the_catalogue(unbroken):
    assert {"task/limitation/share", "perplexity/legal", "time/held_out"} <= hold_to_catalogue(unbroken)


def test_gates_end_skip_and_fall_back(unbroken):
    records = stage_records(unbroken)
    assert records["left"]["ended"]["kind"] == "leave" and records["left"]["ended"]["step"] == 2
    assert records["fallen"]["ended"] == {
        "step": 1, "kind": "fall_back", "why": "completion_length ≥ 0", "weights_after": 0,
    }  # fmt: skip
    assert "accuracy/age ≥ 1.1 does not hold" in records["skipped"]["skipped"]
    counts = {name: len(lines(unbroken, name)) for name in ("left", "fallen", "skipped", "last")}
    assert counts == {"left": 2, "fallen": 1, "skipped": 0, "last": 3}
    assert same(weights(unbroken, "fallen"), weights(unbroken, "left")), "it fell back to what it began with"
    assert not same(weights(unbroken, "last"), weights(unbroken, "left"))
    results = json.loads((unbroken / "results.json").read_text())
    assert [result["after"] for result in results] == ["sft", "last"]


def test_sft_ends_with_its_best_weights_by_held_out_loss(unbroken):
    measured = {line["step"] + 1: line["held_out_loss"] for line in lines(unbroken, "sft") if "held_out_loss" in line}
    assert sorted(measured) == [6, 12, 18, 24]
    best = min(measured, key=measured.get)
    ended = stage_records(unbroken)["sft"].get("ended", {"weights_after": 24})
    assert ended["weights_after"] == best
    checkpoint = Checkpoints(unbroken, 2).at("sft", best)
    assert checkpoint is not None and json.loads((checkpoint.path / "driver.json").read_text())["score"] is not None


def test_replay_brings_back_the_tasks_of_the_stages_before(unbroken):
    rows = [r for path in (unbroken / "rollouts" / "last").glob("*.parquet") for r in pq.read_table(path).to_pylist()]
    assert {row["task"] for row in rows} == {"age", "limitation"}
    assert "task/age/share" in lines(unbroken, "last")[-1]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_border_between_stages_can_be_crossed_by_another_process(unbroken, ray_cluster, models, tmp_path):
    """Each time the run is stopped after a stage and everything starts again: in the end all numbers are equal."""
    for count in range(1, len(STAGES) + 1):
        run(config(tmp_path, models, STAGES[:count], trainer=RANKS, resume="force"))
    for stage in STAGES:
        strip = [{k: v for k, v in line.items() if k != "time"} for line in lines(tmp_path, stage["name"])]
        whole = [{k: v for k, v in line.items() if k != "time"} for line in lines(unbroken, stage["name"])]
        assert strip == whole, stage["name"]
    assert (tmp_path / "results.json").read_text() == (unbroken / "results.json").read_text()


def test_before_a_stage_that_may_not_begin_all_is_done(unbroken):
    assert stage_records(unbroken)["end"]["done"] and "closed" not in stage_records(unbroken)


@pytest.mark.slow  # a whole start for a sentence that the tests of checkpoints know
def test_a_corrupt_checkpoint_is_named(unbroken, ray_cluster, models, tmp_path):
    run_dir = tmp_path / "run"
    shutil.copytree(unbroken, run_dir)
    manifest = json.loads((run_dir / "manifest.json").read_text())
    del manifest["stages"]["end"]
    (run_dir / "manifest.json").write_text(json.dumps(manifest))
    last = max((run_dir / "checkpoints" / "last").iterdir())
    shard = next((last / "engine").glob("shard*.safetensors"))
    content = bytearray(shard.read_bytes())
    content[-100] ^= 1
    shard.write_bytes(content)
    with pytest.raises(UserError, match=f"is corrupt: .*{shard.name} .*Remove that folder"):
        run(config(run_dir, models, [*STAGES, CLOSED], trainer=RANKS))


def test_it_falls_back_to_the_last_checkpoint_from_before_the_condition_held(unbroken):
    class Holder:
        checkpoints = Checkpoints(unbroken, 2)

    steps = [c.step for c in Holder.checkpoints._complete("sft")]
    assert len(steps) > 1
    assert weights_after(GateDecision("fall_back", "", 1), "sft", steps[-1] + 1, Holder) == steps[-1]
    assert weights_after(GateDecision("fall_back", "", 2), "sft", steps[-1] + 1, Holder) == steps[-2]
    assert weights_after(GateDecision("leave", "", 0), "sft", steps[-1], Holder) is None
