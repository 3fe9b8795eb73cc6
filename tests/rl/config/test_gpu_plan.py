"""The plan for GPUs: what they hold, held against published counts and measured peaks; what fits, and what is said."""

import math
import re
from io import StringIO

import pytest
from rich.console import Console

from rl.config.compose import accept_overrides, groups, load
from rl.config.derive import check, derive
from rl.config.gpu_plan import gpu_gib, on_gpus, require_room
from rl.config.memory import FREE, GRADIENTS, SAMPLE, UPDATE, Work, cards
from rl.config.parallel import model_shape, shape_of
from rl.config.published import ARCHITECTURES
from rl.config.schema import ModelConfig
from rl.config.speed import sampling_seconds, training_seconds
from rl.errors import UserError
from rl.job import run
from rl.plan import print_plan
from tests.conftest import ROOT
from tests.rl.config.test_config import config

WEIGHTS = {
    "Qwen/Qwen3-0.6B": 596_049_920,
    "Qwen/Qwen3-1.7B": 1_720_574_976,
    "Qwen/Qwen3-4B": 4_022_468_096,
    "Qwen/Qwen3-8B": 8_190_735_360,
    "Qwen/Qwen3-14B": 14_768_307_200,
    "Qwen/Qwen3-32B": 32_762_123_264,
    "Qwen/Qwen2.5-7B-Instruct": 7_615_616_512,
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B": 14_770_033_664,
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B": 32_763_876_352,
    "deepseek-ai/DeepSeek-R1-Distill-Llama-70B": 70_553_706_496,
}
"""Numbers of weights as the models' pages have them."""
LAYOUTS = {
    "14b_1x8": ("qwen3_14b", "r1_distill_14b"),
    "14b_2x8": ("qwen3_14b", "r1_distill_14b"),
    "14b_32k_4x8": ("qwen3_14b", "r1_distill_14b"),
    "14b_4x8": ("qwen3_14b", "r1_distill_14b"),
    "32b_2x8": ("qwen3_32b", "r1_distill_32b"),
    "32b_4x8": ("qwen3_32b", "r1_distill_32b"),
    "70b_4x8": ("r1_distill_70b",),
}
PAIRS = [(layout, model) for layout, models in LAYOUTS.items() for model in models]


def laid_out(layout, model, *overrides):
    """A run of a model in a layout; that of 70 B weights, whose rollout fits nowhere, without stages that sample."""
    curriculum = "pas" if layout.startswith("70b") else "lexpro"
    return config(f"+layout={layout}", f"model={model}", *overrides, curriculum=curriculum)


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_published_shape_is_that_of_the_model(name):
    """Built by transformers from the same values, without memory, and counted."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    values = dict(ARCHITECTURES[name])
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(values.pop("model_type"), **values))
    assert model_shape(ModelConfig(path=name)).parameters == model.num_parameters() == WEIGHTS[name]


@pytest.mark.parametrize("stated", [{"tie_word_embeddings": False}, {"tie_word_embeddings": True}, {}])
def test_the_embeddings_of_a_gemma_are_one_unless_it_says_otherwise(stated):
    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    sizes = {"num_hidden_layers": 3, "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 1}
    sizes |= {"head_dim": 32, "intermediate_size": 96, "vocab_size": 500}
    with torch.device("meta"):
        model = Gemma3ForCausalLM(Gemma3TextConfig(**sizes, **stated))
    assert shape_of({"model_type": "gemma3_text", **sizes, **stated}).parameters == model.num_parameters()


def test_every_preset_of_a_hub_model_has_its_shape():
    for name in groups()["model"]:
        found = config(f"model={name}", *(["model.path=no-such-owner/no-such-model"] if name == "hf" else []))
        assert (model_shape(found.model) is None) == (name == "hf")


def test_layouts_are_those_tested():
    assert sorted(groups()["layout"]) == sorted(LAYOUTS)


@pytest.mark.parametrize(("layout", "model"), PAIRS)
def test_a_layout_fits_on_gpus_of_80_gb(layout, model):
    found = laid_out(layout, model)
    check(found)
    plan = derive(found).gpus
    nodes = int(re.search(r"_(\d)x8", layout)[1])
    assert plan.gpus == 8 * nodes and plan.gib == 80
    require_room(plan)
    assert all(card.fits for card in plan.cards) and plan.cards[0].peak > 20
    assert len(plan.cards) == (1 if layout.startswith("70b") else 2)


def test_the_table_of_layouts_is_what_the_plan_says():
    page = (ROOT / "docs" / "guides" / "large-models.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+_\dx8)` \| `(\w+)` \| (.*) \|$", page, re.MULTILINE)
    assert {row[0] for row in rows} == set(LAYOUTS)
    for layout, model, said in rows:
        found = laid_out(layout, model)
        trainer, (first, *others) = found.trainer, derive(found).gpus.cards
        cut = trainer.tensor_parallel, trainer.pipeline_parallel, trainer.context_parallel
        cut = (*cut, trainer.world_size // math.prod(cut))
        cells = [trainer.engine, f"{first.number} GPUs", " x ".join(map(str, cut))]
        cells.append(f"{first.peak:.1f}")
        cells += [text for card in others for text in (f"{card.number} GPUs", f"{card.peak:.1f}")] or ["none", ""]
        assert [cell.strip() for cell in said.split("|")] == cells


def estimate(shape, trainer, tokens):
    """The theoretical estimate for the fullest shard (bytes), from its published formulas.

    Weights and optimizer as Megatron-LM counts them: 18 bytes a weight, or 6 and a share of 12 with the distributed
    optimizer. Activations as Korthikanti et al. 2022 (arXiv 2205.05198) count them: with full recomputation
    2·s·b·h a layer, and one layer of s·b·h·(34 + 5·a·s/h)/t, whose last term flash attention does not have.
    """
    tensor, pipeline = trainer.tensor_parallel, trainer.pipeline_parallel
    kv = shape.kv_heads / shape.heads
    queries = shape.heads * shape.head_dim
    layer = 2 * shape.hidden * (shape.intermediate * 3 / 2 + 1) + 2 * shape.hidden * queries * (1 + kv)
    embedding = shape.vocabulary * shape.hidden
    shard = ((shape.layers * layer + shape.hidden) / pipeline + embedding * (1 if pipeline > 1 else 2)) / tensor
    copies = trainer.world_size // (tensor * pipeline)
    activations = (2 * shape.layers + 34) * tokens * shape.hidden / tensor
    return shard * (6 + 12 / copies) + activations


@pytest.mark.parametrize(("layout", "model"), PAIRS)
def test_a_cut_layout_is_that_of_megatrons_own_estimate(layout, model):
    found = laid_out(layout, model)
    if found.trainer.engine == "megatron" and found.trainer.recompute == "full":
        plan = derive(found)
        tokens = max(stage.batch.max_tokens_per_microbatch for stage in plan.stages)
        wanted = estimate(model_shape(found.model), found.trainer, tokens)
        fullest = max(rank.state_gib + rank.activations_gib for rank in plan.ranks)
        assert fullest == pytest.approx(wanted / 2**30, rel=0.1)


def activations(*overrides):
    """Of the fullest GPU (GiB), and whether the run fits."""
    found = laid_out(*overrides)
    check(found)
    card = derive(found).gpus.cards[0]
    return next(held.gib for held in card.held if held.what == "activations"), card.fits


@pytest.mark.parametrize("model", LAYOUTS["14b_32k_4x8"])
def test_a_long_row_fits_where_it_is_dealt(model):
    """Activations are those of a share of the row, beside the keys and values of all of it."""
    alone, fits = activations("14b_32k_4x8", model, "trainer.context_parallel=1")
    dealt, dealt_fits = activations("14b_32k_4x8", model)
    assert dealt_fits and not fits and 1 / 3 > dealt / alone > 0.3
    rows = ("model.max_length=32768", "max_tokens_per_microbatch=32768", "trainer.context_parallel=2")
    again, fits = activations("70b_4x8", "r1_distill_70b", *rows)
    assert fits and again < 2.2


@pytest.mark.parametrize(("name", "measured"), [("qwen3_0_6b", 11.2), ("qwen3_1_7b", 32.1)])
def test_the_plan_gives_the_peak_that_a_gpu_had(name, measured):
    """docs/gpu.md: FSDP2 on one H200, allocations of torch alone."""
    found = config(f"model={name}", "trainer.device=cuda", "trainer.gradient_checkpointing=true")
    (card,) = cards(found, Work(8192, samples=False, reference=False), 140)
    allocated = {phase: card.in_phase(phase) for phase in card.phases}
    contexts = sum(held.gib for held in card.held if held.what == "contexts")
    assert max(allocated.values()) - contexts == pytest.approx(measured, rel=0.1)


def test_phases_hold_what_they_need():
    found = config(
        "model=qwen3_14b", "trainer.device=cuda", "trainer.world_size=8", "trainer.gradient_checkpointing=true"
    )
    weights = 14_768_307_200 / 2**30
    plain = Work(8192, samples=True, reference=False)
    (card,) = cards(found, plain, 80)
    # Weights and moments stay; vLLM takes its share while it samples, and a part of the weights is on its way to it,
    # while the embedding is made whole in fp32 and in bf16.
    part = 2 + 6 * 151_936 * 5120 / 2**30
    assert card.in_phase(SAMPLE) == pytest.approx(weights * 12 / 8 + part + 0.5 * 80 + 1)
    # Weights, gradients, moments, a temporary, and two contexts.
    assert card.in_phase(UPDATE) == pytest.approx(weights * 20 / 8 + 2)
    (referred,) = cards(found, Work(8192, samples=True, reference=True), 80)
    assert referred.in_phase(UPDATE) - card.in_phase(UPDATE) == pytest.approx(weights * 4 / 8 + 1)
    split = found.model_copy(update={"cluster": found.cluster.model_copy(update={"placement": "split"})})
    trainer, rollout = cards(split, plain, 80)
    assert trainer.in_phase(UPDATE) == pytest.approx(weights * 20 / 8 + 1)
    assert rollout.in_phase(SAMPLE) == pytest.approx(0.5 * 80 + 2) and rollout.phases == (SAMPLE,)
    later = found.model_copy(update={"trainer": found.trainer.model_copy(update={"offload_optimizer": True})})
    (offloaded,) = cards(later, plain, 80)
    assert card.in_phase(GRADIENTS) - offloaded.in_phase(GRADIENTS) == pytest.approx(weights)
    assert card.in_phase(UPDATE) == offloaded.in_phase(UPDATE)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("model=r1_distill_14b", "trainer.world_size=4"), "fullest of 4.*sampling: Adam's moments"),
        (("model=r1_distill_32b",), "more than rollout.gpu_memory_utilization=0.5 of 80 GiB; set it to 0.85"),
        (("model=r1_distill_32b", "cluster.gpu_gb=141"), "95% of the 141 GiB of a GPU"),
        (("+layout=14b_1x8", "model=qwen3_32b", "rollout.gpu_memory_utilization=0.9"), r"16 GPUs, 2 × 8"),
        (
            (
                "model=qwen3_14b",
                "model.lora_rank=16",
                "trainer.world_size=16",
                "rollout.replicas=4",
                "rollout.weight_transfer=ipc",
                "cluster.gpu_gb=40",
            ),
            "rollout.weight_transfer=auto cluster.placement=split",
        ),
    ],
)
def test_a_run_that_does_not_fit_names_a_layout_that_does(overrides, message):
    found = config("trainer.device=cuda", *overrides, curriculum="lexpro")
    with pytest.raises(UserError, match=message) as caught:
        require_room(derive(found).gpus)
    advice = re.search(r"nearest layout that fits: (.*) \(\d+ GPUs", str(caught.value))[1]
    better = config("trainer.device=cuda", *overrides, *advice.split(), curriculum="lexpro")
    check(better)
    require_room(derive(better).gpus)


def test_a_rollout_that_fits_nowhere_is_refused_and_training_alone_is_not():
    found = config("model=r1_distill_70b", "+layout=70b_4x8", curriculum="lexpro")
    with pytest.raises(UserError, match="take GPUs of 143 GiB or more") as caught:
        run(found)  # before anything starts
    assert "without stages that sample, the nearest is this one (32 GPUs, 4 × 8)" in str(caught.value)
    trains = laid_out("70b_4x8", "r1_distill_70b")
    sft = {"name": "s", "kind": "sft", "steps": 1, "demonstrations": {"age": 4}, "max_tokens_per_microbatch": 8192}
    values = trains.model_dump() | {"curriculum": {"name": "x", "stages": [sft]}}
    require_room(derive(load(values)).gpus)


def test_what_is_only_estimated_does_not_stop_a_run():
    """14 B weights and their reference at four ranks: what is exact fits, the update's temporary does not."""
    found = config("+layout=14b_1x8", "model=qwen3_14b", "trainer.world_size=4", curriculum="lexpro")
    plan = derive(found).gpus
    assert plan.problem and not plan.impossible
    require_room(plan, certain=True)
    with pytest.raises(UserError, match="does not fit on its GPUs"):
        require_room(plan)


def test_the_plan_of_an_overfull_run_is_printed_and_then_refused(monkeypatch):
    text = StringIO()
    monkeypatch.setattr("rl.job.console", Console(file=text, width=120))
    found = config("model=r1_distill_32b", "trainer.device=cuda", "plan=true", curriculum="lexpro")
    with pytest.raises(UserError, match="nearest layout that fits"):
        run(found)
    assert "together, sampling" in text.getvalue()


def test_the_tables_have_every_item_and_the_rates():
    found, text = laid_out("14b_2x8", "qwen3_14b"), StringIO()
    print_plan(found, derive(found), Console(file=text, width=200))
    for part in ("weights (bf16)", "vLLM: key-value cache", "buffers of the broadcast", "slice of logits",
                 "16 GPUs of 80", "none known of training with megatron", "together, update"):  # fmt: skip
        assert part in text.getvalue(), part
    for name, parts in (("14b_2x8", 1), ("14b_32k_4x8", 2)):  # of layers, and of rows where they are dealt
        found, text = laid_out(name, "qwen3_14b"), StringIO()
        print_plan(found, derive(found), Console(file=text, width=200))
        assert text.getvalue().count("part of") == parts


def test_the_memory_of_a_gpu_is_set_or_read_or_80():
    assert not on_gpus(config("trainer.device=cpu", "cluster.gpu_gb=80"))
    assert on_gpus(config("cluster.gpu_gb=24")) and gpu_gib(config("cluster.gpu_gb=24")) == 24
    assert on_gpus(config("trainer.device=cuda"))
    plan = derive(config("model=hf", "model.path=no-such-owner/no-such-model", "trainer.device=cuda")).gpus
    assert plan.cards == () and not plan.problem
    assert 0 < FREE < 0.2


def test_rates_are_those_of_their_sources():
    """One second's tokens take a second: torchtitan's, ours (docs/gpu.md), vLLM's."""
    assert training_seconds(5_800 * 8, 8_030_261_248, 8)[0] == pytest.approx(1, rel=0.02)
    assert training_seconds(14_460, 1_720_574_976, 1)[1] == pytest.approx(1, rel=0.01)
    assert sampling_seconds(13_300 * 2, 8_190_735_360, 2) == pytest.approx(1, rel=0.01)


def test_a_layout_wins_over_a_curriculum_in_any_order():
    words = ["+layout=32b_4x8", "+curriculum=lexpro", "model=qwen3_32b"]
    assert accept_overrides(words)[-1] == accept_overrides(words[::-1])[-1] == "+layout=32b_4x8"
    found = config(*words[::2], curriculum="lexpro")
    assert (found.trainer.world_size, found.rollout.replicas, found.trainer.gradient_checkpointing) == (24, 8, False)
    assert config(*words[::2], "trainer.world_size=16", curriculum="lexpro").trainer.world_size == 16
