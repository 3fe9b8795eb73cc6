import re
import shutil
import subprocess
import sys

import pytest
from hydra import compose, initialize_config_dir

from rl.config.compose import CONF, accept_overrides, groups, load, schema_keys
from rl.config.derive import batch_numbers, check, derive
from rl.config.fingerprint import config_fingerprint, data_files, difference
from rl.config.parallel import model_shape, parameter_count
from rl.errors import UserError
from tests.conftest import ROOT


def config(*overrides, curriculum="smoke"):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        accepted = accept_overrides([f"+curriculum={curriculum}", *overrides])
        composed = compose("config", overrides=[*accepted, "run_dir=runs/test"])
    return load(composed)


@pytest.mark.parametrize("curriculum", groups()["curriculum"])
def test_every_curriculum_is_valid_and_can_work(curriculum, tmp_path):
    for name in ("sft", "grpo", "corpus"):
        (tmp_path / f"{name}.jsonl").touch()
    found = config(*([f"data_from={tmp_path}"] if curriculum == "lead" else []), curriculum=curriculum)
    check(found)
    assert len(derive(found).stages) == len(found.curriculum.stages)


@pytest.mark.parametrize("model", [m for m in groups()["model"] if m != "hf"])
def test_every_model_is_valid(model):
    assert config(f"model={model}").model.name == model


def test_every_key_can_be_set_without_a_prefix_and_arrives():
    samples = {
        "seed": (7, "7"), "resume": ("force", "force"), "model.nano.layers": (2, "2"), "trainer.timeout_s": (9.0, "9"),
        "rollout.verify_sync": (True, "true"), "cluster.address": ("auto", "auto"),
        "reward.parts.rouge_l": ({"weight": 0.5, "range": None, "clip": None, "options": {}}, "0.5"),
    }  # fmt: skip
    found = config(*(f"{key}={text}" for key, (_, text) in samples.items())).model_dump()
    for key, (value, _) in samples.items():
        at = found
        for part in key.split("."):
            at = at[part]
        assert at == value, key
    for key in schema_keys():
        if key not in ("run_dir", "curriculum.stages", "curriculum.name"):
            assert accept_overrides([f"{key}=x"]) == [f"++{key}=x"]


@pytest.mark.parametrize("model", ["nano", "qwen3_1_7b"])
def test_a_curriculum_trains_on_the_files_of_a_synthesis(tmp_path, model):
    with pytest.raises(UserError, match="reads the files of a synthesis; add data_from=FOLDER"):
        config(f"model={model}", curriculum="lead")
    folder = tmp_path / "a run, of mine"
    found = config(f"model={model}", f"data_from={folder}", curriculum="lead")
    with pytest.raises(UserError, match=r"no such folder .*; python -m rl.synthesize") as none:
        check(found)
    assert str(none.value).count(str(folder)) == 1, "one line, not one for each file"
    folder.mkdir()
    (folder / "sft.jsonl").touch()
    (folder / "corpus.jsonl").touch()
    with pytest.raises(
        UserError, match=r"grpo.jsonl does not exist .*kept nothing for grpo.jsonl.*leave out the"
    ) as one:
        check(found)
    assert "sft.jsonl" not in str(one.value)
    (folder / "grpo.jsonl").touch()
    check(found)
    kinds = [stage.kind for stage in found.curriculum.stages if stage.kind != "evaluate"]
    assert kinds == ["mid_training", "sft", "rejection", "grpo"]
    assert set(data_files(found)) == {str(folder / f"{name}.jsonl") for name in ("sft", "grpo", "corpus")}
    moved = found.model_copy(update={"data_from": "elsewhere"})
    assert not difference(config_fingerprint(found), config_fingerprint(moved)), "the files' own paths count"


def test_a_folder_that_no_stage_reads_is_refused():
    with pytest.raises(UserError, match="data_from=runs/lead: no stage of curriculum smoke reads a file from it"):
        check(config("data_from=runs/lead"))


def test_there_are_few_keys():
    assert len(schema_keys()) < 150


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.thread=2", "did you mean trainer.threads"),
        ("promts_per_step=2", "did you mean prompts_per_step"),
        ("model=nanoo", "did you mean nano"),
        ("+curriculum=leagl", "did you mean legal"),
        ("curriculum.stages.0.steps=3", "stages are a list"),
        ("nonsense_qqq=1", "is not among the configuration keys"),
    ],
)
def test_a_slip_on_the_command_line_is_named(override, message):
    with pytest.raises(UserError, match=message):
        accept_overrides([override])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=minus", r"seed: .*integer.*'minus'"),
        ("trainer.world_size=0", r"trainer.world_size: .*greater"),
        ("judge.kind=llm", r"judge: kind=llm needs judge.model"),
        ("model.nano.kv_heads=4", r"heads=6 is not a multiple of kv_heads=4"),
    ],
)
def test_a_wrong_value_is_named(override, message):
    with pytest.raises(UserError, match=message):
        config(override)


STAGE = {"name": "a", "kind": "grpo", "steps": 1, "tasks": {"age": 1.0}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stepz": 3}, r"stages.0.grpo.stepz: no such key; did you mean steps"),
        ({"optim": {"lrr": 1.0}}, r"optim.lrr: no such key; did you mean lr"),
        ({"kind": "gpro"}, r"stages.0: .*'gpro'"),
        ({"reward": {"length": {"wieght": 1}}}, r"reward.length.wieght: no such key; did you mean weight"),
        ({"reward": {"length": {"clip": [1, 0]}}}, r"clip=\[1.0, 0.0\] is upside down"),
        ({"reward": {"length": "much"}}, r"reward.length.weight: .*'much'"),
        ({"sampling": {"top_p": 0.9}}, r"top_p and top_k must stay"),
        ({"sampling": {"temperature": 0}}, r"temperature=0 draws the same"),
        ({"sampling": {"min_tokens": 9, "max_tokens": 8}}, r"min_tokens=9 is more than max_tokens=8"),
        ({"tasks": {}}, r"give either tasks"),
    ],
)
def test_a_bad_stage_is_named(change, message):
    values = {"run_dir": "r", "curriculum": {"name": "x", "stages": [STAGE | change]}}
    with pytest.raises(UserError, match=message) as caught:
        load(values)
    assert len(str(caught.value).splitlines()) == 2, "one problem is one line below the first"


def test_one_folder_for_the_runs_of_a_sweep_is_refused():
    """Hydra would not look at it: each run has its own below hydra.sweep.dir."""
    for word in ("run_dir=/a", "hydra.run.dir=/a"):
        with pytest.raises(UserError, match=r"give hydra\.sweep\.dir=FOLDER"):
            accept_overrides(["-m", "+curriculum=smoke", "seed=1,2", word])


def test_a_run_needs_a_curriculum():
    with pytest.raises(UserError, match=r"\+curriculum=NAME with NAME one of .*legal"):
        load({"run_dir": "r"})


@pytest.mark.parametrize(
    ("change", "values", "message"),
    [
        ({"tasks": {"agee": 1.0}}, {}, "did you mean age"),
        ({"reward": {"acuracy": 1.0}}, {}, "did you mean accuracy"),
        ({"reward": {"unilaw": 1.0, "format": 1.0}}, {}, "format is weighed twice"),
        ({"reward": {"length": {"options": {"long": 3}}}}, {}, "no option long; it takes longest"),
        ({"reward": {"rubric": 1.0}}, {}, "rubric needs a language model as judge"),
        ({"reward": {"no_module:f": 1.0}}, {}, "can't be imported"),
        ({}, {"judge": {"kind": "llm", "model": "no/such/folder"}}, "no such folder; give one that the judge actor"),
        ({"samples_per_prompt": 1}, {}, "without a baseline"),
        ({"samples_per_prompt": 1, "algorithm": {"preset": "reinforce_pp_baseline"}}, {}, "without a baseline"),
        ({"samples_per_prompt": 1, "algorithm": {"preset": "reinforce_pp", "refills": 2}}, {}, "refills=2 replaces"),
        ({"samples_per_prompt": 1, "prompts_per_step": 1, "algorithm": {"preset": "reinforce_pp"}}, {}, "nothing to"),
        ({"prompts_per_step": 2, "updates_per_step": 3}, {}, "updates_per_step=3 is more than"),
        ({"max_prompt_tokens": 900}, {}, "more than model.max_length=512"),
        ({"max_tokens_per_microbatch": 100}, {}, "less than one sequence"),
        ({"tasks": {}, "data": "absent.jsonl"}, {}, "absent.jsonl does not exist"),
        ({}, {"rollout": {"weight_transfer": "adapter"}}, "needs model.lora_rank between 1 and 512"),
        ({}, {"model": {"path": "./no/such/folder"}}, "no such folder"),
    ],
)
def test_what_cannot_work_is_refused(change, values, message):
    found = load({"run_dir": "r", "curriculum": {"name": "x", "stages": [STAGE | change]}, **values})
    with pytest.raises(UserError, match=message):
        check(found)


def test_all_problems_are_shown_at_once():
    found = load(
        {
            "run_dir": "r",
            "curriculum": {"name": "x", "stages": [STAGE | {"tasks": {"agee": 1}, "samples_per_prompt": 1}]},
        }
    )
    with pytest.raises(UserError, match=r"did you mean age(.|\n)*without a baseline"):
        check(found)


def test_a_stage_may_set_its_own_batch_numbers():
    found = config("prompts_per_step=3", "updates_per_step=1")
    numbers = {stage.name: batch_numbers(found, stage) for stage in found.curriculum.stages}
    assert numbers["sft"].prompts_per_step == 16 and numbers["eval"].prompts_per_step == 3


def test_the_parameter_count_is_that_of_the_model(models):
    from safetensors import safe_open

    from rl.config.schema import ModelConfig, NanoConfig

    shape = NanoConfig(
        vocab_size=1500, hidden_size=64, layers=2, heads=2, kv_heads=1, head_dim=32, intermediate_size=128
    )
    with safe_open(models["tied"] / "model.safetensors", "pt") as weights:
        counted = sum(weights.get_tensor(name).numel() for name in weights.keys())  # noqa: SIM118
    assert parameter_count(ModelConfig(nano=shape)) == counted


def test_a_model_of_a_family_without_a_formula_is_counted_by_its_files(models, tmp_path):
    from rl.config.schema import ModelConfig

    shutil.copytree(models["tied"], tmp_path / "other")
    config_file = tmp_path / "other" / "config.json"
    config_file.write_text(config_file.read_text().replace('"qwen3"', '"another"'))
    given = ModelConfig(path=str(tmp_path / "other"))
    assert model_shape(given) is None
    assert parameter_count(given) == parameter_count(ModelConfig(path=str(models["tied"])))
    (tmp_path / "other" / "model.safetensors").write_bytes(b"no weights")
    assert parameter_count(given) is None and parameter_count(ModelConfig(path="a/hub-name")) is None


def test_the_fingerprint_knows_what_decides_results():
    base = config_fingerprint(config())
    assert config_fingerprint(config("tracker.wandb=disabled", "cluster.dashboard=false", "resume=force")) == base
    changed = config_fingerprint(config("seed=3", "trainer.threads=1"))
    assert difference(base, changed) == ["seed: was 0, now 3", "trainer.threads: was 2, now 1"]
    cut = config_fingerprint(config("trainer=megatron", "trainer.tensor_parallel=2"))
    assert {"trainer.world_size: was 1, now 2", "trainer.tensor_parallel: was None, now 2"} < set(difference(base, cut))


def test_the_schema_is_light():
    """A configuration is read, checked and planned without torch and ray, on an import budget of 2 CPU-seconds."""
    code = (
        "import sys, time, rl.config.compose, rl.config.derive, rl.plan\n"
        "assert not {'torch', 'ray', 'verl', 'vllm', 'transformers'} & set(sys.modules)\n"
        "print(time.process_time())"
    )
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert float(answer.stdout) < 2.0


SCHEMA = ("schema.py", "stages.py", "algorithm.py", "corpora.py", "base.py")


def test_every_key_is_used():
    from rl.config import algorithm, corpora, schema, stages
    from rl.config.base import Strict

    sources = [p for folder in ("rl", "cluster", "tools") for p in (ROOT / folder).rglob("*.py")]
    code = "\n".join(p.read_text() for p in sources if p.name not in SCHEMA)
    models = {
        m
        for module in (schema, stages, algorithm, corpora)
        for m in vars(module).values()
        if isinstance(m, type) and issubclass(m, Strict)
    }
    unused = {f"{m.__name__}.{f}" for m in models for f in m.model_fields if not re.search(rf"[.\"]{f}\b", code)}
    assert unused <= {"AlgorithmConfig.preset"}, "which its own validator reads"


@pytest.mark.parametrize(
    ("word", "key"),
    [("trainer.learning_rate=1", "optim.lr"), ("lr=1", "optim.lr"), ("grpo.kl_coef=1", "algorithm.kl_coef")],
)
def test_a_key_of_a_stage_is_told_as_one(word, key):
    with pytest.raises(UserError, match=f"{key} is a key of a stage; set it in the curriculum's file"):
        accept_overrides([word])
