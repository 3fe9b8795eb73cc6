"""Whole runs in other shapes: algorithms, two ranks and two rollouts, LoRA on the user's files, a served judge."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curricula.tasks import make_prompts
from rewards.total import score
from rewards.verdict import Sample
from rl.config.compose import load
from rl.errors import UserError
from rl.job import run
from rl.records.tracking import Tracker
from tests.e2e.catalogue import hold_to_catalogue

OWN = "tests.rewards.misbehaving"
OPTIM = {"lr": 3e-3}
SAMPLING = {"max_tokens": 32}


def stages(sft, grpo):
    first = {"name": "sft", "kind": "sft", "steps": 30, "prompts_per_step": 16, "optim": OPTIM}
    second = {
        "name": "rl",
        "kind": "grpo",
        "steps": 2,
        "prompts_per_step": 8,
        "samples_per_prompt": 4,
        "max_prompt_tokens": 96,
        "reward": {"rouge_l_chars": 1.0, "accuracy": 1.0, "format": 0.1},
        "sampling": SAMPLING,
        "optim": OPTIM,
        "algorithm": {"kl_coef": 0.05},
    }
    last = {"name": "eval", "kind": "evaluate", "tasks": ["age"], "questions": 8}
    return [first | sft, second | grpo, last | {"sampling": {"temperature": 0, **SAMPLING}}]


def config(run_dir, models, found, **sections):
    return load(
        {
            "run_dir": str(run_dir),
            "curriculum": {"name": "variant", "stages": found},
            "model": {"path": str(models["untied"]), "max_length": 256, **sections.pop("model", {})},
            "trainer": {"threads": 1, **sections.pop("trainer", {})},
            "rollout": {"threads": 1, "verify_sync": True, **sections.pop("rollout", {})},
            "cluster": {"dashboard": False, **sections.pop("cluster", {})},
            "tracker": {"wandb": "offline", **sections.pop("tracker", {})},
            **sections,
        }
    )


def lines(run_dir: Path, stage: str):
    found = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [line for line in found if line["stage"] == stage]


PRESETS = ("gspo", "reinforce_pp", "cispo", "legalone")
CUT = {"engine": "megatron", "pipeline_parallel": 2, "world_size": 2}
DYNAMIC = {"preset": "dapo", "refills": 2, "overlong_buffer": 8}


@pytest.fixture(scope="module")
def many(ray_cluster, models, tmp_path_factory):
    """One run with a stage for each of several ways to train, of a model that megatron-core cuts in two, with two
    engines; a start of the engines costs more than a stage."""
    folder = tmp_path_factory.mktemp("many")
    prompts = [p.to_json() for p in make_prompts("charge", "train", 8, seed=0)]
    prompts[3] |= {"reference": "不是数", "answer_kind": "number"}  # the accuracy reward can't read this reference
    text = "\n".join(json.dumps(prompt, ensure_ascii=False) for prompt in prompts)
    (folder / "prompts.jsonl").write_text(text, encoding="utf-8")
    parts = {"rouge_l_chars": 1.0, "accuracy": 1.0, "legal_validity": 0.2}
    correct = {"level": "sequence", "mode": "mask", "threshold": 1.5}
    # A low rate, so that the policy of the last stages still varies: a step without a gradient has no figures.
    slow = {"tasks": {"age": 1.0}, "optim": {"lr": 3e-4}}
    sft, plain, last = stages({"demonstrations": {"age": 40, "charge": 40}}, slow)
    found = [
        sft,
        {**plain, "name": "reference", "held_out": 8, "held_out_every": 1, "may_lose": 1.0},
        {**plain, "name": "dynamic", "reward": {"accuracy": 1.0}, "algorithm": DYNAMIC},
        {**plain, "name": "errored", "reward": parts, "data": str(folder / "prompts.jsonl"), "tasks": {}},
    ]
    for preset in PRESETS:
        algorithm = {"preset": preset, "old_log_probs": "recompute", "mismatch": correct}
        more = {"prompts_per_step": 16, "updates_per_step": 2}
        found.append({**plain, "name": preset, "algorithm": algorithm, **more})
    twice = {"trainer": CUT, "rollout": {"replicas": 2}, "reward": {"workers": 2}}
    run(config(folder / "run", models, [*found, last], cluster={"placement": "split"}, **twice))
    return folder / "run"


def test_the_first_step_has_no_divergence_from_the_reference(many):
    first, second = lines(many, "reference")
    assert abs(first["kl"]) < 1e-6 < second["kl"], "the reference is the policy at the start of the stage"


def test_a_stage_ends_with_the_weights_of_its_highest_held_out_accuracy(many):
    first, second = lines(many, "reference")
    found = [first["held_out_before/accuracy"], first["held_out/accuracy"], second["held_out/accuracy"]]
    assert all(0 <= one <= 1 and 8 * one == round(8 * one) for one in found) and "held_out" in first["time"]
    record = json.loads((many / "manifest.json").read_text())["stages"]["reference"]
    best = found.index(max(found))
    assert record["held_out"] == {"age": found[0]} and (best == 2) == ("ended" not in record)
    assert best == 2 or record["ended"]["weights_after"] == best


def test_a_group_with_an_errored_verdict_is_dropped_whole(many):
    for number, line in enumerate(lines(many, "errored")):
        assert line["groups/errored"] == 1 and 0 < line["groups/trained"] <= 7
        rows = pq.read_table(many / "rollouts" / "errored" / f"step-{number:06d}.parquet").to_pylist()
        errored = [row for row in rows if row["error"]]
        for row in rows:
            if not row["error"]:
                found = score("legal_validity", Sample("", row["completion"], ""))
                assert json.loads(row["parts"])["legal_validity"] == found.score
                assert f"legal_validity: {found.reason}" in row["reason"] or not found.reason
        assert len(errored) == 4 and all("can't be read as number" in row["error"] for row in errored)
        assert all(row["reward"] is None for row in errored)


def test_dynamic_sampling_replaces_groups_without_a_gradient(many):
    """With accuracy alone a young model's groups are mostly without variance, so that refills have work to do."""
    for line in lines(many, "dynamic"):
        assert 8 < line["groups/sampled"] <= 24 or line["groups/trained"] == 8
        sampled = pq.read_table(many / "rollouts" / "dynamic" / f"step-{line['step']:06d}.parquet").to_pylist()
        assert len({row["uid"] for row in sampled}) == line["groups/sampled"]
        for row in sampled:
            over = max(0, len(row["token_ids"]) - (SAMPLING["max_tokens"] - 8)) / 8
            parts = json.loads(row["parts"])
            assert parts["overlong"] == -over and row["reward"] == parts["accuracy"] - over
        scored = line["reward/accuracy"] + line["reward/overlong"]
        assert line["reward"] == pytest.approx(scored) and line["reward/overlong"] <= 0


def test_every_number_is_in_the_catalogue(many):
    seen = hold_to_catalogue(many)
    assert {"kl", "correction", "reward/overlong", "reward/legal_validity", "time/reference", "time/old"} <= seen


@pytest.mark.parametrize("preset", PRESETS)
def test_algorithms_by_name_with_recomputed_log_probs_and_correction(many, preset):
    assert len(lines(many, preset)) == 2
    for line in lines(many, preset):
        assert line["correction"] == pytest.approx(1.0, abs=1e-3), "in fp32 the sampler is the trainer"
        assert line["mismatch_kl"] < 1e-6 and abs(line["ratio_p99"] - 1) < 1e-4


def test_a_model_cut_in_two_is_trained_and_sampled_from(many):
    losses = [line["loss"] for line in lines(many, "sft")]
    assert losses[-1] < 0.5 * losses[0], "it learns"
    first, second = lines(many, "gspo")
    assert first["groups/trained"] > 1 and first["log_prob_difference"] < 1e-4 > second["log_prob_difference"]
    assert abs(first["ratio"] - 1) > 1e-6, "the second update of a step is off-policy"
    assert (many / "exports" / "gspo" / "model.safetensors").is_file()
    assert list((many / "wandb").glob("offline-run-*")), "W&B offline when not logged in"


@pytest.mark.parametrize("transfer", ["shm", pytest.param("adapter", marks=pytest.mark.slow)])
def test_lora_on_files_of_ones_own_until_updates_are_not_finite(ray_cluster, models, tmp_path, transfer):
    """In the last stage an entropy bonus that overflows makes every loss infinite: such updates are skipped, dumped,
    and end the run."""
    prompts = make_prompts("limitation", "train", 30, seed=0)
    for name in ("demos", "prompts"):
        text = "\n".join(json.dumps(p.to_json(), ensure_ascii=False) for p in prompts)
        (tmp_path / f"{name}.jsonl").write_text(text, encoding="utf-8")
    found = stages({"data": str(tmp_path / "demos.jsonl")}, {"data": str(tmp_path / "prompts.jsonl")})
    found.append({**found[1], "name": "infinite", "algorithm": {"entropy_coef": 1e39}})
    lora, few = {"lora_rank": 8, "lora_alpha": 16}, {"dump_rollouts": False}
    given = config(
        tmp_path / "run", models, found, model=lora, rollout={"weight_transfer": transfer},
        trainer={"max_bad_updates": 2}, tracker=few,
    )  # fmt: skip
    with pytest.raises(UserError, match="stage infinite: 2 updates in a row had a non-finite gradient"):
        run(given)
    assert all(line["log_prob_difference"] < 1e-4 for line in lines(tmp_path / "run", "rl") if "kl" in line)
    assert (tmp_path / "run" / "exports" / "rl" / "model.safetensors").is_file()
    first, second = lines(tmp_path / "run", "infinite")
    assert first["log_prob_difference"] < 1e-4 > second["log_prob_difference"], "the weights are as they were"
    rollouts = tmp_path / "run" / "rollouts"
    dumped = sorted(path.parent.name for path in rollouts.rglob("*.parquet"))
    assert dumped == ["infinite"] * 2, "dumped all the same"


@pytest.mark.slow  # two minutes of CPU; each part has tests of its own (tests/rewards)
def test_a_language_model_as_judge_and_a_reward_of_ones_own(ray_cluster, models, tmp_path):
    """The judge actor serves a nano model with vLLM; a reward of the user's crashes its worker on one prompt."""
    import psutil

    from rl.config.schema import NanoConfig
    from rl.models.nano import ensure_nano

    judge = str(ensure_nano(NanoConfig(layers=1), 0, 4096, tmp_path))
    prompts = [p.to_json() for p in make_prompts("charge", "train", 8, seed=0)]
    prompts[2]["reference"] += "（崩溃）"
    text = "\n".join(json.dumps(prompt, ensure_ascii=False) for prompt in prompts)
    (tmp_path / "prompts.jsonl").write_text(text, encoding="utf-8")
    parts = {
        "rouge_l_chars": 1.0,
        "legal_validity": 0.5,
        "rubric": {"weight": 0.5, "clip": [0, 0.9]},
        f"{OWN}:crashing": 0.1,
    }
    found = stages({"demonstrations": {"charge": 40}}, {"data": str(tmp_path / "prompts.jsonl"), "reward": parts})
    served = {"kind": "llm", "model": judge, "max_model_len": 4096, "guided": "choice"}
    run(config(tmp_path / "run", models, found, judge=served))
    for line in lines(tmp_path / "run", "rl"):
        assert line["groups/errored"] == 1 and line["groups/trained"] > 0
        assert line["judge/requests"] > 0 == line["judge/error_rate"] and 0 < line["reward/rubric"] < 1
    assert "judge/cost" in hold_to_catalogue(tmp_path / "run")
    assert line["judge/hit_rate"] > 0, "a group that is tried again is not asked about again"
    rows = pq.read_table(tmp_path / "run" / "rollouts" / "rl" / "step-000000.parquet").to_pylist()
    assert sum(row["error"] is not None and "worker died" in row["error"] for row in rows) == 4
    assert (tmp_path / "run" / "judge.sqlite").is_file()
    assert not [p for p in psutil.process_iter(["cmdline"]) if judge in " ".join(p.info["cmdline"] or ())]


def test_a_reward_that_cannot_be_used_is_told_before_the_first_step(ray_cluster, models, tmp_path):
    found = stages({"demonstrations": {"age": 8}}, {"tasks": {"age": 1.0}, "reward": {f"{OWN}:broken": 1.0}})
    with pytest.raises(UserError, match=r"a reward can't be used: tried on a small sample: .*KeyError"):
        run(config(tmp_path / "run", models, found))
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_a_run_that_only_trains_starts_no_rollout_engine(ray_cluster, models, tmp_path, monkeypatch):
    import ray

    seen, log = set(), Tracker.log

    def look(tracker, *line):
        seen.update(one["name"] for one in ray.util.list_named_actors(all_namespaces=True))
        log(tracker, *line)

    monkeypatch.setattr(Tracker, "log", look)
    sft, *_ = stages({"demonstrations": {"age": 8}, "steps": 2}, {})
    run(config(tmp_path / "run", models, [sft]))
    assert len(lines(tmp_path / "run", "sft")) == 2 and (tmp_path / "run" / "exports" / "sft").is_dir()
    assert seen == {"run/trainer/0"}


@pytest.mark.slow  # two whole runs; the order of its groups is tested with the stream
def test_overlap_changes_the_time_of_things_and_nothing_else(ray_cluster, models, tmp_path):
    """Without overlap and with it: the same groups, and the same gradient up to the order of its sum."""
    found = stages({"demonstrations": {"age": 40}}, {"tasks": {"age": 1.0}, "algorithm": {}})
    runs = {}
    for overlap in ("none", "periodic"):
        run(config(tmp_path / overlap, models, found, rollout={"overlap": overlap}))
        runs[overlap] = lines(tmp_path / overlap, "rl")
    for left, right in zip(*runs.values(), strict=True):
        assert left["reward"] == right["reward"] and left["groups/trained"] == right["groups/trained"]
        for name in ("loss", "grad_norm", "entropy", "ratio_p99"):
            assert left[name] == pytest.approx(right[name], rel=1e-6, abs=1e-6), name
        assert {"trainer_wait", "bubble"} <= set(left["time"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"prompt": "x"', r"prompts.jsonl:2: not valid JSON"),
        (json.dumps({"prompt": "长" * 200, "reference": "甲"}), r"more than max_prompt_tokens=96"),
    ],
)
def test_bad_data_is_refused_before_any_actor_starts(models, tmp_path, line, message):
    import ray

    from curricula.errors import DataError

    good = json.dumps(make_prompts("age", "train", 1, seed=0)[0].to_json(), ensure_ascii=False)
    (tmp_path / "prompts.jsonl").write_text(f"{good}\n{line}\n", encoding="utf-8")
    found = stages({"demonstrations": {"age": 8}}, {"data": str(tmp_path / "prompts.jsonl")})
    actors = len(ray.util.list_named_actors(all_namespaces=True)) if ray.is_initialized() else 0
    with pytest.raises((DataError, UserError), match=message):
        run(config(tmp_path / "run", models, found))
    assert not ray.is_initialized() or len(ray.util.list_named_actors(all_namespaces=True)) == actors
