"""The plan's memory against that of the real engines, counted tensor by tensor on real gloo ranks."""

import shutil

import numpy as np
import pytest

from rl.config.activations import of_fsdp, of_megatron
from rl.config.compose import load
from rl.config.parallel import model_shape
from rl.config.ranks import rank_plans
from rl.config.schema import ModelConfig
from rl.config.stages import OptimConfig
from rl.samples import packed_batch
from tests.rl.ranks import on_ranks
from tools.bench.context import Saved, weights_of

LENGTH, LIMITS = 192, {"max_tokens_per_microbatch": 192}
CUT = {"engine": "megatron", "tensor_parallel": 2}
LAYOUTS = {
    "fsdp": (1, {}),
    "fsdp over two ranks": (2, {}),
    "megatron": (1, {"engine": "megatron"}),
    "selective recomputation": (1, {"engine": "megatron", "recompute": "selective"}),
    "tp2": (2, CUT),
    "tp2 with sequence parallelism": (2, CUT | {"sequence_parallel": True}),
    "full recomputation": (2, CUT | {"sequence_parallel": True, "recompute": "full"}),
    "pp2": (2, {"engine": "megatron", "pipeline_parallel": 2}),
    "cp2": (2, {"engine": "megatron", "context_parallel": 2}),
    "cp2 with selective recomputation": (
        2,
        {"engine": "megatron", "context_parallel": 2, "recompute": "selective"},
    ),
    "dp2": (2, {"engine": "megatron"}),
    "dp2 without distributed optimizer": (2, {"engine": "megatron", "distributed_optimizer": False}),
}


@pytest.fixture(scope="module")
def folders(models, tmp_path_factory):
    """Models whose sizes all differ, so that none of them hides behind another."""
    from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

    size = {
        "vocab_size": 1500,
        "hidden_size": 128,
        "intermediate_size": 320,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    made = {
        "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**size, head_dim=64)),
        "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**size)),
    }
    found = {}
    for name, make in made.items():
        found[name] = tmp_path_factory.mktemp(name) / "model"
        make().save_pretrained(found[name])
        for file in models["tied"].glob("*token*"):
            shutil.copy(file, found[name])
    return found


def here(tensor):
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def size(tensors):
    return sum(here(tensor).nbytes for tensor in tensors)


def held(actor, batch):
    """Bytes of weights, gradients and moments of a rank, and the most that its forward passes keep at once."""
    actor.begin_stage(OptimConfig(lr=1e-3), 10)
    engine = actor.engine
    cut = not hasattr(engine, "module")
    module = engine._model.module if cut else engine.module
    actor.update(batch, None, **LIMITS)
    saved = Saved(weights_of(module))  # without the gathered layers of FSDP
    with saved.counting():
        actor.accumulate(batch, None, **LIMITS)
    if cut:
        buffers = engine._optimizer._buffers
        gradients = [buffer.grad_data for buffer in buffers.buffers + buffers.expert_parallel_buffers]
        (optimizer,) = engine._optimizer.method._megatron.chained_optimizers
        state = optimizer.optimizer.state
    else:
        gradients, state = [parameter.grad for parameter in module.parameters()], engine.optimizer.state
    moments = [tensor for values in state.values() for tensor in values.values() if tensor.dim()]
    answer = size(module.parameters()), size(gradients), size(moments), saved.peak
    actor.step()
    return answer


def planned(folder, world_size, trainer):
    """The same of every rank, by the plan."""
    stage = {"name": "s", "kind": "sft", "steps": 1, "demonstrations": {"age": 4}}
    trainer = {"world_size": world_size, "device": "cpu", **trainer}
    values = {"run_dir": "r", "curriculum": {"name": "x", "stages": [stage]}, "trainer": trainer}
    config = load({**values, "model": {"path": str(folder)}})
    shape = model_shape(config.model)
    # What the output layer keeps: hidden states of the targets, and logits where one rank has them all.
    targets = (LENGTH - 1) / config.trainer.context_parallel
    head = 4 * targets * (shape.hidden + shape.vocabulary * (config.trainer.tensor_parallel == 1))
    if config.trainer.engine == "fsdp":
        whole = 4 * shape.parameters / world_size
        return [(whole, whole, 2 * whole, of_fsdp(shape, LENGTH, False, False) + head)] * world_size
    pipeline = config.trainer.pipeline_parallel
    found = []
    for plan in rank_plans(config, LENGTH, bf16=False):
        stage = plan.rank * pipeline // world_size
        kept = of_megatron(shape, config.trainer, LENGTH, False, stage)
        assert kept == pytest.approx(plan.activations_gib * 2**30)
        # When all is computed again, the output layer is done before a layer needs its memory.
        behind = head if stage == pipeline - 1 and config.trainer.recomputes != "full" else 0
        parts = plan.weights_gib, plan.gradients_gib, plan.optimizer_gib
        found.append((*(part * 2**30 for part in parts), kept + behind))
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("family", ["qwen3", "qwen2"])
def test_a_rank_holds_what_the_plan_says(folders, family, layout):
    """Weights, gradients and moments within 2 %, activations within 10 %."""
    world_size, trainer = LAYOUTS[layout]
    rng = np.random.default_rng(0)
    rows = [rng.integers(10, 1400, size=LENGTH).tolist() for _ in range(2 * world_size)]
    batch = packed_batch(rows, [[0] * LENGTH] * len(rows))
    found = on_ranks(held, folders[family], world_size, batch, **trainer)
    for rank, wanted in zip(found, planned(folders[family], world_size, trainer), strict=True):
        assert rank[:3] == pytest.approx(wanted[:3], rel=0.02)
        assert rank[3] == pytest.approx(wanted[3], rel=0.1)


def test_the_shape_of_a_folder_is_that_of_its_model(folders):
    from transformers import AutoModelForCausalLM

    for folder in folders.values():
        model = AutoModelForCausalLM.from_pretrained(folder)
        assert model_shape(ModelConfig(path=str(folder))).parameters == model.num_parameters()
