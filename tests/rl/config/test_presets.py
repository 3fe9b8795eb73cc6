"""The presets of published systems: both scales of each, the resolvers that pick, and the numbers of the papers."""

import os
import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from rl.config.compose import load
from rl.config.derive import check, derive, reward_sum
from rl.config.resolvers import judged, scaled
from rl.errors import UserError
from tests.conftest import ROOT
from tests.rl.config.test_config import config

OWN_MODEL = {"legalone": "qwen3_1_7b", "unilaw": "qwen2_5_7b_instruct", "lexpro": "r1_distill_14b"}
LLM = ("judge=llm", "judge.model=m", "judge.base_url=http://127.0.0.1:1/v1")


def stage(found, name):
    return next(s for s in found.curriculum.stages if s.name == name)


@pytest.mark.parametrize("judge", [(), LLM])
@pytest.mark.parametrize("model", [None, "nano", "qwen3_8b"])
@pytest.mark.parametrize("preset", OWN_MODEL)
def test_a_preset_works_with_its_own_model_and_with_others(preset, model, judge):
    found = config(*([f"model={model}"] if model else []), *judge, curriculum=preset)
    assert found.model.name == (model or OWN_MODEL[preset]), "the command line wins over the preset"
    check(found)
    assert len(derive(found).stages) == len(found.curriculum.stages)


def test_the_command_line_wins_over_what_a_preset_sets():
    found = config("model=qwen3_4b", "model.max_length=40000", "trainer.world_size=2", "judge=llm", "judge.model=m",
                   curriculum="legalone")  # fmt: skip
    assert (found.model.max_length, found.trainer.world_size, found.rollout.replicas) == (40000, 2, 8)


@pytest.mark.parametrize(("model", "ranks"), [("nano", 4), ("qwen3_8b", 8)])
@pytest.mark.parametrize("preset", OWN_MODEL)
def test_a_preset_works_with_a_model_that_is_cut(preset, model, ranks):
    cut = ("trainer=megatron", "trainer.tensor_parallel=2", "trainer.pipeline_parallel=2")
    found = config(f"model={model}", "model.lora_rank=0", *cut, curriculum=preset)
    check(found)
    assert found.trainer.world_size == ranks
    assert found.trainer.recomputes == ("none" if model == "nano" else "full")


def test_legalone_holds_the_known_numbers():
    found = config(*LLM, curriculum="legalone")
    mid = stage(found, "mid_training")
    assert (mid.pas.borders, mid.pas.strength, mid.pas.weights[0]) == ((5.0, 15.0, 30.0), 5.0, 0.2)
    optim = mid.optim
    assert (optim.schedule, optim.warmup_steps, optim.lr) == ("wsd", 2000, 3e-4)
    assert optim.lr * optim.min_lr_ratio == pytest.approx(3e-6)
    assert (optim.betas, optim.weight_decay, optim.clip_grad, mid.sequence_length) == ((0.9, 0.95), 0.1, 1.0, 32768)
    tokens = mid.steps * mid.prompts_per_step * mid.sequence_length
    assert tokens == pytest.approx(100e9, rel=1e-3)
    weights = {kind: sum(s.weight for s in mid.corpus if s.kind == kind) for kind in ("general", "legal")}
    assert weights["general"] / weights["legal"] == pytest.approx(4 / 6)
    rl = [s for s in found.curriculum.stages if s.kind == "grpo"]
    assert [s.sampling.max_tokens for s in rl] == [1024, 4096, 8192, 16384, 32768 - 2048]
    assert [next(iter(reward_sum(found, s))) for s in rl] == [
        "rouge_l", "article_soft_f1", "accuracy", "rubric", "rubric",
    ]  # fmt: skip
    assert {s.algorithm.advantage for s in rl} == {"length_weighted"}


def test_unilaw_holds_table_5():
    found = config(curriculum="unilaw")
    sft, rl = stage(found, "sft"), stage(found, "grpo")
    assert sft.steps == 16535 * 5 // (16 * 8) + 1 and sft.optim.warmup_steps == round(0.1 * sft.steps)
    assert (sft.optim.lr, sft.optim.schedule, sft.optim.weight_decay) == (1e-4, "cosine", 0.01)
    assert rl.steps == 8000 // 128 and rl.optim.warmup_steps == round(0.03 * rl.steps)
    assert (rl.prompts_per_step, rl.samples_per_prompt, rl.sampling.temperature) == (128, 5, 1.0)
    assert (rl.algorithm.kl_coef, rl.algorithm.clip_low, rl.algorithm.clip_high) == (1e-2, 0.2, 0.2)
    assert (rl.optim.lr, rl.optim.schedule, rl.optim.weight_decay) == (1e-6, "cosine", 0.01)
    assert found.model.lora_rank == 8
    assert rl.max_prompt_tokens + rl.sampling.max_tokens == found.model.max_length == 4096


def test_the_ablation_of_unilaw_is_decided_on_the_command_line():
    from rewards.total import expand

    arms = [config("model=nano", f"reward={name}", curriculum="unilaw") for name in ("unilaw", "unilaw_without_legal")]
    with_legal, without = (reward_sum(arm, stage(arm, "grpo")) for arm in arms)
    assert expand(with_legal) == expand({"unilaw": 1.0})
    assert set(with_legal) - set(without) == {"legal_validity"}
    assert all(without[name] == with_legal[name] for name in without)
    assert sum(stage(arms[0], "test").questions for _ in stage(arms[0], "test").tasks) >= 300


def test_lexpro_learns_form_without_the_reference():
    parts = reward_sum(config(curriculum="lexpro"), stage(config(curriculum="lexpro"), "grpo"))
    assert set(parts) == {"format", "readability", "language", "length"}


@pytest.mark.parametrize("preset", OWN_MODEL)
def test_a_preset_plans_without_network(preset, tmp_path):
    """Offline and without a cache, where every request to the hub is an error."""
    command = [sys.executable, "-m", "rl.main", f"+curriculum={preset}", "plan=true", f"run_dir={tmp_path / 'run'}"]
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, env=offline)
    assert answer.returncode == 0, answer.stderr
    assert f"model {OWN_MODEL[preset]}" in answer.stdout
    assert ("the corpora on the hub of" in answer.stdout) == (preset == "legalone")
    assert "not known is whether rows are too long" in answer.stdout, "there is no tokenizer"


def test_generated_questions_fit_the_nano_model():
    from rl.models.nano import build_tokenizer
    from rl.preflight import require_prompts_fit

    tokenizer = build_tokenizer(config("model=nano").model.nano.vocab_size)
    for preset in OWN_MODEL:
        require_prompts_fit(config("model=nano", curriculum=preset), tokenizer)


def resolved(**values):
    root = {"model": {"path": None}, "judge": {"kind": "statute"}} | values
    return OmegaConf.to_container(OmegaConf.create(root), resolve=True)["x"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"x": "${scaled:2000,12}"}, 12),
        ({"x": "${scaled:2000,12}", "model": {"path": "a/b"}}, 2000),
        ({"x": "${scaled:2000,12}", "model": {"path": "???"}}, 2000),
        ({"x": "${scaled:[1,2],['刑法']}"}, ["刑法"]),
        ({"x": "${scaled:1,null}"}, None),
        ({"x": "${judged:{rubric:1.0},{legal_validity:0.5}}"}, {"legal_validity": 0.5}),
        ({"x": "${judged:{rubric:1.0},{legal_validity:0.5}}", "judge": {"kind": "llm"}}, {"rubric": 1.0}),
        ({"x": "${judged:1,${scaled:2,3}}"}, 3),
        ({"x": "${one_copy:}", "trainer": {}}, 1),
        ({"x": "${one_copy:}", "trainer": {"tensor_parallel": 2, "pipeline_parallel": 3}}, 6),
        (
            {
                "x": "${one_copy:}",
                "trainer": {"tensor_parallel": None, "pipeline_parallel": "a", "context_parallel": 0},
            },
            1,
        ),
    ],
)
def test_resolvers_pick_a_side(values, expected):
    assert resolved(**values) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${scaled:2000}", r"stages.*steps: .*scaled takes two values \(real model, nano model\).*1 given"),
        ("${scaled:1,2,3}", "3 given"),
        ("${judged:{rubric:1.0}}", r"judged takes two values \(llm, statute\)"),
        ("${scaledd:1,2}", "scaledd"),
    ],
)
def test_bad_use_is_one_clear_error(text, message):
    stages = [{"name": "a", "kind": "grpo", "steps": text, "tasks": {"age": 1}}]
    sections = {"model": {"path": None}, "judge": {"kind": "statute"}}
    with pytest.raises(UserError, match=message):
        load(OmegaConf.create({"run_dir": "r", "curriculum": {"name": "x", "stages": stages}, **sections}))


def test_resolvers_say_what_they_look_at():
    with pytest.raises(ValueError, match="scaled looks at model"):
        scaled(1, 2, _root_=OmegaConf.create({}))
    with pytest.raises(ValueError, match=r"knows judge\.kind=llm and statute, not jury"):
        judged(1, 2, _root_=OmegaConf.create({"judge": {"kind": "jury"}}))
